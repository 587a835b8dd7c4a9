"""A policy that is its own value model: its two heads, their one loss, and runs that learn and resume with it."""

import math

import pytest
import torch
from policies import toy_groups, toy_policy

import rlhub
from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.training import execute
from rlhub.language import hidden
from rlhub.language.hidden import states
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.rows import completion_mask
from rlhub.language.shared_trunk import TwoHeaded
from rlhub.language.update import Batch, score_all

GROUPS = toy_groups(5, 1, seed=3)
MASK = completion_mask(torch.tensor([len(group.completions[0]) for group in GROUPS]))
SMALL = {"model": "tiny", "task": "facts:capitals", "max_new_tokens": 4, "precision": "fp32", "value_model": "shared"}


def noise(seed, scale=0.3):
    return scale * torch.randn(MASK.shape, generator=torch.Generator().manual_seed(seed)) * MASK


def two_headed(*, trained=True):
    policy = TwoHeaded(toy_policy())
    if trained:
        with torch.no_grad():
            policy.value_head.weight.copy_(torch.randn(policy.value_head.weight.shape, generator=torch.Generator().manual_seed(7)))
            policy.value_head.bias.fill_(0.3)
    return policy


def flat(policy):
    return torch.cat([parameter.detach().flatten() for parameter in policy.trainable])


def update_of(*, shown=(), **settings):
    """What one update by plain gradient descent tells, and by how much it moves the policy and its value head."""
    policy = two_headed()
    system = PPORLHF(learning_rate=1.0, max_norm=0.0, pretraining_weight=0.7, value_model="shared", **settings)
    old = (score_all(policy, GROUPS).logprobs + noise(1)) * MASK
    columns = {"old": old, "advantages": noise(2, 1.0), "values": noise(3), "returns": noise(4)}
    before = flat(policy)
    told = system.update(policy, policy, Batch(groups=GROUPS, columns=columns), 1, shown=list(shown))
    return told, before - flat(policy)


@pytest.mark.parametrize("together", [True, False])
def test_one_pass_gives_the_policys_log_probs_and_the_heads_values(together, monkeypatch):
    if not together:
        monkeypatch.setattr(hidden, "follows_layouts", lambda model: False)
        monkeypatch.setattr("rlhub.language.logprobs.follows_layouts", lambda model: False)
    policy = two_headed()
    expected = states(policy.bare, GROUPS)[:, :-1] @ policy.value_head.weight[0] + policy.value_head.bias
    said = policy.read(policy.model, GROUPS, temperature=0.7)
    torch.testing.assert_close(said.values, expected * MASK, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(said.logprobs, score_all(policy, GROUPS, temperature=0.7).logprobs, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(policy.values(GROUPS, micro_tokens=9), said.values, atol=1e-5, rtol=1e-4)


def test_at_first_all_values_are_0():
    assert not two_headed(trained=False).values(GROUPS, micro_tokens=100).any()


def test_the_gradient_is_the_policys_plus_the_weighted_values():
    policy = two_headed()
    said = policy.read(policy.model, GROUPS)
    kept = noise(3) + (said.values - noise(3)).clamp(-0.2, 0.2)
    errors = torch.maximum((said.values - noise(4)) ** 2, (kept - noise(4)) ** 2)
    (0.5 * (errors * MASK).sum() / MASK.sum()).backward()
    values = torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in policy.trainable])
    assert values[-1] != 0
    told, alone = update_of(value_weight=0.0)
    assert not alone[-policy.value_head.in_features - 1 :].any()
    told, moved = update_of(value_weight=0.3)
    torch.testing.assert_close(moved - alone, 0.3 * values, atol=1e-5, rtol=1e-3)
    assert told["value_loss"] == pytest.approx(0.5 * (errors * MASK).sum().item() / MASK.sum().item(), rel=1e-4)


@pytest.mark.parametrize("shown", [(), toy_groups(3, 1, seed=8, longest=9)], ids=["alone", "with imitation"])
def test_micro_batches_change_nothing(shown):
    told, moved = update_of(shown=shown)
    for micro_tokens in (1, 25):
        again = update_of(shown=shown, micro_tokens=micro_tokens)
        assert again[0] == pytest.approx(told, rel=1e-4, abs=1e-5)
        torch.testing.assert_close(again[1], moved, atol=1e-5, rtol=1e-3)


def test_what_is_imitated_teaches_the_value_head_nothing():
    head = slice(-two_headed().value_head.in_features - 1, None)
    shown = toy_groups(3, 1, seed=8, longest=9)
    torch.testing.assert_close(update_of(shown=shown)[1][head], update_of()[1][head], atol=1e-6, rtol=1e-4)


def test_values_come_near_their_returns():
    policy, nothing = two_headed(), torch.zeros(MASK.shape)
    system = PPORLHF(value_model="shared", value_clip=0.0, learning_rate=0.3)
    columns = {"old": score_all(policy, GROUPS).logprobs, "advantages": nothing, "values": nothing, "returns": 2.0 * MASK}
    batch = Batch(groups=GROUPS, columns=columns)
    losses = [system.update(policy, policy, batch, 1, shown=[])["value_loss"] for _ in range(40)]
    assert losses[-1] < 0.05 * losses[0]


def test_it_raises_its_reward(tmp_path):
    system = PPORLHF(**SMALL, prompts=16, learning_rate=3e-4, steps=12, unended_score=0.0, kl=0.01)
    lines = rlhub.train(system, seed=0, runs=tmp_path).metrics()
    assert sum(line["reward"] for line in lines[-3:]) > sum(line["reward"] for line in lines[:3]) + 0.3
    assert all(math.isfinite(line["value_loss"]) for line in lines)


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch, lora_rank):
    system = PPORLHF(**SMALL, prompts=4, learning_rate=1e-3, steps=4, epochs=1, minibatches=1, lora_rank=lora_rank)
    whole = rlhub.train(system, seed=0, runs=tmp_path, name="whole", checkpoint_every=2)
    update, calls = PPORLHF.update, []

    def stops(self, *args, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return update(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(PPORLHF, "update", stops)
        with pytest.raises(KeyboardInterrupt):
            rlhub.train(system, seed=0, runs=tmp_path, name="cut", checkpoint_every=2)
    resumed = execute(Run.open(tmp_path / "cut"))
    assert all(torch.equal(one, other) for one, other in zip(whole.model().parameters(), resumed.model().parameters(), strict=True))
    assert [line["value_loss"] for line in whole.metrics()] == [line["value_loss"] for line in resumed.metrics()]


def test_a_shared_value_model_has_no_step_size_of_its_own():
    with pytest.raises(UserError, match="moves with the policy"):
        PPORLHF(value_model="shared", value_learning_rate=1e-4)
