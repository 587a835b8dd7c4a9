"""Exact planning: closed forms, and that three ways to the optimum agree."""

from dataclasses import replace

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exact_planning import (
    finite_horizon_values,
    greedy,
    linear_program,
    optimal_values,
    policy_iterates,
    value_iterates,
    visits,
)
from rlhub.foundations.mdp import policy_values
from rlhub.foundations.small_mdps import chain, random_mdp, river_swim


def test_the_chain_is_worth_its_reward_from_the_time_it_is_reached():
    assert optimal_values(chain(5, 3, gamma=0.8)).max(1) == pytest.approx(0.8 ** np.arange(4, -1, -1) / (1 - 0.8))


@pytest.mark.parametrize("seed", range(3))
def test_three_ways_to_the_optimum_agree(seed):
    mdp, start = random_mdp(12, 3, seed=seed, gamma=0.9), np.full(12, 1 / 12)
    exact = optimal_values(mdp)
    assert value_iterates(mdp, 300)[-1] == pytest.approx(exact, abs=1e-9)
    values, measure = linear_program(mdp, start)
    assert values == pytest.approx(exact.max(1), abs=1e-7)
    # The dual is an optimal policy's share of time in each state and action
    assert measure.sum(1) == pytest.approx(visits(mdp, greedy(exact), start), abs=1e-7)
    assert (measure * mdp.rewards).sum() / (1 - 0.9) == pytest.approx(start @ exact.max(1), abs=1e-6)


def test_all_ways_keep_to_the_actions_that_are_allowed():
    free = random_mdp(6, 3, seed=4, gamma=0.9)
    allowed = np.ones((6, 3), dtype=bool)
    allowed[np.arange(6), optimal_values(free).argmax(1)] = False
    kept, start = replace(free, allowed=allowed), np.full(6, 1 / 6)
    exact = optimal_values(kept)
    assert (exact.max(1) < optimal_values(free).max(1)).all()
    assert allowed[np.arange(6), exact.argmax(1)].all()
    values, measure = linear_program(kept, start)
    assert values == pytest.approx(exact.max(1), abs=1e-7)
    assert value_iterates(kept, 300)[-1].max(1) == pytest.approx(exact.max(1), abs=1e-9)
    assert (measure[~allowed] == 0).all()


def test_policy_iteration_never_gets_worse():
    stages = policy_iterates(river_swim(8, gamma=0.95)).max(2)
    assert (np.diff(stages, axis=0) >= -1e-9).all()
    assert len(stages) > 2


def test_visits_weigh_rewards_into_the_value():
    mdp = random_mdp(6, 2, seed=1, gamma=0.7)
    weights = visits(mdp, mdp.uniform_policy(), np.eye(6)[2])
    assert weights.sum() == pytest.approx(1)
    assert weights @ mdp.rewards.mean(1) / 0.3 == pytest.approx(policy_values(mdp, mdp.uniform_policy())[2])


def test_a_horizon_of_one_is_the_reward_and_a_policy_is_worth_no_more_than_the_best():
    mdp = river_swim()
    assert np.array_equal(finite_horizon_values(mdp, 1)[0], mdp.rewards)
    best, even = (finite_horizon_values(mdp, 15, policy) for policy in (None, mdp.uniform_policy()))
    assert (best >= even).all()
    assert best[0].max() > even[0].max() + 1


@pytest.mark.parametrize(
    "plan",
    [
        lambda mdp: value_iterates(mdp, 5),
        policy_iterates,
        lambda mdp: linear_program(mdp, np.full(6, 1 / 6)),
        lambda mdp: visits(mdp, mdp.uniform_policy(), np.full(6, 1 / 6)),
    ],
)
def test_sums_without_end_need_a_discount_below_one(plan):
    with pytest.raises(UserError, match="gamma"):
        plan(river_swim(gamma=1.0))
