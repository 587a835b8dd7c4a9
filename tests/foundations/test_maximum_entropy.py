"""Maximum entropy IRL: soft policies in closed form, the dual's gradient, rates."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.maximum_entropy import demonstrated_features, dual, expected_features, soft_policy
from rlhub.foundations.small_mdps import random_mdp

IRL = exhibits("rlhub.foundations.theory")["maxent-irl"]


def test_one_choice_is_a_softmax_and_without_rewards_behaviour_is_even():
    policy, values = soft_policy(np.ones((1, 2, 1)), np.array([[1.0, 3.0]]), 1)
    assert policy[0, 0] == pytest.approx(np.exp([1, 3]) / np.exp([1, 3]).sum())
    assert values[0] == pytest.approx(np.log(np.exp([1, 3]).sum()))
    assert soft_policy(random_mdp(5, 3, seed=1).transitions, np.zeros((5, 3)), 4)[0] == pytest.approx(1 / 3)


def test_the_gradient_is_that_of_the_dual():
    generator, small = np.random.default_rng(0), 1e-5
    transitions = random_mdp(5, 3, seed=1).transitions
    features, weights, target = generator.standard_normal((5, 3, 2)), np.array([0.3, -0.7]), np.array([0.5, 0.2])
    settings = (target, np.full(5, 0.2), 6)
    _, gradient = dual(transitions, features, weights, *settings)
    for place in range(2):
        ends = [dual(transitions, features, weights + sign * small * np.eye(2)[place], *settings)[0] for sign in (1, -1)]
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2 * small), rel=1e-5, abs=1e-7)


def test_demonstrations_average_to_what_is_expected():
    mdp = random_mdp(5, 3, seed=2)
    features, start = np.random.default_rng(1).standard_normal((5, 3, 2)), np.full(5, 0.2)
    policy, _ = soft_policy(mdp.transitions, 3 * mdp.rewards, 6)
    seen = demonstrated_features(mdp.transitions, features, policy, start, 40_000, 0)
    assert seen == pytest.approx(expected_features(mdp.transitions, features, policy, start), abs=0.05)


def test_the_dual_and_the_recovered_policy_keep_to_their_bounds_and_rates():
    results = IRL.compute(runs=6, seed=1)
    told = IRL.numbers(results)
    assert told["largest share of the dual's bound"] <= 1
    assert told["slope of the gap in T, 100 to 400"] <= -1
    assert told["largest share of the bound on the mean distance"] <= 1
    assert told["slope of the features' distance in n"] == pytest.approx(-0.5, abs=0.12)
    assert told["slope of the weights' distance in n"] == pytest.approx(-0.5, abs=0.15)
    assert len(IRL.draw(results).data) == 7


def test_no_demonstrations_are_refused():
    mdp = random_mdp(3, 2)
    with pytest.raises(UserError, match="0 demonstrations"):
        demonstrated_features(mdp.transitions, mdp.rewards[:, :, None], np.full((2, 3, 2), 0.5), np.full(3, 1 / 3), 0, 0)
