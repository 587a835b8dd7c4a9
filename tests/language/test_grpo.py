"""GRPO: what it learns from, what it leaves out, what it refuses."""

import json
import math

import pytest
import torch
from policies import parameters_after, toy_groups, toy_policy

import rlhub
from rlhub.core.errors import UserError
from rlhub.language.grpo import GRPO
from rlhub.language.rows import completion_mask
from rlhub.language.update import Batch

SMALL = {"model": "tiny", "task": "facts:capitals", "prompts": 3, "group": 4, "max_new_tokens": 5, "precision": "fp32"}


def trained(tmp_path, name, steps=2, **options):
    run = rlhub.train(GRPO(**{**SMALL, "steps": steps, **options}), seed=0, runs=tmp_path, name=name)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return run, lines


def batch_of(advantages):
    groups = toy_groups(3, 2)
    lengths = torch.tensor([len(completion) for group in groups for completion in group.completions])
    return Batch(groups=groups, columns={"advantages": torch.tensor(advantages), "counted": completion_mask(lengths)})


def test_leaving_out_a_group_without_advantages_changes_no_gradient():
    batch = batch_of([1.0, -1.0, 0.0, 0.0, 0.5, -0.5])
    gradients, losses = [], []
    for system in (GRPO(max_norm=0.0), GRPO(max_norm=0.0, kl=1e-30)):
        policy = toy_policy()
        before = parameters_after(policy)
        whole = batch if not system.kl else Batch(groups=batch.groups, columns={**batch.columns, "reference": torch.zeros(6, 6)})
        system = GRPO(max_norm=0.0, kl=system.kl, learning_rate=1.0)
        losses.append(system.update(policy, whole, 1)["loss"])
        gradients.append(before - parameters_after(policy))
    assert math.isclose(*losses, abs_tol=1e-6)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def test_tied_groups_teach_exactly_nothing():
    policy = toy_policy()
    before = parameters_after(policy)
    metrics = GRPO(learning_rate=1.0).update(policy, batch_of([0.0] * 6), 1)
    assert metrics["loss"] == metrics["gradient_norm"] == 0
    assert torch.equal(parameters_after(policy), before)


@pytest.mark.parametrize("aggregation", ["grpo", "dr_grpo", "dapo", "gspo", "cispo"])
def test_every_variant_trains_and_logs(tmp_path, aggregation):
    _, lines = trained(tmp_path, aggregation, aggregation=aggregation, kl=0.05, epochs=2, minibatches=2)
    for line in lines:
        assert all(math.isfinite(value) for value in line.values())
        assert {"loss", "reward", "reward_std", "tied_groups", "kl", "entropy", "clip_high", "length", "truncated"} <= line.keys()
        assert {"gradient_norm", "learning_rate", "tokens_per_second"} <= line.keys()


def test_the_same_seed_ends_with_the_same_bits(tmp_path):
    first, _ = trained(tmp_path, "first", minibatches=2, dynamic_sampling=1)
    second, _ = trained(tmp_path, "second", minibatches=2, dynamic_sampling=1)
    for one, other in zip(first.model().parameters(), second.model().parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_interrupted_run_goes_on_to_the_bits_of_an_uninterrupted_one(tmp_path, monkeypatch):
    options = {"steps": 4, "kl": 0.05, "epochs": 2, "minibatches": 2, "dynamic_sampling": 1, "schedule": "cosine", "warmup": 1}
    whole, _ = trained(tmp_path, "whole", **options)
    update = GRPO.update

    def interrupted(self, policy, batch, step):
        if step == 3:
            raise KeyboardInterrupt
        return update(self, policy, batch, step)

    system = GRPO(**{**SMALL, **options})
    monkeypatch.setattr(GRPO, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rlhub.train(system, seed=0, runs=tmp_path, name="broken", checkpoint_every=1)
    monkeypatch.setattr(GRPO, "update", update)
    broken = rlhub.train(system, seed=0, runs=tmp_path, name="broken", checkpoint_every=1)
    for one, other in zip(whole.model().parameters(), broken.model().parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_random_reward_still_reports_the_tasks_own(tmp_path):
    _, lines = trained(tmp_path, "control", reward="random")
    assert all("starts_with_answer" in line for line in lines)
    assert all(abs(line["reward"] - 0.5) < 0.5 for line in lines)


def test_a_reward_of_ones_own_is_trained_on(tmp_path):
    rewards = tmp_path / "mine.py"
    rewards.write_text("def length(prompts, completions, **columns):\n    return [float(len(text)) for text in completions]\n")
    _, lines = trained(tmp_path, "mine", reward=f"{rewards}:length")
    assert all(line["reward"] > 1 for line in lines)


def test_adapters_are_compared_with_the_model_under_them(tmp_path):
    _, lines = trained(tmp_path, "adapters", steps=3, lora_rank=2, kl=0.1, learning_rate=1e-2)
    assert abs(lines[0]["kl"]) < 1e-6 < abs(lines[-1]["kl"])


def test_dynamic_sampling_leaves_fewer_tied_groups(tmp_path):
    _, plain = trained(tmp_path, "plain", steps=3, group=2, prompts=6)
    _, dynamic = trained(tmp_path, "dynamic", steps=3, group=2, prompts=6, dynamic_sampling=4)
    assert sum(line["tied_groups"] for line in dynamic) < sum(line["tied_groups"] for line in plain)


def test_masked_truncated_completions_move_nothing(tmp_path):
    cut_off = {"steps": 1, "max_new_tokens": 1, "reward": "random"}
    _, masked = trained(tmp_path, "masked", mask_truncated=True, **cut_off)
    _, counted = trained(tmp_path, "counted", **cut_off)
    assert masked[0]["truncated"] == counted[0]["truncated"] == 1
    assert masked[0]["gradient_norm"] == 0 < counted[0]["gradient_norm"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"group": 1}, "at least 2 per prompt"), ({"temperature": 0.0}, "above 0"), ({"minibatches": 9}, "only 8 prompts")],
)
def test_what_cannot_work_is_refused_with_the_reason(options, reason):
    with pytest.raises(UserError, match=reason):
        GRPO(**options)
