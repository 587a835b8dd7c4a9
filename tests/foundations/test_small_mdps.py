"""Small MDPs: what they hold, and what is refused."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.small_mdps import chain, check_mdp, random_mdp, river_swim, small_mdp


@pytest.mark.parametrize("made", [river_swim(), river_swim(3), chain(), chain(2, 2), random_mdp(), random_mdp(8, 2, successors=2)])
def test_what_is_made_is_an_mdp_with_rewards_between_0_and_1(made):
    transitions, rewards = made
    check_mdp(transitions, rewards, 0.9)
    assert rewards.min() >= 0
    assert rewards.max() <= 1


def test_floating_down_always_works_and_swimming_up_seldom():
    transitions, rewards = small_mdp("riverswim")
    assert transitions[3, 0, 2] == 1
    assert transitions[3, 1, 4] == 0.35
    assert rewards[5, 1] == 1
    assert rewards.sum() == pytest.approx(1.005)


def test_a_random_mdp_reaches_as_many_states_as_it_may_and_depends_on_its_seed():
    transitions, _ = random_mdp(8, 2, seed=3, successors=2)
    assert ((transitions > 0).sum(-1) == 2).all()
    assert not np.array_equal(transitions, random_mdp(8, 2, seed=4, successors=2)[0])


@pytest.mark.parametrize(
    "make", [lambda: river_swim(2), lambda: chain(1), lambda: random_mdp(3, 2, successors=4), lambda: small_mdp("sea")]
)
def test_what_can_not_be_made_is_refused(make):
    with pytest.raises(UserError):
        make()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t, r: (t * 0.9, r, 0.9), "state 0, action 0 sum to 0.9"),
        (lambda t, r: (t * 3 - 2 * t[::-1], r, 0.9), "one below 0"),
        (lambda t, r: (t, r, 1.0), "discount"),
        (lambda t, r: (t, r, -0.1), "discount"),
        (lambda t, r: (t, r * np.nan, 0.9), "finite"),
        (lambda t, r: (t[:0, :, :0], r[:0], 0.9), "at least one"),
    ],
)
def test_what_is_no_mdp_is_refused_with_its_place(spoil, said):
    with pytest.raises(UserError, match=said):
        check_mdp(*spoil(*random_mdp(4, 2)))
