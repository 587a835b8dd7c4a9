"""Chapter 11: what diverges off policy on Baird's counterexample, and what doesn't there and elsewhere."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.off_policy import (
    Prediction,
    baird,
    baird_start,
    expected_emphatic_td,
    expected_gradient_correction,
    expected_semi_gradient,
    gradient_correction,
    semi_gradient_td,
)

FIGURES = exhibits("rlhub.foundations.figures")


def made_up(features, *, gamma=0.8):
    generator = np.random.default_rng(5)
    states, actions = 4, 2
    target, behaviour = generator.dirichlet(np.ones(actions), states), generator.dirichlet(5 * np.ones(actions), states)
    transitions = generator.dirichlet(np.ones(states), (states, actions))
    rewards = generator.standard_normal((states, actions))
    return Prediction(features=features, transitions=transitions, rewards=rewards, target=target, behaviour=behaviour, gamma=gamma)


def truth_of(problem):
    return np.linalg.solve(np.eye(len(problem.rewards)) - problem.gamma * problem.target_chain, problem.target_rewards)


def test_semi_gradient_methods_diverge_and_dynamic_programming_too():
    results = FIGURES["11.2"].compute(seed=0)
    told = FIGURES["11.2"].numbers(results)
    # the book's figure ends with w8 near 300 for both
    assert told["Semi-gradient DP, w8 at the end"] == pytest.approx(335, abs=1)
    assert 150 < told["Semi-gradient off-policy TD, w8 at the end"] < 600
    assert len(FIGURES["11.2"].draw(results).data) == 16
    # it is the expected update itself that expands: one more sweep multiplies the weights by a matrix with an eigenvalue above 1
    problem = baird()
    expansion = np.eye(8) + 0.01 / 7 * problem.features.T @ (0.99 * problem.target_chain - np.eye(7)) @ problem.features
    assert np.abs(np.linalg.eigvals(expansion)).max() > 1.001


def test_gradient_correction_takes_the_projected_error_to_zero_but_not_the_value_error():
    results = FIGURES["11.5"].compute(seed=0)
    told = FIGURES["11.5"].numbers(results)
    # Sec. 11.7: the projected Bellman error goes to zero, the value error stays near 2
    assert told["Expected TDC, √PBE at the end"] < 0.02
    assert told["TDC, √PBE at the end"] < 0.3
    assert told["Expected TDC, √VE at the end"] == pytest.approx(2.0, abs=0.15)
    assert len(FIGURES["11.5"].draw(results).data) == 20


def test_emphatic_td_finds_the_true_values_in_expectation():
    results = FIGURES["11.6"].compute()
    assert FIGURES["11.6"].numbers(results)["Expected emphatic TD, √VE at the end"] < 0.05
    # it overshoots before it settles
    assert results["Expected emphatic TD"]["weights"][:, 7].min() < -2
    assert len(FIGURES["11.6"].draw(results).data) == 9


def test_with_a_feature_a_state_every_expected_method_finds_the_truth():
    problem = made_up(np.eye(4))
    first = np.zeros(4)
    found = (
        expected_semi_gradient(problem, first, sweeps=2000, step_size=0.5),
        expected_gradient_correction(problem, first, sweeps=8000, step_size=0.2, correction_step_size=0.2),
        expected_emphatic_td(problem, first, sweeps=2000, step_size=0.2),
    )
    for path in found:
        assert path[-1] == pytest.approx(truth_of(problem), abs=1e-4)
        assert problem.value_error(path[-1]) < 1e-4


def test_gradient_correction_rests_where_the_projected_error_is_zero():
    problem = made_up(np.array([[1.0, 0], [1, 1], [0, 1], [1, -1]]))
    path = expected_gradient_correction(problem, np.zeros(2), sweeps=8000, step_size=0.1, correction_step_size=0.1)
    assert problem.projected_bellman_error(path[-1]) < 1e-4
    assert problem.value_error(path[-1]) > 0.05


def test_sampled_corrections_are_the_expected_ones_on_average():
    # the first step's mean change over many paths is the expected update, and the second weights are still 0
    problem = made_up(np.array([[1.0, 0], [1, 1], [0, 1], [1, -1]]))
    changes = [
        gradient_correction(problem, np.ones(2), steps=1, step_size=1.0, correction_step_size=0.0, seed=seed)[1] - 1 for seed in range(4000)
    ]
    wanted = (problem.features.T * problem.weighting) @ problem.bellman_error(np.ones(2))
    assert np.mean(changes, 0) == pytest.approx(wanted, abs=4 * np.std(changes, 0).max() / 4000**0.5)


def test_shares_of_time_are_the_behaviours():
    assert baird().weighting == pytest.approx(np.full(7, 1 / 7))
    problem = made_up(np.eye(4))
    chain = np.einsum("sa,sat->st", problem.behaviour, problem.transitions)
    assert problem.weighting @ chain == pytest.approx(problem.weighting)
    assert problem.weighting.sum() == pytest.approx(1)


def test_one_seed_gives_one_path():
    one, again, other = (semi_gradient_td(baird(), baird_start(), steps=30, step_size=0.01, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 1.0}, "gamma is 1.0"),
        ({"target": np.full((7, 2), 0.6)}, "target don't sum to 1"),
        ({"behaviour": np.tile([1.0, 0.0], (7, 1))}, "never takes"),
    ],
)
def test_what_is_no_problem_is_refused(change, message):
    good = baird()
    fields = {name: getattr(good, name) for name in ("features", "transitions", "rewards", "target", "behaviour", "gamma")}
    with pytest.raises(UserError, match=message):
        Prediction(**(fields | change))
