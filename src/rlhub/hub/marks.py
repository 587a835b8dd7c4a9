"""Which of the roadmap's marks have been reached: read from what lies on the disk, without loading torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.files import read_json
from rlhub.core.folder import list_runs, runs_folder
from rlhub.core.records import last_lines, mean_over_seeds, read_evaluations
from rlhub.hub.roadmap import Mark, Phase, roadmap
from rlhub.hub.systems import SYSTEMS

GALLERIES = {"book": Path("book"), "theory": Path("theory")}
"""Where `rlhub book` and `rlhub theory` leave what they compute."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How a mark was reached.

    Attributes:
        name: of the run, the study, or the folder of figures.
        folder: where it is.
        step: of the checkpoint that was evaluated, or of training; None where there is none.
        value: the number; None where it is enough that something is there.
        when: seconds since 1970; None where that isn't known.
    """

    name: str
    folder: str
    step: int | None
    value: float | None
    when: float | None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What there is to reach marks with.

    Attributes:
        by_system: rows of runs, by the system's name: each with folder, system and fields, as in config.json.
        studies: folders with a finished report, by the study's name.
        exhibits: what was computed, by command (book, theory) and key.
    """

    by_system: Mapping[str, Sequence[Row]]
    studies: Mapping[str, Sequence[Path]]
    exhibits: Mapping[str, Mapping[str, Any]]


def evidence(runs: str | Path | None = None, *, rows: Iterable[Row] | None = None, galleries: Mapping[str, Path] = GALLERIES) -> Evidence:
    """Everything that marks can be reached with, indexed once.

    Args:
        runs: where runs live, as in `runs_folder`.
        rows: runs that were read already, each with folder, system (``module:Class``) and fields; by default they are read here.
        galleries: where figures of the book and experiments lie.
    """
    root = runs_folder(runs)
    places = {entry.place: entry.name for entry in SYSTEMS}
    by_system: dict[str, list[Row]] = {}
    for row in _rows(root) if rows is None else rows:
        name = places.get(str(row.get("system")))
        if name is not None and isinstance(row.get("fields"), Mapping):
            by_system.setdefault(name, []).append(row)
    studies: dict[str, list[Path]] = {}
    for path in sorted(root.glob("*/study.json")):
        if (path.parent / "report.json").is_file():
            studies.setdefault(str(_told(path).get("study")), []).append(path.parent)
    return Evidence(by_system=by_system, studies=studies, exhibits={name: _computed(name, place) for name, place in galleries.items()})


def reached(mark: Mark, found: Evidence) -> Reached | None:
    """What reached a mark first; None where nothing has."""
    match mark.measure:
        case "evaluation":
            candidates = [each for row in _that_count(mark, found) for each in _by_evaluation(mark, Path(row["folder"]))]
        case "metric":
            candidates = [each for row in _that_count(mark, found) for each in _by_metric(mark, Path(row["folder"]))]
        case "study":
            candidates = [_there(folder, folder / "report.json") for folder in found.studies.get(mark.study, ())]
        case "figures":
            candidates = _by_exhibits(mark.figures, found.exhibits.get("book", {}))
        case "theory":
            candidates = _by_exhibits(mark.theory, found.exhibits.get("theory", {}))
    return min(candidates, key=lambda each: math.inf if each.when is None else each.when, default=None)


def standing(found: Evidence, phases: Sequence[Phase] | None = None) -> dict[str, Any]:
    """The whole roadmap as JSON, with how each mark stands.

    Returns:
        phases (each with its items, each with built and its marks, each with reached: how it was, or None), reached and marks (counts).
    """
    told = [asdict(phase) for phase in (roadmap() if phases is None else phases)]
    marks = []
    for phase, plain in zip(roadmap() if phases is None else phases, told, strict=True):
        for item, one in zip(phase.items, plain["items"], strict=True):
            one["built"] = item.built
            for mark, each in zip(item.marks, one["marks"], strict=True):
                how = reached(mark, found)
                each["reached"] = asdict(how) if how else None
                marks.append(how)
    return {"phases": told, "reached": sum(how is not None for how in marks), "marks": len(marks)}


def _rows(root: Path) -> Iterable[Row]:
    for folder in list_runs(root):
        told = _told(folder / "config.json")
        yield {"folder": folder, "system": told.get("system"), "fields": told.get("fields")}


def _told(path: Path) -> dict[str, Any]:
    """A JSON file's table, empty where it is damaged: one damaged folder must not hide the others."""
    try:
        told = read_json(path)
    except (UserError, UnicodeDecodeError):
        return {}
    return told if isinstance(told, dict) else {}


def _that_count(mark: Mark, found: Evidence) -> list[Row]:
    rows = found.by_system.get(mark.system, ())
    if mark.measure == "metric" and mark.env:
        rows = [row for row in rows if row["fields"].get("env") == mark.env]
    return [row for row in rows if not mark.task or str(row["fields"].get("task")).partition("?")[0] == mark.task]


def _by_evaluation(mark: Mark, folder: Path) -> list[Reached]:
    found = []
    for line in _safely(read_evaluations, folder):
        if (mark.env and line.get("env") != mark.env) or (mark.episodes > 1 and _number(line.get("episodes", 0)) < mark.episodes):
            continue
        value = _statistic(mark.statistic, line)
        if mark.at_least is not None and value >= mark.at_least:
            found.append(Reached(name=folder.name, folder=str(folder), step=line.get("step"), value=value, when=_moment(line)))
    return found


def _by_metric(mark: Mark, folder: Path) -> list[Reached]:
    lines = _safely(last_lines, folder, mark.metric, mark.last)
    if len(lines) < mark.last or mark.at_least is None:
        return []
    values = [_over_seeds(line[mark.metric]) for line in lines]
    value = sum(values) / len(values)
    if not value >= mark.at_least:
        return []
    return [Reached(name=folder.name, folder=str(folder), step=lines[-1].get("step"), value=value, when=_moment(lines[-1]))]


def _by_exhibits(keys: Sequence[str], computed: Mapping[str, Any]) -> list[Reached]:
    if not all(key in computed for key in keys):
        return []
    last = max((computed[key] for key in keys), key=lambda one: _moment(one) or 0.0)
    return [Reached(name=last["folder"], folder=last["folder"], step=None, value=None, when=_moment(last))]


def _computed(command: str, folder: Path) -> dict[str, Any]:
    """What was computed with at least its own number of repetitions, by key."""
    told = [_told(path) | {"folder": str(folder)} for path in sorted(folder.glob("*.json"))]
    return {one["key"]: one for one in told if one.get("command") == command and one.get("whole") is True and "key" in one}


def _there(folder: Path, path: Path) -> Reached:
    return Reached(name=folder.name, folder=str(folder), step=None, value=None, when=path.stat().st_mtime)


def _statistic(name: str, line: Row) -> float:
    if name == "mean_less_std":
        return _number(line.get("mean")) - _number(line.get("std"))
    return _number(line.get(name))


def _safely(read: Any, *arguments: Any) -> list[dict[str, Any]]:
    """What a file holds, nothing where it can't be read."""
    try:
        return list(read(*arguments))
    except OSError:
        return []


def _moment(told: Row) -> float | None:
    when = _number(told.get("time"))
    return when if math.isfinite(when) else None


def _over_seeds(value: Any) -> float:
    if not isinstance(value, list):
        return _number(value)
    return _number(mean_over_seeds([_number(each) for each in value if each is not None]))


def _number(value: Any) -> float:
    """A number as it is, anything else as NaN, which reaches nothing."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
