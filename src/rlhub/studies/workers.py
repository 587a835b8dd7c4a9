"""Several processes that train and measure for one study at once, for a GPU that one process leaves idle or a machine of many cores."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from rlhub.core.errors import UserError
from rlhub.core.progress import Progress, use_plain_lines
from rlhub.core.provenance import usable_cores
from rlhub.studies.measuring import Subject
from rlhub.studies.store import Store

LOGS = "workers"
Piece = Callable[..., Any]
"""A piece of a study's work: a function of the module's top level that takes the study, what measures, and its own arguments."""


class Workers:
    """Carries out pieces of a study's work: here, one after another, or in processes of their own.

    Attributes:
        count: processes; 1 works in this one.
    """

    def __init__(self, study: Any, measuring: Any, count: int = 1) -> None:
        """Start nothing yet.

        Args:
            study: whose work it is.
            measuring: what `study.begin` gave; a process of its own has it given anew.
            count: processes.

        Raises:
            UserError: there can't be so many.
        """
        if count < 1:
            raise UserError(f"workers is {count}; at least 1 process does the work")
        self._study, self._measuring, self.count = study, measuring, count

    def each(self, piece: Piece, calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Do a piece for each tuple of arguments, and give each back when it is done, in whatever order that is.

        Raises:
            UserError: what one of them said; those under way are waited for, and no others begun.
        """
        if self.count == 1 or len(calls) < 2:
            for arguments in calls:
                piece(self._study, self._measuring, *arguments)
                yield arguments
            return
        told = (self._study, self._measuring.store.folder, max(1, usable_cores() // self.count))
        pool = ProcessPoolExecutor(min(self.count, len(calls)), get_context("spawn"), _begin, told)
        try:
            begun = {pool.submit(_do, piece, arguments): arguments for arguments in calls}
            for done in as_completed(begun):
                done.result()
                yield begun[done]
        finally:
            pool.shutdown(cancel_futures=True)


_held: tuple[Any, Any] | None = None


def _begin(study: Any, folder: Path, threads: int) -> None:
    """What a process does first: what it prints goes to a file of its own, as there is one terminal and one display for all."""
    global _held
    logs = folder / LOGS
    logs.mkdir(exist_ok=True)
    with (logs / f"{os.getpid()}.log").open("a") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    use_plain_lines()
    torch.set_num_threads(threads)
    store = Store(folder)
    _held = study, study.begin(store, Subject(study.start, study.settings["model"]), Progress(folder.name))


def _do(piece: Piece, arguments: tuple[Any, ...]) -> None:
    assert _held is not None  # noqa: S101 (what `_begin` made)
    piece(*_held, *arguments)
