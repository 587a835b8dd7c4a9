"""LSVI-UCB: linear MDPs, the inverse kept up to date, optimism and rates."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exact_planning import finite_horizon_values
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.linear_exploration import linear_mdp, lsvi_ucb

LSVI = exhibits("rlhub.foundations.theory")["lsvi-ucb"]


def test_a_linear_mdp_is_one_and_its_values_are_linear():
    features, mdp = linear_mdp(12, 3, 4, seed=1)
    assert np.linalg.norm(features, axis=-1).max() <= 1
    flat = features.reshape(-1, 4)
    for stage in finite_horizon_values(mdp, 5):
        weights = np.linalg.lstsq(flat, stage.ravel(), rcond=None)[0]
        assert flat @ weights == pytest.approx(stage.ravel())
    with pytest.raises(UserError, match="0 dimensions"):
        linear_mdp(2, 2, 0)


def test_with_one_choice_the_inverses_are_those_of_the_features_passed():
    # One state and one action: each episode adds the same feature at each stage
    features, transitions = np.array([[[0.6, 0.3]]]), np.ones((1, 1, 1))
    promised, worths, inverses = lsvi_ucb(features, transitions, np.array([[0.5]]), 400, horizon=3, radius=0.0, start=0, seed=0)
    true = np.linalg.inv(np.eye(2) + 400 * np.outer(features[0, 0], features[0, 0]))
    assert inverses == pytest.approx(np.stack([true] * 3), rel=1e-8)
    assert worths == pytest.approx(1.5)
    # Ridge regression shrinks the estimate a little; that goes away with data
    assert promised[0] == 0
    assert promised[-1] == pytest.approx(1.5, abs=0.05)


def test_regret_keeps_to_the_bounds_and_the_rate_whatever_the_number_of_states():
    results = LSVI.compute(seed=0, episodes=20_000)
    told = LSVI.numbers(results)
    assert told["least promise above the optimum"] > 0
    assert told["largest share of the bound"] <= 1
    assert told["largest share of what was promised and not kept"] <= 1
    for states in (10, 40):
        assert told[f"slope, last tenfold, {states} states"] == pytest.approx(0.5, abs=0.12)
        assert told[f"slope of what was promised and not kept, {states} states"] < 0.8
    assert told["regret at the end, 40 states"] < 2.5 * told["regret at the end, 10 states"]
    assert len(LSVI.draw(results).data) == 8


def test_a_radius_that_is_too_small_is_seen_to_lose_optimism():
    told = LSVI.numbers(LSVI.compute(seed=0, episodes=20_000, share=0.05))
    assert told["least promise above the optimum"] < 0
    assert told["largest share of what was promised and not kept"] > 1
