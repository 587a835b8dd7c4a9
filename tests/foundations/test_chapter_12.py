"""Chapter 12: what its figures on the 19-state walk and the mountain car show."""

import pytest

from rlhub.foundations.exhibit import exhibits

FIGURES = exhibits("rlhub.foundations.figures")
LAMBDA = "\N{GREEK SMALL LETTER LAMDA}"
OFFLINE = f"off-line {LAMBDA}-return algorithm"


@pytest.fixture(scope="module")
def online():
    return FIGURES["12.8"].compute(runs=40, seed=1)


def test_offline_lambda_returns_do_about_as_well_as_n_steps():
    told = FIGURES["12.3"].numbers(FIGURES["12.3"].compute(runs=20, seed=1))
    best = {method: min(value for name, value in told.items() if method in name) for method in (OFFLINE, "n-step TD")}
    assert best[OFFLINE] == pytest.approx(best["n-step TD"], abs=0.02)
    # with lambda = 1, and n past the episode's end, both are Monte Carlo
    assert told[f"lowest error, {OFFLINE}, 1"] == pytest.approx(told["lowest error, n-step TD, 512"], abs=0.01)
    assert told[f"lowest error, {OFFLINE}, 0.8"] < told[f"lowest error, {OFFLINE}, 0"] - 0.05


def test_td_lambda_is_near_its_ideal_at_small_step_sizes_and_worse_at_large_ones():
    results = FIGURES["12.6"].compute(runs=20, seed=1)
    here, ideal = (results[name] for name in (f"TD({LAMBDA})", OFFLINE))
    assert here[0.9][1] == pytest.approx(ideal[0.9][1], abs=0.01)
    assert here[0.9][-1] > ideal[0.9][-1] + 0.2


def test_the_online_algorithm_does_a_little_better_than_the_offline_one(online):
    here, offline = (next(curves for name, curves in online.items() if name.startswith(start)) for start in ("on-line", "off-line"))
    for decay in (0.0, 0.4, 0.8, 0.9):
        assert here[decay].min() < offline[decay].min()
    # Fig. 12.8: the best of all is lambda = 0.8, a little above 0.25
    assert here[0.8].min() == pytest.approx(0.257, abs=0.025)
    assert min(here, key=lambda decay: here[decay].min()) == 0.8
    drawn = FIGURES["12.8"].draw(online)
    assert len(drawn.data) == 16 and drawn.layout.yaxis.title.text.startswith("RMS error")


def test_traces_help_the_car(monkeypatch):
    monkeypatch.setattr("rlhub.foundations.figures.chapter_12.CAR_STEP_SIZES", (0.7,))
    monkeypatch.setattr("rlhub.foundations.figures.chapter_12.CAR_DECAYS", (0.0, 0.92))
    results = FIGURES["12.10"].compute(runs=5)
    told = FIGURES["12.10"].numbers(results)
    assert told[f"fewest steps per episode, {LAMBDA} = 0.92"] < told[f"fewest steps per episode, {LAMBDA} = 0"] - 30
    assert len(FIGURES["12.10"].draw(results).data) == 2


def test_true_online_sarsa_earns_most_and_accumulating_traces_fail_at_large_step_sizes(monkeypatch):
    monkeypatch.setattr("rlhub.foundations.figures.chapter_12.SUMMARY_STEP_SIZES", (0.4, 1.2))
    results = FIGURES["12.11"].compute(runs=5)
    ends = {name: curve[1.2] for name, curve in results.items()}
    accumulating = next(name for name in ends if "accumulating" in name)
    assert all(ends[accumulating] < reward - 100 for name, reward in ends.items() if name != accumulating)
    assert max(ends, key=lambda name: ends[name]).startswith("true online")
    assert len(FIGURES["12.11"].draw(results).data) == 4
