"""Steps of solutions: cut, labelled, judged, and searched through."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from policies import toy_scorer, toy_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForTokenClassification, AutoTokenizer, PreTrainedTokenizerFast

import rlhub
from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.training import execute
from rlhub.language import decoding, process_reward, search, step_labels
from rlhub.language.advantages import process_advantages
from rlhub.language.grpo import GRPO
from rlhub.language.model import encode_completion, load_policy
from rlhub.language.process_reward import ProcessReward, are_labelled, as_examples, chances, judged, read_appended, stepped
from rlhub.language.rows import Group
from rlhub.language.scorer import StepScorer, load_scorer, read_head
from rlhub.language.search import Search, chosen, line_ends, step_judge
from rlhub.language.step_labels import label, stopped, summed
from rlhub.language.steps import cut, step_ends, tokenize, worth
from rlhub.language.task import Example, Task, load_task

CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Norway": "Oslo", "Japan": "Tokyo", "Egypt": "Cairo"}


@given(st.text(alphabet="ab \n", max_size=30))
def test_a_solution_is_its_steps_one_after_another(text):
    steps = cut(text)
    assert "".join(steps) == text
    assert all(steps)
    assert all(step.endswith("\n") for step in steps[:-1])


def test_tokens_of_a_step_are_the_same_whatever_follows():
    tokenizer = toy_tokenizer()
    one, both = tokenize(tokenizer, ["w5 w6\n"]), tokenize(tokenizer, ["w5 w6\n", "w7"], end=2)
    assert both.ids == [*one.ids, 7, 2]
    assert (one.ends, both.ends) == ([2], [2, 4])
    assert tokenize(tokenizer, [], end=2).ends == []


def test_steps_are_what_was_written_also_for_tokenizers_that_put_a_space_first():
    signs = ["<unk>", "\N{LOWER ONE EIGHTH BLOCK}", *"0123456789+=\n"]
    made = Tokenizer(models.BPE(vocab={sign: place for place, sign in enumerate(signs)}, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made)
    steps = ["2 + 3 = 5\n", "5 + 6 = 11\n"]
    assert tokenizer.decode(tokenize(tokenizer, steps).ids) == "".join(steps)


def test_a_solution_is_worth_its_least_step_their_product_or_its_last():
    assert worth([0.9, 0.5, 0.8], "min") == 0.5
    assert worth([0.9, 0.5, 0.8], "prod") == pytest.approx(0.36)
    assert worth([0.9, 0.5, 0.8], "last") == 0.8
    assert worth([], "min") == 0


def test_a_label_is_whether_any_or_how_many_ways_on_are_right():
    assert summed([False, True, False, False], "hard") == 1
    assert summed([False, True, False, False], "soft") == 0.25
    assert summed([False, False], "hard") == 0


@pytest.fixture(scope="module")
def tiny():
    return load_policy("tiny", learning_rate=0.0, precision="fp32")


@pytest.mark.parametrize(("kind", "wanted"), [("hard", [1.0, 0.0, 0.0]), ("soft", [0.5, 0.0, 0.0])])
def test_steps_are_labelled_by_what_can_follow_them(tiny, monkeypatch, kind, wanted):
    asked = []

    def scripted(policy, prompts, *, group, **_):
        asked.extend((policy.tokenizer.decode(prompt), group) for prompt in prompts)
        told = [["so Paris", "so Rome"], ["so Rome", "no"]]
        lengths = torch.full((len(prompts), group), 3)
        return type("Drawn", (), {"texts": told, "lengths": lengths})

    monkeypatch.setattr(step_labels, "complete", scripted)
    task = load_task("facts:capitals", reward="contains_answer")
    example = Example("Capital?", " Paris", {})
    solved = label(tiny, task, [(example, "think\nguess\nIt is Rome")], rollouts=2, max_new_tokens=9, kind=kind)[0]
    assert solved.labels == wanted
    assert solved.tokens == 12
    assert [(text, group) for text, group in asked] == [("Capital?think\n", 2), ("Capital?think\nguess\n", 2)]


def test_steps_get_the_same_labels_when_their_prefixes_are_read_apart(tiny, monkeypatch):
    def odd(prompts, completions, **_):
        return [float(len(completion) % 2) for completion in completions]

    task = Task(name="odd", splits={}, rewards=[(odd, 1.0)])
    steps = [f"The capital of {country} is the city of\n" for country in CAPITALS]
    solutions = [(Example("Capital?", " Paris", {}), "".join(steps)), (Example("City?", " Rome", {}), "".join(steps[::-1]))]

    def labelled():
        draws = torch.Generator().manual_seed(0)
        return label(tiny, task, solutions, rollouts=8, max_new_tokens=6, kind="soft", generator=draws)

    together = labelled()
    monkeypatch.setattr(decoding, "extended", lambda prompts: list(range(len(prompts))))
    assert labelled() == together
    assert len({value for one in together for value in one.labels}) > 1


def test_where_a_solution_stops_too_soon_the_task_says_whether_it_is_right(tiny):
    task = load_task("facts:capitals", reward="contains_answer")
    asked = [(Example("Capital?", " Paris", {}), text) for text in ("think\nParis\nsure\nindeed", "Paris", "\n\nwho\nknows")]
    made = label(tiny, task, asked, rollouts=1, max_new_tokens=1, kind="hard")
    assert stopped(task, made) == [[0.0, 1.0, 1.0], [], [0.0, 0.0]]

    rows = [
        {"prompt": "Capital?", "steps": one.steps, "labels": [0.5] * len(one.steps), "ended": False, "stops": each}
        for one, each in zip([made[1], *made, *made], stopped(task, [made[1], *made, *made]), strict=True)
    ]
    kept = [list(example.columns.values()) for example in as_examples(rows, stops=True)]
    assert kept[:7] == [list(example.columns.values()) for example in as_examples(rows, stops=False)]
    assert kept[7:] == [
        [["think\n", "Paris"], [0.5, 1.0], True],
        [["\n\n", "who"], [0.5, 0.0], True],
        [["think\n", "Paris"], [0.5, 1.0], True],
        [["\n\n"], [0.0], True],
    ]


def test_solutions_that_were_cut_off_before_a_whole_step_have_no_labels(tiny):
    task = load_task("facts:capitals", reward="contains_answer")
    made = label(tiny, task, [(Example("?", " Paris", {}), "Par")], rollouts=2, max_new_tokens=2, kind="hard", ended=[False])
    assert [(one.steps, one.labels) for one in made] == [([], [])]
    assert stopped(task, made) == [[]]


def test_a_solution_in_one_step_needs_no_roll_out(tiny):
    task = load_task("facts:capitals", reward="contains_answer")
    found = label(
        tiny, task, [(Example("?", " Paris", {}), "Paris"), (Example("?", " Oslo", {}), "")], rollouts=2, max_new_tokens=2, kind="hard"
    )
    assert [(one.steps, one.labels, one.tokens) for one in found] == [(["Paris"], [1.0], 0), ([], [], 0)]


def rows():
    for country, capital in CAPITALS.items():
        for other in CAPITALS.values():
            steps = [f"The capital of {country} is the city of {capital}\n", f"The capital of {country} is the city of {other}\n"]
            yield {"prompt": "Solve.", "steps": steps, "labels": [1, int(other == capital)]}
            # Its first step is right, but is no solution.
            yield {"prompt": "Solve.", "steps": steps[:1], "labels": [1], "ended": False}
            yield {"prompt": "Solve.", "steps": steps[:1], "labels": [0], "ended": True}


@pytest.fixture(scope="module")
def labelled_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "steps.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


@pytest.fixture(scope="module")
def run(labelled_file, tmp_path_factory):
    system = ProcessReward(model="tiny", task=str(labelled_file), steps=100, batch=36, learning_rate=2e-3, precision="fp32")
    return rlhub.train(system, seed=0, runs=tmp_path_factory.mktemp("runs"), name="judge")


def test_it_learns_which_steps_are_wrong(run):
    lines = run.metrics()
    assert lines[-1]["accuracy"] > 0.9 > lines[0]["accuracy"]
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    scorer = load_scorer(str(run.folder), kind=StepScorer, fresh=False, precision="fp32")
    prompt = scorer.tokenizer("Solve.")["input_ids"]
    judged = chances(scorer, [(prompt, row["steps"]) for row in rows()], ended=[row.get("ended", True) for row in rows()])
    found = [[chance > 0.5 for chance in steps] == row["labels"] for steps, row in zip(judged, rows(), strict=True)]
    for kind in range(3):  # whole solutions, beginnings, and beginnings that are called a solution
        assert sum(found[kind::3]) > 0.8 * len(found[kind::3])


def test_its_checkpoint_is_a_folder_that_transformers_loads(run):
    folder = run.checkpoint()
    judge, tokenizer = AutoModelForTokenClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    steps = next(iter(rows()))["steps"]
    prompt = tokenizer("Solve.")["input_ids"]
    solution = tokenize(tokenizer, steps, end=tokenizer.eos_token_id)
    with torch.no_grad():
        logits = judge(input_ids=torch.tensor([prompt + solution.ids])).logits[0]
    right = torch.softmax(logits, -1)[:, 1]
    scorer = load_scorer(str(run.folder), kind=StepScorer, fresh=False, precision="fp32")
    wanted = [right[len(prompt) + end - 1].item() for end in solution.ends]
    assert chances(scorer, [(prompt, steps)])[0] == pytest.approx(wanted, abs=1e-5)


def test_what_follows_a_step_changes_nothing_about_it(run):
    scorer = load_scorer(str(run.folder), kind=StepScorer, fresh=False, precision="fp32")
    prompt, steps = scorer.tokenizer("Solve.")["input_ids"], next(iter(rows()))["steps"]
    both, first, ending = chances(scorer, [(prompt, steps), (prompt, steps[:1]), (prompt, steps[:1])], ended=[True, False, True])
    assert both[0] == pytest.approx(first[0], abs=1e-5)
    assert ending[0] < 0.5 < first[0]


def test_labels_are_made_where_the_task_has_none_and_survive_a_stop(tmp_path, monkeypatch):
    settings = {"model": "tiny", "task": "facts:capitals", "steps": 2, "batch": 4, "solutions": 8, "rollouts": 2, "max_new_tokens": 3}
    system = ProcessReward(**settings, precision="fp32")
    whole = rlhub.train(system, seed=0, runs=tmp_path, name="whole")
    made = (whole.folder / "labels.jsonl").read_text()
    assert len(made.splitlines()) == 8
    assert {"prompt", "steps", "labels", "ended", "tokens", "stops"} == set(json.loads(made.splitlines()[0]))

    def stops(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ProcessReward, "change", stops)
    with pytest.raises(KeyboardInterrupt):
        rlhub.train(system, seed=0, runs=tmp_path, name="cut")
    monkeypatch.undo()
    path = tmp_path / "cut" / "labels.jsonl"
    path.write_text(made[: len(made) - 30])
    resumed = execute(Run.open(tmp_path / "cut"))
    assert path.read_text() == made
    states = [load_scorer(str(each.folder), kind=StepScorer, fresh=False).bare.state_dict() for each in (whole, resumed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_labels_that_were_made_are_kept_when_something_goes_wrong_after_them(tmp_path, monkeypatch):
    system = ProcessReward(model="tiny", task="facts:capitals", steps=1, solutions=4, batch=2, rollouts=2, max_new_tokens=4)

    def fails(*_, **__):
        raise UserError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(process_reward, "load_scorer", fails)
        with pytest.raises(UserError, match="disk"):
            rlhub.train(system, seed=0, runs=tmp_path, name="mine")
    assert len((tmp_path / "mine" / "labels.jsonl").read_text().splitlines()) == 4
    assert rlhub.train(system, seed=0, runs=tmp_path, name="mine").status == "finished"


def test_a_solver_that_answers_nothing_is_refused(tmp_path, monkeypatch):
    nothing = {"prompt": "The capital of France is the city of", "steps": [], "labels": [], "ended": True, "tokens": 0, "stops": []}
    monkeypatch.setattr(ProcessReward, "rows", lambda *_: [nothing] * 4)
    system = ProcessReward(model="tiny", task="facts:capitals", steps=1, solutions=4)
    with pytest.raises(UserError, match=r"tiny answers nothing to 4 prompts of facts:capitals, .* give another --solver"):
        rlhub.train(system, seed=0, runs=tmp_path, name="mine")


def test_a_file_of_labels_is_cut_back_to_whole_batches(tmp_path):
    path = tmp_path / "labels.jsonl"
    assert read_appended(path, together=2) == []
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a"')
    assert read_appended(path, together=2) == [{"a": 1}, {"a": 2}]
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'


def test_micro_batches_change_nothing():
    torch.manual_seed(0)
    labels = torch.full((3, 4), math.nan)
    labels[0, 1], labels[0, 3], labels[1, 2], labels[2, 0] = 1.0, 0.0, 0.25, 1.0
    groups = [
        Group(prompt=[5, 6], completions=[[7, 8, 9, 4]]),
        Group(prompt=[3], completions=[[9, 9, 8]]),
        Group(prompt=[4], completions=[[8]]),
    ]

    def moved(micro_tokens):
        scorer = toy_scorer(outputs=2)
        before = torch.cat([parameter.detach().flatten() for parameter in scorer.bare.parameters()])
        system = ProcessReward(max_norm=0.0, learning_rate=1.0, micro_tokens=micro_tokens)
        system.change(scorer, groups, system.objective, step=1, normaliser=4.0, columns={"labels": labels}, read=read_head)
        return before - torch.cat([parameter.detach().flatten() for parameter in scorer.bare.parameters()])

    torch.testing.assert_close(moved(1), moved(10_000), atol=1e-5, rtol=1e-3)


def test_prm800ks_rows_are_read(tmp_path):
    path = tmp_path / "prm.jsonl"
    step = {"completions": [{"text": "worse", "rating": -1}, {"text": "better", "rating": 0}], "chosen_completion": 1}
    last = {"completions": [{"text": "wrong", "rating": -1}], "chosen_completion": None}
    unrated = {"completions": [{"text": "after", "rating": None}], "chosen_completion": None}
    row = {"question": {"problem": "1 + 1?"}, "label": {"steps": [step, last, unrated]}}
    path.write_text(json.dumps(row) + "\n")
    example = load_task(str(path)).split("train")[0]
    assert (example.prompt, example.columns["steps"], example.columns["labels"]) == ("1 + 1?", ["better\n", "wrong\n"], [1, 0])
    assert not example.columns["ended"]
    for steps, ended in (([step], True), ([step, unrated], False)):
        path.write_text(json.dumps({"question": row["question"], "label": {"steps": steps, "finish_reason": "solution"}}) + "\n")
        assert load_task(str(path)).split("train")[0].columns["ended"] == ended
    path.write_text(json.dumps({"question": {"problem": "1 + 1?"}, "label": {"steps": [{}]}}) + "\n")
    with pytest.raises(UserError, match=r"prm\.jsonl:1: its question and label are not laid out"):
        load_task(str(path))


def test_a_step_that_a_rater_wrote_is_right_and_a_row_without_rated_steps_is_left_out(tmp_path):
    path = tmp_path / "prm.jsonl"
    refused = {"completions": [{"text": "bad", "rating": -1}], "chosen_completion": None, "human_completion": {"text": "good"}}
    after = {"completions": [{"text": "fine", "rating": 1}], "chosen_completion": 0, "human_completion": None}
    path.write_text(json.dumps({"question": {"problem": "?"}, "label": {"steps": [refused, after]}}) + "\n")
    columns = load_task(str(path)).split("train")[0].columns
    assert (columns["steps"], columns["labels"]) == (["good\n", "fine\n"], [1, 1])
    unrated = {"completions": [{"text": "x", "rating": None}], "chosen_completion": None}
    nothing = [{"question": {"problem": "?"}, "label": {"steps": steps}} for steps in ([unrated], [], [unrated | {"completions": []}])]
    with path.open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in nothing))
    assert len(load_task(str(path)).split("train")) == 1
    path.write_text(json.dumps(nothing[0]) + "\n")
    with pytest.raises(UserError, match="no rows to train on"):
        load_task(str(path))


def test_of_a_solution_that_was_cut_off_the_last_whole_step_is_finished_and_the_rest_left_out(tiny, monkeypatch):
    asked = []

    def scripted(policy, prompts, *, group, **_):
        asked.extend(policy.tokenizer.decode(prompt) for prompt in prompts)
        return type("Drawn", (), {"texts": [["so Paris"]] * len(prompts), "lengths": torch.ones(len(prompts), 1, dtype=torch.long)})

    monkeypatch.setattr(step_labels, "complete", scripted)
    task = load_task("facts:capitals", reward="contains_answer")
    solutions = [(Example("?", " Paris", {}), "one\ntwo\nthr"), (Example("?", " Paris", {}), "half")]
    cut, nothing = label(tiny, task, solutions, rollouts=1, max_new_tokens=9, kind="hard", ended=[False, False])
    assert (cut.steps, cut.labels) == (["one\n", "two\n"], [1.0, 1.0])
    assert (nothing.steps, nothing.labels) == ([], [])
    assert asked == ["?one\n", "?one\ntwo\n"]


@pytest.mark.parametrize(
    "columns",
    [
        {"steps": ["a"], "labels": [1, 0]},
        {"steps": [], "labels": []},
        {"steps": ["a"], "labels": [2]},
        {"steps": ["a"], "labels": ["1"]},
        {"steps": [""], "labels": [1]},
        {"steps": "a", "labels": [1]},
        {"steps": ["a"], "labels": [1], "ended": "no"},
    ],
)
def test_steps_that_cant_be_learnt_from_are_named(columns, tmp_path):
    scorer = toy_scorer(outputs=2)
    with pytest.raises(UserError, match="can't be learnt from"):
        stepped(scorer, "mine", [Example("w5", None, columns)])
    path = tmp_path / "steps.jsonl"
    path.write_text("".join(json.dumps({"prompt": "w5"} | each) + "\n" for each in ({"steps": ["a"], "labels": [1]}, columns)))
    with pytest.raises(UserError, match=r"steps\.jsonl:2: its steps can't be learnt from: give texts in steps"):
        load_task(str(path))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"answer": "b"}, {"steps": ["a"], "labels": [1]}], r"mixed\.jsonl:1: it has no steps and labels, and others have"),
        ([{"steps": ["a"], "labels": [1]}, {"answer": "b"}], r"mixed\.jsonl:2: it has no steps and labels, and others have"),
        ([{"steps": ["a"], "labels": [1]}, {"steps": ["a"]}], r"mixed\.jsonl:2: its steps can't be learnt from"),
        ([{"labels": [1]}], r"mixed\.jsonl:1: its steps can't be learnt from"),
        ([{}, {}], r"mixed\.jsonl can't tell right solutions from wrong ones"),
    ],
)
def test_rows_are_all_labelled_or_none_and_something_tells_right_from_wrong(rows, said, tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps({"prompt": "w5"} | row) + "\n" for row in rows))
    with pytest.raises(UserError, match=said):
        rlhub.train(ProcessReward(model="tiny", task=str(path), steps=1, solutions=2, batch=2), seed=0, runs=tmp_path / "runs")


def test_solutions_are_labelled_only_where_a_reward_tells_whether_they_are_right(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"w{place}"} | ({"answer": "x"} if place % 2 else {})) + "\n" for place in range(8)))
    task = load_task(str(path))
    assert not are_labelled(task.split("train"))
    assert [example.prompt for example in judged(task)] == ["w1", "w3", "w5", "w7"]
    for spec in ("facts:capitals", "reasoning-gym:gcd?size=20"):
        assert judged(load_task(spec)) == load_task(spec).examples("train") or spec.startswith("reasoning")


def test_the_best_is_taken_or_the_answer_that_weighs_most():
    texts = ["<answer>1</answer>", "<answer>2</answer>", "so <answer>2</answer>", "<answer>3</answer>"]
    assert chosen(texts, [0.6, 0.4, 0.3, 0.1], vote=False) == texts[0]
    assert chosen(texts, [0.6, 0.4, 0.3, 0.1], vote=True) == texts[1]
    assert chosen(texts, [1.0] * 4, vote=True) == texts[1]


def test_lines_end_where_a_token_ends_with_a_break(tiny):
    ends = line_ends(tiny.tokenizer)
    assert [tiny.tokenizer.decode([index]) for index in ends] == ["\n"]


@pytest.mark.parametrize("strategy", ["single", "majority", "best-of-n", "weighted-vote", "beam", "lookahead"])
def test_every_strategy_finds_something_counts_its_tokens_and_can_be_repeated(tiny, run, strategy):
    judge = step_judge(load_scorer(str(run.folder), kind=StepScorer, fresh=False, precision="fp32"), "min")
    wanted = Search(strategy=strategy, n=4, width=2, rounds=3, max_new_tokens=4)
    example = Example("The capital of France is the city of", " Paris", {})
    found, again = (wanted(tiny, example, judge=judge, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert found == again
    assert found.text in found.candidates
    assert 0 < found.tokens <= {"single": 4, "beam": 4 * 4 * 3, "lookahead": 8 * 4 * 3}.get(strategy, 16)


def test_a_judge_decides_which_of_many_is_taken(tiny):
    example = Example("The capital of France is the city of", " Paris", {})
    longest = Search(strategy="best-of-n", n=8, max_new_tokens=6)(
        tiny, example, judge=lambda _, texts, ended: [float(len(text)) for text in texts], generator=torch.Generator().manual_seed(0)
    )
    assert len(longest.text) == max(map(len, longest.candidates))


def test_a_beam_keeps_the_beginnings_that_the_judge_likes(tiny):
    example = Example("The capital of France is the city of", " Paris", {})
    wanted = " Paris"
    found = Search(strategy="beam", n=16, width=4, rounds=2, max_new_tokens=2, temperature=1.5)(
        tiny,
        example,
        judge=lambda _, texts, ended: [float(text.startswith(wanted)) for text in texts],
        generator=torch.Generator().manual_seed(0),
    )
    assert found.text.startswith(wanted)


def test_a_beam_ends_with_a_vote_that_is_weighted(tiny, monkeypatch):
    texts = [" Rome", " Paris", "Paris", " Oslo"]
    groups = [Group(prompt=[1], completions=[encode_completion(tiny.tokenizer, text) for text in texts])]
    drawn = SimpleNamespace(groups=groups, ended=torch.ones(1, 4, dtype=torch.bool), lengths=torch.ones(1, 4, dtype=torch.long))
    monkeypatch.setattr(search, "complete", lambda *_, **__: drawn)
    worths = dict(zip(texts, [0.6, 0.4, 0.3, 0.1], strict=True))
    found = Search(strategy="beam", n=4, width=1)(
        tiny, Example("Capital?", None, {}), judge=lambda _, given, ended: [worths[text] for text in given]
    )
    assert found.candidates == texts
    assert found.text == " Paris"


@pytest.mark.parametrize(("fields", "words"), [({"strategy": "beam", "n": 6}, "must divide n"), ({"n": 0}, "at least 1")])
def test_what_cant_be_searched_with_is_refused(fields, words):
    with pytest.raises(UserError, match=words):
        Search(**fields)


def test_without_a_judge_no_best_is_found(tiny):
    with pytest.raises(UserError, match="needs a judge of steps"):
        Search(strategy="beam")(tiny, Example("?", None, {}))


def test_the_ends_of_steps_are_found_in_what_was_sampled(tiny):
    steps = ["The capital of France\n", "is the city of Paris\n", " so Paris"]
    laid = tokenize(tiny.tokenizer, steps, end=tiny.end_ids[0])
    assert step_ends(tiny.tokenizer, laid.ids) == laid.ends
    assert step_ends(tiny.tokenizer, [tiny.end_ids[0]]) == []


def test_a_token_is_worth_its_own_and_all_later_steps():
    rewards, ends = [[1.0, 0.0], [0.5], [], [0.3]], [[2, 4], [3], [], [1]]
    found = process_advantages(rewards, ends, group=2, tokens=4)
    values = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
    high, low, middle = ((values - values.mean()) / (values.std() + 1e-4)).tolist()
    assert found[0].tolist() == pytest.approx([high + low, high + low, low, low], abs=1e-6)
    assert found[1].tolist() == pytest.approx([middle] * 3 + [0], abs=1e-6)
    assert not found[2:].any()


def test_under_the_least_to_come_more_good_steps_earn_nothing():
    rewards, ends = [[0.9, 0.2, 0.6], [0.6, 0.6], [], [0.2]], [[1, 3, 4], [1, 2], [], [4]]
    found = process_advantages(rewards, ends, group=4, tokens=5, credit="min")
    values = torch.tensor([0.2, 0.2, 0.6, 0.6, 0.6, 0.2], dtype=torch.float64)
    low, high = (((values - values.mean()) / (values.std() + 1e-4))[:, None].unique(sorted=True)).tolist()
    assert found[0].tolist() == pytest.approx([low, low, low, high, 0], abs=1e-6)
    assert found[1].tolist() == pytest.approx([high, high, 0, 0, 0], abs=1e-6)
    assert found[3].tolist() == pytest.approx([low] * 4 + [0], abs=1e-6)
    assert not found[2].any()


@pytest.mark.parametrize("credit", ["sum", "min"])
def test_grpo_learns_from_judgements_of_steps(run, credit, tmp_path):
    system = GRPO(
        model="tiny",
        task="facts:capitals",
        process_reward=str(run.folder),
        credit=credit,
        steps=2,
        prompts=4,
        group=4,
        max_new_tokens=4,
        kl=0.01,
    )
    lines = rlhub.train(system, seed=0, runs=tmp_path).metrics()
    assert lines[0]["gradient_norm"] > 0
    assert math.isfinite(lines[-1]["loss"])
    assert all(0 < line["judged"] < 1 for line in lines)


def test_what_an_answer_earns_counts_beside_a_judge_that_tells_nothing_apart(run, tmp_path, monkeypatch):
    settings = {"model": "tiny", "task": "facts:capitals", "steps": 1, "prompts": 4, "group": 4, "max_new_tokens": 4}
    alone = rlhub.train(GRPO(**settings), seed=0, runs=tmp_path).metrics()[0]
    monkeypatch.setattr(GRPO, "by_steps", lambda self, policy, judge, rollout: (torch.zeros(rollout.mask.shape), 0.5))
    judged = {outcome: GRPO(**settings, process_reward=str(run.folder), outcome=outcome) for outcome in (0.0, 1.0)}
    found = {outcome: rlhub.train(system, seed=0, runs=tmp_path).metrics()[0] for outcome, system in judged.items()}
    assert found[1.0]["gradient_norm"] == pytest.approx(alone["gradient_norm"], rel=1e-5) != 0
    assert found[0.0]["gradient_norm"] == 0


def test_a_weight_beside_no_judge_is_refused():
    with pytest.raises(UserError, match=r"outcome is 1\.0, but without process_reward"):
        GRPO(outcome=1.0)
