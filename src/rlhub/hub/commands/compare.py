"""``rlhub compare RUN RUN ...``: several runs beside each other: curves with their intervals, and the settings that differ."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhub.core.errors import UserError
from rlhub.core.progress import metrics_line
from rlhub.hub.commands.runs import run_named
from rlhub.hub.comparison import curves_of, differing, metrics_of
from rlhub.hub.metric_log import MetricLogs
from rlhub.hub.options import near, parse
from rlhub.hub.summary import summary


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Runs beside each other: seeds of the same settings as one line with its 95% interval, and the settings in which runs differ.

    Attributes:
        run: the runs' names or folders.
        metric: what is compared; by default the first metric that all of them have.
        smoothing: of the curves, from 0 (none) to below 1, the weight of what came before.
        each: a line for each run instead of one for all seeds of the same settings.
        plot: draw the curves into this file (.html, .png, .svg or .pdf).
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print JSON, the curves' points included.
    """

    run: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN [RUN ...]")]]
    metric: str | None = None
    smoothing: float = 0.0
    each: bool = False
    plot: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False


def run(arguments: list[str]) -> int:
    """Compare, and print or draw what came out."""
    options = parse(Compare, arguments, prog="rlhub compare")
    if not options.run:
        raise UserError("compare needs the names of runs, as in `rlhub compare ppo-seed0 ppo-seed1`: `rlhub runs` lists them")
    if not 0 <= options.smoothing < 1:
        raise UserError(f"smoothing is {options.smoothing:g}; give a number from 0 to below 1")
    rows = [row_of(run_named(spec, options.runs)) for spec in options.run]
    logs = MetricLogs()
    metrics = metrics_of(rows, logs)
    metric = options.metric or (metrics[0] if metrics else None)
    if metric is None or metric not in metrics:
        there = f"; they have: {', '.join(metrics)}" if metrics else ""
        raise UserError(f"these runs have no metric {metric or 'at all'}{near(metric or '', metrics)}{there}")
    told: dict[str, Any] = {
        "metric": metric,
        "metrics": metrics,
        "differing": differing(rows),
        "curves": curves_of(rows, logs, metric, smoothing=options.smoothing, grouped=not options.each),
    }
    if options.plot is not None:
        from rlhub.core.style import figure_path, write_figure
        from rlhub.hub.curve_figure import comparison_figure

        told["plot"] = str(write_figure(comparison_figure(metric, told["curves"]), figure_path(options.plot)))
    if options.json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        show(told, [row["name"] for row in rows])
    return 0


def row_of(folder: Path) -> dict[str, Any]:
    """A run as comparisons take it."""
    told = summary(folder)
    return told | {"key": told["name"], "system": str(told["system"]).rpartition(":")[2]}


def show(told: dict[str, Any], names: list[str]) -> None:
    """What came out, for a person."""
    console = Console() if sys.stdout.isatty() else Console(width=200)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in (told["metric"], "seeds", "at its end", "95% interval", "steps"):
        table.add_column(name, overflow="fold")
    for line in told["curves"]:
        if not line["values"]:
            continue
        ends = [metrics_line({"": line[name][-1]}).strip() for name in ("low", "high")] if line["seeds"] > 1 and "low" in line else []
        table.add_row(
            escape(line["label"]),
            str(line["seeds"]),
            metrics_line({"": line["values"][-1]}).strip(),
            " to ".join(ends),
            f"{line['steps'][-1]:,.0f}",
        )
    console.print(table)
    for name, values in told["differing"].items():
        console.print(f"{name}: " + ", ".join(f"{run} {value}" for run, value in zip(names, values, strict=True)), markup=False)
    if "plot" in told:
        console.print(f"curves: {told['plot']}", markup=False)
