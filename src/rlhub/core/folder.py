"""The folders that runs live in: what they are called, how they are made, how they are found. Nothing here loads torch."""

import itertools
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from rlhub.core.errors import UserError
from rlhub.core.files import sync_folder, write_json


def runs_folder(runs: str | Path | None = None) -> Path:
    """Where runs live: the argument, else RLHUB_RUNS, else ./runs."""
    return Path(runs or os.environ.get("RLHUB_RUNS") or "runs")


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's."""
    return (folder / "config.json").is_file() and (folder / "provenance.json").is_file()


def find_run(spec: str | Path, runs: str | Path | None = None) -> Path | None:
    """The folder that a person means.

    Args:
        spec: a run's folder, a run's name, or either with ``@STEP`` for its checkpoint of that step.
        runs: where runs live, as in `runs_folder`.

    Returns:
        The run's folder, or the checkpoint's for ``@STEP``; None when no run is meant.

    Raises:
        UserError: the run exists but has no checkpoint of that step.
    """
    name, at, step = str(spec).rpartition("@")
    if at and step.isdecimal() and (folder := find_run(name, runs)):
        checkpoint = folder / "checkpoints" / str(int(step))
        if not checkpoint.is_dir():
            there = ", ".join(sorted((path.name for path in checkpoint.parent.glob("[0-9]*")), key=int)) or "none"
            raise UserError(f"run {folder.name} has no checkpoint of step {step}; it has: {there}")
        return checkpoint
    if str(spec) and is_run(Path(spec)):
        return Path(spec)
    inside = runs_folder(runs) / str(spec)
    return inside if str(spec) and is_run(inside) else None


def list_runs(runs: str | Path | None = None) -> list[Path]:
    """The folders of all runs below the runs folder, studies' runs included, oldest first."""
    found = [Path(folder) for folder in walk_runs(str(runs_folder(runs)))]
    return sorted(found, key=lambda folder: (folder / "config.json").stat().st_mtime)


def walk_runs(root: str) -> Iterator[str]:
    """The folders of all runs below a folder, those of a run's stages after its own; links and names with a dot before them are passed by.

    Strings and not paths, which would take more time than the disk where there are thousands.
    """
    try:
        entries = list(os.scandir(root))
    except OSError:
        return
    names = {entry.name for entry in entries}
    if {"config.json", "provenance.json"} <= names:
        yield root
    for entry in entries:
        # What a checkpoint or a tracker holds is no run, and there can be thousands of files in it.
        if entry.name not in ("checkpoints", "trackers") and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from walk_runs(entry.path)


def checked_name(name: str) -> str:
    """The name, if a run can have it.

    Raises:
        UserError: it holds something else than letters, digits and ``. _ + -``, or begins with a dot or dash.
    """
    if not re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*", name):
        raise UserError(f"{name!r} can't be a run's name: use letters, digits and . _ + -, beginning with a letter or digit")
    return name


def handle(folder: Path) -> str:
    """What to type after ``rlhub resume``: the run's name where that is enough, else its folder."""
    return shlex.quote(folder.name if (runs_folder() / folder.name).absolute() == folder.absolute() else str(folder))


def default_names(system: Any, seed: int, seeds: int = 1) -> Iterator[str]:
    """Names for a run that got none: from the system, its environment or task, its model and the seed, then the same with -2, -3, ..."""
    words = [type(system).__name__, *(str(getattr(system, field, "")) for field in ("env", "task", "model"))]
    parts = [re.sub(r"[^a-z0-9]+", "-", word.rpartition("/")[2].rpartition(":")[2].partition("?")[0].lower()).strip("-") for word in words]
    name = "-".join([part for part in parts if part] + [f"seed{seed}" if seeds == 1 else f"seeds{seed}-{seed + seeds - 1}"])
    yield name
    for number in itertools.count(2):
        yield f"{name}-{number}"


def make_run_folder(folder: Path, config: dict[str, Any]) -> bool:
    """Make a run's folder, whole or not at all; False when something of that name is there."""
    if folder.exists():
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{folder.name}.*.new"):
        if not psutil.pid_exists(int(stale.suffixes[-2][1:])):
            shutil.rmtree(stale, ignore_errors=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        beside.mkdir()
        write_json(beside / "config.json", config)
        write_json(beside / "provenance.json", {"executions": []})
        try:
            beside.rename(folder)
        except FileExistsError:
            return False
        sync_folder(folder.parent)
        return True
    finally:
        shutil.rmtree(beside, ignore_errors=True)
