"""Small MDPs: what they hold, and what is refused."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.small_mdps import chain, random_mdp, river_swim, small_mdp


@pytest.mark.parametrize("made", [river_swim(), river_swim(3), chain(), chain(2, 2), random_mdp(), random_mdp(8, 2, successors=2)])
def test_what_is_made_is_an_mdp_with_rewards_between_0_and_1(made):
    assert made.transitions.sum(-1) == pytest.approx(1)
    assert made.rewards.min() >= 0
    assert made.rewards.max() <= 1
    assert made.gamma == 1


def test_floating_down_always_works_and_swimming_up_seldom():
    river = small_mdp("riverswim")
    assert river.transitions[3, 0, 2] == 1
    assert river.transitions[3, 1, 4] == 0.35
    assert river.rewards[5, 1] == 1
    assert river.rewards.sum() == pytest.approx(1.005)


def test_a_random_mdp_reaches_as_many_states_as_it_may_and_depends_on_its_seed():
    transitions = random_mdp(8, 2, seed=3, successors=2).transitions
    assert ((transitions > 0).sum(-1) == 2).all()
    assert not np.array_equal(transitions, random_mdp(8, 2, seed=4, successors=2).transitions)


@pytest.mark.parametrize(
    "make",
    [
        lambda: river_swim(2),
        lambda: chain(1),
        lambda: random_mdp(3, 2, successors=4),
        lambda: small_mdp("sea"),
        lambda: chain(3, gamma=1.1),
    ],
)
def test_what_can_not_be_made_is_refused(make):
    with pytest.raises(UserError):
        make()
