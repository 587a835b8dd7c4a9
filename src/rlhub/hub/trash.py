"""Delete runs and studies without losing them: they move to ``.trash`` in the runs folder, by one rename, and come back by another.

Nothing here removes anything, and nothing here loads torch.
"""

import errno
import itertools
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.files import in_words, read_json, size_of, sync_folder, writing
from rlhub.core.folder import checked_name, find_run, handle, is_run, list_runs
from rlhub.core.lock import hold
from rlhub.core.records import trainer

TRASH = ".trash"
_STAMP = re.compile(r"^(?P<name>.+)-(?P<moment>\d{8}-\d{6})(\.\d+)?$")


def is_study(folder: Path) -> bool:
    """Whether a folder is a study's."""
    return (folder / "study.json").is_file()


def consequences(folder: Path, runs: Path) -> list[str]:
    """What else deleting a run or a study means, each in a sentence.

    Args:
        folder: the run's or study's.
        runs: where runs live.
    """
    told = [f"{folder.name} takes {in_words(size_of(folder))}, which stay on the disk until its folder in {runs / TRASH} is removed"]
    within = [run for run in list_runs(folder) if run != folder]
    if within:
        told.append(f"{len(within)} {'run' if len(within) == 1 else 'runs'} within it go with it: {_named(within)}")
    if is_study(folder.parent):
        told.append(
            f"it belongs to the study {folder.parent.name}, whose report keeps what was measured; the study trains it anew when it goes on"
        )
    if after := _begun_from(folder, runs):
        told.append(
            f"{_named(after)} began from its model, and can't go on (or, where they hold only an adapter, be loaded) while it is deleted"
        )
    return told


def delete(folder: Path, runs: Path) -> Path:
    """Move a run or a study to ``.trash/NAME-TIME`` in the runs folder.

    Args:
        folder: the run's or study's, within the runs folder.
        runs: where runs live.

    Returns:
        Where it is now; `restore` takes its name.

    Raises:
        UserError: it is being trained, is a stage of another run, lies elsewhere, or can't be moved. Then it stays as it is.
    """
    root, folder = runs.absolute(), folder.absolute()
    if not folder.is_relative_to(root) or folder == root:
        raise UserError(f"{folder} is not within {root}: say with --runs where its runs live")
    place = folder.relative_to(root)
    if place.parts[0] == TRASH:
        raise UserError(f"{folder.name} is deleted already: `rlhub restore {folder.name}` brings it back")
    if not (is_run(folder) or is_study(folder)):
        raise UserError(f"{folder} is neither a run nor a study: `rlhub runs` lists the runs")
    if folder.parent.name == "stages" and is_run(folder.parents[1]):
        whole = folder.parents[1]
        raise UserError(f"{folder.name} is a stage of {whole.name}, which reads what it made: delete all of {handle(whole)} instead")
    with ExitStack() as held:
        for run in list_runs(folder):
            if (busy := trainer(run)) is not None:
                raise UserError(f"{run.name} is being trained by process {busy.pid}: `rlhub stop {handle(run)}` ends that")
            held.enter_context(hold(run))
        with writing(f"{folder.name} into the trash", root / TRASH):
            (root / TRASH / place).parent.mkdir(parents=True, exist_ok=True)
            stamp = time.strftime("%Y%m%d-%H%M%S")
            names = itertools.chain([f"{folder.name}-{stamp}"], (f"{folder.name}-{stamp}.{number}" for number in itertools.count(2)))
            goal = next(path for path in ((root / TRASH / place).with_name(name) for name in names) if not path.exists())
            _move(folder, goal)
    return goal


def restore(name: str, runs: Path, *, new_name: str | None = None) -> Path:
    """Bring a deleted run or study back to where it was.

    Args:
        name: the run's name, or its name in the trash where several had that one.
        runs: where runs live.
        new_name: what it is called from now on, where its name is taken by now.

    Returns:
        Where it is now.

    Raises:
        UserError: there is none, or several, of that name; or its place is taken. Nothing is overwritten.
    """
    root = runs.absolute()
    found = [entry for entry in deleted(runs) if name in (entry["name"], entry["trash"], entry["was"], Path(entry["trash"]).name)]
    if not found:
        raise UserError(f"nothing called {name!r} was deleted in {runs}: `rlhub restore` lists what was")
    if len(found) > 1:
        raise UserError(f"several that were called {name!r} were deleted; choose one: {', '.join(entry['trash'] for entry in found)}")
    source, goal = root / TRASH / found[0]["trash"], root / found[0]["was"]
    goal = goal.with_name(checked_name(new_name)) if new_name else goal
    if goal.exists():
        raise UserError(f"{goal} is there already: choose another name with --name")
    with writing(f"{goal.name} back", goal.parent):
        goal.parent.mkdir(parents=True, exist_ok=True)
        _move(source, goal)
    return goal


def deleted(runs: Path) -> list[dict[str, Any]]:
    """What is in the trash, newest first, as JSON.

    Each entry has its ``name``, its paths ``trash`` (there) and ``was`` (in the runs folder), ``moment`` (local time, YYYYMMDD-HHMMSS) and
    ``study`` (whether it is one).
    """
    root = runs.absolute() / TRASH
    found = []
    for folder in _entries(root):
        match = _STAMP.match(folder.name)
        if match is None:
            continue
        place = folder.relative_to(root)
        told = {"name": match["name"], "trash": str(place), "was": str(place.with_name(match["name"])), "moment": match["moment"]}
        found.append(told | {"study": is_study(folder)})
    return sorted(found, key=lambda entry: str(entry["moment"]), reverse=True)


def _entries(folder: Path) -> Iterator[Path]:
    """The runs and studies in the trash, not those within them."""
    for inside in sorted(folder.iterdir()) if folder.is_dir() else []:
        if is_run(inside) or is_study(inside):
            yield inside
        elif inside.is_dir():
            yield from _entries(inside)


def _move(source: Path, goal: Path) -> None:
    try:
        source.rename(goal)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise UserError(f"{source.name} lies on another disk than {goal.parent}: move it by hand") from error
    sync_folder(source.parent)
    sync_folder(goal.parent)


def _begun_from(folder: Path, runs: Path) -> list[Path]:
    """The other runs one of whose fields names a run, or one within it."""
    inner = {run.resolve() for run in list_runs(folder)}
    found = []
    for run in list_runs(runs):
        if run.resolve() in inner:
            continue
        try:
            fields = read_json(run / "config.json")["fields"].values()
            named = [value.rpartition("@")[0] or value for value in fields if isinstance(value, str)]
            if any((place := find_run(value, runs)) is not None and place.resolve() in inner for value in named):
                found.append(run)
        except (UserError, KeyError, TypeError, AttributeError):
            continue  # a damaged run must not keep others from being deleted
    return found


def _named(folders: list[Path], most: int = 5) -> str:
    names = [folder.name for folder in folders[:most]]
    return ", ".join(names) + (f" and {len(folders) - most} more" if len(folders) > most else "")
