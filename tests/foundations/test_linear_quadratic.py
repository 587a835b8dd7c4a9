"""LQR: Riccati against scipy, gradients by differences, rates."""

import numpy as np
import pytest
from scipy.linalg import solve_discrete_are

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.linear_quadratic import descend, evaluated, riccati

LQR = exhibits("rlhub.foundations.theory")["lqr"]
A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.0], [0.1]])


def test_riccati_agrees_with_scipy_on_the_double_integrator_and_with_the_golden_ratio():
    gain, P = riccati(A, B, np.eye(2), np.eye(1))
    assert pytest.approx(solve_discrete_are(A, B, np.eye(2), np.eye(1)), rel=1e-8) == P
    assert evaluated(A, B, np.eye(2), np.eye(1), gain, np.eye(2))[0] == pytest.approx(np.trace(P))
    one = np.ones((1, 1))
    assert riccati(one, one, one, one)[1][0, 0] == pytest.approx((1 + 5**0.5) / 2)


def test_a_gradient_step_goes_down_the_difference_quotient():
    gain, small = np.array([[0.8, 1.2]]), 1e-6
    _, after = descend(A, B, np.eye(2), np.eye(1), gain, np.eye(2), way="gradient", step_size=1e-6, steps=1)
    for place in range(2):
        moved = [gain + sign * small * np.eye(2)[place] for sign in (1, -1)]
        costs = [evaluated(A, B, np.eye(2), np.eye(1), one, np.eye(2))[0] for one in moved]
        assert (gain - after)[0, place] / 1e-6 == pytest.approx((costs[0] - costs[1]) / (2 * small), rel=1e-4)


def test_policy_gradient_converges_at_a_geometric_rate_within_its_bound():
    results = LQR.compute(runs=2, seed=2)
    told = LQR.numbers(results)
    for way in ("gradient", "natural"):
        assert told[f"{way}: largest share of the bound"] <= 1 + 1e-9
        assert told[f"{way}: factor a step, from 50 to 100, worst"] <= told[f"{way}: factor promised"] < 1
    assert told["largest difference of a gain from Riccati's"] < 1e-6
    assert told["gauss-newton: steps until 1e-12 of the first"] <= 12
    assert len(LQR.draw(results).data) == 5


def test_what_can_not_be_steadied_is_refused():
    with pytest.raises(UserError, match="settle"):
        riccati(np.array([[2.0]]), np.array([[0.0]]), np.eye(1), np.eye(1))
    with pytest.raises(UserError, match="grow without end"):
        evaluated(A, B, np.eye(2), np.eye(1), np.zeros((1, 2)), np.eye(2))
