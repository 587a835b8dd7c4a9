"""Train a system, from its beginning or from where it stopped."""

import json
import shutil
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.folder import checked_name, is_run, runs_folder
from rlhub.core.run import Run
from rlhub.core.system import describe_system

BOOKKEEPING = ("config.json", "provenance.json", "lock", "metrics.jsonl", "error.log")
"""Files that every run begins with."""


def train(
    system: Any,
    *,
    seed: int = 0,
    seeds: int = 1,
    runs: str | Path | None = None,
    name: str | None = None,
    checkpoint_every: int | None = None,
    keep: tuple[int, ...] = (),
    track: tuple[str, ...] = (),
) -> Run:
    """Train a system in a run of its own, or go on with the unfinished run of that name and the same settings.

    The arguments are those of `Run.create`. A run of that name which has finished with the same settings is returned as it is; settings
    that its system did not have yet count as their defaults, and trackers are added to those it has.

    Raises:
        UserError: what a person can mend, in one sentence. A run that never reached its first step leaves no folder behind, unless it
            has made something before.
    """
    folder = runs_folder(runs) / checked_name(name) if name else None
    if folder is not None and is_run(folder):
        run = Run.open(folder)
        wanted = describe_system(system) | {"seed": seed, "seeds": seeds, "keep": sorted(keep)}
        # as its system reads today: a field that came after the run was made has its default there
        there = run.config | describe_system(run.system)
        different = _differences(json.loads(json.dumps(there)), json.loads(json.dumps(wanted)))
        if different:
            raise UserError(f"{folder} is a run with other settings ({', '.join(different)}): choose another --name")
        run.follow(track)
        return execute(run)
    run = Run.create(system, seed=seed, seeds=seeds, runs=runs, name=name, checkpoint_every=checkpoint_every, keep=keep, track=track)
    try:
        return execute(run)
    except UserError:
        if not run.began and run.status == "failed" and not run.metrics() and not holds_work(run.folder):
            shutil.rmtree(run.folder, ignore_errors=True)
        raise


def holds_work(folder: Path) -> bool:
    """Whether there is more in a run's folder than what every run begins with: labels or answers that took long to make."""
    return any(path.is_file() and path.name not in BOOKKEEPING and path.stat().st_size for path in folder.rglob("*"))


def execute(run: Run) -> Run:
    """Train what is left of a run; of a finished one, only what its process left lying about is tidied up."""
    if run.status == "finished":
        run.retire()
        return run
    with run.recording():
        run.system.train(run)
    return run


def _differences(there: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    there = {"seeds": 1, **there}
    pairs = [(key, there[key], wanted[key]) for key in ("system", "seed", "seeds", "keep")]
    pairs += [(name, there["fields"].get(name), wanted["fields"].get(name)) for name in {**there["fields"], **wanted["fields"]}]
    return [f"{name} is {before}, not {now}" for name, before, now in pairs if before != now and not _same_place(before, now)]


def _same_place(before: Any, now: Any) -> bool:
    """Whether two spellings, as `runs/x` and `/home/me/runs/x`, are one file or folder."""
    try:
        return isinstance(before, str) and isinstance(now, str) and Path(before).samefile(now)
    except (OSError, ValueError):
        return False
