"""What a run's folder says about it, read without loading torch."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

from rlhub.core.files import read_json


def status_of(folder: Path) -> str:
    """How a run stands: new, running, finished, diverged, failed, interrupted, or killed when its process is gone without a word."""
    provenance = read_json(folder / "provenance.json")
    if not provenance["executions"]:
        return "new"
    last = provenance["executions"][-1]
    if last["status"] == "running" and not is_alive(last["pid"], last["pid_started"]):
        return "killed"
    return str(last["status"])


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Every line of metrics.jsonl, without a last one that was cut short by a crash."""
    path = folder / "metrics.jsonl"
    return list(_whole_lines(path.read_bytes().splitlines(keepends=True))) if path.exists() else []


def last_metrics(folder: Path) -> dict[str, Any]:
    """The newest value of every metric near the end of metrics.jsonl, the mean where there are several seeds, and the step."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        lines = file.read().splitlines(keepends=True)
    merged: dict[str, Any] = {}
    for line in _whole_lines(lines):
        merged |= {name: _mean(value) if isinstance(value, list) else value for name, value in line.items()}
    return merged


def _mean(values: list[float | None]) -> float | None:
    """Over the seeds that have a value."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _whole_lines(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith(b"{") and line.endswith(b"}\n"):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def is_alive(pid: int, started: float) -> bool:
    """Whether the process still lives; its start time tells it from a later process with the same number."""
    try:
        return abs(psutil.Process(pid).create_time() - started) < 2 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
