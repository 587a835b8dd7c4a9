"""A run records what happened, refuses to overwrite, and goes on where it stopped."""

import dataclasses
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import ANY

import numpy as np
import pytest
import torch
from torch import nn

import rlhub as package
from rlhub.core.errors import DivergenceError, UserError
from rlhub.core.files import read_json, write_json
from rlhub.core.records import last_metrics
from rlhub.core.run import Run, find_run
from rlhub.core.system import describe_system, import_system, load_system

Toy = import_system(f"{Path(__file__).with_name('toy.py')}:Toy")


def train(system=None, *, runs, **options):
    return package.train(system or Toy(), runs=runs, **options)


def last_execution(run):
    return read_json(run.folder / "provenance.json")["executions"][-1]


def test_a_finished_run_says_where_when_how_and_from_which_code_it_came(tmp_path):
    run = train(runs=tmp_path, seed=3, name="toy")
    record = last_execution(run)
    assert run.status == "finished"
    assert record["steps"] == 6
    assert record["threads"] == torch.get_num_threads()
    assert record["versions"]["torch"] == torch.__version__
    assert record["machine"]["cores"] >= 1
    assert record["machine"]["memory"] > 2**28
    assert record["pid"] == os.getpid()
    assert record["ended"] >= record["started"]
    config = read_json(run.folder / "config.json")
    assert config["seed"] == 3
    assert config["fields"] == dataclasses.asdict(Toy())


def test_metrics_are_lines_of_json_with_their_step(tmp_path):
    run = train(runs=tmp_path)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, *[step for step in range(1, 7) for _ in "ab"], 6]
    assert run.metrics() == lines


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path):
    states = [(train(runs=tmp_path, seed=seed).checkpoint() / "state.safetensors").read_bytes() for seed in (1, 1, 2)]
    assert states[0] == states[1] != states[2]


def test_runs_without_a_name_get_one_of_their_own(tmp_path):
    assert [train(runs=tmp_path).name for _ in range(3)] == ["toy-seed0", "toy-seed0-2", "toy-seed0-3"]


def test_creating_never_overwrites(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("four years")
    with pytest.raises(UserError, match="is there already"):
        train(runs=tmp_path, name="mine")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def test_training_the_same_again_under_the_same_name_returns_what_is_there(tmp_path):
    first = train(runs=tmp_path, name="toy")
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    again = train(runs=tmp_path, name="toy")
    assert again.folder == first.folder
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == before


def test_a_field_that_came_after_a_run_counts_as_its_default(tmp_path):
    first = train(runs=tmp_path, name="run")
    config = json.loads((first.folder / "config.json").read_text())
    del config["fields"]["schedule"]
    (first.folder / "config.json").write_text(json.dumps(config))
    assert train(runs=tmp_path, name="run").metrics() == first.metrics()
    with pytest.raises(UserError, match="schedule is True, not False"):
        train(Toy(schedule=False), runs=tmp_path, name="run")


CHANGES = [({"steps": 7}, "steps is 6, not 7"), ({"learning_rate": 1.0}, "learning_rate is 0.01, not 1.0")]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_other_settings_under_the_same_name_are_refused_and_named(tmp_path, change, said):
    train(runs=tmp_path, name="toy")
    with pytest.raises(UserError, match=said):
        train(Toy(**change), runs=tmp_path, name="toy")
    with pytest.raises(UserError, match="seed is 0, not 1"):
        train(runs=tmp_path, name="toy", seed=1)


def test_another_spelling_of_the_same_file_is_the_same_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one.jsonl", "other.jsonl"):
        Path(name).write_text("{}", encoding="utf-8")
    first = train(Toy(data="one.jsonl"), runs=tmp_path, name="toy")
    assert train(Toy(data=str(tmp_path / "one.jsonl")), runs=tmp_path, name="toy").folder == first.folder
    with pytest.raises(UserError, match=r"data is one\.jsonl, not other\.jsonl"):
        train(Toy(data="other.jsonl"), runs=tmp_path, name="toy")


@pytest.mark.parametrize("name", ["../up", "a/b", "a@3", ".hidden", "", "a b"])
def test_a_name_that_could_not_be_found_again_is_refused(tmp_path, name):
    if name:
        with pytest.raises(UserError, match="can't be a run's name"):
            train(runs=tmp_path, name=name)
        assert not list(tmp_path.iterdir())


def test_a_bug_is_kept_in_error_log_and_the_run_goes_on_from_its_checkpoint(tmp_path):
    whole = train(runs=tmp_path, name="whole")
    with pytest.raises(ZeroDivisionError) as caught:
        train(Toy(broken=5), runs=tmp_path, name="toy", checkpoint_every=2)
    folder = tmp_path / "toy"
    assert caught.value.__notes__ == [f"traceback in {folder / 'error.log'}"]
    assert "a bug" in (folder / "error.log").read_text()
    run = Run.open(folder)
    assert (run.status, last_execution(run)["reason"]) == ("failed", "ZeroDivisionError: a bug")
    config = read_json(folder / "config.json")
    config["fields"]["broken"] = None
    write_json(folder / "config.json", config)
    run = train(runs=tmp_path, name="toy")
    assert last_execution(run)["resumed_from"] == 4
    assert (run.checkpoint() / "state.safetensors").read_bytes() == (whole.checkpoint() / "state.safetensors").read_bytes()


def test_a_loss_that_is_not_finite_stops_the_run_with_the_last_good_checkpoint(tmp_path):
    with pytest.raises(DivergenceError, match="toy diverged: the loss is nan at step 4; checkpoint 2 is the last good one") as caught:
        train(Toy(poison=3), runs=tmp_path, name="toy", checkpoint_every=2)
    run = Run.open(tmp_path / "toy")
    assert run.status == "diverged"
    assert last_execution(run)["reason"] == str(caught.value)
    assert run.checkpoint().name == "2"
    assert [line["loss"] for line in run.metrics() if line["step"] == 4] == [None]


def test_weights_that_are_not_finite_are_never_checkpointed(tmp_path):
    with pytest.raises(DivergenceError, match=r"after step 4, /model/0.weight in state.safetensors is not finite; checkpoint 2"):
        train(Toy(poison=4), runs=tmp_path, name="toy", checkpoint_every=2)
    assert Run.open(tmp_path / "toy").checkpoint().name == "2"


def test_a_run_that_never_reached_its_first_step_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="no such model"):
        train(Unloadable(), runs=tmp_path, name="toy")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    with pytest.raises(KeyboardInterrupt, match=r"was interrupted; `rlhub resume .*stopped` goes on from step 2"):
        train(Stopped(), runs=tmp_path, name="stopped", checkpoint_every=1)
    assert Run.open(tmp_path / "stopped").status == "interrupted"


def test_two_processes_can_not_train_the_same_run(tmp_path):
    run = Run.create(Toy(), runs=tmp_path, name="toy")
    with run.recording(), pytest.raises(UserError, match=f"being trained by process {os.getpid()}"):
        train(runs=tmp_path, name="toy")
    assert run.status == "finished"


def test_a_run_whose_process_is_gone_without_a_word_was_killed(tmp_path):
    run = train(runs=tmp_path, name="toy")
    record = read_json(run.folder / "provenance.json")
    record["executions"][-1] |= {"status": "running"}
    write_json(run.folder / "provenance.json", record)
    assert run.status == "running"
    record["executions"][-1] |= {"pid_started": 1.0}
    write_json(run.folder / "provenance.json", record)
    assert run.status == "killed"


def test_a_resumed_run_computes_with_the_threads_it_began_with(tmp_path):
    threads = torch.get_num_threads()
    try:
        with pytest.raises(ZeroDivisionError):
            train(Toy(broken=4), runs=tmp_path, name="toy")
        torch.set_num_threads(threads + 1)
        with pytest.raises(ZeroDivisionError):
            train(Toy(broken=4), runs=tmp_path, name="toy")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(threads)


def test_another_processor_or_torch_is_mentioned_in_one_sentence(tmp_path, caplog):
    with pytest.raises(ZeroDivisionError):
        train(Toy(broken=4), runs=tmp_path, name="toy")
    record = read_json(tmp_path / "toy" / "provenance.json")
    record["executions"][0]["machine"]["cpu"] = "abacus"
    write_json(tmp_path / "toy" / "provenance.json", record)
    with pytest.raises(ZeroDivisionError):
        train(Toy(broken=4), runs=tmp_path, name="toy")
    assert "toy began with processor abacus and goes on with" in caplog.text


def test_a_disk_that_fills_up_is_mentioned_once_before_it_is_full(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("rlhub.core.run.shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    train(runs=tmp_path, name="toy", checkpoint_every=1)
    assert caplog.text.count("has 100 B left and its next checkpoint needs") == 1


def test_a_line_that_was_cut_short_is_never_read(tmp_path):
    run = train(runs=tmp_path)
    whole = run.metrics()
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    assert run.metrics() == whole
    assert last_metrics(run.folder) | {"time": 0} == {"step": 6, "time": 0, "before": 1.0, "loss": ANY, "noise": ANY, "after": 2}


def test_kept_steps_stay_and_the_others_go(tmp_path):
    run = train(Toy(steps=9), runs=tmp_path, checkpoint_every=1, keep=(2, 5))
    assert sorted(int(path.name) for path in (run.folder / "checkpoints").iterdir()) == [2, 5, 9]
    assert run.checkpoint(5).name == "5"
    with pytest.raises(UserError, match="no checkpoint of step 4; it has: 2, 5, 9"):
        run.checkpoint(4)


def test_a_system_that_is_trained_directly_records_itself_all_the_same(tmp_path):
    run = Run.create(Toy(), runs=tmp_path)
    Toy().train(run)
    assert run.status == "finished"


def test_a_system_that_leaves_its_loop_early_is_told_so(tmp_path):
    with pytest.raises(RuntimeError, match=r"Hasty\.train left its loop 3 steps before the last one"):
        train(Hasty(), runs=tmp_path, name="hasty")
    assert Run.open(tmp_path / "hasty").status == "failed"


def test_every_step_begins_with_the_same_global_seeds_whatever_was_drawn_before(tmp_path):
    drawn = {}
    for extra in (0, 5):
        run = Run.create(Toy(), runs=tmp_path)
        for step in run.resume(3, model=nn.Linear(1, 1)):
            drawn.setdefault(step, set()).add((random.random(), np.random.rand(), torch.rand(()).item()))
            torch.rand(extra)
    assert [len(values) for values in drawn.values()] == [1, 1, 1]
    assert len(set.union(*drawn.values())) == 3


def test_a_generator_depends_on_nothing_but_seed_purpose_and_step(tmp_path):
    run = Run.create(Toy(), runs=tmp_path, seed=4)
    draws = {(purpose, step): torch.rand(3, generator=run.generator(purpose, step)) for purpose in "ab" for step in (1, 2)}
    torch.rand(7)
    for (purpose, step), before in draws.items():
        assert torch.equal(torch.rand(3, generator=run.generator(purpose, step)), before)
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == 4


def test_a_run_is_found_by_folder_name_and_step(tmp_path, monkeypatch):
    run = train(runs=tmp_path, name="toy")
    assert find_run("toy", tmp_path) == find_run(run.folder) == run.folder
    assert find_run("toy@6", tmp_path) == find_run(f"{run.folder}@6") == run.folder / "checkpoints" / "6"
    assert find_run("other", tmp_path) is find_run("other@3", tmp_path) is find_run("", tmp_path) is None
    monkeypatch.setenv("RLHUB_RUNS", str(tmp_path))
    assert find_run("toy") == run.folder


def test_a_system_survives_its_description(tmp_path):
    config = json.loads(json.dumps(describe_system(Nested(sizes=(1, 2), rate=None))))
    assert load_system(config) == Nested(sizes=(1, 2), rate=None)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("no_such_module:Toy", "no module 'no_such_module'"),
        ("json:JSONDecoder", "is no system"),
        ("json:Nothing", "is no system"),
        ("gone.py:Toy", r"gone\.py, which held the system, is not there"),
    ],
)
def test_a_system_that_can_not_be_imported_is_one_sentence(place, said):
    with pytest.raises(UserError, match=said):
        import_system(place)


def test_a_field_that_is_no_longer_there_is_named():
    config = describe_system(Toy())
    with pytest.raises(UserError, match="no longer has momentum"):
        load_system(config | {"fields": config["fields"] | {"momentum": 0.9}})


def test_what_is_no_run_is_said_to_be_none(tmp_path):
    with pytest.raises(UserError, match="is not a run's folder"):
        Run.open(tmp_path)


@dataclass(frozen=True, kw_only=True)
class Unloadable:
    """Fails as a system does whose model does not exist."""

    def train(self, run):
        raise UserError("no such model")


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Is interrupted in its third step."""

    def train(self, run):
        for step in run.resume(5, model=nn.Linear(1, 1)):
            if step == 3:
                raise KeyboardInterrupt


@dataclass(frozen=True, kw_only=True)
class Hasty:
    """Leaves its loop in the third of five steps."""

    def train(self, run):
        for step in run.resume(5, model=nn.Linear(1, 1)):
            if step == 3:
                break


@dataclass(frozen=True, kw_only=True)
class Nested:
    """Has a tuple among its fields."""

    sizes: tuple[int, ...] = ()
    rate: float | None = 0.1

    def train(self, run):
        pass
