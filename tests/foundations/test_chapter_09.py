"""Chapter 9: what its figures on the 1000-state random walk show."""

import numpy as np
import pytest

from rlhub.foundations.bases import aggregation
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.linear_prediction import td_fixed_point, walk_truth

FIGURES = exhibits("rlhub.foundations.figures")


@pytest.fixture(scope="module")
def bootstrapping():
    return FIGURES["9.2"].compute(runs=5, seed=1, episodes=5000)


def test_aggregated_values_are_steps_biased_towards_the_middle():
    results = FIGURES["9.1"].compute(episodes=5000, seed=1, step_size=4e-4)
    told = FIGURES["9.1"].numbers(results)
    # Example 9.1: the leftmost group's states that are visited more lie to the right, so its value is above their mean
    assert -0.85 < told["learned value of the leftmost group"] < -0.68
    assert told["root mean square value error"] < 0.1
    # the book's distribution: 1.37% at the start, 0.17% beside it, 0.0147% at the ends
    assert told["share of time at the start state"] == pytest.approx(0.0137, abs=1e-4)
    assert told["share of time at its neighbour"] == pytest.approx(0.0017, abs=5e-5)
    assert told["share of time at state 1"] == pytest.approx(0.000147, abs=1e-6)


def test_bootstrapping_rests_farther_from_the_truth_and_intermediate_n_is_best(bootstrapping):
    told = FIGURES["9.2"].numbers(bootstrapping)
    assert told["lowest error, n = 4"] < told["lowest error, n = 1"]
    assert told["lowest error, n = 4"] < told["lowest error, n = 64"] < told["lowest error, n = 512"]
    features, (values, weighting) = aggregation(1000, 10), walk_truth(1000, 100)
    best = (features.T * weighting) @ values / (features.T @ weighting)
    error = {
        name: weighting @ (features @ weights - values) ** 2 for name, weights in (("td", td_fixed_point(features, 100)), ("mc", best))
    }
    assert error["td"] > 1.5 * error["mc"]
    assert told["fixed point's value of the leftmost group"] > best[0] > told["mean true value of the leftmost group"]


def test_fourier_features_learn_faster_than_polynomials():
    results = FIGURES["9.5"].compute(runs=2, episodes=2000, seed=0)
    for order in (5, 10, 20):
        assert results[f"Fourier basis, order {order}"][-1] < results[f"polynomial basis, order {order}"][-1] - 0.05
    assert results["Fourier basis, order 5"][0] == pytest.approx(results["polynomial basis, order 5"][0])


def test_many_tilings_end_below_one():
    results = FIGURES["9.10"].compute(runs=1, episodes=5000, seed=0)
    assert results["50 tilings"][-1] < results["1 tiling, state aggregation"][-1] - 0.04


def test_width_matters_at_first_and_little_in_the_end():
    told = FIGURES["9.8"].numbers(FIGURES["9.8"].compute())
    moved = [told[f"share of points moved after 10 examples, {name}"] for name in ("narrow", "medium", "broad")]
    assert moved == sorted(moved) and moved[0] < 0.6 < moved[2]
    assert all(told[f"mean error after 10,240, {name}"] < 0.06 for name in ("narrow", "medium", "broad"))


def test_figures_are_drawn_with_the_books_axes(bootstrapping):
    drawn = FIGURES["9.2"].draw(bootstrapping)
    assert len(drawn.data) == 2 + 10
    assert drawn.layout.xaxis2.title.text == "step size \N{GREEK SMALL LETTER ALPHA}"
    curves = FIGURES["9.10"].draw({"50 tilings": np.array([1.0, 0.5])})
    assert curves.data[0].x.tolist() == [0, 50]
