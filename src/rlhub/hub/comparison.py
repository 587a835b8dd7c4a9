"""Several runs beside each other: which settings differ, which are seeds of the same, and their curves."""

import json
from pathlib import Path
from typing import Any

from rlhub.hub.curves import curve, together
from rlhub.hub.metric_log import MetricLogs

Row = dict[str, Any]


def differing(rows: list[Row]) -> dict[str, list[Any]]:
    """The settings in which runs differ, the system among them: name -> each run's value, None where it has no such setting."""
    settings = [{"system": row["system"]} | row["fields"] for row in rows]
    names = list(dict.fromkeys(name for each in settings for name in each))
    found = {name: [each.get(name) for each in settings] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def groups(rows: list[Row]) -> list[dict[str, Any]]:
    """Runs with the same system and settings, whose seeds belong together.

    Returns:
        Each group's label, which names what sets it apart from the others, and its rows.
    """
    parted: dict[str, list[Row]] = {}
    for row in rows:
        parted.setdefault(json.dumps([row["system"], row["fields"]], sort_keys=True), []).append(row)
    firsts = [part[0] for part in parted.values()]
    apart = differing(firsts)
    told = []
    for place, part in enumerate(parted.values()):
        words = [str(part[0]["system"]), *(f"{name} {values[place]}" for name, values in apart.items() if name != "system")]
        label = part[0]["name"] if len(parted) == len(rows) > 1 and len(words) > 4 else ", ".join(words[:4])
        told.append({"label": label, "rows": part, "seeds": sum(row["seeds"] or 1 for row in part)})
    return told


def curves_of(rows: list[Row], logs: MetricLogs, metric: str, *, smoothing: float = 0.0, grouped: bool = True) -> list[dict[str, Any]]:
    """One metric's curves, as JSON.

    Args:
        rows: the runs.
        logs: where their metrics are read.
        metric: which.
        smoothing: as in `curves.smoothed`.
        grouped: draw seeds of the same settings as one line with its interval.
    """
    told: list[dict[str, Any]] = []
    if grouped:
        for group in groups(rows):
            found = [logs.of(Path(row["folder"])).values(metric) for row in group["rows"]]
            found = [(steps, values) for steps, values in found if len(steps)]
            if found:
                told.append({"label": group["label"], "keys": [row["key"] for row in group["rows"]]} | together(found, smoothing=smoothing))
        return told
    for row in rows:
        steps, values = logs.of(Path(row["folder"])).values(metric)
        for seed, line in enumerate(curve(steps, values, smoothing=smoothing)):
            name = row["name"] if values.shape[1] == 1 else f"{row['name']}, seed {row['seed'] + seed}"
            told.append({"label": name, "keys": [row["key"]], "seeds": 1} | line)
    return told


def metrics_of(rows: list[Row], logs: MetricLogs) -> list[str]:
    """The metrics that any of the runs has, those that all have first."""
    named = [logs.of(Path(row["folder"])).names() for row in rows]
    every = list(dict.fromkeys(name for names in named for name in names))
    return sorted(every, key=lambda name: (-sum(name in names for names in named), every.index(name)))
