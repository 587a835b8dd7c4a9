"""Policies that remember: torch's LSTM, episode by episode, and a task that can't be done without."""

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from rlhub.agents.environments import Environments
from rlhub.agents.evaluation import evaluate
from rlhub.agents.ppo import PPO
from rlhub.agents.recurrent import RecurrentActorCritic
from rlhub.agents.rollout import Rollout
from rlhub.core.errors import UserError
from rlhub.core.training import train


class Cue(gymnasium.Env):
    """Shows a sign once; four steps later, doing what it said is rewarded."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.sign = 0, int(self.np_random.integers(2))
        return np.array([2 * self.sign - 1, 0], dtype=np.float32), {}

    def step(self, action):
        self.steps += 1
        over = self.steps == 5
        return np.array([0, self.steps == 4], dtype=np.float32), float(over and action == self.sign), over, False, {}


gymnasium.register("Cue-v0", Cue)


def made(env="Cue-v0", seeds=(0,), **fields):
    system = PPO(env=env, environments=4, rollout=13, lstm=6, minibatches=2, **fields)
    environments = Environments(env, 4, seeds=list(seeds))
    agent = system.agent(environments, seeds[0])
    return system, agent, Rollout(environments, agent, steps=13)


def test_the_memory_is_torchs_lstm():
    _, agent, _ = made()
    lstm = nn.LSTM(2, 6, batch_first=True)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(agent.inputs.weight)
        lstm.weight_hh_l0.copy_(agent.recurrent.weight)
        lstm.bias_ih_l0.copy_(agent.inputs.bias)
        lstm.bias_hh_l0.zero_()
    seen = torch.randn(3, 7, 2)
    outputs, _ = lstm(seen)
    policy, values = agent.read(seen.transpose(0, 1).reshape(1, 21, 2), torch.zeros(1, 3, 12), torch.ones(1, 21, dtype=torch.bool))
    torch.testing.assert_close(policy.reshape(7, 3, 2).transpose(0, 1), agent.actor(outputs))
    torch.testing.assert_close(values.reshape(7, 3).T, agent.critic(outputs)[..., 0])


def test_reading_a_roll_out_again_gives_what_acting_gave():
    """Also the second, which goes on in the midst of episodes, and whichever environments a minibatch has."""
    _, agent, rollout = made()
    for step in (1, 2):
        rollout.collect(step)
    batch = rollout.batch(discount=0.9, decay=0.9)
    assert batch.memory.abs().sum() > 0 and not batch.happened.all()
    for part in [batch, *batch.minibatches(2, epochs=1, seeds=(0,), step=0)]:
        policy, values = agent.read(part.observations, part.memory, part.happened)
        torch.testing.assert_close(agent.distribution.log_prob(policy, part.actions), part.log_probs)
        torch.testing.assert_close(values, part.values)


def test_an_episode_remembers_nothing_of_the_one_before():
    _, agent, rollout = made()
    rollout.collect(1)
    fresh = (~rollout.happened[0, :-1]).nonzero()
    assert len(fresh) > 3
    for row, place in fresh.tolist():
        alone, _ = agent.remembering(rollout.observations[:, row + 1, place : place + 1], torch.zeros(1, 1, 12))
        torch.testing.assert_close(rollout.parameters[0, row + 1, place], alone[0, 0])


def test_an_agent_acts_as_its_training_did_and_forgets_when_told():
    _, agent, _ = made()
    seen = torch.randn(5, 2)
    memory, wanted = torch.zeros(1, 12), []
    for one in seen:
        parameters, memory = agent.remembering(one[None], memory)
        wanted.append(int(parameters.argmax()))
    for _ in range(2):
        agent.begin()
        assert [int(agent.act(one.numpy())) for one in seen] == wanted


@pytest.mark.parametrize("seeds", [1, 2])
def test_what_was_shown_is_remembered_and_without_memory_it_is_not(seeds, tmp_path):
    fields = {"env": "Cue-v0", "steps": 30_000, "environments": 16, "rollout": 24, "learning_rate": 5e-3, "hidden": (16,)}
    run = train(PPO(**fields, lstm=16), seed=1, seeds=seeds, runs=tmp_path)
    for seed in run.seeds:
        agent = run.model(seed=seed)
        assert isinstance(agent, RecurrentActorCritic)
        assert np.mean(evaluate(agent, "Cue-v0", episodes=200).returns) == 1
    forgetful = train(PPO(**fields), seed=1, runs=tmp_path).model()
    assert np.mean(evaluate(forgetful, "Cue-v0", episodes=200).returns) < 0.7


def test_a_minibatch_needs_a_whole_sequence():
    with pytest.raises(UserError, match="minibatches is 5, but a roll-out has only 4 environments to share out"):
        PPO(environments=4, lstm=8, minibatches=5)


def test_what_the_lens_reads_is_an_episodes_first_step():
    _, agent, _ = made()
    seen = torch.randn(5, 2)
    agent.begin()
    parameters, _ = agent.remembering(seen, torch.zeros(5, 12))
    torch.testing.assert_close(agent.policy(seen), parameters)
    torch.testing.assert_close(agent(seen)[0], parameters)
    wanted = agent.read(seen[None], torch.zeros(1, 5, 12), torch.ones(1, 5, dtype=torch.bool))[1][0]
    torch.testing.assert_close(agent(seen)[1], wanted)
    torch.testing.assert_close(agent.value(seen), wanted)
