"""Modules side by side are each what they were alone, and flat parameters are the network's own."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.agent import Crew, load_agent
from rlhub.agents.continuous import DeterministicAgent, SquashedGaussianAgent
from rlhub.agents.networks import Normalise, mlp, stacked
from rlhub.agents.parameters import Parameters, Stepper
from rlhub.agents.q_network import QNetwork

VECTOR, PIXELS, SMALL = spaces.Box(-1, 1, (3,)), spaces.Box(0, 255, (4, 44, 44), dtype="uint8"), spaces.Box(0, 1, (10, 10, 4), dtype=bool)
KINDS = [
    (ActorCritic, VECTOR, spaces.Discrete(2), {"normalise": True}),
    (ActorCritic, VECTOR, spaces.Box(-1, 1, (2,)), {}),
    (ActorCritic, PIXELS, spaces.Discrete(3), {}),
    (ActorCritic, SMALL, spaces.Discrete(3), {}),
    (QNetwork, VECTOR, spaces.Discrete(3), {"duelling": True, "support": (-1.0, 1.0, 5)}),
    (QNetwork, SMALL, spaces.Discrete(3), {}),
    (DeterministicAgent, VECTOR, spaces.Box(-2, 3, (2,)), {"hidden": (8,)}),
    (SquashedGaussianAgent, VECTOR, spaces.Box(-2, 3, (2, 2)), {"hidden": (8,)}),
]


def agents(kind, observations, actions, settings, count=3):
    return [kind(observations, actions, generator=torch.Generator().manual_seed(seed), **settings) for seed in range(count)]


def seen(space, rows=5):
    space.seed(0)
    return torch.stack([torch.as_tensor(space.sample()) for _ in range(rows)])


def outputs(agent, observations):
    found = agent(observations)
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0].__name__} {kind[1].shape}")
def test_agents_side_by_side_put_out_what_each_does_alone(kind):
    alone = agents(*kind)
    batch = seen(kind[1])
    wanted = [outputs(copy.deepcopy(agent), batch[None]) for agent in alone]
    together = outputs(stacked(alone), torch.stack([batch] * 3))
    for place, single in enumerate(wanted):
        for one, other in zip(together, single, strict=True):
            torch.testing.assert_close(one[place], other[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0].__name__} {kind[1].shape}")
@pytest.mark.parametrize("count", [1, 3])
def test_a_checkpoint_brings_back_every_agent_as_an_ordinary_one(kind, count, tmp_path):
    alone = agents(*kind, count=count)
    batch = seen(kind[1])
    wanted = [outputs(copy.deepcopy(agent), batch[None]) for agent in alone]
    crew = Crew(alone, range(10, 10 + count))
    crew.save_model(tmp_path)
    for place, single in enumerate(wanted):
        agent = load_agent(tmp_path / f"seed{10 + place}" if count > 1 else tmp_path)
        for one, other in zip(outputs(agent, batch[None]), single, strict=True):
            torch.testing.assert_close(one, other)
        assert agent.action_space.contains(agent.act(kind[1].sample()))
        assert agent.action_space.contains(agent.act(kind[1].sample(), generator=torch.Generator().manual_seed(0)))
    fresh = Crew(agents(*kind, count=count), range(10, 10 + count))
    for parameter in fresh.together.parameters():
        nn.init.zeros_(parameter)
    fresh.load_model(tmp_path)
    both = zip(fresh.together.state_dict().values(), crew.together.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in both)


@pytest.mark.parametrize("kind", [ActorCritic, DeterministicAgent, SquashedGaussianAgent])
def test_whole_numbers_are_rounded_and_the_largest_bounds_held(kind):
    counted = kind(VECTOR, spaces.Box(-2, 3, (2,), np.int8))
    asked = np.array([[0.5, -0.1]]) if kind is not ActorCritic else np.array([[1.75, 0.25]])
    assert counted.to_environment(asked).tolist() == [[2, 0]] and counted.to_environment(asked).dtype == np.int8
    largest = np.finfo(np.float32).max
    wide = kind(VECTOR, spaces.Box(-largest, largest, (2,)))
    actions = wide.to_environment(np.array([[1.0, -0.5]], dtype=np.float32))
    assert wide.action_space.contains(actions[0])
    assert kind is ActorCritic or actions[0] == pytest.approx([largest, -largest / 2])


@pytest.mark.parametrize("count", [1, 3])
def test_a_step_on_flat_parameters_is_the_step_on_each_network_alone(count):
    networks = [mlp([3, 8, 2]) for _ in range(count)]
    batch = torch.randn(count, 6, 3)
    wanted = []
    for place, network in enumerate(copy.deepcopy(networks)):
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(3):
            optimiser.zero_grad()
            network(batch[place]).square().sum().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            optimiser.step()
        wanted.append(network(batch[place]))
    whole = stacked(networks)
    stepper = Stepper(Parameters([whole], count), 0.01)
    for _ in range(3):
        stepper.step(whole(batch).square().sum(), max_norm=0.5)
    torch.testing.assert_close(whole(batch), torch.stack(wanted), atol=1e-5, rtol=1e-4)


def test_seeds_that_stand_still_take_up_again_where_they_were():
    networks = [mlp([3, 8, 2]) for _ in range(3)]
    batch = torch.randn(3, 6, 3)
    moves = [[True, True, True], [True, False, True], [False, False, False], [True, True, False], [True, True, True]]
    wanted = []
    for place, network in enumerate(copy.deepcopy(networks)):
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
        for moving in moves:
            if moving[place]:
                optimiser.zero_grad()
                network(batch[place]).square().sum().backward()
                optimiser.step()
        wanted.append(network(batch[place]))
    whole = stacked(networks)
    stepper = Stepper(Parameters([whole], 3), 0.01)
    for count, moving in enumerate(moves):
        if count == 3:
            stepper, before = Stepper(Parameters([whole], 3), 0.01), stepper.state_dict()
            stepper.load_state_dict(before)
        stepper.step(whole(batch).square().sum(), moving=torch.tensor(moving))
    torch.testing.assert_close(whole(batch), torch.stack(wanted), atol=1e-5, rtol=1e-4)


def test_running_moments_are_those_of_all_that_was_seen():
    batches = [torch.randn(7, 3) * 5 + 2, torch.randn(4, 3), torch.randn(9, 3) - 1]
    normalise = Normalise(3)
    for batch in batches:
        normalise.observe(batch)
    together = torch.cat(batches)
    torch.testing.assert_close(normalise.mean, together.mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(normalise.variance, together.var(0, correction=0), atol=1e-5, rtol=1e-5)
