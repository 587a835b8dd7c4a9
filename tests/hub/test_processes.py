"""Runs started, stopped and resumed as processes of their own: nothing that happens to whoever started them reaches them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rlhub.core.errors import UserError
from rlhub.core.files import read_json, write_json
from rlhub.core.records import status_of, trainer
from rlhub.hub.processes import LOGS, as_words, resume, start, stop

LONG = {"env": "CartPole-v1", "steps": 5_000_000, "hidden": (16,)}


def running(folder):
    return trainer(folder) is not None


@pytest.fixture
def tidy(tmp_path):
    """Ends whatever a test that failed has left behind."""
    yield tmp_path
    for record in tmp_path.glob("*/provenance.json"):
        if (process := trainer(record.parent)) is not None:
            process.kill()


def test_a_run_outlives_who_started_it_stops_when_told_and_goes_on(tidy):
    code = (
        "import sys; from pathlib import Path; from rlhub.hub.processes import start\n"
        f"begun = start('dqn', {LONG!r}, runs=Path({str(tidy)!r}), seed=3, name='long', checkpoint_every=500)\n"
        "assert 'torch' not in sys.modules\n"
        "import os; print(begun.folder, begun.pid, begun.log, flush=True); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert died.returncode == -9, died.stderr
    folder, pid, log = died.stdout.split()
    assert folder == str(tidy / "long") and log.startswith(str(tidy / LOGS))
    assert running(tidy / "long")
    process = psutil.Process(int(pid))
    assert os.getsid(int(pid)) == int(pid)
    assert str(Path(f"/proc/{pid}/fd/0").readlink()) == "/dev/null"
    config = read_json(tidy / "long" / "config.json")
    assert (config["seed"], config["fields"]["hidden"], config["checkpoint_every"]) == (3, [16], 500)
    assert read_json(tidy / "long" / "provenance.json")["executions"][0]["command"].startswith("rlhub train dqn --env=CartPole-v1")

    with pytest.raises(UserError, match="is being trained by process"):
        resume(tidy / "long", runs=tidy)
    with pytest.raises(UserError, match="is there already"):
        start("dqn", LONG, runs=tidy, name="long")

    stopped = stop(tidy / "long")
    assert (stopped.status, stopped.pid, status_of(tidy / "long")) == ("interrupted", int(pid), "interrupted")
    process.wait(10)
    again = resume(tidy / "long", runs=tidy)
    assert again.folder == tidy / "long" and again.pid != int(pid) and running(tidy / "long")
    assert stop(tidy / "long").status == "interrupted"
    with pytest.raises(UserError, match="isn't being trained: it is interrupted"):
        stop(tidy / "long")


def test_a_short_run_is_given_back_though_it_has_ended_and_gets_a_name_of_its_own(tidy):
    begun = start("dqn", {"env": "CartPole-v1", "steps": 60, "warmup": 20, "double": False, "hidden": [8, 8]}, runs=tidy, keep=[50])
    assert begun.folder.parent == tidy and begun.folder.name.startswith("dqn-cartpole")
    deadline = time.monotonic() + 60
    while status_of(begun.folder) == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert status_of(begun.folder) == "finished"
    config = read_json(begun.folder / "config.json")
    assert config["fields"]["hidden"] == [8, 8] and config["fields"]["double"] is False and config["keep"] == [50]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stepz": 3}, r"rlhub train dqn has no option --stepz \(did you mean --steps"),
        ({"env": "--json"}, r"no environment .*--json"),
        ({"env": "CartPole-v1", "steps": 0}, r"steps is 0"),
    ],
)
def test_what_the_command_line_says_is_what_is_raised_and_nothing_stays(tidy, options, said, rlhub):
    with pytest.raises(UserError, match=said) as raised:
        start("dqn", options, runs=tidy)
    assert [path.name for path in tidy.iterdir()] == [LOGS]
    words = [word for name, value in options.items() for word in as_words(name, value)]
    assert rlhub("train", "dqn", *words, "--runs", tidy)["err"] == f"rlhub: {raised.value}\n"


def test_what_makes_no_sense_starts_nothing(tmp_path):
    for system, options in (
        ("mine.py:Mine", {}),
        ("--help", {}),
        ("dqn", {"runs": "/elsewhere"}),
        ("dqn", {"--json": 1}),
        ("dqn", {"env": {"a": 1}}),
        ("dqn", {"env": "a\0b"}),
        ("dqn", {"hidden": ["1", "--json"]}),
    ):
        with pytest.raises(UserError):
            start(system, options, runs=tmp_path)
    with pytest.raises(UserError, match="can't be a run's name"):
        start("dqn", {}, runs=tmp_path, name="../out")
    assert not list(tmp_path.iterdir())


def test_values_become_words_that_can_be_no_other_option():
    assert as_words("learning_rate", 1e-4) == ["--learning-rate=0.0001"]
    assert as_words("double", True) == ["--double=True"]
    assert as_words("temperature", None) == ["--temperature=None"]
    assert as_words("hidden", (64, 32)) == ["--hidden=64", "32"]
    assert as_words("keep", ()) == ["--keep"]
    assert as_words("env", "--json") == ["--env=--json"]
    assert as_words("env", "a b; rm -r $HOME") == ["--env=a b; rm -r $HOME"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"could not write the log in .*: part of that path is a file"):
        start("dqn", {}, runs=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_one_sentence(tmp_path, small_disk):
    disk = small_disk("size=40k")
    (disk / LOGS).mkdir()
    with pytest.raises(OSError), (disk / "filler").open("wb") as filler:
        while True:
            filler.write(b"x" * 4096)
            filler.flush()
    with pytest.raises(UserError, match=r"the disk is full"):
        start("dqn", LONG, runs=disk)


SLEEPER = "import signal, time\nfor number in {ignored}: signal.signal(number, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)"


@pytest.fixture
def posed(tmp_path):
    """A run's folder whose process is a stand-in that does what a test wants."""
    children = []

    def pose(*, ignored=(), shift=0.0):
        child = subprocess.Popen([sys.executable, "-c", SLEEPER.format(ignored=list(map(int, ignored)))], stdout=subprocess.PIPE)
        children.append(child)
        child.stdout.readline()
        folder = tmp_path / "posed"
        folder.mkdir()
        write_json(folder / "config.json", {"system": "x:X", "fields": {}, "seed": 0})
        execution = {"pid": child.pid, "pid_started": psutil.Process(child.pid).create_time() + shift, "status": "running"}
        write_json(folder / "provenance.json", {"executions": [execution]})
        return folder, child

    yield pose
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_stranger_with_the_number_of_a_dead_process_is_left_alone(posed):
    folder, child = posed(shift=-1000.0)
    with pytest.raises(UserError, match="isn't being trained: it is killed"):
        stop(folder)
    assert child.poll() is None


def test_one_that_does_not_hear_ctrl_c_is_told_otherwise_at_once(posed):
    folder, _ = posed(ignored=[signal.SIGINT])
    began = time.monotonic()
    stopped = stop(folder, grace=20.0)
    assert (stopped.signal, stopped.status) == ("SIGTERM", "killed")
    assert time.monotonic() - began < 10


def test_one_that_does_not_end_is_left_with_a_word_on_what_to_do(posed):
    folder, child = posed(ignored=[signal.SIGINT, signal.SIGTERM])
    with pytest.raises(UserError, match=rf"still trains .* `kill -9 {child.pid}`"):
        stop(folder, grace=0.3)


def test_the_command_stops_a_run(posed, rlhub):
    folder, _ = posed(ignored=[])
    told = json.loads(rlhub("stop", folder, "--json")["out"])
    assert (told["name"], told["status"]) == ("posed", "killed")
    assert "isn't being trained" in rlhub("stop", folder)["err"]
    assert "no run 'nobody'" in rlhub("stop", "nobody")["err"]
