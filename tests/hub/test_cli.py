"""What a person sees: help at once, one sentence for every mistake, JSON for machines."""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlhub.hub.systems import SYSTEMS

TOY = f"{Path(__file__).parents[1] / 'core' / 'toy.py'}:Toy"
BIG = ["--width", "3000", "--checkpoint-every", "2"]


def sentence(ended, *, code=2):
    """The one line that a command which failed has printed."""
    assert (ended["code"], ended["out"]) == (code, ""), ended
    (line,) = ended["err"].splitlines()
    return line


@contextmanager
def mounted(folder, options):
    """A small file system of its own, where the machine lets us have one."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "rlhub-test", folder], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


LIGHT = [[], ["--help"], ["--version"], ["train"], ["train", "--help"], ["train", "--json"], ["runs"], ["runs", "--help"]]


@pytest.mark.parametrize("arguments", LIGHT)
def test_help_and_lists_load_neither_torch_nor_transformers(arguments, tmp_path):
    code = (
        "import sys, atexit\nfrom rlhub.hub.cli import main\n"
        "atexit.register(lambda: print('HEAVY', [name for name in ('torch', 'transformers', 'numpy') if name in sys.modules]))\n"
        f"sys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_help_names_every_command_and_every_system(rlhub):
    told = rlhub("--help")["out"]
    assert all(re.search(rf"^  {command} ", told, re.MULTILINE) for command in ("train", "resume", "runs", "study", "lens"))
    listed = rlhub("train")["out"]
    assert all(f"  {entry.name} " in listed and entry.source in listed for entry in SYSTEMS)


def test_a_system_s_help_shows_its_options_and_the_run_s(rlhub):
    told = rlhub("train", TOY, "--help")
    assert told["code"] == 0
    assert "A small regression." in told["out"]
    assert all(
        words in told["out"] for words in ("--learning-rate FLOAT", "AdamW's step size. (default: 0.01)", "--seed INT", "--keep", "--json")
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], r"no command 'trian' \(did you mean train\?\)"),
        (["train", "gpro"], r"no system 'gpro' \(did you mean grpo\?\): choose one of sft, dpo, grpo"),
        (["train", TOY, "--stepz", "3"], r"no option --stepz \(did you mean --steps\?\)"),
        (["train", TOY, "--sed", "3"], r"no option --sed \(did you mean --seed"),
        (["train", TOY, "--steps", "many"], r"--steps takes a whole number, not 'many'"),
        (["train", TOY, "--learning-rate", "fast"], r"--learning-rate takes a number, not 'fast'"),
        (["train", TOY, "--steps"], r"--steps has no value"),
        (["train", TOY, "stray"], r"can't make sense of 'stray'"),
        (["train", TOY, "--width", "0"], r"width is 0; a layer has at least 1 unit"),
        (["train", TOY, "--name", "../x"], r"'../x' can't be a run's name"),
        (["train", TOY, "--checkpoint-every", "0"], r"checkpoint_every is 0"),
        (["train", "--steps", "3"], r"needs a system before --steps"),
        (["train", "nothing.here:Toy"], r"no module 'nothing' for the system"),
        (["resume"], r"rlhub resume needs RUN"),
        (["resume", "nobody"], r"no run 'nobody'"),
        (["runs", "nobody"], r"no run 'nobody'"),
        (["runs", "--jsno"], r"no option --jsno \(did you mean --json\?\)"),
    ],
)
def test_a_mistake_is_one_sentence_with_exit_code_2_and_under_json_too(rlhub, arguments, said, tmp_path):
    before = f"import os; os.chdir({str(tmp_path)!r})"
    line = sentence(rlhub(*arguments, before=before))
    assert re.search(said, line)
    if arguments[-1] != "--steps":
        ended = rlhub(*arguments, "--json", before=before)
        assert (ended["code"], ended["err"]) == (2, "")
        assert json.loads(ended["out"]) == {"error": line.removeprefix("rlhub: "), "exit_code": 2}
    assert not list(tmp_path.iterdir())


def test_a_run_s_life_train_look_resume(rlhub, tmp_path):
    where = ["--runs", tmp_path]
    trained = rlhub("train", TOY, *where, "--name", "toy", "--seed", "4", "--steps", "5", "--keep", "2", "3", "--plain")
    assert trained["code"] == 0
    assert trained["out"].startswith("toy finished: step 5 of 5")
    (listed,) = json.loads(rlhub("runs", *where, "--json")["out"])
    assert listed["name"] == "toy"
    assert (listed["status"], listed["step"], listed["steps"], listed["seed"], listed["checkpoints"]) == ("finished", 5, 5, 4, [2, 3, 5])
    assert set(listed["metrics"]) == {"before", "loss", "noise", "after"}
    shown = json.loads(rlhub("runs", "toy", *where, "--json")["out"])
    assert shown["config"]["fields"]["steps"] == 5
    assert shown["executions"][0]["command"].startswith("rlhub train ")
    table, detail = rlhub("runs", *where)["out"], rlhub("runs", "toy", *where)["out"]
    assert "toy" in table and "finished" in table and "5/5" in table
    assert "learning_rate = 0.01" in detail
    again = json.loads(rlhub("resume", "toy", *where, "--json")["out"])
    assert again == listed


def test_runs_says_what_to_do_where_there_are_none(rlhub, tmp_path):
    assert "no runs in" in rlhub("runs", "--runs", tmp_path / "none")["out"]
    assert json.loads(rlhub("runs", "--runs", tmp_path / "none", "--json")["out"]) == []


def test_one_damaged_run_does_not_hide_the_others(rlhub, tmp_path):
    for name in ("good", "bad", "odd"):
        assert rlhub("train", TOY, "--runs", tmp_path, "--name", name)["code"] == 0
    (tmp_path / "bad" / "provenance.json").write_text("{")
    (tmp_path / "odd" / "config.json").write_text("{}")
    ended = rlhub("runs", "--runs", tmp_path, "--json")
    assert [run["name"] for run in json.loads(ended["out"])] == ["good"]
    assert len(ended["err"].splitlines()) == 2
    for name in ("bad", "odd"):
        assert "damaged" in sentence(rlhub("runs", name, "--runs", tmp_path))


def test_runs_live_where_the_environment_says(rlhub, tmp_path):
    before = f"import os; os.environ['RLHUB_RUNS'] = {str(tmp_path)!r}"
    assert rlhub("train", TOY, "--name", "toy", before=before)["code"] == 0
    assert "toy" in rlhub("runs", before=before)["out"]


def test_an_interrupted_run_says_how_to_go_on_and_does(rlhub, tmp_path):
    where = ["--runs", tmp_path]
    for signal in ("SIGINT", "SIGTERM"):
        # A shell that starts the tests in its background has SIGINT ignored in all of them.
        before = (
            "import signal, os, rlhub.core.run as module\nlog = module.Run.log\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            f"module.Run.log = lambda run, step, **m: os.kill(os.getpid(), signal.{signal}) if step == 4 else log(run, step, **m)"
        )
        name = signal.lower()
        ended = rlhub("train", TOY, *where, "--name", name, "--checkpoint-every", "2", before=before)
        line = sentence(ended, code=130)
        assert f"{name} was interrupted; `rlhub resume {tmp_path / name}` goes on from step 2" in line
        assert json.loads(rlhub("runs", name, *where, "--json")["out"])["status"] == "interrupted"
        assert json.loads(rlhub("resume", name, *where, "--json")["out"])["status"] == "finished"


def test_a_study_is_resumed_by_its_name_too(rlhub, tmp_path):
    (tmp_path / "recall-tiny").mkdir()
    (tmp_path / "recall-tiny" / "study.json").write_text("{}")
    before = "import rlhub.hub.commands.study as m\nm.resume = lambda folder: folder\nm.summary = lambda folder: {'folder': str(folder)}"
    ended = rlhub("resume", "recall-tiny", "--runs", tmp_path, "--json", before=before)
    assert (ended["code"], json.loads(ended["out"])) == (0, {"folder": str(tmp_path / "recall-tiny")})


def test_a_killed_run_is_shown_as_killed(rlhub, tmp_path):
    ended = rlhub("train", TOY, "--runs", tmp_path, "--name", "toy", "--checkpoint-every", "2", root=str(tmp_path), kill_at=80)
    assert ended["code"] == -9
    assert json.loads(rlhub("runs", "toy", "--runs", tmp_path, "--json")["out"])["status"] == "killed"


def test_a_bug_in_a_system_is_one_sentence_with_the_traceback_in_the_run(rlhub, tmp_path):
    line = sentence(rlhub("train", TOY, "--runs", tmp_path, "--name", "toy", "--broken", "3"), code=1)
    assert "ZeroDivisionError: a bug" in line
    assert str(tmp_path / "toy" / "error.log") in line
    assert "in train" in (tmp_path / "toy" / "error.log").read_text()


def test_a_bug_in_the_program_is_one_sentence_with_the_traceback_in_a_file(rlhub, tmp_path):
    before = f"import tempfile, rlhub.hub.commands.runs as m\ntempfile.tempdir = {str(tmp_path)!r}\nm.list_runs = lambda _: 1 / 0"
    line = sentence(rlhub("runs", before=before), code=1)
    assert "ZeroDivisionError" in line
    assert "Traceback" in Path(re.search(r"traceback in (\S+)\)", line)[1]).read_text()


def test_divergence_is_one_sentence_and_the_last_good_checkpoint_stays(rlhub, tmp_path):
    line = sentence(rlhub("train", TOY, "--runs", tmp_path, "--name", "toy", "--poison", "3", "--checkpoint-every", "1"))
    assert "toy diverged: after step 3, /model/0.weight in state.safetensors is not finite; checkpoint 2 is the last good one" in line


def final_state(folder):
    return (folder / "checkpoints" / "6" / "state.safetensors").read_bytes()


def test_on_a_full_disk_training_stops_with_a_sentence_and_goes_on_when_there_is_space(rlhub, tmp_path):
    assert rlhub("train", TOY, "--runs", tmp_path / "whole", "--name", "toy", *BIG)["code"] == 0
    with mounted(tmp_path / "disk", "size=600k") as disk:
        ended = rlhub("train", TOY, "--runs", disk, "--name", "toy", *BIG)
        warning, line = ended["err"].splitlines()
        assert ended["code"] == 2
        assert "KiB left and its next checkpoint needs" in warning
        assert "could not write the checkpoint of step 6" in line
        assert "the disk is full" in line
        assert f"`rlhub resume {disk / 'toy'}` then goes on" in line
        assert sorted(path.name for path in (disk / "toy" / "checkpoints").iterdir()) == ["2", "4"]
        assert json.loads(rlhub("runs", "toy", "--runs", disk, "--json")["out"])["status"] == "failed"
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        assert rlhub("resume", "toy", "--runs", disk)["code"] == 0
        assert final_state(disk / "toy") == final_state(tmp_path / "whole" / "toy")


def test_on_a_disk_too_full_for_anything_no_run_is_begun(rlhub, tmp_path):
    with mounted(tmp_path / "disk", "size=4k") as disk:
        assert "could not write" in sentence(rlhub("train", TOY, "--runs", disk, "--name", "toy"))
        assert not (disk / "toy").exists()


def test_a_limit_on_file_sizes_stops_training_with_a_sentence_and_nothing_is_lost(rlhub, tmp_path):
    # Python would write bytecode as far as the limit goes, and fail on it ever after.
    limit = (
        "import resource, sys; sys.dont_write_bytecode = True; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))"
    )
    line = sentence(rlhub("train", TOY, "--runs", tmp_path, "--name", "toy", *BIG, before=limit))
    assert "could not write the checkpoint of step 2" in line
    assert "size limit" in line
    assert not list((tmp_path / "toy" / "checkpoints").iterdir())
    assert rlhub("resume", "toy", "--runs", tmp_path)["code"] == 0


def test_a_read_only_folder_is_one_sentence(rlhub, tmp_path):
    with mounted(tmp_path / "disk", "size=1m,ro") as disk:
        line = sentence(rlhub("train", TOY, "--runs", disk, "--name", "toy"))
        assert f"could not write the new run in {disk}" in line
        assert "read-only" in line
        assert "--runs" in line


def test_a_file_where_the_runs_should_be_is_one_sentence(rlhub, tmp_path):
    (tmp_path / "runs").write_text("mine")
    assert "could not write the new run" in sentence(rlhub("train", TOY, "--runs", tmp_path / "runs"))
    assert (tmp_path / "runs").read_text() == "mine"


def test_every_system_can_be_imported_and_documents_its_fields():
    import dataclasses

    from rlhub.core.system import import_system

    for entry in SYSTEMS:
        kind = import_system(entry.place)
        words = "".join(each.__doc__ or "" for each in kind.__mro__)
        assert all(f"{field.name}:" in words for field in dataclasses.fields(kind)), entry.name


def test_output_that_nobody_reads_is_no_error(tmp_path):
    command = f"{sys.executable} -m rlhub.hub.cli --help | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False, env=os.environ)
    assert "Traceback" not in done.stderr
