"""``rlhub delete RUN``: move a run, or a study, out of the way."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rlhub.core.errors import UserError
from rlhub.core.folder import runs_folder
from rlhub.hub.commands.runs import run_named
from rlhub.hub.options import parse
from rlhub.hub.trash import consequences, delete, is_study


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Move a run, or a study with its runs, to .trash in the runs folder; `rlhub restore` brings it back.

    Attributes:
        run: the run's or study's name or folder.
        yes: don't ask.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print the result as JSON.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    yes: bool = False
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False


def run(arguments: list[str]) -> int:
    """Say what deleting means, ask, and do it."""
    options = parse(Delete, arguments, prog="rlhub delete")
    root = runs_folder(options.runs)
    folder = next((place for place in (Path(options.run), root / options.run) if is_study(place)), None)
    folder = folder or run_named(options.run, options.runs)
    meaning = consequences(folder, root)
    if not options.yes:
        if options.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UserError(f"nobody can be asked whether to delete {folder.name}: say --yes ({'; '.join(meaning)})")
        sys.stdout.write("\n".join(meaning) + "\n")
        try:
            answer = input(f"delete {folder.name}? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            sys.stdout.write(f"{folder.name} stays\n")
            return 0
    moved = delete(folder, root)
    back = f"rlhub restore {moved.name}" + (f" --runs {options.runs}" if options.runs else "")
    if options.json:
        told = {"name": folder.name, "trash": str(moved), "restore": back, "consequences": meaning}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        shown = "".join(f"\n{sentence}" for sentence in meaning) if options.yes else ""
        sys.stdout.write(f"{folder.name} is in {moved} now{shown}\nbring it back: {back}\n")
    return 0
