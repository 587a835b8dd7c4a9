"""A run's learning curve, drawn in the terminal, and what it is made of."""

import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from uniplot import plot_to_string

from rlhub.core.files import read_json
from rlhub.core.folder import list_runs
from rlhub.core.records import read_metrics
from rlhub.hub.curves import interval, middle, on_grid
from rlhub.hub.metric_log import ACCURACIES, METRIC

POINTS, HEIGHT, LEAST_WIDTH, MOST_WIDTH = 60, 12, 40, 90


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a run, or the whole of a run that has none.

    Attributes:
        name: of the stage's own run.
        metrics: the lines of its metrics.jsonl.
        begins: how many steps the stages before it have.
    """

    name: str
    metrics: list[dict[str, Any]]
    begins: int

    @property
    def ends(self) -> int:
        """How many steps it and the stages before it have."""
        return self.begins + (self.metrics[-1]["step"] if self.metrics else 0)

    @property
    def samples(self) -> bool:
        """Whether the model gives answers in it that are rewarded."""
        return any("reward" in line for line in self.metrics)

    def points(self, metric: str) -> tuple[list[int], list[float]]:
        """A metric's values, and the steps they belong to, counted over all stages."""
        lines = [line for line in self.metrics if line.get(metric) is not None]
        return [self.begins + line["step"] for line in lines], [line[metric] for line in lines]


def stages_of(folder: Path) -> list[Stage]:
    """A run's stages in the order they were begun; a run without stages is its only one."""
    inner = [run for run in list_runs(folder / "stages") if read_json(run / "provenance.json")["executions"]]
    inner.sort(key=lambda run: read_json(run / "provenance.json")["executions"][0]["started"])
    found: list[Stage] = []
    for run in inner or [folder]:
        found.append(Stage(name=run.name, metrics=read_metrics(run), begins=found[-1].ends if found else 0))
    return found


def accuracy_of(stages: list[Stage]) -> str | None:
    """The metric that says how good the answers of some stages are; None where no stage gives any."""
    return next((name for name in ACCURACIES if any(stage.samples and stage.points(name)[0] for stage in stages)), None)


def learning_curve(folder: Path) -> str | None:
    """Return against steps, with the 95% interval over seeds where there are several, or how good a language model's answers are.

    None for runs that have neither episodes nor answers.
    """
    points = curve(read_metrics(folder))
    seeds = points[0]["seeds"] if points else 1
    steps = [point["step"] for point in points]
    lines = [[point[name] for point in points] for name in (("low", "high", "value") if seeds > 1 else ("value",))]
    title = f"return: interquartile mean of {seeds} seeds between the ends of its 95% interval"
    if seeds == 1:
        title = "return of the episodes that ended"
    stages = stages_of(folder)
    metric = accuracy_of(stages)
    if not points and metric:
        found = [stage.points(metric) for stage in stages if stage.samples]
        steps, lines = [step for some, _ in found for step in some], [[value for _, some in found for value in some]]
        title = ACCURACIES[metric] + (", over all stages" if len(stages) > 1 else "")
    if len(steps) < 2:
        return None
    drawn = plot_to_string(
        xs=[steps] * len(lines),
        ys=lines,
        lines=True,
        width=max(LEAST_WIDTH, min(MOST_WIDTH, shutil.get_terminal_size().columns - 12)),
        height=HEIGHT,
        title=title,
        x_unit=" steps",
        color=sys.stdout.isatty(),
    )
    return str(drawn)


def curve(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The metric in at most 60 stretches of training of equal length, each the mean of its lines, seed by seed.

    Returns:
        One dict a stretch in which every seed ended an episode: step, value, low and high (over seeds), seeds, by_seed (each one's mean).
    """
    told = [(line["step"], line[METRIC] if isinstance(line[METRIC], list) else [line[METRIC]]) for line in metrics if METRIC in line]
    if not told:
        return []
    width = max(1, math.ceil(told[-1][0] / POINTS))
    grid = width * np.arange(1.0, math.ceil(told[-1][0] / width) + 1)
    values = np.array([values for _, values in told], dtype=float)
    table = on_grid(np.array([float(step) for step, _ in told]), values, grid)
    whole = np.isfinite(table).all(1)
    steps, means = grid[whole].astype(int).tolist(), table[whole]
    low, high = interval(means)
    columns = zip(steps, middle(means).tolist(), low.tolist(), high.tolist(), means.tolist(), strict=True)
    return [
        {"step": step, "value": value, "low": low, "high": high, "seeds": len(each), "by_seed": each}
        for step, value, low, high, each in columns
    ]
