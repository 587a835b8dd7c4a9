"""Trackers hold what metrics.jsonl holds, each number once, and never stand in the way of training."""

import importlib.util
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from waiting import until

from rlhub.core import tracking
from rlhub.core.errors import UserError
from rlhub.core.records import read_metrics
from rlhub.core.run import Run
from rlhub.core.training import execute, train

TOY = f"{Path(__file__).with_name('toy.py')}:Toy"


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Several seeds that only count, and a fault at a step."""

    steps: int = 6
    trains_several = True

    def train(self, run):
        for step in run.resume(self.steps, weight=torch.nn.Linear(1, 1)):
            run.log(step, loss=torch.tensor([step + seed for seed in run.seeds]), alone=step)
            if step == 4 and (run.folder / "break").exists():
                raise KeyboardInterrupt


def logged(folder):
    """Every number of a run, by metric and series."""
    found = {}
    for line in read_metrics(folder):
        for name, value in line.items():
            if name not in ("step", "time"):
                for place, number in enumerate(value if isinstance(value, list) else [value]):
                    series = f"seed{place}" if isinstance(value, list) else ""
                    found.setdefault((series, name), []).append((line["step"], pytest.approx(number)))
    return found


def in_tensorboard(folder):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    read = EventMultiplexer(size_guidance={"scalars": 0}).AddRunsFromDirectory(str(folder / "trackers" / "tensorboard")).Reload()
    found = {}
    for series, tags in read.Runs().items():
        for tag in tags["scalars"]:
            found["" if series == "." else series, tag] = [(event.step, event.value) for event in read.Scalars(series, tag)]
    return found, read.Tensors(".", "config")


@pytest.fixture
def trackio_storage(tmp_path, monkeypatch):
    """Trackio's own storage, in a folder of its own."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("utils", "sqlite_storage"):
        module = pytest.importorskip(f"trackio.{name}")
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    return module.SQLiteStorage


def in_trackio(storage, run):
    found = {}
    for row in storage.get_logs("rlhub", run.name, run_id=run.config["track_id"]):
        for name, value in row.items():
            if name not in ("step", "timestamp"):
                name, _, series = name.partition("/")
                found.setdefault((series, name), []).append((row["step"], value))
    return found


def in_wandb(folder, *wanted):
    """Whether the offline file that `wandb sync` would send holds all these; a process of its own writes it, at its leisure."""
    (path,) = folder.glob("trackers/wandb/offline-run-*/run-*.wandb")
    return until(lambda: all(each in path.read_bytes() for each in wanted), 60)


def broken_run(tmp_path, *track, seeds=2):
    """A run that is interrupted after step 4, whose newest checkpoint is that of step 2, and then goes on."""
    run = Run.create(Seeds(), seeds=seeds, runs=tmp_path, name="toy", checkpoint_every=2, track=track)
    (run.folder / "break").touch()
    with pytest.raises(KeyboardInterrupt):
        execute(run)
    (run.folder / "break").unlink()
    return run


@pytest.mark.parametrize("seeds", [1, 2])
def test_tensorboard_reads_back_every_number_once_also_after_a_resume(tmp_path, seeds):
    run = broken_run(tmp_path, "tensorboard", seeds=seeds)
    assert in_tensorboard(run.folder)[0] == logged(run.folder)
    execute(Run.open(run.folder))
    found, (*_, config) = in_tensorboard(run.folder)
    assert found == logged(run.folder)
    assert [step for step, _ in found["seed1" if seeds == 2 else "", "loss"]] == [1, 2, 3, 4, 5, 6]
    assert b'"track_id"' in config.tensor_proto.string_val[0]


def test_trackio_reads_back_every_number_once_also_after_a_resume(tmp_path, trackio_storage):
    run = broken_run(tmp_path, "trackio")
    assert in_trackio(trackio_storage, run) == logged(run.folder)
    execute(Run.open(run.folder))
    assert in_trackio(trackio_storage, run) == logged(run.folder)
    assert {name for name, _ in logged(run.folder)} == {"", "seed0", "seed1"}


def test_two_runs_of_one_name_are_two_runs_of_trackio(tmp_path, trackio_storage):
    runs = [train(Seeds(steps=steps), runs=tmp_path / str(steps), name="toy", track=("trackio",)) for steps in (2, 3)]
    for run in runs:
        assert in_trackio(trackio_storage, run) == logged(run.folder)


def test_wandb_works_offline_in_the_run_s_folder_and_again_after_a_resume(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "nobody"))
    run = broken_run(tmp_path, "wandb")
    assert in_wandb(run.folder, b"loss/seed1")
    execute(Run.open(run.folder))
    assert in_wandb(run.folder, b"loss/seed1", run.config["track_id"].encode())
    assert len(list(run.folder.glob("trackers/wandb/earlier-offline-run-*"))) == 1


def test_several_trackers_at_once_leave_the_same_bits_as_none(tmp_path, rlhub):
    ended, there = {}, [name for name in tracking.TRACKERS if importlib.util.find_spec(name)]
    for name, track in (("plain", []), ("tracked", ["--track", *there])):
        before = (
            f"import os; os.environ |= {{'TRACKIO_DIR': {str(tmp_path / 'trackio')!r}, 'WANDB_MODE': 'offline', 'HF_HUB_OFFLINE': '1'}}"
        )
        told = rlhub("train", TOY, "--runs", tmp_path, "--name", name, "--plain", "--json", *track, before=before)
        assert told["code"] == 0, told["err"]
        json.loads(told["out"])
        lines = [{key: value for key, value in line.items() if key != "time"} for line in read_metrics(tmp_path / name)]
        ended[name] = (tmp_path / name / "checkpoints" / "6" / "state.safetensors").read_bytes(), lines
    assert ended["plain"] == ended["tracked"]
    assert in_tensorboard(tmp_path / "tracked")[0] == logged(tmp_path / "tracked")
    assert in_wandb(tmp_path / "tracked", b"loss")


def test_killed_at_any_moment_the_curve_goes_on_without_a_point_twice(tmp_path, rlhub):
    for place in (60, 90, 120, 150):
        root = tmp_path / str(place)
        command = ["train", TOY, "--runs", root, "--name", "toy", "--steps", "6", "--checkpoint-every", "2", "--track", "tensorboard"]
        assert rlhub(*command, root=str(root), kill_at=place)["code"] == -9
        ended = rlhub("resume", root / "toy") if (root / "toy").exists() else rlhub(*command)
        assert ended["code"] == 0, ended["err"]
        assert in_tensorboard(root / "toy")[0] == logged(root / "toy"), place


class Faulty:
    """A tracker without a network."""

    def __init__(self, run, config, *, resumed):
        self.fails = os.environ.get("FAULT")
        if self.fails == "begin":
            raise ConnectionError("no network")

    def write(self, step, moment, numbers):
        if self.fails == "write":
            raise ConnectionError("no network")

    def close(self):
        if self.fails == "close":
            raise ConnectionError("no network")


@pytest.mark.parametrize("moment", ["begin", "write", "close"])
def test_a_tracker_that_fails_is_left_with_one_warning(tmp_path, monkeypatch, caplog, moment):
    monkeypatch.setenv("FAULT", moment)
    monkeypatch.setitem(tracking._TRACKERS, "wandb", ("json", Faulty))
    with caplog.at_level(logging.WARNING, "rlhub"):
        run = train(Seeds(), runs=tmp_path, name="toy", track=("wandb", "tensorboard"))
    assert run.status == "finished"
    assert [record.getMessage() for record in caplog.records] == [
        "wandb no longer mirrors toy (ConnectionError: no network); training goes on"
    ]
    assert in_tensorboard(run.folder)[0] == logged(run.folder)


def test_a_missing_package_or_a_tracker_nobody_knows_is_one_sentence_and_no_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--track wandb needs wandb, which isn't installed: pip install 'rlhub\[trackers\]'"):
        train(Seeds(), runs=tmp_path, track=("wandb",))
    with pytest.raises(UserError, match="there is no tracker 'mlflow': choose among tensorboard, trackio, wandb"):
        train(Seeds(), runs=tmp_path, track=("mlflow",))
    assert not list(tmp_path.iterdir())


def test_a_run_without_trackers_names_none_and_one_can_be_added_later(tmp_path):
    run = broken_run(tmp_path)
    assert "track" not in run.config and not (run.folder / "trackers").exists()
    run = train(Seeds(), seeds=2, runs=tmp_path, name="toy", track=("tensorboard",))
    assert run.config["track"] == ["tensorboard"]
    assert in_tensorboard(run.folder)[0] == logged(run.folder)
