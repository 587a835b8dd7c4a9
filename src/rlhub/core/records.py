"""What a run's folder says about it, read without loading torch."""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

from rlhub.core.files import read_json

LAST_LINES = 100
"""Of metrics, for a metric's newest value: enough for those that are measured now and then, few enough for thousands of runs."""


def status_of(folder: Path) -> str:
    """How a run stands: new, running, finished, diverged, failed, interrupted, or killed when its process is gone without a word."""
    provenance = read_json(folder / "provenance.json")
    if not provenance["executions"]:
        return "new"
    last = provenance["executions"][-1]
    if last["status"] == "running" and living(last["pid"], last["pid_started"]) is None:
        return "killed"
    return str(last["status"])


def trainer(folder: Path) -> psutil.Process | None:
    """The process that trains a run now, if any does; never a later one that only has its number."""
    executions = read_json(folder / "provenance.json")["executions"]
    if not executions or executions[-1]["status"] != "running":
        return None
    return living(executions[-1]["pid"], executions[-1]["pid_started"])


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Every line of metrics.jsonl, without a last one that was cut short by a crash."""
    path = folder / "metrics.jsonl"
    return list(_whole_lines(path.read_bytes().splitlines(keepends=True))) if path.exists() else []


def read_evaluations(folder: Path) -> list[dict[str, Any]]:
    """Every line of evaluations.jsonl, oldest first: what `rlhub evaluate` found; whatever is damaged is left out."""
    path = folder / "evaluations.jsonl"
    return list(_whole_lines(path.read_bytes().splitlines(keepends=True))) if path.exists() else []


def last_lines(folder: Path, metric: str, count: int) -> list[dict[str, Any]]:
    """The last lines of metrics.jsonl that have a metric, at most so many, oldest first; only the end of a long file is read."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    size, read, found = path.stat().st_size, 65536, []
    with path.open("rb") as file:
        while True:
            file.seek(max(0, size - read))
            lines = file.read().splitlines(keepends=True)
            # Where the part begins within a line, that line isn't whole.
            found = [line for line in _whole_lines(lines if read >= size else lines[1:]) if line.get(metric) is not None]
            if len(found) >= count or read >= size:
                return found[-count:]
            read *= 4


def last_metrics(folder: Path) -> dict[str, Any]:
    """The newest value of every metric in the last lines of metrics.jsonl, the mean where there are several seeds, and the step."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        lines = file.read().splitlines(keepends=True)[-LAST_LINES:]
    merged: dict[str, Any] = {}
    for line in _whole_lines(lines):
        merged |= {name: mean_over_seeds(value) if isinstance(value, list) else value for name, value in line.items()}
    return merged


def mean_over_seeds(values: list[float | None]) -> float | None:
    """The mean of a metric's values over the seeds that have one; None where none has."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def seconds_of(folder: Path, times: Iterable[float] = ()) -> float:
    """How long a run trained, in seconds, over all its executions; one that was killed counts up to the last step that it left.

    Args:
        folder: of the run.
        times: when something else was written that tells that the run was at work, such as its stages' steps; seconds since 1970.
    """
    executions = read_json(folder / "provenance.json")["executions"]
    at_work = sorted([*(line["time"] for line in read_metrics(folder)), *times])
    total = 0.0
    for place, execution in enumerate(executions):
        started = execution["started"]
        until = executions[place + 1]["started"] if place + 1 < len(executions) else math.inf
        ended = execution.get("ended") or max((time for time in at_work if started <= time < until), default=started)
        total += ended - started
    return total


def _whole_lines(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith(b"{") and line.endswith(b"}\n"):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def living(pid: int, started: float) -> psutil.Process | None:
    """The process, if it still lives; its start time tells it from a later one with the same number."""
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
