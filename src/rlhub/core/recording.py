"""Who trains a run at this moment, from where, and how it ended: the lock, provenance.json and error.log of a run's folder."""

import logging
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rlhub.core.checkpoint import checkpoint_steps, newest_checkpoint, sweep_checkpoints
from rlhub.core.errors import DivergenceError, UserError
from rlhub.core.files import read_json, write_json, writing
from rlhub.core.folder import handle
from rlhub.core.lock import hold
from rlhub.core.provenance import commit, machine, provenance, usable_cores, versions

_log = logging.getLogger("rlhub")


class Recording:
    """One process's hold on a run.

    Attributes:
        folder: the run's.
        restored: the step of the checkpoint that this process goes on from; 0 for the beginning.
        executions: how many processes have held it, this one included.
    """

    def __init__(self, folder: Path) -> None:
        """Tidy up after a killed process, cut the metrics back to the newest good checkpoint, and add an execution to provenance.json."""
        self.folder = folder
        sweep_checkpoints(folder)
        self.restored = int(newest_checkpoint(folder, resumable=True).name) if checkpoint_steps(folder) else 0
        self._cut_metrics()
        record = self._record()
        if record["executions"]:
            _compute_like(record["executions"][0], folder.name)
        now = provenance() | {"threads": torch.get_num_threads(), "resumed_from": self.restored, "status": "running"}
        self.executions = len(record["executions"]) + 1
        self._write(record | {"executions": [*record["executions"], now]})

    def note(self, **facts: Any) -> None:
        """Add facts to this execution in provenance.json."""
        record = self._record()
        record["executions"][-1] |= facts
        self._write(record)

    def end(self, status: str, reason: str | None = None) -> None:
        """Record how it ended; a disk that is too full for it must not hide the reason why."""
        try:
            self.note(status=status, reason=reason, ended=time.time())
        except UserError as error:
            _log.warning("%s", error)

    def write_error(self, error: BaseException) -> None:
        """Keep the traceback in error.log, and note on the exception where it is."""
        path = self.folder / "error.log"
        try:
            path.write_text("".join(traceback.format_exception(error)))
            error.add_note(f"traceback in {path}")
        except OSError as full:
            _log.warning("could not write %s: %s", path, full.strerror)

    def _cut_metrics(self) -> None:
        """Drop the lines of steps that will be done again, and a line that was cut short."""
        metrics = self.folder / "metrics.jsonl"
        if not metrics.exists():
            return
        size = 0
        if self.restored:
            size = read_json(self.folder / "checkpoints" / str(self.restored) / "manifest.json")["metrics_bytes"]
        with writing("metrics.jsonl", self.folder):
            os.truncate(metrics, min(metrics.stat().st_size, size))

    def _record(self) -> dict[str, Any]:
        return dict(read_json(self.folder / "provenance.json"))

    def _write(self, record: dict[str, Any]) -> None:
        with writing("provenance.json", self.folder, afterwards=f"`rlhub resume {handle(self.folder)}` then goes on"):
            write_json(self.folder / "provenance.json", record)


@contextmanager
def recording(folder: Path) -> Iterator[Recording]:
    """Hold a run for this process while the block runs, and record how the block ended.

    Raises:
        UserError: another process holds the run.
    """
    with hold(folder):
        held = Recording(folder)
        try:
            yield held
        except DivergenceError as error:
            held.end("diverged", str(error))
            raise
        except UserError as error:
            held.end("failed", str(error))
            raise
        except KeyboardInterrupt as stop:
            held.end("interrupted")
            steps = checkpoint_steps(folder)
            where = f"step {steps[-1]}" if steps else "its beginning"
            stop.args = (f"{folder.name} was interrupted; `rlhub resume {handle(folder)}` goes on from {where}",)
            raise
        except GeneratorExit:
            held.end("failed", "its loop was left before the last step")
            raise
        except BaseException as error:
            held.write_error(error)
            held.end("failed", f"{type(error).__name__}: {error}")
            raise
        held.end("finished")


def _compute_like(first: dict[str, Any], name: str) -> None:
    """Compute as the run's first process did: the order of additions, and so the last bits, depends on the number of threads."""
    torch.set_num_threads(first["threads"])
    if first["threads"] > usable_cores():
        _log.warning("%s began with %d threads and goes on with as many on %d cores, slowly", name, first["threads"], usable_cores())
    for what, before, now in (
        ("processor", first["machine"]["cpu"], machine()["cpu"]),
        ("torch", first["versions"]["torch"], versions()["torch"]),
        ("commit", (first["commit"] or {}).get("id"), (commit() or {}).get("id")),
    ):
        if before != now:
            _log.warning("%s began with %s %s and goes on with %s: the numbers may differ", name, what, before, now)
