"""Tasks: splits that don't overlap, sampling without memory, and bad data named by its line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhub.core.errors import UserError
from rlhub.language import reasoning
from rlhub.language.task import Example, Task, columns_of, load_task

NUMBERS = Task(name="numbers", splits={"train": [Example(str(index), str(index)) for index in range(7)]}, rewards=[])


def lines(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def test_facts_are_split_into_trained_held_out_and_untouched():
    task = load_task("facts:capitals+symbols")
    relations = {name: {example.columns["relation"] for example in split} for name, split in task.splits.items()}
    assert relations == {
        "train": {"capitals", "symbols"},
        "heldout": {"capitals", "symbols"},
        "untouched": {"currencies", "languages"},
    }
    assert not {example.prompt for example in task.examples("train")} & {example.prompt for example in task.examples("heldout")}


@given(st.integers(1, 10), st.integers(0, 100))
def test_each_epoch_shows_every_example_once(count, seed):
    shown = [example.prompt for step in range(1, 30) for example in NUMBERS.sample(count, step=step, seed=seed)]
    epochs = [shown[start : start + 7] for start in range(0, len(shown) - 6, 7)]
    assert all(sorted(epoch) == list("0123456") for epoch in epochs)


def test_a_steps_examples_depend_on_seed_and_step_alone():
    task = load_task("facts:capitals")
    assert task.sample(8, step=5, seed=1) == load_task("facts:capitals").sample(8, step=5, seed=1)
    assert task.sample(8, step=5, seed=1) != task.sample(8, step=5, seed=2)
    assert task.sample(8, step=5, seed=1) != task.sample(8, step=6, seed=1)


def test_facts_reward_the_answer_and_prefer_it_to_another_subjects():
    task = load_task("facts:capitals+symbols")
    examples = task.sample(12, step=1, seed=0)
    chosen, rejected = task.preference(examples, step=1)
    columns = columns_of(examples)
    prompts = [example.prompt for example in examples]
    assert task.score(prompts, [text + ". It" for text in chosen], **columns) == [1.0] * 12
    assert task.score(prompts, rejected, **columns) == [0.0] * 12
    answers = {
        relation: {e.answer for e in task.examples("train") if e.columns["relation"] == relation} for relation in ("capitals", "symbols")
    }
    assert all(wrong in answers[example.columns["relation"]] for example, wrong in zip(examples, rejected, strict=True))
    assert rejected != task.preference(examples, step=2)[1]


def test_chat_facts_ask_in_messages_and_rewards_see_messages():
    task = load_task("facts:capitals?chat=true")
    example = task.examples("train")[0]
    seen = []
    task = Task(name="x", splits=task.splits, rewards=[(lambda completions, **_: seen.extend(completions) or [1.0], 1.0)])
    assert task.score([example.prompt], ["fine"], **columns_of([example])) == [1.0]
    assert seen == [[{"role": "assistant", "content": "fine"}]]
    assert example.prompt[0]["role"] == "user"
    assert not example.answer.startswith(" ")


@pytest.mark.parametrize("reward", ["task", "right"])
def test_rows_may_have_columns_of_the_names_that_rewards_are_called_with(tmp_path, reward):
    row = {"prompt": "a", "answer": "b", "prompts": ["x"], "completions": ["y", "z"], "rewards": 1, "reward": 2, "scores": [1, 0]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    task = load_task(str(tmp_path / "rows.jsonl"), reward=reward)
    examples = task.examples("train")
    columns = columns_of(examples, repeat=2)
    assert task.score(["a"] * 2, ["b", "y"], **columns) == [1.0, 0.0]
    assert all(values == [1.0, 0.0] for values in task.measure(["a"] * 2, ["b", "y"], **columns).values())
    assert task.right(examples, ["b"]) == [True]


def test_rewards_are_summed_by_weight_and_none_does_not_count():
    def sometimes(completions, **_):
        return [None if text == "b" else 4.0 for text in completions]

    def one(completions, **_):
        return [1.0 if text == "a" else None for text in completions]

    task = Task(name="x", splits={}, rewards=[(sometimes, 0.5), (one, 1.0)])
    assert task.score(["p"] * 3, ["a", "b", "c"]) == [3.0, None, 2.0]


def test_another_reward_takes_the_place_of_the_tasks_own_which_becomes_a_measure():
    task = load_task("facts:capitals", reward=["0.5*random", "contains_answer"])
    assert [weight for _, weight in task.rewards] == [0.5, 1.0]
    assert task.measure(["p"], [" Paris"], answer=[" Paris"]) == {"starts_with_answer": [1.0]}
    with pytest.raises(UserError, match="'much' for its weight"):
        load_task("facts:capitals", reward="much*random")


def test_columns_are_repeated_for_each_completion_of_a_prompt():
    examples = [Example("p", "x", {"k": 1}), Example("q", None, {})]
    assert columns_of(examples, repeat=2) == {"k": [1, 1, None, None], "answer": ["x", "x", None, None]}


def test_puzzles_are_scored_by_their_own_scorer_with_exactness_beside_it():
    task = load_task("reasoning-gym:chain_sum?min_terms=2&max_terms=2&max_digits=1&size=50", seed=3)
    example = task.sample(1, step=1, seed=0)[0]
    prompts, columns = [example.prompt] * 3, columns_of([example], repeat=3)
    completions = [f"So <answer>{example.answer}</answer>", "<answer>no</answer>", f"it may be {example.answer} or so"]
    rewards = task.score(prompts, completions, **columns)
    assert rewards[:2] == [1.0, 0.0]
    assert 0 < rewards[2] < 1
    assert task.measure(prompts, completions, **columns) == {"solved": [1.0, 0.0, 0.0], "exact_match": [1.0, 0.0, 0.0]}


OF_TWO = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}


def asked(examples):
    return [example.columns["entry"]["question"] for example in examples]


def test_puzzles_come_from_the_seed():
    one, same, other = (load_task("reasoning-gym:spell_backward?size=300", seed=seed) for seed in (0, 0, 1))
    for split in ("train", "test"):
        assert one.examples(split) == same.examples(split) != other.examples(split)


@pytest.mark.parametrize(
    ("dataset", "count"),
    [
        ("chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=2", 200),
        ("spell_backward?size=300", 200),
        ("acre?size=50", 50),
        ("gsm_symbolic?size=500", 200),
        ("leg_counting?size=5", 5),
        ("number_sorting?think=true&size=1000&min_numbers=3&max_numbers=3&min_value=0&max_value=9", 200),
    ],
)
def test_no_puzzle_is_asked_in_training_and_in_the_test_nor_twice_in_the_test(dataset, count):
    task = load_task(f"reasoning-gym:{dataset}")
    test = task.split("test")
    assert len(test) == count == len(set(asked(test)))
    assert not set(asked(test)) & set(asked(task.split("train")))
    assert test.known == 0
    assert test[:3] == list(test)[:3]
    assert [test[-1], test[2]] == [list(test)[-1], test[:3][2]]
    with pytest.raises(IndexError):
        test[count]


def test_new_puzzles_take_the_place_of_known_ones_in_the_order_of_their_seeds():
    task = load_task("reasoning-gym:chain_sum?" + "&".join(f"{name}={value}" for name, value in OF_TWO.items()))
    train = set(asked(task.split("train")))
    first = [entry["question"] for entry in reasoning.make("chain_sum", OF_TWO, size=200, seed=reasoning.TEST_SEED)]
    new = [question for question in dict.fromkeys(first) if question not in train]
    assert 50 < len(new) < 150
    assert asked(task.split("test"))[: len(new)] == new


def test_in_a_world_that_training_exhausts_the_test_says_what_it_repeats():
    task = load_task("reasoning-gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=1")
    test = task.split("test")
    assert len(test) == test.known == len(asked(test)) == 200


def test_puzzles_that_take_minutes_are_not_compared(monkeypatch):
    monkeypatch.setattr(reasoning, "questions", None)
    test = load_task("reasoning-gym:countdown?size=10").split("test")
    assert len(asked(test)) == 10
    assert test.known is None


def test_training_questions_are_made_once(monkeypatch):
    made = []
    make = reasoning.make
    monkeypatch.setattr(reasoning, "make", lambda *given, **size: made.append(size) or make(*given, **size))
    reasoning.questions.cache_clear()
    for think in ("false", "true"):
        load_task(f"reasoning-gym:gcd?size=30&think={think}").examples("test")
    assert len(made) == 5


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("reasoning-gym:chainsum", "do you mean chain_sum"),
        ("reasoning-gym:chain_sum?terms=2", "no setting 'terms'; it has min_terms"),
        ("reasoning-gym:chain_sum?min_terms=9&max_terms=2", "refuses its settings"),
        ("reasoning-gym:chain_sum?min_terms=2.5", r"data set chain_sum refuses its settings .*'min_terms': 2\.5"),
        ("reasoning-gym:leg_counting?min_animals=1.5", "leg_counting refuses its settings"),
        ("reasoning-gym:spell_backward?min_word_len=60&max_word_len=70", "spell_backward refuses its settings"),
        ("reasoning-gym:chain_sum?size=2.5", r"the option 'size' of the task .* is 2\.5; it is a whole number from 1 on"),
        ("reasoning-gym:chain_sum?size=0", "'size' .* is 0;"),
        ("reasoning-gym:chain_sum?size=-1", "'size' .* is -1;"),
        ("reasoning-gym:chain_sum?size=true", "'size' .* is True;"),
        ("bridges:1?size=0", "the option 'size' of the task 'bridges:1.size=0' is 0; it is a whole number from 1 on"),
        ("bridges:1?size=-1", "'size' .* is -1;"),
        ("bridges:1?size=true", "'size' .* is True;"),
        ("reasoning-gym:chain_sum?think=False", "the option 'think' of the task .* is 'False'; it is true or false"),
        ("reasoning-gym:chain_sum?think=no", "is 'no'; it is true or false"),
        ("reasoning-gym:chain_sum?think=1", "is 1; it is true or false"),
        ("facts:rivers", "no facts about 'rivers'"),
        ("facts:capitals?tone=polite", "no option 'tone'"),
        ("facts:capitals?chat=maybe", "is not a bool"),
        ("poems", "there is no task 'poems'"),
        ("nowhere.jsonl", "can't read the task file nowhere.jsonl"),
        ("datasets:no_such_folder", "can't load the split 'train'"),
    ],
)
def test_a_task_that_cannot_be_had_is_refused_with_the_reason(spec, said):
    with pytest.raises(UserError, match=said):
        load_task(spec)


def test_a_jsonl_file_gives_prompts_answers_and_columns(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"question": "1+1", "solution": 2, "level": 3}, "", {"question": "x", "solution": None})
    task = load_task(f"{path}?prompt=question&answer=solution")
    assert task.examples("train") == [Example("1+1", "2", {"level": 3}), Example("x", None, {})]
    assert load_task(path, prompt_column="question", answer_column="solution").examples("train") == task.examples("train")
    assert task.score(["1+1", "x"], ["2.", "?"], **columns_of(task.examples("train"))) == [1.0, None]


def test_conversations_and_preferences_are_read_from_their_columns(tmp_path):
    ask, good, bad = ({"role": role, "content": text} for role, text in (("user", "hi"), ("assistant", "ho"), ("assistant", "no")))
    path = lines(
        tmp_path / "a.jsonl",
        {"messages": [ask, good]},
        {"prompt": "hi", "chosen": "ho", "rejected": "no"},
        {"chosen": [ask, good], "rejected": [ask, bad]},
    )
    task = load_task(path)
    first, *pairs = task.examples("train")
    assert (first.prompt, first.answer) == ([ask], "ho")
    assert [pair.prompt for pair in pairs] == ["hi", [ask]]
    assert task.preference(pairs) == (["ho", "ho"], ["no", "no"])


SYSTEM, ASK, OTHER = ({"role": role, "content": text} for role, text in (("system", "be brief"), ("user", "hi"), ("user", "hey")))
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("ho", "no"))


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "hi", "chosen": [SYSTEM, ASK, GOOD], "rejected": [SYSTEM, ASK, BAD]}, [SYSTEM, ASK]),
        ({"prompt": [SYSTEM, ASK], "chosen": [SYSTEM, ASK, GOOD], "rejected": [SYSTEM, ASK, BAD]}, [SYSTEM, ASK]),
        ({"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]}, [ASK]),
        ({"prompt": "hi", "chosen": [GOOD], "rejected": [BAD]}, [ASK]),
        ({"prompt": "hi", "chosen": [ASK, GOOD], "rejected": "no", "messages": [ASK, BAD]}, [ASK]),
    ],
)
def test_answers_that_are_messages_answer_the_turns_before_them(tmp_path, row, prompt):
    (example,) = load_task(lines(tmp_path / "a.jsonl", row)).examples("train")
    assert example.prompt == prompt
    assert (example.columns["chosen"], example.columns["rejected"]) == ("ho", "no")


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": [ASK], "completion": [GOOD], "label": True}, [ASK]),
        ({"prompt": "hi", "completion": [SYSTEM, ASK, GOOD], "label": True}, [SYSTEM, ASK]),
        ({"completion": [ASK, GOOD], "label": True}, [ASK]),
        ({"prompt": "hi", "completion": "ho", "label": True}, "hi"),
    ],
)
def test_a_completion_may_be_messages_too(tmp_path, row, prompt):
    (example,) = load_task(lines(tmp_path / "a.jsonl", row)).examples("train")
    assert (example.prompt, example.columns) == (prompt, {"completion": "ho", "label": True})


@pytest.mark.parametrize(
    ("row", "columns", "prompt"),
    [
        ({"prompt": "hi", "completion": "ho"}, "", "hi"),
        ({"prompt": [SYSTEM, ASK], "completion": [GOOD]}, "", [SYSTEM, ASK]),
        ({"completion": [ASK, GOOD]}, "", [ASK]),
        ({"prompt": [ASK], "completion": [GOOD]}, "?answer=completion", [ASK]),
        ({"question": "hi", "said": [ASK, GOOD]}, "?prompt=question&answer=said", [ASK]),
    ],
)
def test_a_completion_without_a_label_is_an_answer_to_imitate(tmp_path, row, columns, prompt):
    (example,) = load_task(f"{lines(tmp_path / 'a.jsonl', row)}{columns}").examples("train")
    assert (example.prompt, example.answer) == (prompt, "ho")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"chosen": [ASK, GOOD], "rejected": [OTHER, BAD]}, r"a\.jsonl:2: the columns 'chosen' and 'rejected' differ before"),
        ({"prompt": [ASK], "chosen": [GOOD], "rejected": [ASK, BAD]}, r"a\.jsonl:2: the columns 'chosen' and 'rejected' differ before"),
        ({"prompt": [OTHER], "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, r"a\.jsonl:2: .* are not those of the column 'prompt'"),
        ({"chosen": [GOOD], "rejected": [BAD]}, r"a\.jsonl:2: the column 'chosen' is an answer alone, and no column 'prompt'"),
        ({"prompt": 3, "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, r"a\.jsonl:2: the column 'prompt' must be"),
        ({"prompt": [ASK], "completion": [ASK], "label": True}, r"a\.jsonl:2: the column 'completion' must be messages of which the last"),
    ],
)
def test_answers_to_different_turns_are_refused(tmp_path, row, said):
    with pytest.raises(UserError, match=said):
        load_task(lines(tmp_path / "a.jsonl", {"prompt": "fine"}, row))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"prompt": "x"', r"a\.jsonl:2: not JSON: .*column"),
        ("[1]", r"a\.jsonl:2: a row must be a JSON object"),
        ("null", r"a\.jsonl:2: a row must be a JSON object.*and this is null"),
        ('{"quest": "x"}', r"a\.jsonl:2: there is no column 'prompt'.*the columns are quest"),
        ('{"prompt": 3}', r"a\.jsonl:2: the column 'prompt' must be text or a list of messages"),
        ('{"prompt": ""}', r"a\.jsonl:2: the column 'prompt' is empty"),
        ('{"prompt": [{"role": "user"}]}', r"a\.jsonl:2: the column 'prompt' must be"),
        ('{"prompt": "x", "answer": ["y"]}', r"a\.jsonl:2: the column 'answer' must be text or a number"),
        ('{"prompt": "x", "chosen": "y"}', r"a\.jsonl:2: a preference needs both"),
        ('{"prompt": "x", "chosen": 1, "rejected": 2}', r"a\.jsonl:2: the column 'chosen' must be"),
        ('{"messages": [{"role": "user", "content": "x"}]}', r"a\.jsonl:2: the column 'messages' must be messages of which the last"),
        (
            '{"messages": [{"role": "assistant", "content": "x"}]}',
            r"a\.jsonl:2: the column 'messages' has no message before the assistant's",
        ),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(tmp_path, bad, said):
    with pytest.raises(UserError, match=said):
        load_task(lines(tmp_path / "a.jsonl", {"prompt": "fine"}, bad))


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"prompt": "fine"}\n{"prompt": "\xff"}\n')
    with pytest.raises(UserError, match=r"a\.jsonl:2: not UTF-8"):
        load_task(str(tmp_path / "a.jsonl"))


def test_an_empty_file_and_a_named_column_that_is_missing_are_refused(tmp_path):
    with pytest.raises(UserError, match="no rows to train on"):
        load_task(lines(tmp_path / "a.jsonl"))
    with pytest.raises(UserError, match="no column 'solution'"):
        load_task(lines(tmp_path / "b.jsonl", {"prompt": "x"}), answer_column="solution")


def test_data_sets_are_read_from_folders_and_files(tmp_path):
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_dict({"prompt": ["a", "b"], "answer": ["1", "2"]})
    rows.save_to_disk(tmp_path / "one")
    DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(tmp_path / "two")
    rows.to_parquet(tmp_path / "three.parquet")
    expected = [Example("a", "1"), Example("b", "2")]
    for place in ("one", "two", "three.parquet"):
        assert load_task(f"datasets:{tmp_path / place}").examples("train") == expected
    assert load_task(f"datasets:{tmp_path / 'two'}?test=test").examples("test") == expected[:1]
    with pytest.raises(UserError, match="no split 'dev'; it has train, test"):
        load_task(f"datasets:{tmp_path / 'two'}?split=dev")
    with pytest.raises(UserError, match="has no split 'test'; it has train"):
        load_task(f"datasets:{tmp_path / 'one'}").examples("test")


def test_a_wrong_answer_needs_a_second_answer():
    task = Task(name="x", splits={"train": [Example("p", "same"), Example("q", "same")]}, rewards=[])
    with pytest.raises(UserError, match="no second answer"):
        task.preference(task.examples("train"))
    with pytest.raises(UserError, match="has no answer"):
        task.preference([Example("r", None)])


def test_only_full_credit_counts_as_right():
    own, right = (load_task("reasoning-gym:chain_sum?think=true&min_terms=2&max_terms=2", reward=reward) for reward in ("task", "right"))
    example = own.split("train")[0]
    bare = example.columns["solution"]
    given = [example.answer, example.answer.replace(f"<answer>{bare}", f"<answer>1{bare}"), f"It is {bare}, I think.", "<answer></answer>"]
    columns = columns_of([example] * len(given))
    scores = own.score([example.prompt] * len(given), given, **columns)
    assert scores[0] == 1 > scores[1] > scores[2] > scores[3] == 0
    assert right.score([example.prompt] * len(given), given, **columns) == [1, 0, 0, 0]
    assert right.measure([example.prompt], [given[1]], **columns_of([example]))["score"] == [scores[1]]


def test_full_credit_weighs_as_it_is_told_and_applies_where_the_task_does(tmp_path):
    path = tmp_path / "asked.jsonl"
    path.write_text('{"prompt": "2 + 2 =", "answer": "4"}\n{"prompt": "Say something.", "answer": null}\n')
    task = load_task(str(path), reward="2*right")
    examples = task.split("train")
    prompts = [example.prompt for example in examples]
    assert task.score(prompts, ["4", "4"], **columns_of(examples)) == [2, None]
    assert task.right(examples, ["4", "4"]) == [True, False]
