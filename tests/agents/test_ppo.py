"""PPO's losses by hand, its update beside Stable-Baselines3's, and what is refused."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO as Baseline  # noqa: N811
from stable_baselines3.common.env_util import make_vec_env

from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.environments import Environments
from rlhub.agents.parameters import Parameters, Stepper
from rlhub.agents.ppo import PPO, clipped_surrogate
from rlhub.agents.rollout import Batch, Rollout
from rlhub.core.errors import UserError
from rlhub.core.returns import clipped_value_error, generalised_advantages

NUMBER = st.floats(-3, 3)


@given(NUMBER, NUMBER, st.floats(0.05, 0.5))
def test_the_surrogate_is_the_papers(log_ratio, advantage, clip):
    ratio = math.exp(log_ratio)
    wanted = -min(ratio * advantage, max(min(ratio, 1 + clip), 1 - clip) * advantage)
    found = clipped_surrogate(torch.tensor([log_ratio]), torch.tensor([advantage]), clip=clip)
    assert found.item() == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_a_ratio_beyond_the_clip_has_no_gradient_where_it_already_gained():
    log_ratio = torch.tensor([0.5, 0.5, -0.5, -0.5], requires_grad=True)
    clipped_surrogate(log_ratio, torch.tensor([1.0, -1.0, 1.0, -1.0]), clip=0.2).sum().backward()
    assert (log_ratio.grad != 0).tolist() == [False, True, True, False]


def test_a_clipped_value_takes_the_larger_error():
    values, before, targets = torch.tensor([1.0, 0.05]), torch.zeros(2), torch.tensor([1.0, 1.0])
    torch.testing.assert_close(clipped_value_error(values, before, targets, clip=0.1), torch.tensor([0.81, 0.9025]))
    torch.testing.assert_close(clipped_value_error(values, before, targets, clip=0.0), torch.tensor([0.0, 0.9025]))


def baseline(env, system):
    """Their PPO, its first roll-out taken, and ours with its weights."""
    theirs = Baseline(
        "MlpPolicy",
        make_vec_env(env, n_envs=4, seed=0),
        n_steps=64,
        batch_size=256,
        n_epochs=1,
        learning_rate=system.learning_rate,
        ent_coef=system.entropy_weight,
        clip_range_vf=system.value_clip or None,
        gae_lambda=system.decay,
        gamma=system.discount,
        seed=0,
        device="cpu",
    )
    _, callback = theirs._setup_learn(256)
    theirs.collect_rollouts(theirs.env, callback, theirs.rollout_buffer, n_rollout_steps=64)
    ours = ActorCritic(theirs.observation_space, theirs.action_space)
    copy_weights(ours, theirs.policy)
    return theirs, ours


def copy_weights(ours, policy):
    with torch.no_grad():
        for place, (actor, critic) in enumerate(zip(policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net, strict=True)):
            if isinstance(actor, torch.nn.Linear):
                ours.actor[place].load_state_dict(actor.state_dict())
                ours.critic[place].load_state_dict(critic.state_dict())
        ours.actor[-1].load_state_dict(policy.action_net.state_dict())
        ours.critic[-1].load_state_dict(policy.value_net.state_dict())
        if ours.log_std.numel():
            ours.log_std.copy_(policy.log_std)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("value_clip", [0.0, 0.3])
def test_an_update_from_the_same_weights_and_rows_is_stable_baselines3s(env, value_clip):
    system = PPO(env=env, learning_rate=1e-3, schedule="constant", entropy_weight=0.01, value_clip=value_clip)
    theirs, ours = baseline(env, system)
    buffer = theirs.rollout_buffer

    def rows(part):
        return torch.as_tensor(part).reshape(1, 256, -1)

    actions = rows(buffer.actions)
    batch = Batch(
        observations=rows(buffer.observations),
        actions=actions[..., 0].long() if env == "CartPole-v1" else actions,
        log_probs=rows(buffer.log_probs)[..., 0],
        values=rows(buffer.values)[..., 0],
        advantages=rows(buffer.advantages)[..., 0],
        happened=torch.ones(1, 256, dtype=torch.bool),
        memory=torch.zeros(1, 8, 0),
    )
    before = copy.deepcopy(ours)
    system.update(
        ours, Stepper(Parameters([ours]), system.learning_rate, eps=1e-5), batch, progress=0.0, near=torch.ones(1, dtype=torch.bool)
    )
    theirs.train()
    wanted = copy.deepcopy(before)
    copy_weights(wanted, theirs.policy)
    moved = 0.0
    for one, other, first in zip(ours.parameters(), wanted.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
        moved = max(moved, float((one - first).detach().abs().max())) if one.numel() else moved
    assert moved > 5e-4


def test_advantages_of_a_roll_out_are_stable_baselines3s():
    system = PPO(env="CartPole-v1")
    theirs, _ = baseline("CartPole-v1", system)
    buffer = theirs.rollout_buffer
    starts = torch.as_tensor(buffer.episode_starts).bool()
    last = torch.as_tensor(theirs._last_episode_starts)[None].bool()
    with torch.no_grad():
        values = theirs.policy.predict_values(torch.as_tensor(theirs._last_obs))[:, 0]
    found = generalised_advantages(
        torch.as_tensor(buffer.rewards),
        torch.cat([torch.as_tensor(buffer.values), values[None]]),
        torch.cat([starts[1:], last]),
        torch.zeros_like(starts),
        discount=system.discount,
        decay=system.decay,
    )
    torch.testing.assert_close(found, torch.as_tensor(buffer.advantages), atol=1e-5, rtol=1e-5)


def test_rows_at_which_an_episode_begins_anew_teach_nothing():
    environments = Environments("CartPole-v1", 4, seeds=[0])
    agent = ActorCritic(environments.observation_space, environments.action_space)
    rollout = Rollout(environments, agent, steps=100)
    rollout.collect(0)
    batch = rollout.batch(discount=0.99, decay=0.95)
    assert (~batch.happened).sum() > 5
    changed = replace(
        batch,
        advantages=batch.advantages.where(batch.happened, 1e3),
        log_probs=batch.log_probs.where(batch.happened, -5.0),
        values=batch.values.where(batch.happened, -1e3),
    )
    steps = []
    for rows in (batch, changed):
        trained = copy.deepcopy(agent)
        PPO().update(trained, Stepper(Parameters([trained]), 1e-3), rows, progress=0.0, near=torch.ones(1, dtype=torch.bool))
        steps.append(torch.cat([parameter.flatten() for parameter in trained.parameters()]))
    torch.testing.assert_close(*steps)


def test_gradients_are_the_differences_of_the_loss():
    log_ratio = torch.randn(20, dtype=torch.float64, requires_grad=True)
    advantages = torch.randn(20, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: clipped_surrogate(x, advantages, clip=0.2), (log_ratio,))
    values = torch.randn(20, dtype=torch.float64, requires_grad=True)
    before, targets = torch.randn(20, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: clipped_value_error(x, before, targets, clip=0.3), (values,))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"clip": 0.0}, "clip is 0.0; it must be above 0"),
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"minibatches": 2000}, "a roll-out has only 1024 rows"),
    ],
)
def test_what_can_not_be_trained_with_is_refused(fields, sentence):
    with pytest.raises(UserError, match=sentence):
        PPO(**fields)
