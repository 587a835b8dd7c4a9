"""Chapter 2: what the figures of the 10-armed testbed show, and the values that the book gives for them."""

import numpy as np
import pytest

from rlhub.foundations.bandits import epsilon_greedy, gradient_bandit, softmax, thompson_sampling, upper_confidence_bound
from rlhub.foundations.exhibit import exhibits

FIGURES = exhibits("rlhub.foundations.figures")


def noise(runs, steps):
    return np.random.default_rng(7).standard_normal((runs, steps))


@pytest.fixture(scope="module")
def computed():
    return {key: FIGURES[key].compute(runs=500, seed=1) for key in ("2.1", "2.2", "2.3", "2.4", "2.5")}


def told(computed, key):
    return FIGURES[key].numbers(computed[key])


def test_exploring_finds_the_best_arm_and_greed_gets_stuck(computed):
    # Sec. 2.3: greedy earns about 1 and finds the best arm in about a third of the tasks; epsilon = 0.1 rarely more than 91%
    numbers = told(computed, "2.2")
    assert numbers["reward at the end, ε = 0 (greedy)"] == pytest.approx(1.0, abs=0.12)
    assert numbers["share of best actions at the end, ε = 0 (greedy)"] == pytest.approx(0.36, abs=0.07)
    assert numbers["share of best actions at the end, ε = 0.1"] == pytest.approx(0.80, abs=0.05)
    rewards = [numbers[f"reward at the end, ε = {epsilon}"] for epsilon in ("0.1", "0.01", "0 (greedy)")]
    assert rewards == sorted(rewards, reverse=True)


def test_the_optimist_begins_worse_and_ends_better(computed):
    optimist, realist = (curves["best"] for curves in computed["2.3"].values())
    assert optimist[11:60].mean() < realist[11:60].mean()
    assert optimist[-100:].mean() > realist[-100:].mean() + 0.03
    assert optimist[10] > optimist[9] + 0.2  # the spike of exercise 2.6: every arm has been tried once
    assert optimist[10] > optimist[11] + 0.1


def test_upper_confidence_bounds_earn_more_than_epsilon_greedy_after_a_spike(computed):
    bound, greedy = (curves["reward"] for curves in computed["2.4"].values())
    assert bound[10] > max(bound[:10].mean() + 0.5, bound[11:20].mean() + 0.1)  # the spike of exercise 2.8
    assert bound[-500:].mean() > greedy[-500:].mean() + 0.05


def test_a_baseline_makes_an_offset_of_rewards_harmless(computed):
    numbers = told(computed, "2.5")
    for step_size in (0.1, 0.4):
        with_it, without = (
            numbers[f"share of best actions at the end, {which} baseline, α = {step_size}"] for which in ("with", "without")
        )
        assert with_it > without + 0.25


def test_every_method_is_best_at_a_middle_setting_and_ucb_at_most():
    results = FIGURES["2.6"].compute(runs=100, seed=1)
    numbers = FIGURES["2.6"].numbers(results)
    for name, curve in results.items():
        assert curve["parameter"][0] < numbers[f"best parameter, {name}"] < curve["parameter"][-1]
    best = {name: numbers[f"best reward, {name}"] for name in results}
    assert max(best, key=best.get) == "UCB (c)"
    assert min(best, key=best.get) == "ε-greedy (ε)"
    assert len(FIGURES["2.6"].draw(results).data) == 4


def test_the_rewards_of_one_task_have_the_means_and_the_variance_of_the_testbed(computed):
    results = computed["2.1"]
    assert results["rewards"].mean(0) == pytest.approx(results["means"], abs=4 / np.sqrt(500))
    assert told(computed, "2.1")["standard deviation of rewards"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("key", "lines"), [("2.1", 11), ("2.2", 6), ("2.3", 2), ("2.4", 2), ("2.5", 4)])
def test_a_figure_is_drawn_with_its_lines_and_units(computed, key, lines):
    drawn = FIGURES[key].draw(computed[key])
    assert len(drawn.data) == lines
    assert f"Figure {key}" in drawn.layout.title.text
    assert {axis.title.text for axis in drawn.select_xaxes()} & {"steps", "action"}


def test_one_seed_draws_the_same_numbers_and_another_others():
    values = np.random.default_rng(0).standard_normal((4, 3))
    settings = {"epsilon": 0.1, "first": 0.0, "step_size": 0.0}
    one, again, other = (epsilon_greedy(values, noise(4, 50), seed=seed, **settings)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_an_arm_far_above_the_others_is_found_by_a_greedy_learner():
    values = np.array([[0.0, 50.0]])
    _, best = epsilon_greedy(values, noise(1, 100), epsilon=0.0, first=100.0, step_size=0.5, seed=0)
    assert best[0, -50:].all()


def test_methods_agree_with_a_replay_in_plain_numpy_where_rewards_hardly_matter():
    # With two arms a thousand apart, everything but the first pulls is settled
    values = np.tile([0.0, 1000.0], (20, 1))
    _, best = upper_confidence_bound(values, noise(20, 30), confidence=2.0, seed=3)
    assert (best.sum(1) == 29).all()  # each arm once, then the better
    assert best[:, 0].any()
    assert not best[:, 0].all()
    _, best = thompson_sampling(values, noise(20, 30), prior_variance=1.0, seed=3)
    first = best.argmax(1)
    assert all(row[start:].all() for row, start in zip(best, first, strict=True))


def test_thompson_sampling_has_lower_regret_than_epsilon_greedy_and_grows_like_a_logarithm():
    values = np.tile([0.0, 0.5], (400, 1))
    rewards, best = thompson_sampling(values, noise(400, 2000), prior_variance=1.0, seed=0)
    regret = 0.5 * (~best).sum(1).mean()
    _, greedy = epsilon_greedy(values, noise(400, 2000), epsilon=0.1, first=0.0, step_size=0.0, seed=0)
    assert regret < 0.5 * (~greedy).sum(1).mean()
    late = 0.5 * (~best[:, 1000:]).sum(1).mean()
    assert late < 3 * np.log(2) * 2 / 0.5  # Lai and Robbins' slope 2 / gap per logarithm, with room for the finite horizon
    assert rewards.mean() == pytest.approx(0.5 - regret / 2000, abs=5 / np.sqrt(400 * 2000))


def test_softmax_is_even_for_even_preferences_and_bears_large_ones():
    probabilities = np.empty(2)
    for preferences, wanted in (([3.0, 3.0], [0.5, 0.5]), ([np.log(3), 0.0], [0.75, 0.25]), ([1e5, 0.0], [1.0, 0.0])):
        softmax(np.array(preferences), probabilities)
        assert probabilities == pytest.approx(wanted)


def test_a_gradient_bandit_without_a_baseline_moves_by_the_whole_reward():
    # Rewards near a million at a step size of 1 settle the policy on whichever arm came first
    _, best = gradient_bandit(np.tile([1e6, 1e6 + 1], (50, 1)), noise(50, 10), step_size=1.0, baseline=False, seed=0)
    assert (best == best[:, :1]).all()
    assert 0 < best[:, 0].mean() < 1
