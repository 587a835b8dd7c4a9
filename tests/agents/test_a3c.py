"""Asynchronous workers learn together, say what went wrong, and go on from where they were."""

import pytest
import torch

from rlhub.agents.a3c import A3C, Shared
from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.environments import Environments
from rlhub.core.errors import UserError
from rlhub.core.training import train


def test_the_shared_step_is_rmsprops():
    environments = Environments("CartPole-v1", 1, seeds=[0])
    agent = ActorCritic(environments.observation_space, environments.action_space)
    mine = torch.nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in agent.parameters() if parameter.numel()]))
    shared = Shared(agent)
    torchs = torch.optim.RMSprop([mine], lr=0.01, alpha=0.9, eps=0.0)
    for seed in range(3):
        gradient = torch.randn(mine.shape, generator=torch.Generator().manual_seed(seed))
        shared.apply(gradient, learning_rate=0.01, smoothing=0.9, epsilon=0.0)
        mine.grad = gradient
        torchs.step()
    torch.testing.assert_close(shared.parameters.values, mine.detach(), atol=1e-5, rtol=1e-5)
    assert torch.equal(agent.actor[0].weight.flatten(), shared.parameters.values[: agent.actor[0].weight.numel()])


def test_workers_take_no_more_steps_than_there_are():
    environments = Environments("CartPole-v1", 1, seeds=[0])
    shared = Shared(ActorCritic(environments.observation_space, environments.action_space))
    assert [shared.take(5, 10) for _ in range(3)] == [0, 5, None]


def test_workers_learn_together(tmp_path):
    run = train(A3C(steps=40_000, workers=2, log_every=10_000), runs=tmp_path)
    returns = [line["episode_return"] for line in run.metrics()]
    assert returns[-1] > 2 * returns[0]
    assert run.checkpoint().name == "40000"


def test_what_a_worker_meets_is_told_in_its_words(tmp_path):
    with pytest.raises(UserError, match="there is no environment 'Nowhere-v0'"):
        train(A3C(env="Nowhere-v0"), runs=tmp_path)
    assert not list(tmp_path.iterdir())
