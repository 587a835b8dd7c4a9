"""Bandits that change: what forgetting does, and each method where it must agree with another or where the answer is known."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.drifting import (
    abrupt,
    cusum_ucb,
    discounted_ucb,
    hopeful_arm,
    reflected_walks,
    restarted_ucb,
    sliding_window_ucb,
    walking_epsilon_greedy,
)
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.optimism import ucb1

FIGURES, THEORY = exhibits("rlhub.foundations.figures"), exhibits("rlhub.foundations.theory")
NEVER = np.zeros(2000, dtype=bool)
WATCH = {"first": 50, "tolerance": 0.1, "threshold": 20.0, "forced": 0.02, "exploration": 0.5, "seed": 0}


def still(*means, runs=20, steps=2000):
    return abrupt(np.array([means]), (0,), runs=runs, steps=steps)


def test_what_forgets_loses_less_where_arms_change():
    results = THEORY["drifting-bandits"].compute(runs=20, seed=1)
    told = THEORY["drifting-bandits"].numbers(results)
    jumps, walks = ({name: told[f"{panel}, {name}: regret at the end"] for name in results[panel]} for panel in results)
    assert jumps["sliding-window UCB"] < jumps["UCB1"] / 1.7
    assert jumps["CUSUM-UCB"] < jumps["UCB1"] / 1.7
    assert min(jumps, key=lambda name: jumps[name]).endswith("(oracle)")
    assert walks["sliding-window UCB"] < walks["UCB1"]
    assert walks["UCB1 restarted every 500 steps"] < walks["UCB1"]
    assert len(THEORY["drifting-bandits"].draw(results).data) == 20


def test_a_constant_step_size_follows_walking_arms():
    results = FIGURES["exercise 2.5"].compute(runs=100, seed=1, steps=5000)
    told = FIGURES["exercise 2.5"].numbers(results)
    averages, constant = results
    assert told[f"reward at the end, {constant}"] > told[f"reward at the end, {averages}"] + 0.1
    assert told[f"share of best actions at the end, {constant}"] > told[f"share of best actions at the end, {averages}"] + 0.15
    # All arms begin equal, so each of the first pulls is of a best one.
    assert results[constant]["best"][0] == 1
    assert FIGURES["exercise 2.5"].draw(results).layout.xaxis2.title.text == "steps"


def test_arms_that_stand_still_are_the_ordinary_testbed():
    rewards, best = walking_epsilon_greedy(200, 50, arms=4, drift=0.0, epsilon=0.1, step_size=0.1, seed=0)
    assert best.all()
    assert rewards.mean() == pytest.approx(0, abs=4 / np.sqrt(200 * 50))


def test_without_change_nothing_to_forget_costs_little_and_all_find_the_better_arm():
    means = still(0.2, 0.8)
    for regret in (
        restarted_ucb(means, NEVER, exploration=0.5, seed=0),
        sliding_window_ucb(means, window=1000, exploration=0.5, seed=0),
        cusum_ucb(means, **WATCH)[0],
    ):
        assert (np.diff(regret, axis=1) >= -1e-12).all()
        assert regret[:, -1].mean() < 60 < 0.3 * 2000


def test_without_restarts_it_is_ucb1():
    # The bound of UCB1 with xi = 2; both see chances alone, so their means agree within their errors
    ours = restarted_ucb(still(0.4, 0.6, runs=200), NEVER, exploration=2.0, seed=0)[:, -1]
    theirs = ucb1(np.array([0.4, 0.6]), 2000, runs=200, seed=5)[:, -1]
    assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * np.hypot(ours.std(), theirs.std()) / np.sqrt(200))


def test_a_window_or_a_discount_that_forgets_nothing_changes_nothing():
    means = still(0.3, 0.5, 0.6)
    plain = restarted_ucb(means, NEVER, exploration=0.5, seed=3)
    assert discounted_ucb(means, discount=1.0, exploration=0.125, seed=3) == pytest.approx(plain)
    # The window's logarithm counts the pull to come, so one step is another
    windowed = sliding_window_ucb(means, window=2000, exploration=0.5, seed=3)
    assert windowed[:, -1].mean() == pytest.approx(plain[:, -1].mean(), abs=4 * plain[:, -1].std() * np.sqrt(2 / 20))


def test_a_restart_forgets_all():
    # With the arms swapped halfway, the oracle pays the second half what it paid the first
    means = abrupt(np.array([[0.2, 0.8], [0.8, 0.2]]), (0, 1000), runs=40, steps=2000)
    regret = restarted_ucb(means, np.arange(2000) == 1000, exploration=0.5, seed=0)
    halves = regret[:, 999], regret[:, -1] - regret[:, 999]
    assert halves[0].mean() == pytest.approx(halves[1].mean(), abs=4 * halves[0].std() * np.sqrt(2 / 40))
    assert restarted_ucb(means, NEVER, exploration=0.5, seed=0)[:, -1].mean() > 2 * regret[:, -1].mean()


def test_alarms_come_after_a_jump_and_hardly_before():
    means = abrupt(np.array([[0.2, 0.5], [0.9, 0.5]]), (0, 1000), runs=20, steps=2000)
    alarms = cusum_ucb(means, **WATCH | {"forced": 0.2})[1]
    # Fifty rewards leave an average a standard error of 0.06, so now and then it is off by more than the tolerance
    assert alarms[:, :1000].sum(1).mean() < 0.5
    # The other arm is pulled a tenth of the time: the sum climbs by (0.9 - 0.2 - 0.1) a pull and needs 34 of them
    assert (alarms[:, 1000:].sum(1) >= 1).all()
    assert alarms[:, 1000:].argmax(1).mean() == pytest.approx(340, abs=120)


def test_the_most_hopeful_arm_is_untried_or_has_the_highest_bound():
    assert hopeful_arm(np.array([5.0, 0.0]), np.array([5.0, 0.0]), 1.0, 5.0) == 1
    # 0.5 + sqrt(ln 100 / 50) = 0.80 and 0.3 + sqrt(ln 100 / 10) = 0.98; without a width the averages decide
    assert hopeful_arm(np.array([25.0, 3.0]), np.array([50.0, 10.0]), 1.0, 100.0) == 1
    assert hopeful_arm(np.array([25.0, 3.0]), np.array([50.0, 10.0]), 0.0, 100.0) == 0


def test_walks_stay_between_0_and_1_and_move_by_the_drift():
    means = reflected_walks(runs=50, steps=2000, arms=2, drift=0.02, seed=0)
    assert means.min() >= 0 and means.max() <= 1
    inside = (means[:, :-1] > 0.1) & (means[:, :-1] < 0.9)
    assert np.diff(means, axis=1)[inside].std() == pytest.approx(0.02, rel=0.02)
    # Reflection keeps the even distribution that walks begin with
    assert means[:, -1].mean() == pytest.approx(0.5, abs=0.12)


def test_what_is_no_bandit_is_refused():
    with pytest.raises(UserError, match="outside"):
        abrupt(np.array([[0.5, 1.2]]), (0,), runs=1, steps=5)
    for begins in ((1,), (0, 3)):
        with pytest.raises(UserError, match="rising steps from 0"):
            abrupt(np.array([[0.5, 0.2]]), begins, runs=1, steps=5)
    with pytest.raises(UserError, match="drift"):
        reflected_walks(runs=1, steps=5, arms=2, drift=-1.0, seed=0)
