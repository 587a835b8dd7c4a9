"""Start, resume and stop runs as processes of their own: the command line, in a session of its own, which outlives whoever started it.

Nothing here loads torch, and no shell is involved.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from rlhub.core.errors import UserError
from rlhub.core.files import read_json, writing
from rlhub.core.folder import checked_name, handle, is_run
from rlhub.core.lock import hold
from rlhub.core.records import status_of, trainer

LOGS = ".logs"
RESERVED = ("seed", "seeds", "name", "runs", "checkpoint_every", "keep", "track", "json", "plain")
"""Options of `rlhub train` that are no field of a system."""
_POLL, _SETTLE = 0.1, 10.0


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run that has begun.

    Attributes:
        folder: the run's.
        pid: of the process that trains it.
        log: the file that holds what it prints.
    """

    folder: Path
    pid: int
    log: Path


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A run that was stopped.

    Attributes:
        folder: the run's.
        pid: of the process that trained it.
        signal: the last signal that was sent: SIGINT or SIGTERM.
        status: how the run says that it ended: mostly interrupted.
    """

    folder: Path
    pid: int
    signal: str
    status: str


def start(
    system: str,
    options: Mapping[str, Any],
    *,
    runs: Path,
    seed: int = 0,
    seeds: int = 1,
    name: str | None = None,
    checkpoint_every: int | None = None,
    keep: Sequence[int] = (),
    track: Sequence[str] = (),
    patience: float = 180.0,
) -> Started:
    """Begin a new run, and come back once it trains.

    Args:
        system: a name of the roadmap.
        options: the system's fields by name; numbers, strings, bools, None, and lists or tuples of them.
        runs: where runs live; what the process prints goes to a file in its folder ``.logs``.
        seed: as in `rlhub.train`, like the arguments after it.
        seeds: how many train side by side.
        name: the run's, which must be free; by default the command line makes one.
        checkpoint_every: steps between checkpoints.
        keep: steps whose model is kept.
        track: trackers that mirror it.
        patience: seconds to wait for the run's folder.

    Raises:
        UserError: what the command line said, word for word; or the log can't be written.
    """
    if ":" in system or system.startswith("-"):
        raise UserError(f"the hub starts systems of the roadmap, not {system!r}: start your own with `rlhub train`")
    strangers = [field for field in options if field in RESERVED or not re.fullmatch(r"[a-z][a-z0-9_]*", field)]
    if strangers:
        raise UserError(f"{strangers[0]!r} is no field of a system: `rlhub train {system} --help` shows them")
    if name is not None and (runs / checked_name(name)).exists():
        raise UserError(f"{runs / name} is there already: choose another name, or go on with `rlhub resume {handle(runs / name)}`")
    asked = {"seed": seed, "seeds": seeds, "name": name, "checkpoint_every": checkpoint_every, "keep": tuple(keep), "track": tuple(track)}
    plain = {"seed": 0, "seeds": 1, "name": None, "checkpoint_every": None, "keep": (), "track": ()}
    chosen = {**options, **{field: value for field, value in asked.items() if value != plain[field]}}
    words = [word for field, value in chosen.items() for word in as_words(field, value)]
    return _launch(["train", system, *words], runs=runs, label=system, find=lambda pid, since: _begun(runs, pid, since), patience=patience)


def resume(folder: Path, *, runs: Path, patience: float = 180.0) -> Started:
    """Go on with a run, and come back once it trains; one that has finished is only tidied up.

    Args:
        folder: the run's.
        runs: where runs live, for the log.
        patience: seconds to wait for the process to take the run.

    Raises:
        UserError: what the command line said, or the run is being trained already.
    """
    if not is_run(folder):
        raise UserError(f"{folder} is not a run's folder: `rlhub runs` lists the runs")
    if (busy := trainer(folder)) is not None:
        raise UserError(f"run {folder.name} is being trained by process {busy.pid}: wait for it, or stop it first")

    def find(pid: int, since: float) -> Path | None:
        return folder if _trains(folder, pid, since) else None

    return _launch(["resume", str(folder.absolute())], runs=runs, label=folder.name, find=find, patience=patience)


def stop(folder: Path, *, grace: float = 60.0) -> Stopped:
    """End the process that trains a run, and come back once the run says so.

    The process is told by Ctrl-C's signal, and after the grace period by `kill`'s. It is the one whose number and start time the run's
    provenance.json holds, never another that got its number.

    Args:
        folder: the run's.
        grace: seconds to wait after each signal: a step must end first.

    Raises:
        UserError: nothing trains the run, its process is another person's, or it doesn't end.
    """
    process = trainer(folder)
    if process is None:
        raise UserError(f"run {folder.name} isn't being trained: it is {status_of(folder)}")
    signals = (signal.SIGINT, signal.SIGTERM) if _hears_interrupts(process.pid) else (signal.SIGTERM,)
    sent = signals[0]
    for sent in signals:
        try:
            process.send_signal(sent)
        except psutil.NoSuchProcess:
            pass
        except psutil.AccessDenied:
            whose = f"process {process.pid}, which belongs to {process.username()}"
            raise UserError(f"run {folder.name} is trained by {whose}: only they can stop it") from None
        if _wait(lambda: trainer(folder) is None and _is_free(folder), grace):
            return Stopped(folder=folder, pid=process.pid, signal=sent.name, status=status_of(folder))
    raise UserError(
        f"run {folder.name} still trains {grace * len(signals):.0f} s after it was asked to stop: ask again, or end it with "
        f"`kill -9 {process.pid}`, which loses only what came after its newest checkpoint"
    )


def as_words(field: str, value: Any) -> list[str]:
    """An option as the command line takes it; whatever its value is, it can't become another option.

    Raises:
        UserError: the value, or one in its list, can't be told on a command line.
    """
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    for each in values:
        if not (each is None or isinstance(each, (str, int, float))) or "\0" in str(each):
            raise UserError(f"{field} can't be {each!r}: it takes a text, a number, true, false, none, or a list of them")
    option = f"--{field.replace('_', '-')}"
    if not values:
        return [option]
    for each in values[1:]:
        if isinstance(each, str) and each.startswith("-"):
            raise UserError(f"{field} can't hold {each!r} after its first value: it begins with a dash")
    return [f"{option}={values[0]}", *map(str, values[1:])]


def _launch(words: list[str], *, runs: Path, label: str, find: Callable[[int, float], Path | None], patience: float) -> Started:
    runs = runs.absolute()
    with writing("the log", runs / LOGS):
        (runs / LOGS).mkdir(parents=True, exist_ok=True)
        stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub(r'[^A-Za-z0-9._+-]', '-', label)}-{os.getpid()}-{threading.get_ident()}"
        log = runs / LOGS / f"{stamp}.log"
        output = log.open("xb")
    since = time.time()
    where = ["--runs", str(runs), "--json", "--plain"]
    with output:
        process = subprocess.Popen(  # noqa: S603  a list, no shell
            # -P: a file in the working directory must not pass for a module of ours
            [sys.executable, "-P", "-m", "rlhub.hub.cli", *words, *where],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    threading.Thread(target=process.wait, daemon=True).start()  # so that it never stays behind as a zombie
    found: Path | None = None
    appeared = 0.0
    while time.time() - since < patience:
        ended = process.poll() is not None
        found = find(process.pid, since) or found
        if ended:
            return _outcome(process, log, found)
        if found is not None:
            appeared = appeared or time.time()
            # A run whose environment or model isn't there leaves its folder before its first step.
            if _has_steps(found) or time.time() - appeared > _SETTLE:
                return Started(folder=found, pid=process.pid, log=log)
        time.sleep(_POLL)
    raise UserError(f"no run has begun after {patience:.0f} s, but process {process.pid} still tries: see {log}")


def _outcome(process: "subprocess.Popen[bytes]", log: Path, found: Path | None) -> Started:
    """What a process that has ended leaves: its run, or what it said."""
    told = _answer(log)
    folder = Path(told["folder"]) if "folder" in told else found
    if folder is not None and is_run(folder):
        return Started(folder=folder, pid=process.pid, log=log)
    if "error" in told:
        raise UserError(str(told["error"]))
    with writing("the log", log), log.open("ab") as file:  # a disk that is full is why it is empty
        file.write(b"\n")
        file.flush()
        os.fsync(file.fileno())
    code = process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    raise UserError(f"the process {how} before its run began: see {log}")


def _answer(log: Path) -> dict[str, Any]:
    """The last JSON object that a process printed."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                return dict(json.loads(line))
    return {}


def _begun(runs: Path, pid: int, since: float) -> Path | None:
    """The run in the runs folder that a process has begun."""
    return next((path.parent for path in runs.absolute().glob("[!.]*/provenance.json") if _trains(path.parent, pid, since)), None)


def _trains(folder: Path, pid: int, since: float) -> bool:
    """Whether the newest execution of a run is that of a process."""
    path = folder / "provenance.json"
    try:
        if path.stat().st_mtime < since - 2:
            return False
        last = read_json(path)["executions"][-1]
        return bool(last["pid"] == pid and last["started"] > since - 2)
    except (OSError, UserError, LookupError, TypeError):
        return False


def _has_steps(folder: Path) -> bool:
    """Whether the newest execution has come to its loop."""
    try:
        return "steps" in read_json(folder / "provenance.json")["executions"][-1]
    except (UserError, LookupError, TypeError):
        return False


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL)
    return True


def _is_free(folder: Path) -> bool:
    """Whether nobody holds a run any more, so that it can be resumed or moved at once."""
    try:
        hold(folder).close()
    except UserError:
        return False
    return True


def _hears_interrupts(pid: int) -> bool:
    """Whether a process takes notice of Ctrl-C's signal; one that a shell started in its background doesn't."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    ignored = re.search(r"^SigIgn:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return ignored is None or not int(ignored[1], 16) & 1 << (signal.SIGINT - 1)
