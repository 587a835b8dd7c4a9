"""One execution of a system with one seed, in a folder that can be killed at any moment and copied anywhere."""

import json
import logging
import math
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhub.core.checkpoint import (
    checkpoint_steps,
    newest_checkpoint,
    restore_checkpoint,
    retire_checkpoints,
    sweep_checkpoints,
    write_checkpoint,
)
from rlhub.core.errors import DivergenceError, UserError
from rlhub.core.files import in_words, read_json, size_of, sync_file, write_json, writing
from rlhub.core.folder import checked_name, default_names, find_run, handle, is_run, make_run_folder, runs_folder
from rlhub.core.progress import Progress, progress
from rlhub.core.recording import Recording, recording
from rlhub.core.records import read_metrics, status_of
from rlhub.core.seeding import derive, generator, seed_everything
from rlhub.core.system import describe_system, load_system
from rlhub.core.tracking import Mirror, checked_trackers

__all__ = ["Run", "find_run", "newest_checkpoint"]
_log = logging.getLogger("rlhub")


class Run:
    """A run's folder, and what a system's ``train`` does with it.

    Attributes:
        folder: config.json, metrics.jsonl, provenance.json and checkpoints/<step>/.
        system: the system being trained.
        seed: everything random derives from it.
        seeds: the seeds that train together, each its own model: seed, seed + 1, ...; mostly one.
        config: what config.json says: the system's place and fields, the seeds, which steps are kept.
        began: whether the loop over the steps has begun in this process.
    """

    def __init__(self, folder: Path, system: Any, config: dict[str, Any]) -> None:
        """Use `Run.create` or `Run.open`."""
        self.folder = folder
        self.system = system
        self.config = config
        self.seed: int = config["seed"]
        self.seeds = tuple(range(self.seed, self.seed + config.get("seeds", 1)))
        self.began = False
        self._keep = frozenset(config["keep"])
        self._left = 0
        self._warned = False
        self._recording: Recording | None = None
        self._mirror: Mirror | None = None
        self._progress = Progress(self.name)

    @classmethod
    def create(
        cls,
        system: Any,
        *,
        seed: int = 0,
        seeds: int = 1,
        runs: str | Path | None = None,
        name: str | None = None,
        checkpoint_every: int | None = None,
        keep: tuple[int, ...] = (),
        track: tuple[str, ...] = (),
    ) -> "Run":
        """Make the folder of a new run.

        Args:
            system: what is trained, a frozen dataclass with ``train(run)``.
            seed: everything random derives from it.
            seeds: how many models train side by side from seeds that count on; for systems that can (`trains_several`).
            runs: where runs live; by default RLHUB_RUNS, else ./runs.
            name: the folder's name; by default the system's, its task's and model's, and the seed.
            checkpoint_every: steps between checkpoints; by default as often as costs at most about 5% of the time.
            keep: steps whose model is kept for good.
            track: trackers that mirror its numbers: tensorboard, trackio, wandb.

        Raises:
            UserError: a run or folder of that name is there already, or the folder can't be written. Nothing is ever overwritten.
        """
        if checkpoint_every is not None and checkpoint_every < 1:
            raise UserError(f"checkpoint_every is {checkpoint_every}: there is at least 1 step between checkpoints")
        if seeds < 1 or (seeds > 1 and not getattr(system, "trains_several", False)):
            many = f"{type(system).__name__} trains one seed in a run: start one run a seed, with --seed"
            raise UserError(many if seeds > 1 else f"seeds is {seeds}; there is at least 1")
        # A system whose steps are those of one part of it says how many there are in all.
        steps = getattr(system, "all_steps", getattr(system, "steps", None))
        never = [step for step in keep if step < 1 or (isinstance(steps, int) and step > steps)]
        if never:
            raise UserError(f"keep names step {never[0]}, but the steps are 1 to {steps if isinstance(steps, int) else 'the last'}")
        config = describe_system(system) | {"seed": seed, "checkpoint_every": checkpoint_every, "keep": sorted(keep)}
        config |= {"seeds": seeds} if seeds > 1 else {}
        config |= {"track": checked_trackers(track), "track_id": uuid.uuid4().hex[:12]} if track else {}
        root = runs_folder(runs)
        with writing("the new run", root):
            for candidate in [checked_name(name)] if name else default_names(system, seed, seeds):
                if make_run_folder(root / candidate, config):
                    return cls(root / candidate, system, config)
        raise UserError(f"{root / str(name)} is there already: choose another --name, or go on with `rlhub resume {name}`")

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """The run in a folder.

        Raises:
            UserError: the folder is no run, or its system can't be imported any more.
        """
        folder = Path(folder)
        if not is_run(folder):
            raise UserError(f"{folder} is not a run's folder: it has no config.json and provenance.json; `rlhub runs` lists the runs")
        config = read_json(folder / "config.json")
        return cls(folder, load_system(config), config)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def status(self) -> str:
        """How the run stands: new, running, finished, diverged, failed, interrupted or killed."""
        return status_of(self.folder)

    def follow(self, track: tuple[str, ...]) -> None:
        """Have these trackers mirror the run, too, from its next execution on.

        Raises:
            UserError: there is no such tracker, its package isn't installed, or config.json can't be written.
        """
        wanted = checked_trackers([*self.config.get("track", ()), *track]) if track else []
        if wanted and wanted != self.config.get("track"):
            self.config = {"track_id": uuid.uuid4().hex[:12], **self.config, "track": wanted}
            with self._writing("config.json"):
                write_json(self.folder / "config.json", self.config)

    def resume(self, steps: int, *, by: int = 1, **components: Any) -> Iterator[int]:
        """The steps that are still to be done, after loading the newest good checkpoint into the components.

        A checkpoint is written between two steps, when the loop's body is through. Before each step the global generators of python, numpy
        and torch are seeded from the run's seed and the step.

        Args:
            steps: how many steps the training has, counted from 1.
            by: how many of them one pass of the loop does; the last pass may do some more than are left.
            components: by name, what must survive a kill: anything with ``state_dict`` and ``load_state_dict``.

        Yields:
            by, 2 by, ... up to steps or beyond, or the rest of them.
        """
        with nullcontext(self._recording) if self._recording else self.recording() as held:
            held.note(steps=steps)
            if held.restored:
                restore_checkpoint(self.folder / "checkpoints" / str(held.restored), components)
            self.began = True
            self._progress.begin(steps, completed=held.restored)
            self._keep = frozenset(-(-step // by) * by for step in self.config["keep"])
            passes = range(held.restored + by, -(-steps // by) * by + 1, by)
            self._left = len(passes) * by
            yield from self._passes(passes, components)
            self._progress.activity = "finishing"

    def log(self, step: int, **metrics: float | int | Tensor) -> None:
        """Append numbers to metrics.jsonl.

        Args:
            step: the step they belong to; 0 for before the first.
            metrics: numbers or 0-dimensional tensors, by name, or one number a seed. What is not finite is stored as null.

        Raises:
            DivergenceError: the metric named ``loss`` is NaN or infinite.
        """
        if self._recording is not None and not self.began and step <= self._recording.restored and self._recording.restored:
            return  # this line was written before the run was killed, and has been kept
        numbers = {name: _numbers(value) for name, value in metrics.items()}
        finite = {name: [value if math.isfinite(value) else None for value in values] for name, values in numbers.items()}
        shown = {name: [value for value in values if value is not None] for name, values in finite.items()}
        self._progress.metrics.update({name: sum(values) / len(values) if values else math.nan for name, values in shown.items()})
        told = {name: values if len(self.seeds) > 1 and len(values) > 1 else values[0] for name, values in finite.items() if values}
        line = {"step": step, "time": round(time.time(), 3), **told}
        with self._writing("metrics.jsonl"), self._metrics.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self._mirror is not None:
            self._mirror.write(line)
        broken = [value for value in numbers.get("loss", []) if not math.isfinite(value)]
        if broken:
            raise DivergenceError(self._divergence(f"the loss is {broken[0]} at step {step}"))

    def generator(self, purpose: str, step: int = 0, device: str | torch.device = "cpu") -> torch.Generator:
        """A generator for one purpose at one step, the same whether or not the run was killed in between."""
        return generator(self.seed, purpose, step, device=device)

    def metrics(self) -> list[dict[str, Any]]:
        """Every line of metrics.jsonl."""
        return read_metrics(self.folder)

    def checkpoint(self, step: int | None = None) -> Path:
        """The checkpoint's folder of one step, or the newest good one.

        Raises:
            UserError: there is none.
        """
        if step is None:
            return newest_checkpoint(self.folder)
        checkpoint = self.folder / "checkpoints" / str(step)
        if not checkpoint.is_dir():
            there = ", ".join(map(str, checkpoint_steps(self.folder))) or "none"
            raise UserError(f"run {self.name} has no checkpoint of step {step}; it has: {there}")
        return checkpoint

    def model(self, step: int | None = None, *, seed: int | None = None) -> Any:
        """The model as it was after a step, or at the newest good checkpoint, in evaluation mode.

        Systems whose models are not Hugging Face's say with ``load_model(folder)`` how theirs are loaded; the others' transformers loads.

        Args:
            step: after which step; by default the newest.
            seed: which of several that trained together; by default the first.

        Raises:
            UserError: there is no such checkpoint or seed, or it holds no model.
        """
        folder = self.checkpoint(step)
        if seed is not None and seed not in self.seeds:
            raise UserError(f"run {self.name} has no seed {seed}; it has: {', '.join(map(str, self.seeds))}")
        if len(self.seeds) > 1:
            folder = folder / f"seed{self.seed if seed is None else seed}"
        if hasattr(self.system, "load_model"):
            return self.system.load_model(folder)
        from transformers import AutoModelForCausalLM

        if not ({"config.json", "adapter_config.json"} & {path.name for path in folder.iterdir()}):
            raise UserError(f"{folder} holds no Hugging Face model; load its state with rlhub.core.state.load_state")
        return AutoModelForCausalLM.from_pretrained(folder).eval()

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Hold the run for this process while the block runs, and record where, when, and how it ended.

        Raises:
            UserError: another process holds the run.
        """
        try:
            with recording(self.folder) as held, progress(self.name) as task:
                self._recording, self._progress = held, task
                self.began, self._left = False, 0
                task.activity = "preparing"
                self._mirror = Mirror(self.folder, self.config, resumed=held.executions > 1)
                seed_everything(derive(self.seed, "start"))
                yield held
                if self._left > 0:
                    raise RuntimeError(f"{type(self.system).__name__}.train left its loop {self._left} steps before the last one")
        finally:
            self._recording = None
            if self._mirror is not None:
                self._mirror.close()
                self._mirror = None
        self.retire()

    def retire(self) -> None:
        """Keep of a finished run what can still be loaded as a model: the last checkpoint and the steps in ``keep``."""
        sweep_checkpoints(self.folder)
        retire_checkpoints(self.folder, keep=self._keep.union(checkpoint_steps(self.folder)[-1:]), full=0)

    def _passes(self, passes: range, components: dict[str, Any]) -> Iterator[int]:
        task = self._progress
        every = self.config["checkpoint_every"]
        saved, cost = time.monotonic(), 0.0
        for step in passes:
            seed_everything(derive(self.seed, "step", step))
            yield step
            self._left -= passes.step
            task.update(step)
            due = step // every > (step - passes.step) // every if every else time.monotonic() - saved > max(30.0, 20 * cost)
            if due or step == passes[-1] or step in self._keep:
                task.activity = "writing checkpoint"
                began = time.monotonic()
                self._save(step, components)
                saved, cost = time.monotonic(), time.monotonic() - began
                task.activity = ""

    def _save(self, step: int, components: dict[str, Any]) -> None:
        self._metrics.touch()
        sync_file(self._metrics)
        try:
            checkpoint = write_checkpoint(self.folder, step, components, metrics_bytes=self._metrics.stat().st_size)
        except DivergenceError as error:
            raise DivergenceError(self._divergence(f"after step {step}, {error}")) from error
        retire_checkpoints(self.folder, keep=self._keep)
        self._warn_of_full_disk(size_of(checkpoint))

    def _warn_of_full_disk(self, needed: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < needed and not self._warned:
            _log.warning("the disk of %s has %s left and its next checkpoint needs %s", self.folder, in_words(free), in_words(needed))
            self._warned = True

    @property
    def _metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    def _writing(self, what: str) -> Any:
        return writing(what, self.folder, afterwards=f"`rlhub resume {handle(self.folder)}` then goes on")

    def _divergence(self, what: str) -> str:
        steps = checkpoint_steps(self.folder)
        kept = f"checkpoint {steps[-1]} is the last good one" if steps else "there was no checkpoint yet"
        return f"{self.name} diverged: {what}; {kept}; start a new run with a smaller learning rate"


def _numbers(value: float | int | Tensor) -> list[float | int]:
    numbers = value.flatten().tolist() if isinstance(value, Tensor) else [value]
    return [number if isinstance(number, int) and not isinstance(number, bool) else float(number) for number in numbers]
