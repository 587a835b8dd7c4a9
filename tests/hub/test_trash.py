"""Deleting moves, restoring moves back, and neither overwrites or loses anything."""

import json
import os
import pty
import subprocess
import sys
import time

import pytest

from rlhub.core.errors import UserError
from rlhub.core.files import write_json
from rlhub.core.folder import list_runs
from rlhub.core.lock import hold
from rlhub.hub.trash import TRASH, consequences, delete, deleted, restore


def make(folder, *, status="finished", **fields):
    (folder / "checkpoints" / "3").mkdir(parents=True)
    (folder / "checkpoints" / "3" / "model").write_text(folder.name)
    write_json(folder / "config.json", {"system": "x:X", "fields": fields, "seed": 0})
    write_json(folder / "provenance.json", {"executions": [{"pid": 1, "pid_started": 0.0, "status": status, "started": 1.0}]})
    return folder


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_a_deleted_run_is_listed_nowhere_and_comes_back_whole(tmp_path):
    run = make(tmp_path / "one")
    before = everything(run)
    moved = delete(run, tmp_path)
    assert moved.parent == tmp_path / TRASH and moved.name.startswith("one-")
    assert not run.exists() and list_runs(tmp_path) == []
    (entry,) = deleted(tmp_path)
    assert (entry["name"], entry["was"], entry["trash"], entry["study"]) == ("one", "one", moved.name, False)
    assert restore("one", tmp_path) == run
    assert everything(run) == before
    assert deleted(tmp_path) == []


def test_several_of_a_name_are_told_apart_and_a_taken_place_is_kept(tmp_path):
    first = delete(make(tmp_path / "one", step=1), tmp_path)
    second = delete(make(tmp_path / "one", step=2), tmp_path)
    assert first != second
    with pytest.raises(UserError, match=rf"choose one: .*{first.name}"):
        restore("one", tmp_path)
    restore(first.name, tmp_path)
    with pytest.raises(UserError, match="is there already: choose another name"):
        restore(second.name, tmp_path)
    assert json.loads((restore(second.name, tmp_path, new_name="two") / "config.json").read_text())["fields"] == {"step": 2}
    assert json.loads((tmp_path / "one" / "config.json").read_text())["fields"] == {"step": 1}
    with pytest.raises(UserError, match="nothing called 'one' was deleted"):
        restore("one", tmp_path)
    with pytest.raises(UserError, match="can't be a run's name"):
        delete(tmp_path / "two", tmp_path)
        restore("two", tmp_path, new_name="../out")


def test_what_is_in_use_stays(tmp_path):
    me = {"pid": os.getpid(), "pid_started": __import__("psutil").Process().create_time(), "status": "running", "started": 1.0}
    study = tmp_path / "recall"
    for place in (tmp_path / "alone", tmp_path / "whole" / "stages" / "imitate", study / "sft-seed0"):
        write_json(make(place) / "provenance.json", {"executions": [me]})
    make(tmp_path / "whole", status="interrupted")
    write_json(study / "study.json", {"study": "recall"})
    for place in (tmp_path / "alone", tmp_path / "whole", study):
        with pytest.raises(UserError, match="is being trained by process"):
            delete(place, tmp_path)
        assert place.exists()
    held = make(tmp_path / "held", status="interrupted")
    with hold(held), pytest.raises(UserError, match="is being trained by process"):
        delete(held, tmp_path)
    assert not (tmp_path / TRASH).exists()


def test_a_stage_goes_only_with_its_whole_run(tmp_path):
    stage = make(make(tmp_path / "whole") / "stages" / "imitate")
    with pytest.raises(UserError, match="imitate is a stage of whole, which reads what it made"):
        delete(stage, tmp_path)
    assert any("1 run within it go" in sentence and "imitate" in sentence for sentence in consequences(tmp_path / "whole", tmp_path))
    delete(tmp_path / "whole", tmp_path)
    assert restore("whole", tmp_path) and stage.exists()


def test_a_study_s_run_and_then_the_study_are_deleted_and_come_back_in_any_order(tmp_path):
    study = tmp_path / "recall"
    run = make(study / "sft-seed0")
    write_json(study / "study.json", {"study": "recall"})
    assert any("study recall" in sentence and "trains it anew" in sentence for sentence in consequences(run, tmp_path))
    moved = delete(run, tmp_path)
    assert moved.parent == tmp_path / TRASH / "recall"
    delete(study, tmp_path)
    assert {entry["was"]: entry["study"] for entry in deleted(tmp_path)} == {"recall/sft-seed0": False, "recall": True}
    restore("recall", tmp_path)
    assert restore("sft-seed0", tmp_path) == run and run.exists() and (study / "study.json").exists()


def test_whoever_began_from_it_is_named(tmp_path):
    base = make(tmp_path / "base")
    make(tmp_path / "child", model=f"{base}@3")
    make(tmp_path / "stranger", model="smollm2")
    (tmp_path / "stranger" / "config.json").rename(tmp_path / "stranger" / "kept")
    make(tmp_path / "damaged")
    (tmp_path / "damaged" / "config.json").write_text("{")
    (told,) = [sentence for sentence in consequences(base, tmp_path) if "began from its model" in sentence]
    assert told.startswith("child began")


def test_what_is_no_run_or_lies_elsewhere_stays(tmp_path):
    (tmp_path / "runs" / "notes").mkdir(parents=True)
    other = make(tmp_path / "other")
    for place, said in (
        (tmp_path / "runs" / "notes", "neither a run nor a study"),
        (other, "is not within"),
        (tmp_path / "runs", "not within"),
    ):
        with pytest.raises(UserError, match=said):
            delete(place, tmp_path / "runs")
        assert place.exists()
    moved = delete(other, tmp_path)
    with pytest.raises(UserError, match="is deleted already"):
        delete(moved, tmp_path)


def test_a_trash_that_cannot_be_written_leaves_the_run_where_it_is(tmp_path):
    run = make(tmp_path / "one")
    (tmp_path / TRASH).write_text("mine")
    with pytest.raises(UserError, match="could not write one into the trash"):
        delete(run, tmp_path)
    assert run.exists() and (tmp_path / TRASH).read_text() == "mine"


def test_on_a_full_disk_it_still_deletes_or_says_so(tmp_path, small_disk):
    disk = small_disk("size=80k")
    run = make(disk / "one")
    with pytest.raises(OSError), (disk / "filler").open("wb") as filler:
        while True:
            filler.write(b"x" * 4096)
            filler.flush()
    before = everything(run)
    try:
        moved = delete(run, disk)
    except UserError as error:
        assert "the disk is full" in str(error)
        moved = run
    assert everything(moved) == before


def test_the_command_refuses_to_guess_and_says_how_to_bring_it_back(tmp_path, rlhub):
    make(tmp_path / "one")
    refused = rlhub("delete", "one", "--runs", tmp_path)
    assert refused["code"] == 2 and "say --yes" in refused["err"] and (tmp_path / "one").exists()
    done = rlhub("delete", "one", "--yes", "--runs", tmp_path)
    assert done["code"] == 0 and not (tmp_path / "one").exists()
    back = done["out"].rpartition("bring it back: rlhub ")[2].split()
    assert "one-" in rlhub("restore", "--runs", tmp_path)["out"]
    assert rlhub(*back)["out"] == f"one is back in {tmp_path}\n"
    assert (tmp_path / "one").exists()
    assert json.loads(rlhub("delete", "one", "--yes", "--json", "--runs", tmp_path)["out"])["restore"].startswith("rlhub restore one-")
    assert [entry["name"] for entry in json.loads(rlhub("restore", "--json", "--runs", tmp_path)["out"])] == ["one"]


@pytest.mark.parametrize(("answer", "stays"), [("n", True), ("", True), ("y", False)])
def test_on_a_terminal_it_asks(tmp_path, answer, stays):
    make(tmp_path / "one")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rlhub.hub.cli", "delete", "one", "--runs", str(tmp_path)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ) as asked:
        os.close(theirs)
        shown, deadline = b"", time.monotonic() + 60
        while b"delete one? [y/N]" not in shown and time.monotonic() < deadline:
            shown += os.read(ours, 1024)
        os.write(ours, answer.encode() + b"\n")
        assert asked.wait(30) == 0
    os.close(ours)
    assert b"stay on the disk" in shown
    assert (tmp_path / "one").exists() is stays
