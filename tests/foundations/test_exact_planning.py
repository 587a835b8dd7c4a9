"""Exact planning: closed forms, and that three ways to the optimum agree."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exact_planning import (
    finite_horizon_values,
    greedy,
    linear_program,
    optimal_values,
    policy_iterates,
    policy_values,
    value_iterates,
    visits,
)
from rlhub.foundations.small_mdps import chain, random_mdp, river_swim


def test_the_chain_is_worth_its_reward_from_the_time_it_is_reached():
    transitions, rewards = chain(5, 3)
    expected = 0.8 ** np.arange(4, -1, -1) / (1 - 0.8)
    assert optimal_values(transitions, rewards, 0.8).max(1) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_three_ways_to_the_optimum_agree(seed):
    transitions, rewards = random_mdp(12, 3, seed=seed)
    start = np.full(12, 1 / 12)
    exact = optimal_values(transitions, rewards, 0.9)
    assert value_iterates(transitions, rewards, 0.9, 300)[-1] == pytest.approx(exact, abs=1e-9)
    values, measure = linear_program(transitions, rewards, 0.9, start)
    assert values == pytest.approx(exact.max(1), abs=1e-7)
    # The dual is an optimal policy's share of time in each state and action
    assert measure.sum(1) == pytest.approx(visits(transitions, 0.9, greedy(exact), start), abs=1e-7)
    assert (measure * rewards).sum() / (1 - 0.9) == pytest.approx(start @ exact.max(1), abs=1e-6)


def test_policy_iteration_never_gets_worse():
    transitions, rewards = river_swim(8)
    stages = policy_iterates(transitions, rewards, 0.95).max(2)
    assert (np.diff(stages, axis=0) >= -1e-9).all()
    assert len(stages) > 2


def test_visits_weigh_rewards_into_the_value():
    transitions, rewards = random_mdp(6, 2, seed=1)
    policy, start = np.full((6, 2), 0.5), np.eye(6)[2]
    weights = visits(transitions, 0.7, policy, start)
    assert weights.sum() == pytest.approx(1)
    assert weights @ rewards.mean(1) / 0.3 == pytest.approx(policy_values(transitions, rewards, 0.7, policy)[2])


def test_a_horizon_of_one_is_the_reward_and_a_policy_is_worth_no_more_than_the_best():
    transitions, rewards = river_swim()
    assert np.array_equal(finite_horizon_values(transitions, rewards, 1)[0], rewards)
    best, even = (finite_horizon_values(transitions, rewards, 15, policy) for policy in (None, np.full((6, 2), 0.5)))
    assert (best >= even).all()
    assert best[0].max() > even[0].max() + 1


def test_a_discount_of_one_is_refused():
    with pytest.raises(UserError, match="gamma"):
        value_iterates(*river_swim(), 1.0, 5)
