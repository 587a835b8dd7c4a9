"""``rlhub restore [NAME]``: bring back what was deleted."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from rlhub.core.errors import UserError
from rlhub.core.folder import runs_folder
from rlhub.hub.options import parse
from rlhub.hub.trash import deleted, restore


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Bring back a run or a study that `rlhub delete` moved to the trash; without a name, list what is there.

    Attributes:
        deleted: its name, or its name in the trash.
        name: what it is called from now on, where its old name is taken.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print the result as JSON.
    """

    deleted: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="[NAME]")]] = None
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False


def run(arguments: list[str]) -> int:
    """Bring it back, or list what can be."""
    options = parse(Restore, arguments, prog="rlhub restore")
    root = runs_folder(options.runs)
    if options.deleted is not None:
        folder = restore(options.deleted, root, new_name=options.name)
        told = json.dumps({"name": folder.name, "folder": str(folder)}) if options.json else f"{folder.name} is back in {folder.parent}"
        sys.stdout.write(told + "\n")
        return 0
    if options.name is not None:
        raise UserError("--name says what a deleted run is called once it is back: name that run first")
    entries = deleted(root)
    if options.json:
        sys.stdout.write(json.dumps(entries) + "\n")
    elif entries:
        width = max(len(entry["was"]) for entry in entries) + 2
        lines = (f"{entry['was']:{width}}{'study' if entry['study'] else 'run':7}{entry['trash']}" for entry in entries)
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        sys.stdout.write(f"nothing in {root} was deleted\n")
    return 0
