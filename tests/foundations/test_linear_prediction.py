"""Linear prediction: bases with known values, and methods that agree where theory says so."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.bases import aggregation, fourier_basis, interval_features, polynomial_basis
from rlhub.foundations.linear_prediction import (
    gradient_monte_carlo,
    n_step_td,
    offline_lambda_return,
    random_walks,
    root_mean_square_error,
    td_fixed_point,
    td_lambda,
    true_online_td_lambda,
    walk_truth,
)

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.standard_normal((6, 4))
VISITED = np.array([2, 3, 2, 1, 0, 1, 4, 5], dtype=np.int32)


def after(method, *how, features=FEATURES, first=0.3):
    weights = np.full(features.shape[1], first)
    method(weights, features, VISITED, 2.0, 0.05, *how)
    return weights


def test_bases_at_points_with_known_values():
    points = np.array([[0.0, 0.0], [0.5, 1.0]])
    assert polynomial_basis(points, 1).tolist() == [[1, 0, 0, 0], [1, 1, 0.5, 0.5]]
    assert fourier_basis(points, 1) == pytest.approx(np.array([[1, 1, 1, 1], [1, -1, 0, 0]]), abs=1e-12)
    assert aggregation(4, 2).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert interval_features(np.array([0.1, 0.9]), np.array([0.0, 1.0]), 0.4).tolist() == [[1, 0], [0, 1]]


def test_what_has_no_basis_is_refused():
    with pytest.raises(UserError, match="order -1"):
        fourier_basis(np.zeros((1, 1)), -1)
    with pytest.raises(UserError, match="don't divide into 3"):
        aggregation(10, 3)
    with pytest.raises(UserError, match="0 episodes"):
        random_walks(states=3, jump=1, episodes=0, seed=0)
    with pytest.raises(UserError, match="can't be walked"):
        random_walks(states=3, jump=0, episodes=1, seed=0)


def test_the_truth_of_a_walk_of_single_steps_is_a_line():
    values, weighting = walk_truth(19, 1)
    assert values == pytest.approx(np.arange(-9, 10) / 10)
    # expected visits from the middle fall linearly to the ends
    assert weighting == pytest.approx((10 - np.abs(np.arange(-9, 10))) / 100)


def test_walks_are_as_long_and_pay_as_theory_says():
    walks = random_walks(states=19, jump=1, episodes=2000, seed=3)
    # from the middle of 19 states, 10 steps from either end, a walk takes 10 * 10 steps on average
    assert np.mean([len(one) for one in walks.visited]) == pytest.approx(100, abs=8)
    assert walks.rewards.mean() == pytest.approx(0, abs=0.1)
    assert all(one[0] == 9 and one[-1] in (0, 18) for one in walks.visited)


def test_a_step_moves_the_weights_along_the_features_by_the_error():
    weights = np.full(4, 0.3)
    n_step_td(weights, FEATURES, np.array([3], dtype=np.int32), 2.0, 0.05, 1)
    assert weights == pytest.approx(0.3 + 0.05 * (2.0 - 0.3 * FEATURES[3].sum()) * FEATURES[3])


def test_looking_past_the_end_is_monte_carlo():
    assert after(n_step_td, 8) == pytest.approx(after(gradient_monte_carlo))
    assert after(offline_lambda_return, 1.0) == pytest.approx(after(gradient_monte_carlo))
    assert after(n_step_td, 7) != pytest.approx(after(gradient_monte_carlo))


def test_without_traces_all_are_one_step_td():
    wanted = after(n_step_td, 1)
    assert after(td_lambda, 0.0) == pytest.approx(wanted)
    assert after(true_online_td_lambda, 0.0) == pytest.approx(wanted)


def test_true_online_td_is_the_online_lambda_return_algorithm():
    # Sec. 12.4: at each horizon go through the episode again from the first weights, with returns cut at the horizon
    step_size, decay, first = 0.05, 0.8, np.full(4, 0.3)
    path = [first]
    for horizon in range(1, len(VISITED) + 1):
        weights = first.copy()
        for time in range(horizon):
            target = 0.0
            for n in range(1, horizon - time + 1):
                end = time + n
                later = 2.0 if end == len(VISITED) else FEATURES[VISITED[end]] @ path[end - 1]
                target += later * (decay ** (n - 1) * (1 - decay) if end < horizon else decay ** (n - 1))
            here = FEATURES[VISITED[time]]
            weights = weights + step_size * (target - here @ weights) * here
        path.append(weights)
    assert after(true_online_td_lambda, decay) == pytest.approx(path[-1])


def test_td_lambda_is_the_lambda_return_algorithm_to_first_order_in_the_step_size():
    # Sec. 12.2: off line the two make the same changes in sum, so they part only in the square of the step size
    changes = {}
    for step_size in (1e-3, 1e-4):
        made = []
        for method in (td_lambda, offline_lambda_return):
            weights = np.full(4, 0.3)
            method(weights, FEATURES, VISITED, 2.0, step_size, 0.7)
            made.append(weights - 0.3)
        changes[step_size] = np.abs(made[0] - made[1]).max()
    assert changes[1e-4] < changes[1e-3] / 80


def test_td_rests_at_its_fixed_point_and_with_a_feature_a_state_that_is_the_truth():
    assert td_fixed_point(np.eye(7), 2) == pytest.approx(walk_truth(7, 2)[0])
    features, total = aggregation(20, 4), np.zeros(4)
    point = td_fixed_point(features, 3)
    walks = random_walks(states=20, jump=3, episodes=5000, seed=0)
    for visited, reward in zip(walks.visited, walks.rewards, strict=True):
        weights = point.copy()
        n_step_td(weights, features, visited, reward, 1e-3, 1)
        total += (weights - point) / 1e-3 / 5000
    # no expected change there; 0.05 is three standard errors of the mean change
    assert total == pytest.approx(np.zeros(4), abs=0.05)


def test_the_error_is_weighted():
    assert root_mean_square_error(np.array([1.0, 3.0]), np.eye(2), np.zeros(2), np.array([0.75, 0.25])) == pytest.approx(3**0.5)
