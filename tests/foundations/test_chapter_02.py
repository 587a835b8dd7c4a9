"""Chapter 2: what the figures of the 10-armed testbed show, and the values that the book gives for them."""

import numpy as np
import pytest

from rlhub.foundations.bandits import epsilon_greedy
from rlhub.foundations.exhibit import exhibits

FIGURES = exhibits("rlhub.foundations.figures")


@pytest.fixture(scope="module")
def greedy_ways():
    return FIGURES["2.2"].compute(runs=500, seed=1)


def test_exploring_finds_the_best_arm_and_greed_gets_stuck(greedy_ways):
    # Sec. 2.3: greedy earns about 1 and finds the best arm in about a third of the tasks; epsilon = 0.1 rarely more than 91%
    told = FIGURES["2.2"].numbers(greedy_ways)
    assert told["reward at the end, epsilon 0"] == pytest.approx(1.0, abs=0.12)
    assert told["share of best actions at the end, epsilon 0"] == pytest.approx(0.36, abs=0.07)
    assert told["share of best actions at the end, epsilon 0.1"] == pytest.approx(0.80, abs=0.05)
    assert told["reward at the end, epsilon 0.1"] > told["reward at the end, epsilon 0.01"] > told["reward at the end, epsilon 0"]


def test_a_figure_is_drawn_with_its_axes_and_units(greedy_ways):
    drawn = FIGURES["2.2"].draw(greedy_ways)
    assert len(drawn.data) == 6
    assert drawn.layout.xaxis2.title.text == "steps"


def test_one_seed_draws_the_same_numbers_and_another_others():
    values = np.random.default_rng(0).standard_normal((4, 3))
    settings = {"epsilon": 0.1, "first": 0.0, "step_size": 0.0}
    one, again, other = (epsilon_greedy(values, 50, seed=seed, **settings)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_an_arm_far_above_the_others_is_found_by_a_greedy_learner():
    values = np.array([[0.0, 50.0]])
    _, best = epsilon_greedy(values, 100, epsilon=0.0, first=100.0, step_size=0.5, seed=0)
    assert best[0, -50:].all()
