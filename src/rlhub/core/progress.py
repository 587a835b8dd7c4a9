"""What is happening, how far it is, and how long is left: live bars on a terminal, a plain line now and then elsewhere.

There is one display in a process. A task that begins while another one runs is shown below it and moves it: when the third of four arms is
half done, the study's bar stands at 2.5 of 4. Nothing here imports torch, and updating a task only assigns attributes, so that a loop may
do it at every step.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

Item = TypeVar("Item")
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_REMEMBERED = 120.0
_SHARE_TO_JUDGE_BY = 0.01
_SECONDS_TO_JUDGE_BY = 30.0


class Progress:
    """One task: its description, how far it is, what it does at this moment, and its newest numbers.

    Attributes:
        description: what it is.
        total: how many units it has; None when that is not known.
        completed: how many are done.
        activity: what happens at this moment ("writing checkpoint 30"), shown beside the description; empty for the usual.
        metrics: the newest numbers, shown at the end of the line.
        inside: how many units a task that runs inside it is worth.
    """

    def __init__(self, description: str, total: int | float | None = None, *, completed: int | float = 0) -> None:
        """Begin a task; `completed` counts units that were done before, in an earlier process."""
        self.description = description
        self.total = total
        self.completed = completed
        self.activity = ""
        self.metrics: dict[str, int | float] = {}
        self.inside: int | float = 1
        self.child: Progress | None = None
        self._began = time.monotonic()
        self._moments = deque([(self._began, completed)])
        self._within = 0.0

    def begin(self, total: int | float, *, completed: int | float = 0) -> None:
        """Say how many units there are once that is known; the speed is counted from here."""
        self.total, self.completed, self.activity, self._within = total, completed, "", 0.0
        self._moments = deque([(time.monotonic(), completed)])

    def advance(self, units: int | float = 1, **metrics: int | float) -> None:
        """Count units as done, and show these numbers."""
        self.update(self.completed + units, **metrics)

    def update(self, completed: int | float, **metrics: int | float) -> None:
        """Say how many units are done, and show these numbers."""
        self.completed = completed
        self._within = 0.0
        self.metrics.update(metrics)
        now = time.monotonic()
        if now - self._moments[-1][0] > 0.5 or len(self._moments) == 1:
            self._moments.append((now, completed))
            while len(self._moments) > 3 and now - self._moments[0][0] > _SECONDS_REMEMBERED:
                self._moments.popleft()

    def skip(self, units: int | float) -> None:
        """Count units that an earlier process did; the speed is counted from here."""
        self.begin(self.total or 0, completed=self.completed + units)

    @property
    def done(self) -> float:
        """The units done, with what the tasks inside have done of the next."""
        child = self.child
        share = self.inside * min(1.0, child.done / child.total) if child is not None and child.total else 0.0
        return float(self.completed + min(max(1.0, self.inside), self._within + share))

    def leave(self) -> None:
        """Count what the task inside has done, until this task itself says how far it is."""
        self._within = self.done - self.completed
        self.child = None

    @property
    def seconds_elapsed(self) -> float:
        """Since the task began in this process."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float | None:
        """From the speed of the last two minutes or so; None before anything can be said."""
        if not self.total:
            return None
        then, before = self._moments[0]
        now, progressed = time.monotonic(), self.done - before
        if progressed <= 0 or now - then < 0.5:
            return None
        # A long first unit, with a task of its own inside, says nothing of a thousand others.
        if progressed < min(1.0, _SHARE_TO_JUDGE_BY * self.total):
            return None
        # Before, it would tell how long loading took rather than how long the work takes.
        if progressed < _SHARE_TO_JUDGE_BY * self.total and self.seconds_elapsed < _SECONDS_TO_JUDGE_BY:
            return None
        return max(0.0, (self.total - self.done) * (now - then) / progressed)


class _Display:
    """The tasks that run now, outermost first, and how they are shown."""

    def __init__(self, *, live: bool) -> None:
        self.tasks: list[Progress] = []
        self._console = Console(stderr=True)
        self._printed = time.monotonic()
        self._ended = threading.Event()
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4, transient=True) if live else None

    def start(self) -> None:
        if self._live:
            self._live.start()
        else:
            threading.Thread(target=self._print_lines, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        if self._live:
            self._live.stop()

    def finish(self, task: Progress) -> None:
        """Leave one line behind for a task that took a while, so that the scroll-back tells the story."""
        if task.seconds_elapsed < _SECONDS_BETWEEN_LINES:
            return
        line = f"{task.description}: {_count(task)} in {clock(task.seconds_elapsed)}"
        line += f"; {metrics_line(dict(task.metrics), limit=6)}" if task.metrics else ""
        self._console.print(escape(line), highlight=False, style="dim" if self._live else None, soft_wrap=True)

    def _print_lines(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_LINES):
            if self.tasks:
                tasks = list(self.tasks)
                newest = next((task.metrics for task in reversed(tasks) if task.metrics), {})
                line = "; ".join([" > ".join(map(_line, tasks)), *([metrics_line(dict(newest), limit=6)] if newest else [])])
                sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
                sys.stderr.flush()

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=False)
        for _ in range(4):
            table.add_column(no_wrap=True)
        tasks = list(self.tasks)
        for depth, task in enumerate(tasks):
            left = task.seconds_left
            words = escape(task.description) + (f" [dim]{escape(task.activity)}[/dim]" if task.activity else "")
            table.add_row(
                "  " * depth + words,
                ProgressBar(total=task.total, completed=task.done, width=24, pulse=not task.total),
                _count(task),
                f"[cyan]{clock(left)} left[/cyan]" if left is not None else f"[dim]{clock(task.seconds_elapsed)}[/dim]",
            )
        newest = next((task.metrics for task in reversed(tasks) if task.metrics), {})
        return Group(table, Text(metrics_line(dict(newest)), style="dim", overflow="ellipsis", no_wrap=True))


_display: _Display | None = None
_plain = False


def use_plain_lines(plain: bool = True) -> None:
    """Choose plain lines even on a terminal, as ``--plain`` does."""
    global _plain
    _plain = plain


@contextmanager
def progress(description: str, total: int | float | None = None, *, completed: int | float = 0) -> Iterator[Progress]:
    """Show a task while the block runs.

    Args:
        description: what is happening, in a few words.
        total: how many units there are, if known.
        completed: units that were done before this process began; they do not count for the speed.
    """
    global _display
    task = Progress(description, total, completed=completed)
    mine = _display is None
    if _display is None:
        _display = _Display(live=not _plain and sys.stderr.isatty() and os.environ.get("TERM") != "dumb")
        _display.start()
    display = _display
    if display.tasks:
        display.tasks[-1].child = task
    display.tasks.append(task)
    try:
        yield task
    finally:
        display.tasks.remove(task)
        if display.tasks:
            display.tasks[-1].leave()
        display.finish(task)
        if mine:
            _display = None
            display.stop()


def track(iterable: Iterable[Item], description: str, total: int | float | None = None) -> Iterator[Item]:
    """Go through an iterable with its progress shown; ``total`` is its length where it has one."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with progress(description, total) as task:
        for item in iterable:
            yield item
            task.advance()


def clock(seconds: int | float) -> str:
    """A duration as a person reads it: 0:42, 3:07, 1:02:33."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def metrics_line(metrics: Mapping[str, int | float | None], limit: int | None = None) -> str:
    """Metrics in one line, those that people look for first."""
    leading = [name for name in ("accuracy", "reward", "loss") if name in metrics]
    names = [*leading, *(name for name in metrics if name not in leading)][:limit]
    return "  ".join(f"{name} {'nan' if (value := metrics[name]) is None else f'{value:.4g}'}" for name in names)


def _count(task: Progress) -> str:
    if task.total:
        return f"{task.completed:.10g}/{task.total:.10g}"
    return f"{task.completed:.10g}" if task.completed else ""


def _line(task: Progress) -> str:
    left = task.seconds_left
    activity = f" ({task.activity})" if task.activity else ""
    return f"{task.description}{activity} {_count(task)}".rstrip() + (f", {clock(left)} left" if left is not None else "")
