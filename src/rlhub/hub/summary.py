"""A run in a few lines, for people and for machines."""

import time
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.files import read_json, size_of
from rlhub.core.folder import handle
from rlhub.core.progress import clock, metrics_line
from rlhub.core.records import last_metrics, status_of

COLOURS = {"finished": "green", "running": "cyan", "diverged": "red", "failed": "red", "killed": "yellow", "interrupted": "yellow"}


def summary(folder: Path) -> dict[str, Any]:
    """What a run's folder says about it, as JSON: what it is, how far it came, how it ended.

    Raises:
        UserError: its config.json or provenance.json is damaged.
    """
    try:
        return _summary(folder)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"the config.json or provenance.json of {folder} is damaged ({error!r}): restore them from a copy") from error


def _summary(folder: Path) -> dict[str, Any]:
    config, record = read_json(folder / "config.json"), read_json(folder / "provenance.json")
    metrics = last_metrics(folder)
    executions = record["executions"]
    last = executions[-1] if executions else {}
    return {
        "name": folder.name,
        "folder": str(folder),
        "system": config["system"],
        "model": config["fields"].get("model"),
        "task": config["fields"].get("task") or config["fields"].get("env"),
        "fields": config["fields"],
        "seed": config["seed"],
        "seeds": config.get("seeds", 1),
        "status": status_of(folder),
        "reason": last.get("reason"),
        "step": metrics.pop("step", 0),
        "steps": next((execution["steps"] for execution in reversed(executions) if "steps" in execution), None),
        "metrics": {name: value for name, value in metrics.items() if name != "time"},
        "checkpoints": sorted(int(path.name) for path in (folder / "checkpoints").glob("[0-9]*")),
        "started": executions[0]["started"] if executions else None,
        "ended": last.get("ended"),
        "bytes": size_of(folder),
    }


def sentence(run: dict[str, Any]) -> str:
    """How a run ended and what to do next, for the end of ``train`` and ``resume``."""
    numbers = metrics_line(run["metrics"], limit=6)
    took = f" in {clock(run['ended'] - run['started'])}" if run["ended"] else ""
    return (
        f"{run['name']} {run['status']}: step {run['step']} of {run['steps']}{took}" + (f"; {numbers}" if numbers else "") + f"\n"
        f"its folder: {run['folder']}\n"
        f"look at it: rlhub runs {handle(Path(run['folder']))}"
    )


def age(moment: float | None) -> str:
    """How long ago, in the largest unit that fits."""
    if moment is None:
        return ""
    seconds = max(0.0, time.time() - moment)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
