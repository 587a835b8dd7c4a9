"""``rlhub stop RUN``: end a run that is being trained."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from rlhub.core.folder import handle
from rlhub.core.progress import progress
from rlhub.hub.commands.runs import run_named
from rlhub.hub.options import parse
from rlhub.hub.processes import stop
from rlhub.hub.trash import is_study


@dataclass(frozen=True, kw_only=True)
class Stop:
    """End a run that is being trained, after the step it is in; `rlhub resume` goes on from its newest checkpoint.

    Attributes:
        run: the run's name or folder.
        grace: seconds to wait for it to end, before it is told once more.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print the result as JSON.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    grace: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 60.0
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False


def run(arguments: list[str]) -> int:
    """Stop the run, and say how to go on."""
    options = parse(Stop, arguments, prog="rlhub stop")
    folder = run_named(options.run, options.runs)
    with progress(f"waiting for {folder.name} to end"):
        stopped = stop(folder, grace=options.grace)
    if options.json:
        told = {"name": folder.name, "folder": str(folder), "pid": stopped.pid, "signal": stopped.signal, "status": stopped.status}
        sys.stdout.write(json.dumps(told) + "\n")
        return 0
    whole = folder
    if folder.parent.name == "stages":
        whole = folder.parents[1]
    elif is_study(folder.parent):
        whole = folder.parent
    part = f", and with it {whole.name}, which it is a part of" if whole != folder else ""
    on = "" if stopped.status == "finished" else f"\ngo on: rlhub resume {handle(whole)}"
    sys.stdout.write(f"{folder.name} {stopped.status}{part}{on}\n")
    return 0
