"""PPO on a reward model: its pieces against closed forms, its invariances, and one that learns."""

import json
import math
from functools import partial

import pytest
import torch
from policies import parameters_after, toy_groups, toy_policy, toy_scorer

import rlhub
from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.training import execute
from rlhub.language.advantages import token_rewards, whitened
from rlhub.language.ppo_rlhf import PPORLHF, Steering, with_imitation
from rlhub.language.reward_model import RewardModel
from rlhub.language.rows import Group, completion_mask
from rlhub.language.scorer import head_of, load_scorer, read_head
from rlhub.language.task import load_task
from rlhub.language.update import Batch, load_reference, score_all

GROUPS = toy_groups(5, 1, seed=3)
LENGTHS = torch.tensor([len(group.completions[0]) for group in GROUPS])
MASK = completion_mask(LENGTHS)
SMALL = {"model": "tiny", "task": "facts:capitals", "prompts": 16, "max_new_tokens": 4, "learning_rate": 3e-4, "precision": "fp32"}


def noise(seed, scale=0.3):
    return scale * torch.randn(MASK.shape, generator=torch.Generator().manual_seed(seed)) * MASK


def test_the_score_falls_on_the_last_token_and_the_divergence_on_each():
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    divergence = torch.tensor([[0.5, -0.25, 9.0], [1.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    rewards = token_rewards(divergence, torch.tensor([2.0, -1.0, 5.0]), mask, kl=0.1)
    torch.testing.assert_close(rewards, torch.tensor([[-0.05, 2.025, 0.0], [-1.1, 0.0, 0.0], [0.0, 0.0, 0.0]]))


def test_whitening_takes_the_population_over_the_mask():
    x, mask = torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([[True, True, False]])
    torch.testing.assert_close(whitened(x, mask), torch.tensor([[-1.0, 1.0, 0.0]]))
    torch.testing.assert_close(whitened(x, mask, centre=False), torch.tensor([[1.0, 3.0, 0.0]]))


def test_advantages_are_the_sums_of_discounted_errors_up_to_each_answers_end():
    system = PPORLHF(discount=0.9, decay=0.8)
    rewards, values = noise(1), noise(2)
    found = system.advantages(rewards, values, MASK)
    for row, length in enumerate(LENGTHS.tolist()):
        following = 0.0
        for step in reversed(range(length)):
            after = values[row, step + 1].item() if step + 1 < length else 0.0
            following = rewards[row, step].item() + 0.9 * after - values[row, step].item() + 0.9 * 0.8 * following
            assert found[row, step].item() == pytest.approx(following, abs=1e-6)
        assert not found[row, length:].any()


def test_with_lambda_1_the_returns_are_the_sums_of_rewards_to_come():
    rewards, values = noise(1), noise(2)
    returns = (PPORLHF(discount=1.0, decay=1.0).advantages(rewards, values, MASK) + values) * MASK
    torch.testing.assert_close(returns, rewards.flip(1).cumsum(1).flip(1) * MASK)


def test_the_coefficient_is_steered_to_the_target():
    steering = Steering(0.1, target=6.0, horizon=1000)
    steering.observe(60.0, answers=100)
    assert steering.coefficient == pytest.approx(0.1 * (1 + 0.2 * 0.1))
    steering.observe(0.0, answers=100)
    assert steering.coefficient == pytest.approx(0.1 * 1.02 * 0.98)
    fixed = Steering(0.1, target=0.0, horizon=1000)
    fixed.observe(60.0, answers=100)
    assert fixed.coefficient == 0.1


def test_a_value_model_of_its_own_says_0_until_it_has_learnt_more(tmp_path):
    system = PPORLHF(model="tiny", task="facts:capitals", steps=1)
    critic = system.critic(Run.create(system, runs=tmp_path))
    values = system.values_of(critic, GROUPS)
    assert not values.any()
    critic.optimizer.zero_grad()
    read_head(critic.bare, GROUPS).values.sum().backward()
    assert head_of(critic.bare).weight.grad.abs().sum() > 0


def step_of(micro_tokens, shown=()):
    """The changes of policy and value model in one update by plain gradient descent."""
    policy, critic = toy_policy(), toy_scorer("llama")
    system = PPORLHF(micro_tokens=micro_tokens, learning_rate=1.0, max_norm=0.0, pretraining_weight=0.7)
    old = (score_all(policy, GROUPS).logprobs + noise(1)) * MASK
    columns = {"old": old, "advantages": noise(2, 1.0), "values": noise(3), "returns": noise(4)}
    before = parameters_after(policy), parameters_after(critic)
    told = system.update(policy, critic, Batch(groups=GROUPS, columns=columns), 1, shown=list(shown))
    return told, before[0] - parameters_after(policy), before[1] - parameters_after(critic)


@pytest.mark.parametrize("shown", [(), toy_groups(3, 1, seed=8, longest=9)], ids=["alone", "with imitation"])
@pytest.mark.parametrize("micro_tokens", [1, 25])
def test_micro_batches_change_nothing(micro_tokens, shown):
    told, policy, critic = step_of(10_000, shown)
    again = step_of(micro_tokens, shown)
    assert again[0] == pytest.approx(told, rel=1e-4, abs=1e-5)
    torch.testing.assert_close(again[1], policy, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(again[2], critic, atol=1e-5, rtol=1e-3)


def test_what_is_imitated_adds_the_gradient_of_its_mean_log_likelihood():
    shown = toy_groups(3, 1, seed=8, longest=9)
    policy = toy_policy()
    before = parameters_after(policy)
    system = PPORLHF(learning_rate=1.0, max_norm=0.0)
    tokens = sum(len(group.completions[0]) for group in shown)
    nothing = Batch(groups=[], columns={"old": torch.zeros(0, 1), "advantages": torch.zeros(0, 1)})
    mixed = with_imitation(nothing, shown, weight=1.0)
    system.change(policy, mixed.groups, system.objective, step=1, normaliser=float(tokens), columns=mixed.columns)
    alone = before - parameters_after(policy)
    weight = system.pretraining_weight
    torch.testing.assert_close(step_of(10_000, shown)[1] - step_of(10_000)[1], 0.7 / weight * alone, atol=1e-5, rtol=1e-3)


def test_a_value_model_reads_the_state_before_each_token():
    critic = toy_scorer("llama")
    values = PPORLHF().values_of(critic, GROUPS)
    longer = [Group(prompt=group.prompt + group.completions[0], completions=[[5]]) for group in GROUPS]
    after = read_head(critic.bare, longer).values[:, 0, 0]
    outputs = critic.read_all(GROUPS, micro_tokens=100)
    torch.testing.assert_close(outputs.last[:, 0], after, atol=1e-5, rtol=1e-4)
    assert values.shape == MASK.shape


def test_it_raises_its_reward(tmp_path):
    system = PPORLHF(**SMALL, steps=12, unended_score=0.0, kl=0.01, value_learning_rate=1e-3)
    lines = rlhub.train(system, seed=0, runs=tmp_path).metrics()
    assert sum(line["reward"] for line in lines[-3:]) > sum(line["reward"] for line in lines[:3]) + 0.3
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-3)
    assert all(math.isfinite(line["value_loss"]) for line in lines)


def test_the_same_seed_ends_with_the_same_bits_also_with_imitation(tmp_path):
    system = PPORLHF(**SMALL, steps=2, epochs=2, minibatches=2, pretraining="facts:currencies", kl_target=1.0, whiten_rewards=True)
    one, other = (rlhub.train(system, seed=0, runs=tmp_path, name=name) for name in "ab")
    assert [{**line, "time": 0, "tokens_per_second": 0} for line in one.metrics()] == [
        {**line, "time": 0, "tokens_per_second": 0} for line in other.metrics()
    ]
    assert all(torch.equal(a, b) for a, b in zip(one.model().parameters(), other.model().parameters(), strict=True))


def test_the_log_shows_the_coefficient_beside_the_divergence_that_it_weighed(tmp_path):
    system = PPORLHF(**SMALL | {"prompts": 4}, steps=2, epochs=1, minibatches=1, kl=0.1, kl_target=1.0, kl_horizon=100)
    first, second = rlhub.train(system, seed=0, runs=tmp_path).metrics()
    assert first["kl_coefficient"] == 0.1
    steered = Steering(0.1, target=1.0, horizon=100)
    steered.observe(first["kl"], answers=4)
    assert second["kl_coefficient"] == steered.coefficient != 0.1


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    system = PPORLHF(**SMALL, steps=4, epochs=1, minibatches=2, kl_target=1.0)
    whole = rlhub.train(system, seed=0, runs=tmp_path, name="whole", checkpoint_every=2)
    update, calls = PPORLHF.update, []

    def stops(self, *args, **options):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return update(self, *args, **options)

    monkeypatch.setattr(PPORLHF, "update", stops)
    with pytest.raises(KeyboardInterrupt):
        rlhub.train(system, seed=0, runs=tmp_path, name="cut", checkpoint_every=2)
    monkeypatch.setattr(PPORLHF, "update", update)
    resumed = execute(Run.open(tmp_path / "cut"))
    assert all(torch.equal(a, b) for a, b in zip(whole.model().parameters(), resumed.model().parameters(), strict=True))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"minibatches": 99}, "only 64 prompts"),
        ({"pretraining": "facts:capitals", "temperature": 0.7}, "needs it to be 1"),
        ({"reward_model": "judge", "reward": "random"}, "not both"),
        ({"clip": 0.0}, "above 0"),
        ({"pretraining": "facts:capitals", "pretraining_weight": 0.0}, "with pretraining it must be above 0"),
        ({"pretraining_weight": -1.0}, "at least 0"),
    ],
)
def test_what_cant_be_trained_with_is_refused(fields, words):
    with pytest.raises(UserError, match=words):
        PPORLHF(**fields)


def test_it_begins_its_value_model_from_the_reward_model(tmp_path):
    path = tmp_path / "pairs.jsonl"
    row = {"prompt": "The capital of France is the city of", "chosen": " Paris", "rejected": " Rome"}
    path.write_text(json.dumps(row) + "\n")
    judge = rlhub.train(
        RewardModel(model="tiny", task=str(path), steps=2, batch=1, samples=4, max_new_tokens=2), runs=tmp_path, name="judge"
    )
    system = PPORLHF(**{**SMALL, "prompts": 4}, steps=1, epochs=1, minibatches=1, reward_model=str(judge.folder))
    run = rlhub.train(system, seed=0, runs=tmp_path)
    assert math.isfinite(run.metrics()[-1]["reward"])
    begun, trained = system.critic(run), load_scorer(str(judge.folder), fresh=False)
    weights, expected = begun.bare.state_dict(), trained.bare.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weight, expected[name]) for name, weight in weights.items())
    assert (begun.gain, begun.bias) == (trained.gain, trained.bias) != (1.0, 0.0)


def test_a_value_model_begins_on_the_scale_of_the_rewards():
    scorer, system = toy_scorer(), PPORLHF(precision="fp32")
    raw = scorer.read_all(GROUPS, micro_tokens=1000).values[:, :-1, 0]
    scorer.gain, scorer.bias = 0.5, -3.0
    values = system.values_of(scorer, GROUPS)
    torch.testing.assert_close(values, 0.5 * raw - 3.0)
    settled = PPORLHF(precision="fp32", learning_rate=0.0)
    batch = Batch(groups=GROUPS, columns={"values": values, "returns": values * MASK})
    found = settled.change(
        scorer,
        GROUPS,
        partial(settled.value_objective, scaled=scorer.scaled),
        step=1,
        normaliser=1.0,
        columns=batch.columns,
        read=read_head,
    )
    assert found["loss"] == pytest.approx(0, abs=1e-6)


def test_an_answer_without_a_score_teaches_nothing(tmp_path):
    (tmp_path / "sometimes.py").write_text(
        "def good(prompts, completions, **_):\n    return [None if place % 4 == 3 else float(place) for place in range(len(completions))]\n"
    )
    system = PPORLHF(**SMALL | {"prompts": 8}, steps=1, kl=0.0, reward=f"{tmp_path / 'sometimes.py'}:good", unended_score=0.0)
    run = Run.create(system, runs=tmp_path / "runs")
    policy, critic = system.policy(), system.critic(run)
    rollout, scores, _ = system.sample(policy, load_task(system.task, reward=system.reward), run, 1)
    batch, _ = system.batch(policy, load_reference(policy, "tiny"), critic, rollout, scores, kl=0.0)
    without = scores.isnan().flatten() & rollout.ended.flatten()
    assert not batch.columns["advantages"][without].any()
    torch.testing.assert_close(batch.columns["returns"][without], (batch.columns["values"] * rollout.mask.flatten(0, 1))[without])


def test_its_reward_may_be_a_sum(tmp_path):
    system = PPORLHF(**SMALL | {"prompts": 4}, steps=1, reward="task+0.5*contains_answer")
    assert rlhub.train(system, seed=0, runs=tmp_path).status == "finished"
