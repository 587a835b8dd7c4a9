"""The passes that are written out give what autograd gives."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from rlhub.agents.continuous import DeterministicAgent, Squashed
from rlhub.agents.networks import mlp, stacked, uniform
from rlhub.agents.parameters import Parameters
from rlhub.agents.passes import Pass, Reading
from rlhub.agents.q_network import Kept, QNetwork

IMAGES = Box(0, 255, (12, 10, 3), np.uint8)


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu"])
@pytest.mark.parametrize(("count", "shape"), [(1, (2, 7, 5)), (1, (6, 5)), (3, (3, 6, 5))])
def test_a_perceptrons(activation, count, shape):
    draw = torch.Generator().manual_seed(0)
    network = stacked([uniform(mlp([5, 8, 9, 4], activation=activation), generator=draw) for _ in range(count)])
    flat = Parameters([network], count)
    x, slope = randn(*shape).requires_grad_(), randn(*shape[:-1], 4)
    output = network(x)
    wanted = torch.autograd.grad((output * slope).sum(), [x, *network.parameters()])
    with torch.no_grad():
        passed = Pass(network, x)
        by_input = passed.through(slope, parameters=True)
    torch.testing.assert_close(passed.output, output)
    torch.testing.assert_close(by_input, wanted[0])
    for parameter, gradient in zip(network.parameters(), wanted[1:], strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert flat.gradients.abs().sum() > 0


def test_only_what_is_asked_for():
    network = uniform(mlp([5, 8, 4]), generator=torch.Generator().manual_seed(0))
    flat = Parameters([network])
    with torch.no_grad():
        Pass(network, randn(6, 5)).back(randn(6, 4))
        before = flat.gradients.clone()
        assert Pass(network, randn(6, 5)).through(randn(6, 4)).shape == (6, 5)
    assert torch.equal(flat.gradients, before)


@pytest.mark.parametrize("duelling", [False, True])
@pytest.mark.parametrize("space", [IMAGES, Box(-1, 1, (3,))])
def test_a_q_networks_whatever_it_reads(duelling, space):
    agent = QNetwork(space, Discrete(4), hidden=(8,), duelling=duelling, support=(-1.0, 1.0, 5))
    Parameters([agent])
    seen = torch.from_numpy(np.stack([space.sample() for _ in range(6)]))[None]
    slope = randn(1, 6, 4, 5)
    outputs = agent.outputs(seen)
    wanted = torch.autograd.grad((outputs * slope).sum(), list(agent.parameters()))
    for _ in range(2):
        with torch.no_grad():
            kept = Kept(agent, seen)
            kept.back(slope)
    torch.testing.assert_close(kept.outputs, outputs)
    for parameter, gradient in zip(agent.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)


def test_critics_of_images_teach_the_torso():
    agent = DeterministicAgent(IMAGES, Box(-1, 1, (2,)), hidden=(8,))
    Parameters(agent.critic_parts)
    seen = torch.from_numpy(np.stack([IMAGES.sample() for _ in range(6)]))[None]
    actions, slopes = randn(1, 6, 2), randn(1, 2, 6)
    values = agent.judge(agent.torso(seen), actions).values
    parameters = [parameter for part in agent.critic_parts for parameter in part.parameters()]
    wanted = torch.autograd.grad((values * slopes).sum(), parameters)
    with torch.no_grad():
        reading = Reading(agent.torso, seen)
        slope = agent.judge(reading.features, actions).through(slopes, parameters=True)
        reading.back(slope[..., : reading.features.shape[-1]])
    for parameter, gradient in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)


def test_squashed_actions():
    outputs, noise = (5 * randn(1, 40, 4)).requires_grad_(), randn(1, 40, 2)
    drawn = Squashed(outputs, noise)
    by_action, by_log_prob = randn(1, 40, 2), randn(1, 40)
    wanted = torch.autograd.grad((drawn.actions * by_action).sum() + (drawn.log_probs * by_log_prob).sum(), outputs)[0]
    with torch.no_grad():
        torch.testing.assert_close(drawn.back(by_action, by_log_prob), wanted, rtol=1e-4, atol=1e-5)
