"""A run's metrics.jsonl as columns of numbers, read on as it grows."""

import json
import os
import threading
from array import array
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from rlhub.core.errors import UserError

METRIC = "episode_return"
ACCURACIES = {"solved": "share of answers solved", "exact_match": "share of answers that match", "reward": "mean reward"}
"""What says how good a language model's answers are; the first of them that a run has is drawn."""
FIRST = (METRIC, *ACCURACIES)
SKIPPED = ("step", "time")
MOST_NUMBERS = 6_000_000
"""How many numbers of all runs are held at once: 48 MB."""
_PROBE = 64


class MetricLog:
    """The columns of one file.

    Attributes:
        path: the file.
        generation: counts how often it was read anew, as when a resumed run cut off what came after its checkpoint.
        lines: how many were read.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is read before `update`."""
        self.path = path
        self.generation = 0
        self._lock = threading.Lock()
        self._probe = b""
        self._begin()

    def update(self) -> None:
        """Read the whole lines that have been appended.

        Raises:
            UserError: the file is a link, which may lead outside the runs folder.
        """
        with self._lock:
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                return
            except OSError as error:
                raise UserError(f"can't read {self.path}: {error.strerror}") from error
            with os.fdopen(descriptor, "rb") as file:
                size = os.fstat(descriptor).st_size
                if size < self._read or self._probe_of(file) != self._probe:
                    self.generation += 1
                    self._begin()
                if size == self._read:
                    return
                file.seek(self._read)
                new = file.read(size - self._read)
                whole = new[: new.rfind(b"\n") + 1]
                self._read += len(whole)
                self._probe = self._probe_of(file)
            for line in whole.splitlines():
                self._take(line)

    def names(self) -> list[str]:
        """The metrics: those that say how well it does first, the others in the order they first appear."""
        return sorted(self._steps, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))

    def count(self, name: str) -> int:
        """How many values a metric has."""
        return len(self._steps.get(name, ()))

    def values(self, name: str, *, since: int = 0) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "points seeds"]]:
        """A metric's values and the steps they belong to.

        Args:
            name: the metric; one that isn't there has no values.
            since: leave out so many of the first.

        Returns:
            Steps, and a column for each seed that trained in the run; NaN where a seed has none.
        """
        with self._lock:
            steps, columns = self._steps.get(name, array("d")), self._values.get(name, [])
            table = np.array([column[since:] for column in columns]) if columns else np.empty((0, 0))
            return np.array(steps[since:]), table.T

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return sum(len(steps) * (1 + len(self._values[name])) for name, steps in self._steps.items())

    def _begin(self) -> None:
        self._read, self._probe, self.lines = 0, b"", 0
        self._steps: dict[str, array[float]] = {}
        self._values: dict[str, list[array[float]]] = {}

    def _probe_of(self, file: Any) -> bytes:
        """What stands before the place that was read up to: other bytes than before mean another file."""
        file.seek(max(0, self._read - _PROBE))
        return bytes(file.read(min(_PROBE, self._read)))

    def _take(self, line: bytes) -> None:
        try:
            told = json.loads(line)
            step = float(told["step"])
        except (ValueError, TypeError, KeyError):
            return  # what a crash left of a line
        self.lines += 1
        for name, value in told.items():
            if name in SKIPPED:
                continue
            each = value if isinstance(value, list) else [value]
            if not all(one is None or isinstance(one, int | float) for one in each):
                continue
            columns = self._values.setdefault(name, [])
            steps = self._steps.setdefault(name, array("d"))
            while len(columns) < len(each):
                columns.append(array("d", [np.nan]) * len(steps))
            steps.append(step)
            for place, column in enumerate(columns):
                one = each[place] if place < len(each) else None
                column.append(np.nan if one is None else one)


class MetricLogs:
    """The logs of the runs that were looked at last, within a bound on memory."""

    def __init__(self, most: int = MOST_NUMBERS) -> None:
        """Hold at most so many numbers of all runs together."""
        self._most = most
        self._logs: OrderedDict[Path, MetricLog] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, folder: Path) -> MetricLog:
        """A run's log, up to date."""
        with self._lock:
            log = self._logs.setdefault(folder, MetricLog(folder / "metrics.jsonl"))
            self._logs.move_to_end(folder)
        log.update()
        with self._lock:
            held = sum(each.numbers for each in self._logs.values())
            while held > self._most and len(self._logs) > 1:
                _, oldest = self._logs.popitem(last=False)
                held -= oldest.numbers
        return log
