"""Trainings of several stages, each a run of its own within the whole one's folder."""

import json
import shutil
from pathlib import Path
from typing import Any

from rlhub.core.files import read_json, write_json, writing
from rlhub.core.folder import is_run
from rlhub.core.run import Run
from rlhub.core.system import describe_system
from rlhub.core.training import train

STAGES = "stages"
OWN = ("manifest.json", "state.json", "state.safetensors")
"""Files of a checkpoint that are no part of its model."""


class Stages:
    """The stages of a run. As a part of its checkpoints, it holds the model of the stage that ended last.

    Attributes:
        last: the run of the stage that ended last, if it left a model.
    """

    def __init__(self, run: Run) -> None:
        """Begin without one."""
        self._run = run
        self.last: str | None = None

    def train(self, name: str, system: Any, *, model: bool = True) -> Run:
        """Train a stage, or go on with it, or take it as it is if it has ended before.

        Args:
            name: of its run.
            system: what trains.
            model: whether it leaves a model that the next stages, and in the end everybody, should take.
        """
        if is_run(self._run.folder / STAGES / name):
            self._relocate(name, system)
        done = train(system, seed=self._run.seed, runs=self._run.folder / STAGES, name=name, track=tuple(self._run.config.get("track", ())))
        if model:
            self.last = name
        return done

    def _relocate(self, name: str, system: Any) -> None:
        """Let a stage that was begun find the others where they lie now: the whole run may have been moved, or named by another path."""
        path = self._run.folder / STAGES / name / "config.json"
        config, wanted = read_json(path), json.loads(json.dumps(describe_system(system)["fields"]))
        moved = {key: value for key, value in wanted.items() if same_stage(config["fields"].get(key), value)}
        if any(config["fields"][key] != value for key, value in moved.items()):
            write_json(path, config | {"fields": config["fields"] | moved})

    def folder(self, name: str) -> str:
        """A stage's run, as what others name their models by."""
        return str(self._run.folder / STAGES / name)

    def rows(self, name: str, file: str) -> Path:
        """A file that a stage wrote."""
        return self._run.folder / STAGES / name / file

    def state_dict(self) -> dict[str, str | None]:
        """Which stage ended last."""
        return {"last": self.last}

    def load_state_dict(self, state: dict[str, str | None]) -> None:
        """Restore it."""
        self.last = state["last"]

    def save_model(self, folder: Path) -> None:
        """Write the last stage's model."""
        if self.last is None:
            return
        source = Run.open(self._run.folder / STAGES / self.last).checkpoint()
        for path in source.iterdir():
            if path.name not in OWN:
                (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)

    def load_model(self, folder: Path) -> None:
        """Nothing: the stages' own runs hold their models."""


def same_stage(one: Any, other: Any) -> bool:
    """Whether two settings name the same stage, or the same file of it, in runs that may lie in different places."""
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    within = [text.rpartition(f"/{STAGES}/")[2] if f"/{STAGES}/" in text else None for text in (one, other)]
    return within[0] is not None and within[0] == within[1]


class Rows:
    """What a stage that makes data has made so far: kept in its checkpoints, and written to a file as it grows.

    Attributes:
        rows: JSON objects.
    """

    def __init__(self, run: Run, file: str) -> None:
        """Begin with none."""
        self._run, self._file = run, file
        self.rows: list[dict[str, Any]] = []

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take more rows."""
        self.rows += rows
        self._write()

    def _write(self) -> None:
        with writing(self._file, self._run.folder):
            beside = self._run.folder / f".{self._file}.partial"
            beside.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
            beside.rename(self._run.folder / self._file)

    def state_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them, and cut the file back to them."""
        self.rows = list(state["rows"])
        self._write()
