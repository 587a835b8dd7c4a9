"""Trackers that people already use, as mirrors of a run: TensorBoard, trackio and Weights & Biases.

metrics.jsonl stays the truth. A mirror begins with what it holds and goes on with what is appended, so that a run which was killed, and
whose last steps are done again, has no point twice and none too few. A tracker that fails is left, with one warning: training goes on.
"""

import contextlib
import importlib.util
import json
import logging
import netrc
import os
import sys
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from rlhub.core.errors import UserError
from rlhub.core.records import read_metrics
from rlhub.core.system import mend_for

Numbers = dict[str, dict[str, int | float]]
"""What was measured at one step, by series (``""`` where there is one) and name."""
PROJECT = "rlhub"
FOLDER = "trackers"
_log = logging.getLogger("rlhub")


class Tracker(Protocol):
    """Where numbers go."""

    def write(self, step: int, moment: float, numbers: Numbers) -> None:
        """Take one line: what was measured at a step, at a moment (seconds since 1970)."""

    def close(self) -> None:
        """Write what is left, and end."""


class TensorBoard:
    """Event files in ``trackers/tensorboard``, which ``tensorboard --logdir runs`` finds; one series a folder."""

    def __init__(self, run: Path, config: dict[str, Any], *, resumed: bool) -> None:
        """Open a file; what earlier ones hold is void from its first event on."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.plugins.text.metadata import create_summary_metadata

        self._event, self._summary, self._resumed = Event, Summary, resumed
        self._restart = SessionLog(status=SessionLog.START)
        self._folder = run / FOLDER / "tensorboard"
        self._writers: dict[str, Any] = {}
        told = "    " + json.dumps(config, indent=2).replace("\n", "\n    ")
        tensor = TensorProto(dtype="DT_STRING", string_val=[told.encode()])
        value = Summary.Value(tag="config", tensor=tensor, metadata=create_summary_metadata("config", ""))
        self._writer("").add_event(Event(summary=Summary(value=[value])))

    def write(self, step: int, moment: float, numbers: Numbers) -> None:
        """Take one line."""
        for series, measured in numbers.items():
            values = [self._summary.Value(tag=name, simple_value=value) for name, value in measured.items()]
            self._writer(series).add_event(self._event(step=step, wall_time=moment, summary=self._summary(value=values)))

    def close(self) -> None:
        """Write what is left."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, series: str) -> Any:
        if series not in self._writers:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            writer = EventFileWriter(str(self._folder / series), flush_secs=5, filename_suffix=f".{uuid.uuid4().hex[:8]}")
            if self._resumed:
                writer.add_event(self._event(step=0, session_log=self._restart))
            self._writers[series] = writer
        return self._writers[series]


class Trackio:
    """A run of trackio's project ``rlhub``, kept where trackio keeps its own (TRACKIO_DIR); series are told apart by their names' ends."""

    def __init__(self, run: Path, config: dict[str, Any], *, resumed: bool) -> None:
        """Take the run up again where it was; its lines come anew."""
        with contextlib.redirect_stdout(sys.stderr):
            import trackio
            from trackio.sqlite_storage import SQLiteStorage

            if resumed:
                SQLiteStorage.delete_run(PROJECT, run.name, run_id=config["track_id"])
            self._run = trackio.Run(url=None, project=PROJECT, client=None, name=run.name, run_id=config["track_id"], config=config)

    def write(self, step: int, moment: float, numbers: Numbers) -> None:
        """Take one line."""
        self._run.log(_flat(numbers), step=step)

    def close(self) -> None:
        """Write what is left."""
        with contextlib.redirect_stdout(sys.stderr):
            self._run.finish()


class WeightsAndBiases:
    """A run of Weights & Biases' project ``rlhub``; its files, and all of it where nobody is logged in, lie in ``trackers/wandb``."""

    def __init__(self, run: Path, config: dict[str, Any], *, resumed: bool) -> None:
        """Take the run up again where it was; offline, its lines come anew, and what was written before is put beside."""
        import wandb

        folder = run / FOLDER
        folder.mkdir(exist_ok=True)
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if _is_logged_in() else "offline")
        for earlier in folder.glob("wandb/offline-run-*") if mode == "offline" else ():
            earlier.rename(earlier.with_name(f"earlier-{earlier.name}"))
        settings = wandb.Settings(silent=True, console="off", init_timeout=30, disable_git=True, disable_code=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=config["track_id"],
            dir=str(folder),
            config=config,
            mode=mode,
            resume="allow" if mode == "online" else None,
            reinit="create_new",
            settings=settings,
        )
        self._next = self._run.step if resumed and mode == "online" else 0

    def write(self, step: int, moment: float, numbers: Numbers) -> None:
        """Take one line, unless it was sent before the run was killed."""
        if step >= self._next:
            self._run.log(_flat(numbers), step=step)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


_TRACKERS: dict[str, tuple[str, Callable[..., Tracker]]] = {
    "tensorboard": ("tensorboard", TensorBoard),
    "trackio": ("trackio", Trackio),
    "wandb": ("wandb", WeightsAndBiases),
}
TRACKERS = tuple(_TRACKERS)
"""What ``--track`` takes."""


def checked_trackers(track: Sequence[str]) -> list[str]:
    """The trackers' names, each once.

    Raises:
        UserError: there is no such tracker, or its package isn't installed.
    """
    for name in track:
        if name not in _TRACKERS:
            raise UserError(f"there is no tracker {name!r}: choose among {', '.join(TRACKERS)}")
        package = _TRACKERS[name][0]
        if importlib.util.find_spec(package) is None:
            raise UserError(f"--track {name} needs {package}, which isn't installed: {mend_for(package)}")
    return list(dict.fromkeys(track))


class Mirror:
    """The trackers of one run, for one process.

    Attributes:
        trackers: those that still work, by name.
    """

    def __init__(self, run: Path, config: dict[str, Any], *, resumed: bool) -> None:
        """Begin with what the run has logged so far.

        Args:
            run: its folder.
            config: its config.json; ``track`` names the trackers and ``track_id`` what they know the run by.
            resumed: whether an earlier process may have told them something.
        """
        self._run = run
        self._seeds = [f"seed{config['seed'] + number}" for number in range(config.get("seeds", 1))]
        self.trackers: dict[str, Tracker] = {}
        for name in config.get("track", ()):
            with self._forgiving(name):
                self.trackers[name] = _TRACKERS[name][1](run, config, resumed=resumed)
        if self.trackers:
            for line in read_metrics(run):
                self.write(line)

    def write(self, line: dict[str, Any]) -> None:
        """Take a line of metrics.jsonl."""
        numbers: Numbers = {}
        for metric, value in line.items():
            for series, number in zip(self._seeds, value, strict=False) if isinstance(value, list) else [("", value)]:
                if metric not in ("step", "time") and number is not None:
                    numbers.setdefault(series, {})[metric] = number
        for name, tracker in list(self.trackers.items()) if numbers else ():
            with self._forgiving(name):
                tracker.write(line["step"], line["time"], numbers)

    def close(self) -> None:
        """Let every tracker write what it still has."""
        for name, tracker in list(self.trackers.items()):
            with self._forgiving(name):
                tracker.close()
        self.trackers = {}

    @contextlib.contextmanager
    def _forgiving(self, name: str) -> Iterator[None]:
        """Leave a tracker that fails."""
        try:
            yield
        except Exception as error:  # whatever a tracker, its network or its disk raises, the training is worth more
            self.trackers.pop(name, None)
            what = " ".join(str(error).split())[:200]
            _log.warning("%s no longer mirrors %s (%s: %s); training goes on", name, self._run.name, type(error).__name__, what)


def _flat(numbers: Numbers) -> dict[str, int | float]:
    return {f"{name}/{series}" if series else name: value for series, measured in numbers.items() for name, value in measured.items()}


def _is_logged_in() -> bool:
    """Whether Weights & Biases would find a key for this person, where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urllib.parse.urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
