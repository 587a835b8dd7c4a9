"""The error of planning in a sampled model: below its bound, and falling like 1 / sqrt(n)."""

import numpy as np
import pytest

from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.mdp import MDP
from rlhub.foundations.theory.generative import estimated

GENERATIVE = exhibits("rlhub.foundations.theory")["generative"]


@pytest.mark.parametrize("gamma", [0.6, 0.9])
def test_the_error_falls_like_one_over_the_root_of_samples_below_its_bound(gamma):
    results = GENERATIVE.compute(runs=10, seed=1, gamma=gamma)
    told = GENERATIVE.numbers(results)
    assert told["slope of the error in n"] == pytest.approx(-0.5, abs=0.08)
    assert told["largest share of the bound"] <= 1
    # A policy greedy on values that are wrong by e loses at most 2 e / (1 - gamma)
    assert told["largest share of 2 error / (1 - gamma) lost"] <= 1
    assert len(GENERATIVE.draw(results).data) == 5


def test_a_model_from_samples_is_frequencies():
    mdp = MDP(transitions=np.array([[[0.25, 0.75]], [[1.0, 0.0]]]), rewards=np.zeros((2, 1)), gamma=0.5)
    model = estimated(mdp, 400, np.random.default_rng(0)).transitions
    assert (model * 400 == (model * 400).round()).all()
    assert model[0, 0, 0] == pytest.approx(0.25, abs=0.08)
    assert model[1, 0, 0] == 1
