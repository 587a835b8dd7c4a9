"""The study of all signals on the tiny model: what it begins from, what it asks, and that it ends in a report."""

import dataclasses
import json

import pytest

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.language.model import load_tokenizer, model_source
from rlhub.language.r1 import R1
from rlhub.language.task import load_task
from rlhub.studies.gathering import gather, run_of
from rlhub.studies.measuring import Measuring, Subject
from rlhub.studies.report.tables import costs
from rlhub.studies.signals import SIGNALS, SIZES, TASKS, Signals
from rlhub.studies.store import Store
from rlhub.studies.study import run_study

QUICK = dataclasses.replace(
    SIZES["tiny"],
    arms=SIZES["tiny"].arms
    | {
        "warm-up": {"steps": 4, "batch": 16, "learning_rate": 3e-4},
        "process-reward": {"steps": 2, "solutions": 8, "rollouts": 2, "max_new_tokens": 4, "learning_rate": 3e-4},
        "sft": {"steps": 2, "batch": 8, "learning_rate": 3e-4},
        "grpo": {"steps": 2, "prompts": 4, "group": 2, "max_new_tokens": 4, "learning_rate": 3e-4},
        "process": {"steps": 2, "prompts": 4, "group": 2, "max_new_tokens": 4, "learning_rate": 3e-4},
    },
    keep={},
    new_tokens=4,
    untouched=10,
    pairs=4,
    patched=2,
)
ARMS = ("sft", "process", "constitutional")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Facts as a file with a test split: the tiny model knows some of them, so there is a circuit without a long warm-up."""
    folder = tmp_path_factory.mktemp("task")
    examples = [example for example in load_task("facts:capitals").split("train") if example.answer]
    for name, part in {"train": examples[::2], "test": examples[1::2]}.items():
        rows = (json.dumps({"prompt": example.prompt, "answer": example.answer}) + "\n" for example in part)
        (folder / f"{name}.jsonl").write_text("".join(rows))
    return f"{folder / 'train.jsonl'}?test={folder / 'test.jsonl'}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, task):
    asked = Signals(size="tiny", signals=ARMS, task=task)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(SIZES, "tiny", QUICK)
        patched.setattr("rlhub.studies.signals.ASKED", {"tiny": 12})
        yield run_study(asked, runs=tmp_path_factory.mktemp("runs"), name="whole", pictures=False)


@pytest.fixture(scope="module")
def report(whole):
    return json.loads((whole / "report.json").read_text())


@pytest.mark.parametrize(("fields", "room"), [({}, 40), ({"task": "number_sorting"}, 160), ({"max_new_tokens": 24}, 24)])
def test_all_that_answers_has_room_for_the_answer(fields, room):
    study = Signals(size="full", **fields)
    arms = study.plan.arms
    assert study.plan.new_tokens == study.question.new_tokens == room
    assert {arms[arm]["max_new_tokens"] for arm in ("process-reward", "ppo", "rloo", "grpo", "process", "r1")} == {room}
    assert arms["constitutional"]["max_new_tokens"] == 64
    assert "max_new_tokens" not in arms["sft"]


@pytest.mark.parametrize("task", ["chain_sum", "spell_backward", "number_sorting"])
def test_worked_answers_of_the_named_tasks_have_room(task):
    tokenizer = load_tokenizer("smollm2", model_source("smollm2"))
    longest = max(len(tokenizer(example.answer)["input_ids"]) for example in load_task(TASKS[task]).split("train")[:200])
    assert longest < Signals(task=task).room


def test_no_room_at_all_is_refused():
    with pytest.raises(UserError, match="max_new_tokens is 0; it must be at least 1"):
        Signals(max_new_tokens=0)


def test_every_arm_begins_from_the_warmed_up_model(whole):
    for arm, field in {"sft": "model", "process": "model", "constitutional": "model", "random": "model"}.items():
        assert Run.open(whole / f"{arm}-seed0").config["fields"][field] == str(whole / "warm-up")


def test_answers_are_rewarded_for_being_right_and_the_control_by_a_coin(whole):
    for arm, reward in {"process": "right", "random": "random"}.items():
        assert Run.open(whole / f"{arm}-seed0").config["fields"]["reward"] == reward


def test_process_rewards_come_from_the_judge_that_the_study_trains(whole):
    assert Run.open(whole / "process-seed0").config["fields"]["process_reward"] == str(whole / "process-reward")
    assert Run.open(whole / "process-reward").status == "finished"


def test_it_tells_answers_before_the_warm_up_conduct_and_cost(report, whole):
    assert set(report["measured"]["start"]["answers"]) == {"train", "heldout", "untouched"}
    for arm in (*ARMS, "random"):
        measured = report["measured"][report["last"][f"{arm}-seed0"]]
        assert set(measured["inside"]["conduct"]) == {"harmful", "false_premise", "helpful"}
        assert report["runs"][f"{arm}-seed0"]["tokens"] > 0
    text = (whole / "report.md").read_text()
    for words in (
        "One model, every training signal: train.jsonl",
        "before the warm-up",
        "### Conduct",
        "judge of steps",
        "Constitutional AI",
    ):
        assert words in text


def test_constitutional_ai_is_not_held_against_others_at_equal_accuracy(report):
    assert "constitutional-seed0" not in report["matched"]["train"]
    assert "sft-seed0" in report["matched"]["train"]
    assert {"sft-seed0", "constitutional-seed0"} <= set(report["matched"]["forward_kl"])


def test_a_study_that_was_killed_before_its_last_measurement_has_no_report_yet(whole):
    last = whole / "measurements" / "study" / "measured.json"
    kept = last.rename(last.with_suffix(".kept"))
    try:
        with pytest.raises(UserError, match="has not been measured to its end"):
            gather(whole)
    finally:
        kept.rename(last)


def test_the_report_names_every_commit_that_trained_something(report, whole):
    known = [commit["id"] for run in report["runs"].values() for commit in run["commits"]]
    assert set(known) <= {commit["id"] for commit in report["commits"]}
    assert all(commit["id"][:12] in (whole / "report.md").read_text() for commit in report["commits"])


def test_it_has_an_arm_for_each_signal_and_settings_for_all_of_them_in_every_size():
    for size in SIZES.values():
        assert {*SIGNALS, "warm-up", "process-reward"} <= set(size.arms)


def test_the_task_is_the_sizes_or_the_one_asked_for():
    assert Signals(size="full").spec == TASKS["chain_sum"]
    assert Signals(size="tiny", task="spell_backward").spec == TASKS["spell_backward"]
    assert Signals(task="reasoning-gym:gcd").spec == "reasoning-gym:gcd"
    assert (Signals(size="small").name, Signals(task="a/b.jsonl").name) == ("signals-chain-sum-small", "signals-full")


def test_r1_is_rewarded_for_right_answers_alone_where_answers_hold_no_thought(task, tmp_path):
    def recipe(study):
        store = Store.open(tmp_path / study.name, study.kind, study.settings)
        return study.system("r1", Measuring(store, Subject("base", "tiny"), study.question, study.plan))

    plain = recipe(Signals(size="tiny", task=task))
    plain.check(seed=0)
    assert (plain.reward, plain.asked) == ("right", task)
    assert recipe(Signals(size="tiny")).rewarded == "right+0.2*format+0.1*language"


@pytest.mark.parametrize(
    ("fields", "reward"),
    [({}, "right+0.2*format+0.1*language"), ({"zero": True}, "right+0.2*format"), ({"reward": "right"}, "right")],
)
def test_a_runs_table_names_the_reward_that_its_recipe_filled_in(fields, reward, tmp_path):
    with Run.create(R1(**fields), runs=tmp_path, name="r1").recording():
        pass
    assert costs([run_of(tmp_path / "r1")])[0].endswith(f"reward {reward}")


def test_a_base_that_tells_no_pair_apart_is_refused_before_anything_is_trained_from_it(task, tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", QUICK)
    monkeypatch.setattr("rlhub.studies.instruments.kept_pairs", lambda *_, **__: [])
    with pytest.raises(UserError, match=r"the base tells none of .* apart, so there is no circuit to find"):
        run_study(Signals(size="tiny", signals=("sft",), task=task), runs=tmp_path, name="blind", pictures=False)
    assert (tmp_path / "blind" / "warm-up").is_dir()
    assert not (tmp_path / "blind" / "sft-seed0").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"signals": ("lora",)}, "no signal 'lora'"),
        ({"task": "reasoning-gym:leg_counting?think=true"}, "have no answers to imitate"),
        ({"task": "facts:capitals"}, "has no split 'test'"),
        ({"constitution": "nowhere.toml"}, "can't read the constitution nowhere.toml"),
    ],
)
def test_what_cannot_be_studied_is_said_in_one_sentence_and_leaves_no_folder(fields, said, tmp_path):
    with pytest.raises(UserError, match=said):
        run_study(Signals(size="tiny", **fields), runs=tmp_path / "runs", pictures=False)
    assert not (tmp_path / "runs").exists()
