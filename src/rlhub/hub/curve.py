"""A run's learning curve, drawn in the terminal."""

import math
import shutil
import sys
from pathlib import Path
from typing import Any

from uniplot import plot_to_string

from rlhub.core.records import read_metrics
from rlhub.core.statistics import bootstrap_interval, interquartile_mean

METRIC, POINTS, HEIGHT, LEAST_WIDTH, MOST_WIDTH = "episode_return", 60, 12, 40, 90


def learning_curve(folder: Path) -> str | None:
    """Return against steps, with the 95% interval over seeds where there are several; None for runs without episodes."""
    points = curve(read_metrics(folder))
    if len(points) < 2:
        return None
    steps = [point["step"] for point in points]
    seeds = points[0]["seeds"]
    lines = [[point[name] for point in points] for name in (("low", "high", "value") if seeds > 1 else ("value",))]
    drawn = plot_to_string(
        xs=[steps] * len(lines),
        ys=lines,
        lines=True,
        width=max(LEAST_WIDTH, min(MOST_WIDTH, shutil.get_terminal_size().columns - 12)),
        height=HEIGHT,
        title=f"return: interquartile mean of {seeds} seeds between the ends of its 95% interval"
        if seeds > 1
        else "return of the episodes that ended",
        x_unit=" steps",
        color=sys.stdout.isatty(),
    )
    return str(drawn)


def curve(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The metric in at most 60 stretches of training of equal length, each the mean of its lines, seed by seed.

    Returns:
        One dict a stretch in which every seed ended an episode: step, value, low and high (over seeds), seeds, by_seed (each one's mean).
    """
    import torch

    told = [(line["step"], line[METRIC] if isinstance(line[METRIC], list) else [line[METRIC]]) for line in metrics if METRIC in line]
    if not told:
        return []
    width = max(1, math.ceil(told[-1][0] / POINTS))
    stretches: dict[int, list[list[float]]] = {}
    for step, values in told:
        found = stretches.setdefault((step - 1) // width, [[] for _ in values])
        for seed, value in zip(found, values, strict=True):
            if value is not None:
                seed.append(value)
    points = []
    for place, found in sorted(stretches.items()):
        if not all(found):
            continue
        means = torch.tensor([sum(seed) / len(seed) for seed in found], dtype=torch.float64)
        draws = torch.Generator().manual_seed(place)
        low, high = bootstrap_interval(means, interquartile_mean, resamples=500, generator=draws)
        point = {"step": (place + 1) * width, "value": float(interquartile_mean(means)), "low": low, "high": high}
        points.append({**point, "seeds": len(means), "by_seed": means.tolist()})
    return points
