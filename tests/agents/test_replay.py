"""The memory gives back what happened: n steps, never across an episode's end, evenly or by priority."""

from collections import Counter

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from rlhub.agents.dqn import projected
from rlhub.agents.environments import Step
from rlhub.agents.priorities import Priorities
from rlhub.agents.replay import Replay
from rlhub.core.errors import UserError

BOX = Box(-np.inf, np.inf, (1,))


def filled(ends, *, capacity=100, priority=0.0):
    """One environment whose observation counts its steps; `ends` say after which steps an episode ends, and how."""
    replay = Replay(BOX, torch.zeros(1, dtype=torch.long), seeds=1, capacity=capacity, priority=priority)
    replay.observations[0] = 0.0
    over = False
    for step in range(40):
        end = "" if over else ends.get(step, "")
        shown = np.array([[step + 1.0]], dtype=np.float32)
        parts = (np.array([0.0 if over else 2.0**-step], dtype=np.float32), np.array([end == "terminated"]), np.array([end == "truncated"]))
        replay.write(torch.tensor([step % 3]), Step(shown, *parts, np.array([over])))
        over = bool(end)
    return replay


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("capacity", [17, 100])
def test_rewards_are_added_up_to_an_episodes_end_and_no_further(steps, capacity):
    ends = {25: "terminated", 31: "truncated", 36: "terminated"}
    replay = filled(ends, capacity=capacity)
    batch = replay.draw(400, [torch.Generator().manual_seed(0)], steps=steps, discount=0.9)
    starts = batch.observations[0, :, 0].long().tolist()
    assert not {26, 32, 37} & set(starts)
    assert set(starts) == set(range(max(0, 40 - capacity + 1), 40)) - {26, 32, 37}
    for place, start in enumerate(starts):
        last = next((end for end in sorted(ends) if end >= start), 39)
        many = min(steps, last - start + 1)
        assert batch.rewards[0, place].item() == pytest.approx(sum(0.9**k * 2.0 ** -(start + k) for k in range(many)), rel=1e-5)
        assert batch.following[0, place, 0].item() == start + many
        ended = ends.get(start + many - 1) == "terminated"
        assert batch.discounts[0, place].item() == pytest.approx(0.0 if ended else 0.9**many)
        assert batch.actions[0, place].item() == start % 3


def test_episodes_of_one_step_fill_a_batch():
    replay = filled(dict.fromkeys(range(0, 40, 2), "terminated"))
    starts = replay.draw(500, [torch.Generator().manual_seed(0)]).observations[0, :, 0].long()
    assert set(starts.tolist()) == set(range(0, 40, 2))


def test_more_than_the_machine_holds_is_refused_and_no_more_than_is_needed_taken():
    pictures = Box(0, 255, (96, 96, 3), np.uint8)
    with pytest.raises(UserError, match=r"replay memory of 100,000,000 transitions.* takes 2576.3 GiB.*smaller --capacity"):
        Replay(pictures, torch.zeros(1, dtype=torch.long), seeds=1, capacity=100_000_000)
    assert Replay(pictures, torch.zeros(4, dtype=torch.long), seeds=1, capacity=100_000_000, steps=1000).size == 252


def test_what_was_saved_comes_back():
    replay = filled({25: "terminated"}, priority=0.6)
    other = Replay(BOX, torch.zeros(1, dtype=torch.long), seeds=1, capacity=100, priority=0.6)
    other.load_state_dict(replay.state_dict())
    one, two = (each.draw(64, [torch.Generator().manual_seed(3)], steps=2, discount=0.9, importance=0.5) for each in (replay, other))
    for first, second in zip(vars(one).values(), vars(two).values(), strict=True):
        assert torch.equal(first, second)


def test_places_are_drawn_as_often_as_their_priorities_say():
    priorities = Priorities(2, 10, exponent=0.5)
    for place in range(10):
        priorities.enter(torch.tensor([place]), torch.tensor([[place != 4], [True]]))
    errors = torch.arange(10, dtype=torch.float32)
    priorities.update(torch.arange(10).repeat(2, 1)[:, [0, 1, 2, 3, 5, 6, 7, 8, 9]], errors[[0, 1, 2, 3, 5, 6, 7, 8, 9]].repeat(2, 1))
    places, weights = priorities.draw(20_000, [torch.Generator().manual_seed(seed) for seed in (0, 1)], importance=1.0)
    masses = (errors.double() + 1e-6).sqrt()
    masses[4] = 0.0
    counts = Counter(places[0].tolist())
    for place in range(10):
        assert counts[place] / 20_000 == pytest.approx(float(masses[place] / masses.sum()), abs=2e-3)
    assert 4 in set(places[1].tolist())
    probabilities = masses / masses.sum()
    wanted = 1 / probabilities[places[0]]
    torch.testing.assert_close(weights[0], (wanted / wanted.max()).float())


def test_a_shifted_distribution_keeps_its_mass_and_its_mean():
    atoms = torch.linspace(-5, 5, 21)
    probabilities = torch.rand(7, 21, generator=torch.Generator().manual_seed(0)).softmax(-1)
    rewards, discounts = torch.linspace(-1, 1, 7), torch.tensor([0.5, 0.5, 0.3, 0.0, 0.7, 0.5, 0.2])
    found = projected(probabilities, rewards, discounts, atoms)
    torch.testing.assert_close(found.sum(-1), torch.ones(7))
    torch.testing.assert_close(found @ atoms, rewards + discounts * (probabilities @ atoms), atol=1e-4, rtol=1e-4)
    beyond = projected(probabilities, torch.full((7,), 100.0), torch.ones(7), atoms)
    torch.testing.assert_close(beyond[:, -1], torch.ones(7))
