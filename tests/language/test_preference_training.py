"""KTO, ORPO, SimPO and online DPO: each prefers what it should, and goes on after a break to the same bits."""

import json
import math
from dataclasses import replace

import pytest
import torch
from policies import toy_policy

import rlhub
from rlhub.core.errors import UserError
from rlhub.language.kto import KTO, judged
from rlhub.language.logprobs import Scored
from rlhub.language.model import encode, load_policy
from rlhub.language.online_dpo import OnlineDPO, best_and_worst
from rlhub.language.orpo import ORPO
from rlhub.language.rollout import Rollout
from rlhub.language.rows import Group
from rlhub.language.sft import response
from rlhub.language.simpo import SimPO
from rlhub.language.task import load_task
from rlhub.language.update import score_all

CAPITALS = (
    ("France", " Paris", " Rome"),
    ("Italy", " Rome", " Paris"),
    ("Spain", " Madrid", " Lisbon"),
    ("Portugal", " Lisbon", " Madrid"),
)
SMALL = {"model": "tiny", "precision": "fp32", "learning_rate": 1e-3}


def saved(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def pairs(tmp_path):
    rows = [{"prompt": f"The capital of {country} is", "chosen": one, "rejected": other} for country, one, other in CAPITALS]
    return saved(tmp_path / "pairs.jsonl", rows)


@pytest.fixture
def marked(tmp_path):
    rows = [
        {"prompt": f"The capital of {country} is", "completion": answer, "label": label}
        for country, one, other in CAPITALS
        for answer, label in ((one, True), (other, False))
    ]
    return saved(tmp_path / "marked.jsonl", rows)


@pytest.fixture
def much(tmp_path):
    """A reward of lower-case letters: the more of them, the better."""
    path = tmp_path / "much.py"
    path.write_text("def much(prompts, completions, **columns):\n    return [sum(map(str.islower, text)) for text in completions]\n")
    return f"{path}:much"


def trained(system, tmp_path, name="run", **options):
    run = rlhub.train(system, seed=0, runs=tmp_path / "runs", name=name, **options)
    return run, run.metrics()


def lead(model):
    """By how much a model finds the right capitals likelier than the wrong ones: what was learnt, whatever the log says."""
    policy = load_policy(model, learning_rate=0.0, precision="fp32")
    groups = [
        Group(prompt=encode(policy.tokenizer, f"The capital of {country} is"), completions=[response(policy, one), response(policy, other)])
        for country, one, other in CAPITALS
    ]
    right, wrong = score_all(policy, groups).logprobs.sum(1).unflatten(0, (-1, 2)).unbind(1)
    return float((right - wrong).mean())


def scored(*means):
    """Answers of two tokens and of one, in turns, with these mean log-probs."""
    rows = [[mean - 0.5, mean + 0.5] if place % 2 == 0 else [mean, 0.0] for place, mean in enumerate(means)]
    mask = torch.tensor([[True, place % 2 == 0] for place in range(len(means))])
    return Scored(logprobs=torch.tensor(rows), entropy=torch.zeros(len(means), 2), mask=mask)


def test_orpo_imitates_the_preferred_answer_and_pushes_its_odds_up():
    terms = ORPO(weight=0.3).objective(scored(-1.0, -2.0, -0.7, -0.2))
    odds = [math.exp(mean) / (1 - math.exp(mean)) for mean in (-1.0, -2.0, -0.7, -0.2)]
    ratios = [math.log(1 + odds[1] / odds[0]), math.log(1 + odds[3] / odds[2])]
    assert terms.loss.item() == pytest.approx(1.0 + 0.7 + 0.3 * sum(ratios), rel=1e-5)
    assert terms.sums["odds_loss"].item() == pytest.approx(sum(ratios), rel=1e-5)
    assert (terms.sums["accuracy"], terms.sums["margin"].item()) == (1, pytest.approx(0.5))


def test_simpo_rewards_the_mean_of_an_answers_log_probs():
    terms = SimPO(beta=2.0, margin=1.0).objective(scored(-1.0, -2.0, -0.7, -0.2))
    leads = [2.0 * 1.0 - 1.0, 2.0 * -0.5 - 1.0]
    assert terms.loss.item() == pytest.approx(sum(math.log(1 + math.exp(-lead)) for lead in leads), rel=1e-5)
    assert (terms.sums["accuracy"], terms.sums["margin"].item()) == (1, pytest.approx(1.0))


@pytest.mark.parametrize("system", [ORPO(**SMALL, batch=4, steps=8, weight=5.0), SimPO(**SMALL, batch=4, steps=8)], ids=["orpo", "simpo"])
def test_pairs_are_learnt_the_right_way_round(tmp_path, pairs, system):
    run, lines = trained(replace(system, task=pairs), tmp_path)
    assert lead(str(run.folder)) > lead("tiny") + 0.5
    assert lines[-1]["margin"] > lines[0]["margin"] + 0.1
    assert lines[-1]["chosen_reward"] > lines[-1]["rejected_reward"]
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_kto_reads_marks_and_takes_pairs_in_turns(tmp_path):
    policy = toy_policy()
    marks = load_task(
        saved(
            tmp_path / "marks.jsonl",
            [{"prompt": "w5", "completion": "w6", "label": False}, {"prompt": "w7", "completion": "w8", "label": True}],
        )
    )
    groups, desirable = judged(policy, marks, marks.examples("train"), step=1)
    assert ([group.completions for group in groups], desirable.tolist()) == ([[[6, 2]], [[8, 2]]], [False, True])
    both = load_task(saved(tmp_path / "both.jsonl", [{"prompt": "w5", "chosen": "w6", "rejected": "w7"}] * 3))
    groups, desirable = judged(policy, both, both.examples("train"), step=1)
    assert [group.prompt for group in groups] == [[5]] * 3
    assert ([group.completions for group in groups], desirable.tolist()) == ([[[6, 2]], [[7, 2]], [[6, 2]]], [True, False, True])


def test_kto_refuses_an_answer_without_its_mark(tmp_path):
    bare = load_task(saved(tmp_path / "bare.jsonl", [{"prompt": "w5", "completion": "w6"}]))
    with pytest.raises(UserError, match="whose completion is 'w6' and whose label is None"):
        judged(toy_policy(), bare, bare.examples("train"), step=1)


@pytest.mark.parametrize("rows", ["pairs", "marked"])
def test_kto_raises_what_is_desirable_above_what_is_not(tmp_path, request, rows):
    task = request.getfixturevalue(rows)
    run, lines = trained(KTO(**SMALL, task=task, batch=8, steps=8), tmp_path)
    assert lead(str(run.folder)) > lead("tiny") + 0.5
    assert lines[0]["desirable_reward"] == pytest.approx(0, abs=1e-6)
    assert lines[-1]["desirable_reward"] > lines[-1]["undesirable_reward"] + 0.05
    assert all(math.isfinite(value) and line["kl"] >= 0 for line in lines for value in line.values())


def test_kto_learns_from_conversations(tmp_path):
    rows = [
        {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": answer}], "label": label}
        for answer, label in (("Hello", True), ("Go away", False))
    ]
    _, lines = trained(KTO(**SMALL, task=saved(tmp_path / "said.jsonl", rows), batch=2, steps=3), tmp_path)
    assert lines[-1]["desirable_reward"] > lines[-1]["undesirable_reward"]


def test_online_dpo_prefers_the_best_answer_to_the_worst():
    mask = torch.tensor([[[True]] * 4, [[True]] * 4, [[True]] * 4, [[False], [True], [True], [True]]])
    rollout = Rollout(
        examples=[],
        prompts=[[5], [6], [7], [8]],
        ids=torch.arange(10, 26).reshape(4, 4, 1),
        mask=mask,
        logprobs=torch.zeros(4, 4, 1),
        ended=torch.ones(4, 4, dtype=torch.bool),
        texts=[[""] * 4] * 4,
    )
    scores = torch.tensor([[0.0, 3.0, -1.0, 2.0], [1.0, 1.0, 1.0, 1.0], [torch.nan, 0.0, 1.0, 0.5], [9.0, 0.0, 0.5, 1.0]])
    found = [(group.prompt, group.completions) for group in best_and_worst(rollout, scores)]
    assert found == [([5], [[11], [12]]), ([7], [[20], [19]]), ([8], [[25], [23]])]


def test_online_dpo_learns_what_is_rewarded(tmp_path, much):
    system = OnlineDPO(**SMALL, task="facts:capitals", reward=much, prompts=8, group=4, max_new_tokens=6, steps=12)
    _, lines = trained(system, tmp_path)
    first, last = (sum(line["reward"] for line in part) / 3 for part in (lines[:3], lines[-3:]))
    assert last > first + 0.5
    assert lines[0]["margin"] == pytest.approx(0, abs=1e-6)
    assert all(0 < line["pairs"] <= 8 for line in lines)


def test_online_dpo_learns_nothing_from_ties(tmp_path):
    flat = tmp_path / "flat.py"
    flat.write_text("def flat(prompts, completions, **columns):\n    return [1.0] * len(completions)\n")
    system = OnlineDPO(**SMALL, task="facts:capitals", reward=f"{flat}:flat", prompts=2, group=2, max_new_tokens=3, steps=1)
    _, lines = trained(system, tmp_path)
    assert (lines[0]["pairs"], lines[0]["loss"], lines[0]["gradient_norm"]) == (0, 0, 0)


@pytest.mark.parametrize("kind", [KTO, ORPO, SimPO, OnlineDPO])
def test_an_interrupted_run_goes_on_to_the_bits_of_an_uninterrupted_one(tmp_path, pairs, much, monkeypatch, kind):
    sizes = (
        {"prompts": 2, "group": 3, "max_new_tokens": 4, "reward": much, "task": "facts:capitals"}
        if kind is OnlineDPO
        else {"batch": 3, "task": pairs}
    )
    system = kind(**SMALL, **sizes, steps=4, schedule="cosine", warmup=1)
    whole, lines = trained(system, tmp_path, "whole")
    change = kind.change

    def interrupted(self, *given, step, **options):
        if step == 3:
            raise KeyboardInterrupt
        return change(self, *given, step=step, **options)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "change", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(system, tmp_path, "broken", checkpoint_every=1)
    broken, again = trained(system, tmp_path, "broken", checkpoint_every=1)
    assert all(torch.equal(one, other) for one, other in zip(whole.model().parameters(), broken.model().parameters(), strict=True))
    assert [line["loss"] for line in again] == [line["loss"] for line in lines]
