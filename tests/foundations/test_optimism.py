"""Optimism in bandits: its pieces against brute force, its regret against the bounds and their rates."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.optimism import add_to_inverse, farthest_point, linucb, ucb1

THEORY = exhibits("rlhub.foundations.theory")


def test_the_farthest_point_of_an_ellipsoid_is_on_its_rim_and_no_drawn_point_is_farther():
    generator = np.random.default_rng(0)
    for dimensions in (1, 2, 5):
        root = generator.standard_normal((dimensions, dimensions))
        precision = root @ root.T + np.eye(dimensions)
        center, radius = generator.standard_normal(dimensions), 0.7
        found = farthest_point(center, precision, radius)
        assert (found - center) @ precision @ (found - center) == pytest.approx(radius**2, rel=1e-6)
        directions = generator.standard_normal((20_000, dimensions))
        scale = np.sqrt(np.einsum("ni,ij,nj->n", directions, precision, directions))
        drawn = center + radius * directions / scale[:, None]
        assert np.linalg.norm(found) >= np.linalg.norm(drawn, axis=1).max() - 1e-9
        assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(drawn, axis=1).max(), rel=0.02)


def test_the_farthest_point_around_zero_is_along_the_longest_axis():
    assert np.abs(farthest_point(np.zeros(2), np.diag([4.0, 1.0]), 3.0)) == pytest.approx([0, 3])


def test_an_inverse_that_is_added_to_stays_the_inverse():
    generator = np.random.default_rng(1)
    precision, inverse = np.eye(6), np.eye(6)
    for feature in generator.standard_normal((500, 6)):
        precision += np.outer(feature, feature)
        inverse = add_to_inverse(inverse, feature)
    assert inverse == pytest.approx(np.linalg.inv(precision), rel=1e-8)


def test_a_sure_winner_costs_one_pull_of_each_loser_and_a_few_more():
    regret = ucb1(np.array([0.0, 1.0, 0.0]), 2000, runs=2, seed=0)
    assert (regret[:, 2] == 2).all()
    assert regret[:, -1].max() < 2 * 8 * np.log(2000)
    assert (np.diff(regret, axis=1) >= 0).all()


def test_ucb1_stays_below_its_bounds_with_their_rates():
    results = THEORY["ucb1"].compute(runs=4, seed=1, steps=30_000)
    told = THEORY["ucb1"].numbers(results)
    assert told["slope of the worst regret in T"] == pytest.approx(told["slope of the worst bound in T"], abs=0.06)
    assert told["largest share of a bound"] <= 1
    assert told["largest share of the worst bound"] <= 1
    assert told["largest gap's slope in T, last tenfold"] < 0.25
    assert len(THEORY["ucb1"].draw(results).data) == 5


def test_linucb_stays_below_its_bound_with_its_rate():
    results = THEORY["linucb"].compute(runs=2, seed=1, steps=4000)
    told = THEORY["linucb"].numbers(results)
    for dimensions in (2, 4, 8):
        assert told[f"slope in T, last tenfold, d = {dimensions}"] == pytest.approx(
            told["slope of the bound in T, last tenfold, d = 8"], abs=0.15
        )
    assert told["slope in d at the end"] == pytest.approx(1, abs=0.35)
    assert told["largest share of the bound"] <= 1
    assert len(THEORY["linucb"].draw(results).data) == 12


def test_linucb_without_noise_finds_the_direction():
    regret = linucb(np.array([0.6, -0.8]), 300, noise=0.01, failure=0.05, runs=1, seed=0)[0]
    assert regret[-1] - regret[-101] < 0.4 * regret[100]


def test_no_runs_are_refused():
    for key in ("ucb1", "linucb"):
        with pytest.raises(UserError, match="runs is 0"):
            THEORY[key].compute(runs=0)
