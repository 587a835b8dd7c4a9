"""A study that trains nothing, and pieces of its work, for processes that must find them by import: `from pieces import Idle, noted`."""

import os
import sys
from dataclasses import dataclass
from types import SimpleNamespace

from rlhub.core.errors import UserError


@dataclass(frozen=True)
class Idle:
    """As much of a study as `Workers` asks for."""

    start: str = "base"

    @property
    def settings(self):
        return {"model": "nowhere"}

    def begin(self, store, start, task):
        return SimpleNamespace(store=store, base=start)


def noted(study, measuring, name):
    """Leave a file that says which process did it."""
    sys.stdout.write(f"doing {name}\n")
    (measuring.store.folder / name).write_text(str(os.getpid()))


def failing(study, measuring, name):
    """Fail as a person's mistake does, at one name."""
    if name == "b":
        raise UserError(f"{name} can't be done: do another")
    noted(study, measuring, name)
