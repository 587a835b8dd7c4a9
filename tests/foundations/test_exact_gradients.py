"""Policy optimisation with exact gradients: gradients by differences, rates and bounds."""

import numpy as np
import pytest

from rlhub.foundations.exact_gradients import (
    advantages,
    ascend,
    conservative_policy_iteration,
    natural_direction,
    softmax,
    softmax_gradient,
)
from rlhub.foundations.exact_planning import optimal_values
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.mdp import MDP, policy_values
from rlhub.foundations.small_mdps import random_mdp

THEORY = exhibits("rlhub.foundations.theory")


def test_the_gradient_is_that_of_the_value():
    mdp = random_mdp(4, 3, seed=1, gamma=0.8)
    logits, start, small = np.random.default_rng(0).standard_normal((4, 3)), np.full(4, 0.25), 1e-6
    found = softmax_gradient(mdp, softmax(logits), advantages(mdp, softmax(logits))[0], start)
    for place in np.ndindex(4, 3):
        ends = []
        for sign in (1, -1):
            moved = logits.copy()
            moved[place] += sign * small
            ends.append(start @ policy_values(mdp, softmax(moved)))
        assert found[place] == pytest.approx((ends[0] - ends[1]) / (2 * small), abs=1e-7)


def test_a_natural_step_weighs_actions_by_exponentials_of_their_advantage():
    # One state, two actions: after T steps the odds of the better are exp(eta T gap), so what is missing is known
    mdp = MDP(transitions=np.ones((1, 2, 1)), rewards=np.array([[0.7, 0.4]]), gamma=0.0)
    worths = ascend(natural_direction, mdp, np.ones(1), step_size=0.5, steps=20)
    assert 0.7 - worths == pytest.approx(0.3 / (1 + np.exp(0.5 * np.arange(20) * 0.3)))


def test_ascent_ends_when_it_is_enough():
    mdp = MDP(transitions=np.ones((1, 2, 1)), rewards=np.array([[1.0, 0.0]]), gamma=0.0)
    worths = ascend(natural_direction, mdp, np.ones(1), step_size=1.0, steps=100, enough=0.9)
    assert worths[-1] >= 0.9 > worths[-2]


def test_the_natural_gradient_keeps_its_rate_for_any_number_of_states_and_the_plain_one_starts_slowly():
    results = THEORY["policy-gradient"].compute(seed=1, patience=400)
    told = THEORY["policy-gradient"].numbers(results)
    for states in (4, 16, 64):
        assert told[f"slope in T, last tenfold, {states} states"] == pytest.approx(-1, abs=0.15)
    assert told["largest share of the bound"] <= 1
    assert told["gradient's steps, times for each more state"] > 1.7
    assert told["first value, divided by for each more state"] > 2.5
    assert told["natural gradient's steps on the longest corridor"] < 100
    assert told["natural gradient's largest share of its bound on corridors"] <= 1
    assert len(THEORY["policy-gradient"].draw(results).data) == 8


def test_conservative_steps_keep_their_promise_and_their_rate():
    results = THEORY["cpi"].compute(runs=1, seed=1, steps=1500)
    told = THEORY["cpi"].numbers(results)
    assert told["least improvement, times what was promised"] >= 1
    assert told["largest share of the bound"] <= 1
    assert told["slope of the missing value in T, last tenfold"] == pytest.approx(-1, abs=0.2)
    assert len(THEORY["cpi"].draw(results).data) == 5


def test_conservative_policy_iteration_ends_at_the_optimum():
    mdp, start = random_mdp(5, 2, seed=3, gamma=0.3), np.full(5, 0.2)
    worths, gains = conservative_policy_iteration(mdp, start, steps=3000, least=1e-2)
    assert gains[-1] <= 1e-2
    # What is missing is at most the advantage, times how much oftener the best policy visits a state: at most 5 / (1 - gamma), twice
    assert start @ optimal_values(mdp).max(1) - worths[-1] < 1e-2 * 5 / 0.7**2
