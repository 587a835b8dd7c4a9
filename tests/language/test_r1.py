"""DeepSeek-R1's recipe: rewards by rule, worked solutions, and the stages on a tiny model."""

import json
import random
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlhub
from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.training import execute
from rlhub.language.collect import Collect
from rlhub.language.grpo import GRPO
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.r1 import R1
from rlhub.language.rule_rewards import has_form, language_consistency, reflections, tag_format, thought, thought_words
from rlhub.language.stages import Stages, same_stage
from rlhub.language.task import columns_of, load_task
from rlhub.language.tiny import tiny_folder
from rlhub.language.worked import running_sum, with_error, work_out

PUZZLES = {
    "chain_sum": "min_terms=2&max_terms=4&min_digits=1&max_digits=2",
    "spell_backward": "min_word_len=3&max_word_len=5",
    "number_sorting": "min_numbers=3&max_numbers=4",
}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("<think>a</think><answer>b</answer>", True),
        (" <think>\na\n</think>\n<answer>\nb</answer>\n", True),
        ("<think></think><answer></answer>", True),
        ("x <think>a</think><answer>b</answer>", False),
        ("<think>a</think><answer>b</answer> x", False),
        ("<think>a<think>a</think><answer>b</answer>", False),
        ("<think>a</think><answer>b</answer><answer>b</answer>", False),
        ("<answer>b</answer><think>a</think>", False),
        ("b", False),
    ],
)
def test_the_form_is_a_thought_and_an_answer_once_each(text, right):
    assert has_form(text) is right
    assert tag_format(["q"], [text]) == [float(right)]


def test_a_thought_is_in_the_script_of_its_prompt_or_not():
    prompts = ["What is two and two?", "What is two and two?", "Сколько?", "2 + 2"]
    thoughts = ["<think>it is 4, one two</think>", "<think>это four</think>", "<think>это четыре</think>", "<think>4</think>"]
    assert language_consistency(prompts, thoughts) == [1, 0.5, 1, 1]


def test_second_thoughts_and_words_are_counted():
    text = "<think>It is 4. Wait, let me double-check: it is 5.</think><answer>check</answer>"
    assert reflections(["q"], [text]) == [3]
    assert thought_words(["q"], [text]) == [len(thought(text).split())]
    assert thought("no tags <answer>x</answer>") == "no tags"


@pytest.mark.parametrize("name", PUZZLES)
def test_worked_solutions_have_the_form_and_are_right(name):
    task = load_task(f"reasoning-gym:{name}?think=true&{PUZZLES[name]}")
    examples = task.sample(20, step=1, seed=0)
    answers = [example.answer for example in examples]
    prompts = [example.prompt for example in examples]
    assert all(has_form(answer) and thought(answer) for answer in answers)
    assert task.score(prompts, answers, **columns_of(examples)) == [1] * 20
    measured = task.measure(prompts, answers, **columns_of(examples))
    assert measured["solved"] == measured["exact_match"] == measured["format"] == [1] * 20
    assert "<think>" in prompts[0][0]["content"]


def test_a_puzzle_without_a_rule_has_no_worked_solution():
    assert load_task("reasoning-gym:leg_counting?think=true").split("train")[0].answer is None
    assert work_out({"metadata": {"source_dataset": "leg_counting"}}) is None


@given(st.lists(st.integers(0, 99), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_a_running_sum_ends_with_the_sum_and_a_planted_error_stays(numbers, draw):
    expression = str(numbers[0]) + "".join(f" {draw.choice('+-')} {number}" for number in numbers[1:])
    steps = running_sum(expression)
    assert len(steps) == len(numbers) - 1
    assert int(steps[-1].split("=")[1]) == eval(expression)
    planted = with_error({"metadata": {"source_dataset": "chain_sum", "expression": expression}}, random.Random(draw.random()))
    wrong, place = planted.steps, planted.error
    assert wrong[:place] == steps[:place]
    assert all(one != other for one, other in zip(wrong[place:], steps[place:], strict=True))
    for number, step in enumerate(wrong):
        left, value = step.split("=")
        assert (eval(left) == int(value)) == (number != place)
    assert int(planted.answer) == int(wrong[-1].split("=")[1])


def test_several_rewards_are_added_by_their_weights():
    task = load_task("reasoning-gym:chain_sum?think=true", reward=["task", "0.2*format", "0.1*language"])
    example = task.split("train")[0]
    columns = columns_of([example])
    assert task.score([example.prompt], [example.answer], **columns) == [pytest.approx(1.3)]
    assert task.score([example.prompt], [example.columns["solution"]], **columns) == [pytest.approx(1.1)]


def test_a_bonus_for_form_makes_no_wrong_answer_right():
    task = load_task("reasoning-gym:spell_backward?think=true", reward="task+0.2*format+0.1*language")
    example = task.split("train")[0]
    bare = example.columns["solution"]
    right, wrong = example.answer, example.answer.replace(f"<answer>{bare}", f"<answer>{bare[:-1]}9")
    columns = columns_of([example])
    assert task.score([example.prompt], [wrong], **columns)[0] > 1
    assert task.right([example] * 3, [right, wrong, bare]) == [True, False, False]


def test_what_is_good_is_collected(tmp_path):
    system = Collect(model="tiny", task="facts:capitals", steps=2, prompts=16, group=4, max_new_tokens=4)
    run = rlhub.train(system, seed=0, runs=tmp_path)
    rows = [json.loads(line) for line in (run.folder / "samples.jsonl").read_text().splitlines()]
    assert len(rows) == run.metrics()[-1]["rows"] > 0
    answers = {example.prompt: example.answer for example in load_task("facts:capitals").examples("train")}
    assert all(row["answer"].strip().startswith(answers[row["prompt"]].strip()) for row in rows)
    assert len({row["prompt"] for row in rows}) == len(rows)


def test_other_answers_are_imitated_beside_and_the_last_reward_is_its_own(tmp_path):
    others = tmp_path / "others.jsonl"
    others.write_text("".join(json.dumps({"prompt": f"Say {word}.", "answer": f" {word}."}) + "\n" for word in ("yes", "no", "so")))
    run = rlhub.train(
        small(beside=str(others), everything=str(others), everything_reward="exact_match"), seed=0, runs=tmp_path / "runs", name="whole"
    )
    rows = [json.loads(line) for line in (run.folder / "stages" / "collect" / "samples.jsonl").read_text().splitlines()]
    added = [row for row in rows if row["prompt"].startswith("Say ")]
    assert len(added) == round((len(rows) - len(added)) / 3) > 0
    fields = json.loads((run.folder / "stages" / "align" / "config.json").read_text())["fields"]
    assert (fields["task"], fields["reward"]) == (str(others), "exact_match")
    with pytest.raises(UserError, match="one stage"):
        R1(zero=True, everything_reward="task")


def small(**settings):
    counts = {"cold_steps": 3, "rl_steps": 1, "collect_steps": 1, "sft_steps": 2, "prompts": 8, "group": 4, "max_new_tokens": 4}
    return R1(model="tiny", task="facts:capitals", reward="task", learning_rate=3e-4, **counts, **settings)


def test_r1_goes_through_its_stages_and_teaches_a_student(tmp_path):
    run = rlhub.train(small(student="tiny"), seed=0, runs=tmp_path)
    names = {path.name for path in (run.folder / "stages").iterdir()}
    assert names == {"cold-start", "reason", "collect", "refine", "align", "collect-for-student", "distil"}
    last = Run.open(run.folder / "stages" / "distil").model()
    assert all(torch.equal(one, other) for one, other in zip(run.model().parameters(), last.parameters(), strict=True))
    assert len(run.metrics()) == 7


def test_r1_zero_is_reinforcement_alone(tmp_path):
    run = rlhub.train(small(zero=True), seed=0, runs=tmp_path)
    assert [path.name for path in (run.folder / "stages").iterdir()] == ["reason"]
    with pytest.raises(UserError, match="one stage"):
        R1(zero=True, student="tiny")


def test_r1_zero_is_rewarded_for_right_answers_and_their_form_alone(tmp_path):
    stages = Stages(Run.create(R1(zero=True), runs=tmp_path))
    assert R1(zero=True).system(stages, "reason").reward == "right+0.2*format"
    assert R1().system(stages, "reason").reward == R1().system(stages, "align").reward == "right+0.2*format+0.1*language"
    assert R1(zero=True, reward="task").system(stages, "reason").reward == "task"


def test_a_student_is_taught_what_is_beside_too(tmp_path):
    stages = Stages(Run.create(R1(), runs=tmp_path))
    recipe = R1(student="tiny", beside="others.jsonl")
    assert recipe.system(stages, "collect").beside == recipe.system(stages, "collect-for-student").beside == "others.jsonl"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"task": "reasoning-gym:chain_sum?size=20&think=false"}, "asks for no thought in tags"),
        ({"task": "facts:capitals"}, "the reward right.* wants: give a task with think=true"),
        ({"task": "reasoning-gym:gcd?think=true&size=20"}, r"no worked solutions to begin with: give a file .* \(--cold-start\)"),
    ],
)
def test_what_would_fail_after_the_first_reinforcement_is_refused_at_the_start(fields, said, tmp_path):
    with pytest.raises(UserError, match=said):
        rlhub.train(R1(model="tiny", **fields), seed=0, runs=tmp_path, name="mine")
    assert not (tmp_path / "mine" / "stages").exists()


def test_a_puzzle_is_asked_for_a_thought_where_the_form_is_rewarded_and_nobody_said_otherwise():
    assert R1(task="reasoning-gym:chain_sum").asked == "reasoning-gym:chain_sum?think=true"
    assert R1(task="reasoning-gym:gcd?size=20", zero=True).asked == "reasoning-gym:gcd?size=20&think=true"
    for spec in ("reasoning-gym:gcd?think=false", "facts:capitals", "mine.jsonl?prompt=question"):
        assert R1(task=spec).asked == spec
    assert R1(task="reasoning-gym:gcd", reward="right").asked == "reasoning-gym:gcd"
    assert R1(task="reasoning-gym:gcd", cold_start="begun.jsonl").asked == "reasoning-gym:gcd"
    R1(model="tiny", task="reasoning-gym:chain_sum?size=20").check(seed=0)


def test_a_cold_start_of_the_form_does_for_a_task_that_doesnt_ask_for_it(tmp_path):
    begun = tmp_path / "begun.jsonl"
    begun.write_text(json.dumps({"prompt": "2 + 2 =", "answer": "<think>two and two</think><answer>4</answer>"}) + "\n")
    R1(model="tiny", task="reasoning-gym:gcd?think=true&size=20", cold_start=str(begun)).check(seed=0)
    R1(model="tiny", task="facts:capitals", cold_start=str(begun)).check(seed=0)
    R1(model="tiny", task="facts:capitals", zero=True).check(seed=0)


def test_a_chat_template_that_opens_the_thought_itself_is_refused(tmp_path):
    shutil.copytree(tiny_folder(), tmp_path / "opened")
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}{% if add_generation_prompt %}<think>\n{% endif %}"
    (tmp_path / "opened" / "chat_template.jinja").write_text(template)
    asked = {"model": str(tmp_path / "opened"), "task": "reasoning-gym:chain_sum?think=true&size=20"}
    formed = {**asked, "reward": "right+0.2*format"}
    for system in (R1(**asked), R1(**asked, zero=True), Collect(**formed), GRPO(**formed), PPORLHF(**formed)):
        with pytest.raises(UserError, match=r"the chat template of .*opened ends with <think>"):
            rlhub.train(system, seed=0, runs=tmp_path / "runs")
    R1(**asked, reward="right").check(seed=0)
    R1(**asked | {"task": "facts:capitals"}, zero=True).check(seed=0)


def test_a_run_that_was_stopped_in_a_stage_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = rlhub.train(small(), seed=0, runs=tmp_path, name="whole")

    def stops(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GRPO, "update", stops)
        with pytest.raises(KeyboardInterrupt):
            rlhub.train(small(), seed=0, runs=tmp_path, name="cut")
    resumed = execute(Run.open(tmp_path / "cut"))
    assert all(torch.equal(one, other) for one, other in zip(whole.model().parameters(), resumed.model().parameters(), strict=True))


def test_a_run_that_was_stopped_and_moved_goes_on_where_it_lies_now(tmp_path, monkeypatch):
    def stops(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(GRPO, "update", stops)
        with pytest.raises(KeyboardInterrupt):
            rlhub.train(small(), seed=0, runs="runs", name="cut")
    shutil.move(tmp_path / "runs", tmp_path / "elsewhere")
    resumed = execute(Run.open(tmp_path / "elsewhere" / "cut"))
    assert resumed.status == "finished"
    whole = rlhub.train(small(), seed=0, runs=tmp_path, name="whole")
    assert all(torch.equal(one, other) for one, other in zip(whole.model().parameters(), resumed.model().parameters(), strict=True))


def test_settings_name_the_same_stage_wherever_the_run_lies():
    assert same_stage("runs/a/stages/collect/samples.jsonl", "/home/b/stages/collect/samples.jsonl")
    assert not same_stage("runs/a/stages/collect", "runs/a/stages/reason")
    assert not same_stage("smollm2", "smollm2")
    assert not same_stage(3, 3)
