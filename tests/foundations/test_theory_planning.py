"""The bound of planning holds, and value iteration's rate is the discount."""

import pytest

from rlhub.foundations.exhibit import exhibits

PLANNING = exhibits("rlhub.foundations.theory")["planning"]


@pytest.mark.parametrize("gamma", [0.7, 0.9])
def test_errors_stay_below_their_bounds_and_shrink_by_the_discount(gamma):
    results = PLANNING.compute(runs=5, seed=1, gamma=gamma)
    told = PLANNING.numbers(results)
    assert told["value iteration's factor a step, steps 20 to 50"] == pytest.approx(gamma, abs=0.01)
    assert told["largest share of value iteration's bound"] <= 1 + 1e-6
    assert told["largest share of policy iteration's bound"] <= 1 + 1e-6
    assert told["policy iteration's steps, most"] <= 10
    assert told["linear program's largest difference"] < 1e-7
    assert len(PLANNING.draw(results).data) == 5
