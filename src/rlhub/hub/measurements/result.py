"""A measurement's result: shown as a table, kept as JSON, pages and tensors."""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor

from rlhub.core.files import write_json, writing
from rlhub.core.folder import find_run
from rlhub.core.seeding import generator
from rlhub.core.statistics import bootstrap_interval
from rlhub.core.style import write_html


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of a result.

    Attributes:
        name: what it is.
        value: the number, or a word.
        interval: its 95% interval, or None where it has none.
        unit: its unit.
        note: anything else worth a column.
    """

    name: str
    value: float | int | str
    interval: tuple[float, float] | None = None
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a measurement found.

    Attributes:
        title: what was measured, on what.
        rows: the numbers to show.
        data: everything measured, as JSON values.
        figures: name -> figure, written as pages.
        files: name -> JSON value, written as files of their own.
        tensors: name -> tensor, written together as safetensors.
        notes: sentences a reader needs beside the numbers.
    """

    title: str
    rows: Sequence[Row]
    data: Mapping[str, Any]
    figures: Mapping[str, go.Figure] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    notes: Sequence[str] = ()


def mean_row(name: str, values: Float[Tensor, " values"], *, unit: str, seed: int, note: str = "") -> Row:
    """The mean of values over prompts, with its bootstrap interval."""
    values = values.detach().cpu().double()
    interval = bootstrap_interval(values, generator=generator(seed, "lens", name)) if len(values) > 1 else None
    return Row(name=name, value=float(values.mean()), interval=interval, unit=unit, note=note)


def save(result: Result, measurement: str, options: Any) -> Path:
    """Write a result's files, and say where.

    Raises:
        UserError: the folder can't be written.
    """
    folder = Path(options.output) if options.output else default_folder(measurement, options)
    with writing(f"the results of lens {measurement}", folder):
        folder.mkdir(parents=True, exist_ok=True)
        rows = [{"name": row.name, "value": row.value, "interval": row.interval, "unit": row.unit, "note": row.note} for row in result.rows]
        about = {name: getattr(options, name) for name in vars(options) if name not in ("json", "plain", "output")}
        write_json(
            folder / f"{measurement}.json",
            plain(
                {"measurement": measurement, "title": result.title, "options": about, "numbers": rows, "notes": result.notes, **result.data}
            ),
        )
        for name, figure in result.figures.items():
            write_html(figure, folder / f"{name}.html")
        for name, value in result.files.items():
            write_json(folder / f"{name}.json", plain(value))
        if result.tensors:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in result.tensors.items()}, folder / f"{measurement}.safetensors"
            )
    return folder


def show(result: Result, folder: Path, *, as_json: bool) -> None:
    """Print the result's table, or its numbers as JSON, and where its files are."""
    if as_json:
        rows = [{"name": row.name, "value": row.value, "interval": row.interval, "unit": row.unit, "note": row.note} for row in result.rows]
        told = {"title": result.title, "folder": str(folder), "figures": [f"{name}.html" for name in result.figures], "numbers": rows}
        sys.stdout.write(json.dumps(plain(told | {"notes": list(result.notes)})) + "\n")
        return
    console = Console() if sys.stdout.isatty() else Console(width=120)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), title=escape(result.title), title_justify="left")
    table.title_style = "bold"
    for heading, side in (("", "left"), ("value", "right"), ("95% interval", "right"), ("unit", "left"), ("", "left")):
        table.add_column(heading, justify=side, overflow="fold")  # type: ignore[arg-type]
    for row in result.rows:
        interval = "" if row.interval is None else f"{number(row.interval[0])} … {number(row.interval[1])}"
        table.add_row(escape(row.name), number(row.value), interval, escape(row.unit), escape(row.note))
    console.print(table)
    for note in result.notes:
        console.print(escape(note), style="dim", highlight=False)
    written = sorted(path.name for path in folder.iterdir() if path.suffix in (".html", ".json", ".safetensors"))
    console.print(f"\nwritten to {escape(str(folder))}/: {', '.join(written)}", highlight=False, soft_wrap=True)


def number(value: float | int | str) -> str:
    """A number as people read it: four digits, thousands separated, NaN as a dash."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def plain(value: Any) -> Any:
    """A value that JSON can hold: tensors as lists, NaN and infinities as null, keys as text."""
    if isinstance(value, Tensor):
        return plain(value.detach().cpu().tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def default_folder(measurement: str, options: Any) -> Path:
    """lens/ in the folder of the run that is measured, else in the current folder."""
    words = [measurement]
    if hasattr(options, "contrast"):
        words += [Path(options.contrast).stem] + ([options.facts] if options.facts != "all" else [])
    found = run_of(options.model, options.runs)
    if found is None:
        return Path("lens") / "-".join([slug(options.model), *words])
    run, step = found
    return run / "lens" / "-".join([*words, *([f"step{step}"] if step else [])])


def run_of(spec: str, runs: str | None) -> tuple[Path, str | None] | None:
    """The folder of the run that a model's name means, and the step it names, if it means one."""
    found = find_run(spec, runs) or Path(spec)
    if found.parent.name == "checkpoints" and (found.parents[1] / "config.json").is_file():
        return found.parents[1], found.name
    return (found, None) if (found / "config.json").is_file() and (found / "provenance.json").is_file() else None


def slug(name: str) -> str:
    """A model's name as part of a folder's."""
    return re.sub(r"[^A-Za-z0-9.@+-]+", "-", Path(name).name if Path(name).exists() else name).strip("-") or "model"


def weighted_interval(samples: Float[Tensor, " resamples"]) -> tuple[float, float]:
    """The middle 95% of resampled values."""
    low, high = samples.double().nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
