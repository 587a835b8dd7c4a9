from itertools import pairwise

import numpy as np
import pytest
import torch
from hub.folders import made_run
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhub.core.statistics import bootstrap_interval, interquartile_mean
from rlhub.hub.catalogue import row_of
from rlhub.hub.comparison import curves_of, differing, groups, metrics_of
from rlhub.hub.curves import curve, interval, middle, on_grid, smoothed, thinned, together
from rlhub.hub.metric_log import MetricLogs


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_thinning_keeps_the_ends_and_every_columns_extremes(count, width, seed):
    values = np.random.default_rng(seed).normal(size=count)
    kept = thinned(values, width=width)
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == count - 1
    assert len(kept) <= max(4 * width, 2 * width + 2)
    edges = np.linspace(0, count, width + 1).astype(int)
    for begin, end in pairwise(edges):
        inside = values[kept[(kept >= begin) & (kept < end)]]
        if end > begin:
            assert inside.min() == values[begin:end].min()
            assert inside.max() == values[begin:end].max()


def test_one_spike_among_a_hundred_thousand_points_is_kept():
    values = np.zeros(100_000)
    values[77_777] = 5.0
    told = curve(np.arange(100_000.0), values[:, None], width=300)[0]
    assert len(told["steps"]) <= 602
    assert told["values"][told["steps"].index(77_777)] == 5.0


def test_thinning_bears_missing_values():
    values = np.full(1000, np.nan)
    values[500] = 1.0
    told = curve(np.arange(1000.0), values[:, None], width=10)[0]
    assert 1.0 in told["values"]
    assert None in told["values"]


def test_smoothing_is_an_exponential_mean_without_bias_at_its_beginning():
    values = np.array([[2.0], [4.0], [np.nan], [8.0]])
    s = 0.5
    expected = [2.0, (s * 2 + 4) / (s + 1), (s**2 * 2 + s * 4) / (s**2 + s), (s**3 * 2 + s**2 * 4 + 8) / (s**3 + s**2 + 1)]
    np.testing.assert_allclose(smoothed(values, s)[:, 0], expected)
    np.testing.assert_array_equal(smoothed(values, 0.0), values)
    np.testing.assert_allclose(smoothed(np.full((50, 2), 3.0), 0.9), 3.0)


def test_a_grid_holds_the_mean_of_each_stretch():
    steps, values = np.array([1.0, 2, 3, 10, 11]), np.array([[1.0], [3], [5], [7], [100]])
    np.testing.assert_equal(on_grid(steps, values, np.array([2.0, 4, 8, 10])), [[2], [5], [np.nan], [7]])


@pytest.mark.parametrize("seeds", [1, 2, 5, 10])
def test_the_middle_and_its_interval_are_those_of_the_statistics_that_the_results_use(seeds):
    values = np.random.default_rng(0).normal(size=(3, seeds)) * 10
    np.testing.assert_allclose(middle(values), interquartile_mean(torch.from_numpy(values)).numpy())
    low, high = interval(values)
    for place, row in enumerate(values):
        expected = bootstrap_interval(
            torch.from_numpy(row), interquartile_mean, resamples=20_000, generator=torch.Generator().manual_seed(0)
        )
        # 400 resamples: the ends of the interval are known to some hundredths of the spread.
        np.testing.assert_allclose((low[place], high[place]), expected, atol=0.25 * row.std() + 1e-9)


def test_seeds_are_drawn_together_as_far_as_the_shortest_went():
    long, short = np.arange(1.0, 101), np.arange(1.0, 51)
    told = together([(long, long[:, None]), (short, short[:, None] + 2)], cells=10)
    assert told["seeds"] == 2
    assert told["steps"][-1] == 50
    np.testing.assert_allclose(told["values"], np.array(told["steps"]) - 2 + 1)
    assert all(low <= value <= high for low, value, high in zip(told["low"], told["values"], told["high"], strict=True))
    assert together([(long, long[:, None]), (np.array([]), np.empty((0, 1)))])["steps"] == []


@pytest.fixture
def rows(tmp_path):
    rows = []
    for rate in (0.1, 0.2):
        for seed in (0, 1):
            metrics = [
                {"step": step, "episode_return": rate * step + seed, **({"kl": 0.1} if rate == 0.1 else {})} for step in range(1, 21)
            ]
            folder = made_run(tmp_path / f"{rate}-{seed}", fields={"env": "CartPole-v1", "learning_rate": rate}, seed=seed, metrics=metrics)
            rows.append(row_of(folder.name, folder))
    return rows


def test_seeds_of_the_same_settings_are_one_group_named_by_what_sets_it_apart(rows):
    told = groups(rows)
    assert [group["label"] for group in told] == ["PPO, learning_rate 0.1", "PPO, learning_rate 0.2"]
    assert [[row["seed"] for row in group["rows"]] for group in told] == [[0, 1], [0, 1]]
    assert differing(rows) == {"learning_rate": [0.1, 0.1, 0.2, 0.2]}
    assert differing(rows[:2]) == {}


def test_groups_of_seeds_and_single_runs_are_compared(rows):
    logs = MetricLogs()
    assert metrics_of(rows, logs) == ["episode_return", "kl"]
    lines = curves_of(rows, logs, "episode_return")
    assert [line["seeds"] for line in lines] == [2, 2]
    assert lines[0]["values"][-1] == pytest.approx(0.1 * 20 + 0.5)
    assert (lines[0]["low"][-1], lines[0]["high"][-1]) == (pytest.approx(2.0), pytest.approx(3.0))
    assert [line["label"] for line in curves_of(rows, logs, "episode_return", grouped=False)] == ["0.1-0", "0.1-1", "0.2-0", "0.2-1"]
    assert [line["label"] for line in curves_of(rows, logs, "kl")] == ["PPO, learning_rate 0.1"]
