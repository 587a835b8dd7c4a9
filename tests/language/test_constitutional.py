"""Constitutional AI: its file, what is asked of the judge, and all stages on a tiny model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from constitutions import SHORT

import rlhub
from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.training import execute
from rlhub.language import ai_preferences, principled, revisions
from rlhub.language.ai_preferences import Compare, Trust, trust_in
from rlhub.language.constitution import KINDS, Principle, comparing, criticising, load_constitution, revising
from rlhub.language.constitutional import Constitutional
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.revisions import Revise


@pytest.fixture
def short(tmp_path):
    path = tmp_path / "short.toml"
    path.write_text(SHORT)
    return str(path)


class Scripted:
    """A judge that marks what it writes, and likes the answer that is longer, but (A) a little for being first."""

    def write(self, conversations, *, max_new_tokens, temperature, seed):
        return [f"{conversation[-1]['content'][0]}{len(conversation)}" for conversation in conversations]

    def choose(self, conversations, *, first, second):
        assert (first, second) == ("(A", "(B")
        found = []
        for conversation in conversations:
            text = conversation[-1]["content"]
            one, other = text.split("Answer (A): ")[1].split("\n\nAnswer (B): ")
            found.append(0.7 if len(one) > len(other.split("\n\n")[0]) else 0.5)
        return found


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(principled, "load_judge", lambda *_, **__: Scripted())


def test_the_constitution_that_comes_along_is_about_help_honesty_and_harm():
    found = load_constitution("")
    assert {"harm", "honesty", "helpfulness"} <= {principle.name for principle in found.principles}
    task = found.task()
    assert {example.columns["kind"] for example in task.examples("train")} == set(KINDS)
    assert {example.columns["kind"] for example in task.examples("test")} == set(KINDS)
    prompts = [str(example.prompt) for split in task.splits.values() for example in split]
    assert len(set(prompts)) == len(prompts) > 50


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("principles = 3", "has no principles"),
        ("[[principles]]\nname = 'a'\ncritique = 'b'\nrevision = 'c'", "principle 1 lacks preference"),
        (SHORT.replace("preference", "preferences"), "principle 1 lacks preference"),
        (SHORT.replace("[prompts]", "other = 'x'\n[prompts]"), "principle 1 has other"),
        (SHORT.replace("harmful =", "silly ="), "prompts that can't be read"),
        ("name = ", "is not TOML"),
    ],
)
def test_what_a_constitution_lacks_is_said(tmp_path, text, words):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UserError, match=words):
        load_constitution(str(tmp_path / "mine.toml"))
    with pytest.raises(UserError, match="can't read the constitution"):
        load_constitution(str(tmp_path / "none.toml"))


def test_the_judge_is_shown_the_answer_and_asked_by_the_principle():
    law = Principle(name="n", critique="criticise", revision="revise", preference="prefer")
    prompt = [{"role": "user", "content": "q"}]
    assert [message["role"] for message in revising(prompt, "a", "c", law)] == ["user", "assistant", "user", "assistant", "user"]
    assert criticising(prompt, "a", law)[-1]["content"] == "criticise"
    asked = comparing(prompt, "one", "two", law)[0]["content"]
    assert asked.index("one") < asked.index("two") < asked.index("prefer")


def test_each_answer_is_criticised_and_revised_in_turns(short, scripted, tmp_path):
    system = Revise(model="tiny", constitution=short, steps=2, batch=2, revisions=2, max_new_tokens=3)
    run = rlhub.train(system, seed=0, runs=tmp_path / "runs")
    rows = [json.loads(line) for line in (run.folder / "revisions.jsonl").read_text().splitlines()]
    assert [row["turn"] for row in rows] == [1, 2] * 4
    assert all((row["critique"], row["answer"].strip(), row["principle"]) == ("S3", "M5", "brief") for row in rows)
    assert run.metrics()[-1]["rows"] == 8


def test_what_a_judge_did_not_revise_is_not_imitated(short, scripted, tmp_path, monkeypatch):
    asked = []

    def silent_at_first(self, conversations, **_):
        asked.append(conversations)
        return ["" if len(asked) == 2 and place % 2 == 0 else f"text {len(asked)}" for place, _ in enumerate(conversations)]

    monkeypatch.setattr(Scripted, "write", silent_at_first)
    run = rlhub.train(Revise(model="tiny", constitution=short, steps=1, batch=4, revisions=2, max_new_tokens=3), seed=0, runs=tmp_path)
    rows = [json.loads(line) for line in (run.folder / "revisions.jsonl").read_text().splitlines()]
    assert [(row["turn"], row["answer"].strip()) for row in rows] == [(2, "text 4"), (1, "text 2"), (2, "text 4")] * 2
    first, _, again, _ = ([conversation[1]["content"] for conversation in conversations] for conversations in asked)
    assert again == [first[0], "text 2", first[2], "text 2"]
    assert run.metrics()[-1]["revised"] == 1
    assert (run.metrics()[-1]["rows"], run.metrics()[-1]["left_out"]) == (6, 2)


@pytest.mark.parametrize("kind", ["harmful", "helpful"])
def test_empty_texts_are_not_imitated(short, scripted, tmp_path, monkeypatch, kind):
    Path(short).write_text(SHORT.replace("harmful =", f"{kind} ="))
    monkeypatch.setattr(Scripted, "write", lambda self, conversations, **_: [" " for _ in conversations])
    drawn = revisions.generate
    monkeypatch.setattr(revisions, "generate", lambda *given, **settings: replace(drawn(*given, **settings), texts=[[" "]] * 4))
    with pytest.raises(UserError, match="nothing to imitate"):
        rlhub.train(Revise(model="tiny", constitution=short, steps=1, batch=4, max_new_tokens=3), seed=0, runs=tmp_path)


def test_what_is_asked_helpfully_is_answered_and_not_criticised(short, scripted, tmp_path):
    Path(short).write_text(SHORT.replace("harmful =", "helpful ="))
    run = rlhub.train(Revise(model="tiny", constitution=short, steps=1, batch=4, max_new_tokens=3), seed=0, runs=tmp_path / "runs")
    rows = [json.loads(line) for line in (run.folder / "revisions.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all((row["turn"], row["critique"], row["answer"].strip()) == (0, "", row["first"]) for row in rows)


def test_a_liking_for_the_first_answer_cancels_out(short, scripted, tmp_path):
    system = Compare(model="tiny", constitution=short, steps=2, batch=4, max_new_tokens=6)
    run = rlhub.train(system, seed=0, runs=tmp_path / "runs")
    rows = [json.loads(line) for line in (run.folder / "preferences.jsonl").read_text().splitlines()]
    assert rows
    for row in rows:
        assert len(row["chosen"].strip()) > len(row["rejected"].strip())
        assert row["probability"] == pytest.approx(0.6)
    assert run.metrics()[-1]["first_preferred"] > 0.5


def test_answers_are_kept_as_they_were_drawn_and_shown_without_the_space_before_them(short, scripted, tmp_path, monkeypatch):
    shown, drawn = [], ai_preferences.generate
    texts = [[" longer", " short"]] * 4
    monkeypatch.setattr(ai_preferences, "generate", lambda *given, **settings: replace(drawn(*given, **settings), texts=texts))
    choose = Scripted.choose
    monkeypatch.setattr(Scripted, "choose", lambda self, asked, **options: shown.extend(asked) or choose(self, asked, **options))
    system = Compare(model="tiny", constitution=short, prompts="facts:capitals", steps=1, batch=4, max_new_tokens=3)
    run = rlhub.train(system, seed=0, runs=tmp_path)
    rows = [json.loads(line) for line in (run.folder / "preferences.jsonl").read_text().splitlines()]
    assert [(row["chosen"], row["rejected"]) for row in rows] == [(" longer", " short")] * 4
    assert all("Answer (A): longer" in asked[-1]["content"] or "Answer (A): short" in asked[-1]["content"] for asked in shown)


def test_preferences_near_a_half_can_be_left_out(short, scripted, tmp_path):
    system = Compare(model="tiny", constitution=short, steps=1, batch=4, max_new_tokens=6, least=0.2)
    with pytest.raises(UserError, match="prefers neither of any two answers"):
        rlhub.train(system, seed=0, runs=tmp_path / "runs")
    with pytest.raises(UserError, match="further from 1/2"):
        Compare(least=0.5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_a_judge_is_believed_as_far_as_known_pairs_bear_it_out(temperature):
    draw = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, generator=draw, dtype=torch.float64) * 2
    right = torch.rand(20_000, generator=draw, dtype=torch.float64) < honest.sigmoid()
    odds = torch.where(right, honest, -honest)
    trust = trust_in((odds * temperature).sigmoid().float())
    assert trust.told["judge_temperature"] == pytest.approx(temperature, rel=0.05)
    assert trust.told["judge_accuracy"] == pytest.approx(float((odds > 0).double().mean()), abs=1e-6)
    assert trust.told["held_calibration_error"] < 0.01
    assert temperature == 1 or trust.told["judge_calibration_error"] > 0.03
    assert trust.held([0.5, 0.9])[1] == pytest.approx(1 / (1 + (1 / 9) ** trust.scale), abs=1e-6)


def test_a_judge_that_is_always_right_is_not_believed_without_limit():
    trust = trust_in(torch.full((62,), 0.6))
    assert trust.held([0.6])[0] == pytest.approx(63 / 64, abs=1e-6)
    assert Trust().held([0.6]) == [0.6]


def test_a_judge_that_knows_nothing_is_told():
    with pytest.raises(UserError, match="finds the better answer in 25% of 4 known pairs"):
        trust_in(torch.tensor([0.6, 0.4, 0.1, 0.1]))


@pytest.mark.parametrize("first", [0.5, 0.7])
def test_a_judge_without_preferences_is_told_so(first):
    with pytest.raises(UserError, match="prefers neither answer in any of 3 known pairs"):
        trust_in(torch.tensor([(first + 1 - first) / 2] * 3))


@pytest.mark.parametrize(
    ("said", "agreement"),
    [
        ([[0.5] * 4, [0.5] * 4], None),
        ([[0.5, 0.7, 0.7, 0.7], [0.5, 0.5, 0.4, 0.6]], 0.5),
        ([[0.5, 0.7, 0.7, 0.7], [0.5, 0.5, 0.6, 0.6]], 0.0),
        ([[0.7] * 4, [0.3] * 4], 1.0),
    ],
)
def test_only_a_judge_that_prefers_an_answer_can_agree_with_itself(short, scripted, tmp_path, monkeypatch, said, agreement):
    asked, drawn = iter([[0.6] * 4, [0.4] * 4, *said]), ai_preferences.generate
    monkeypatch.setattr(ai_preferences, "generate", lambda *given, **settings: replace(drawn(*given, **settings), texts=[["a", "b"]] * 4))
    monkeypatch.setattr(Scripted, "choose", lambda self, lines, **options: next(asked))
    run = rlhub.train(Compare(model="tiny", constitution=short, steps=2, batch=4, max_new_tokens=2), seed=0, runs=tmp_path / "runs")
    assert run.metrics()[-1].get("agrees_with_itself") == agreement


def test_what_a_judge_says_is_scaled_by_what_it_said_of_known_pairs(short, scripted, tmp_path):
    known = tmp_path / "known.jsonl"
    pairs = [("longer", "short"), ("very long", "long"), ("ab", "a"), ("b", "bc")]
    known.write_text("".join(json.dumps({"prompt": "Which?", "chosen": one, "rejected": other}) + "\n" for one, other in pairs))
    system = Compare(model="tiny", constitution=short, steps=2, batch=4, max_new_tokens=6, known=str(known), known_pairs=4)
    run = rlhub.train(system, seed=0, runs=tmp_path / "runs")
    lines = run.metrics()
    assert lines[0]["judge_accuracy"] == 0.75
    assert "judge_accuracy" not in lines[1]
    rows = [json.loads(line) for line in (run.folder / "preferences.jsonl").read_text().splitlines()]
    expected = 1 / (1 + (0.4 / 0.6) ** (1 / lines[0]["judge_temperature"]))
    assert rows and all(row["probability"] == pytest.approx(expected, abs=1e-4) for row in rows)
    assert lines[0]["held_calibration_error"] < lines[0]["judge_calibration_error"]


def test_no_known_pair_is_asked_about_twice(short, scripted, tmp_path, monkeypatch):
    known, asked = tmp_path / "known.jsonl", []
    pairs = [("longer", "short"), ("very long", "long"), ("ab", "a")]
    known.write_text("".join(json.dumps({"prompt": "Which?", "chosen": one, "rejected": other}) + "\n" for one, other in pairs))
    choose = Scripted.choose
    monkeypatch.setattr(Scripted, "choose", lambda self, lines, **options: asked.append(lines) or choose(self, lines, **options))
    system = Compare(model="tiny", constitution=short, steps=1, batch=4, max_new_tokens=6, known=str(known))
    run = rlhub.train(system, seed=0, runs=tmp_path / "runs")
    assert [len(lines) for lines in asked] == [3, 3, 4, 4]
    assert 1 / (1 + (0.4 / 0.6) ** (1 / run.metrics()[0]["judge_temperature"])) == pytest.approx(4 / 5, abs=1e-6)


@pytest.mark.parametrize(("row", "words"), [(None, "can't read the task file"), ({"prompt": "Which?"}, "has no answer")])
def test_known_pairs_that_cannot_be_read_are_told_before_anything_is_made(short, scripted, tmp_path, row, words):
    known = tmp_path / "known.jsonl"
    if row:
        known.write_text(json.dumps(row))
    with pytest.raises(UserError, match=words):
        rlhub.train(replace(small(short), known=str(known)), seed=0, runs=tmp_path / "runs", name="run")
    assert not (tmp_path / "runs" / "run" / "stages").exists()


def small(short, judge=""):
    return Constitutional(
        model="tiny", constitution=short, judge=judge, batches=1, revisions=1, sft_steps=2, reward_steps=2, rl_steps=1, max_new_tokens=4
    )


def test_all_stages_follow_one_another_and_leave_one_model(short, scripted, tmp_path):
    run = rlhub.train(small(short), seed=0, runs=tmp_path / "runs")
    stages = sorted(path.name for path in (run.folder / "stages").iterdir() if path.is_dir())
    assert stages == ["compare", "imitate", "prefer", "reinforce", "revise"]
    last = Run.open(run.folder / "stages" / "reinforce").model()
    assert all(torch.equal(one, other) for one, other in zip(run.model().parameters(), last.parameters(), strict=True))
    assert "reinforce_reward" in run.metrics()[-1]


def test_a_run_that_was_stopped_in_a_stage_goes_on_to_the_same_bits(short, scripted, tmp_path, monkeypatch):
    whole = rlhub.train(small(short), seed=0, runs=tmp_path / "runs", name="whole")

    def stops(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PPORLHF, "update", stops)
        with pytest.raises(KeyboardInterrupt):
            rlhub.train(small(short), seed=0, runs=tmp_path / "runs", name="cut")
    resumed = execute(Run.open(tmp_path / "runs" / "cut"))
    assert all(torch.equal(one, other) for one, other in zip(whole.model().parameters(), resumed.model().parameters(), strict=True))


def test_the_judge_may_be_a_model_of_its_own(short, tmp_path):
    system = Compare(model="tiny", constitution=short, judge="tiny", steps=1, batch=2, max_new_tokens=3)
    line = rlhub.train(system, seed=0, runs=tmp_path / "runs").metrics()[-1]
    assert 0 <= line["first_preferred"] <= 1


def test_a_constitution_without_prompts_needs_a_task(tmp_path):
    path = tmp_path / "bare.toml"
    path.write_text(SHORT.partition("[prompts]")[0])
    with pytest.raises(UserError, match="no prompts of its own"):
        principled.prompts_of("", load_constitution(str(path)), 0)
    facts = principled.prompts_of("facts:capitals", load_constitution(str(path)), 0)
    assert facts.splits["train"]
