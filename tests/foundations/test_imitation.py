"""Imitation: costs against simulation and closed forms, growth with the horizon."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.imitation import cost_of, dagger_labels, expert_labels

IMITATION = exhibits("rlhub.foundations.theory")["imitation"]


def test_a_cost_is_what_episodes_cost_on_average():
    known = np.array([[True] * 9 + [False], [True] * 4 + [False] * 6])
    generator, total = np.random.default_rng(0), 0
    for _ in range(4000):
        off = 0
        for context in generator.integers(10, size=12):
            off = 0 if known[off, context] else 1
            total += off
    assert cost_of(known, 12)[0] == pytest.approx(total / 4000, rel=0.05)


def test_without_labels_off_the_track_there_is_no_way_back():
    known = np.array([[True, False], [False, False]])
    assert cost_of(known, 3)[0] == pytest.approx(0.5 + 0.75 + 0.875)
    assert not expert_labels(50, 500, np.random.default_rng(0))[1].any()
    assert dagger_labels(50, 200, 20, np.random.default_rng(0))[1].any()


def test_cloning_pays_the_square_of_the_horizon_and_dagger_the_horizon():
    results = IMITATION.compute(runs=100, seed=1)
    told = IMITATION.numbers(results)
    assert told["behaviour cloning: slope of the cost in H"] == pytest.approx(2, abs=0.25)
    assert told["DAgger: slope of the cost in H"] == pytest.approx(1, abs=0.25)
    assert told["behaviour cloning: largest share of the bound"] <= 1 + 1e-9
    assert told["DAgger: largest share of the bound"] <= 1 + 1e-9
    assert told["DAgger: cost at the longest horizon"] < told["behaviour cloning: cost at the longest horizon"]
    assert len(IMITATION.draw(results).data) == 6


def test_no_labels_are_refused():
    with pytest.raises(UserError, match="0 labels"):
        expert_labels(5, 0, np.random.default_rng(0))
