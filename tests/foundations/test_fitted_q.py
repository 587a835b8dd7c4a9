"""Fitted Q iteration: exact where data is, and its rates in data and coverage."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exact_planning import value_iterates
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.fitted_q import draw_data, fitted_q, regression_errors
from rlhub.foundations.small_mdps import random_mdp
from rlhub.foundations.theory.fitted_q import weights_of

FITTED = exhibits("rlhub.foundations.theory")["fitted-q"]


def test_with_counts_in_the_true_proportion_it_is_value_iteration():
    mdp = random_mdp(5, 2, seed=1, gamma=0.8)
    iterates = fitted_q(1000 * mdp.transitions, mdp.rewards, 0.8, 30)
    assert iterates == pytest.approx(value_iterates(mdp, 30))
    assert regression_errors(mdp, iterates, np.full((5, 2), 0.1)) == pytest.approx(np.zeros(30), abs=1e-12)


def test_a_pair_without_data_stays_at_zero_and_its_regression_misses_the_backup():
    mdp = random_mdp(3, 2, seed=2, gamma=0.5)
    counts = mdp.transitions.copy()
    counts[1, 0] = 0
    iterates = fitted_q(counts, mdp.rewards, 0.5, 4)
    assert (iterates[:, 1, 0] == 0).all()
    missed = regression_errors(mdp, iterates, np.eye(6)[2].reshape(3, 2))
    assert missed[0] == pytest.approx(mdp.rewards[1, 0])


def test_no_pair_is_more_than_c_times_rarer_than_it_could_be_common():
    for spread in (20.0, 200.0):
        weights = weights_of(spread)
        assert weights.sum() == pytest.approx(1)
        assert 1 / weights.min() == pytest.approx(spread)


def test_errors_keep_to_the_bound_and_to_both_rates():
    results = FITTED.compute(runs=10, seed=1)
    told = FITTED.numbers(results)
    assert told["slope of the error in n"] == pytest.approx(-0.5, abs=0.1)
    assert told["slope of the error in C"] == pytest.approx(0.5, abs=0.15)
    assert told["largest share of the bound"] <= 1
    assert len(FITTED.draw(results).data) == 6


def test_weights_that_are_no_distribution_are_refused():
    with pytest.raises(UserError, match="sum to 3"):
        draw_data(random_mdp(3, 2).transitions, np.full((3, 2), 0.5), 10, np.random.default_rng(0))
