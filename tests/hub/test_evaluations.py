"""What `rlhub evaluate` leaves in a run's folder, on good disks and bad ones."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlhub.core.files import append_line
from rlhub.core.records import last_lines, read_evaluations
from rlhub.hub.cli import main
from rlhub.hub.evaluations import keep_evaluation


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    few = ["--steps", "400", "--environments", "4", "--rollout", "50", "--hidden", "8", "--plain", "--runs", str(folder)]
    assert main(["train", "ppo", "--env", "CartPole-v1", "--seeds", "2", "--name", "pole", *few]) == 0
    return folder


def test_an_evaluation_is_kept_with_step_seeds_time_and_commit(runs, capsys):
    words = ["evaluate", "pole", "--episodes", "4", "--runs", str(runs), "--json", "--plain"]
    for seed in ("0", "7"):
        capsys.readouterr()
        assert main([*words, "--seed", seed, "--draw"]) == 0
    told = json.loads(capsys.readouterr().out)
    first, second = read_evaluations(runs / "pole")
    assert {name: second[name] for name in told} == told
    assert (first["seed"], second["seed"], second["draw"], second["env"]) == (0, 7, True, "CartPole-v1")
    assert set(second["seeds"]) == {"0", "1"} and second["step"] == 400 and second["time"] >= first["time"] > 1e9
    assert second["commit"] is None or len(second["commit"]["id"]) == 40


def test_a_folder_that_may_not_be_written_costs_a_warning_and_not_the_result(tmp_path, caplog):
    (tmp_path / "evaluations.jsonl").mkdir()
    line = keep_evaluation(tmp_path, {"mean": 3.0})
    assert line["mean"] == 3.0
    assert "couldn't be kept" in caplog.text and "Is a directory" in caplog.text


def test_a_full_disk_leaves_the_lines_that_were_there(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    append_line(path, {"mean": 1})
    before = path.read_bytes()
    fill = (
        "import resource, signal, sys; from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        # Python would write bytecode as far as the limit goes, and fail on it ever after.
        "sys.dont_write_bytecode = True\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 20}, {len(before) + 20}))\n"
        "from rlhub.hub.evaluations import keep_evaluation\n"
        "keep_evaluation(Path(sys.argv[1]), {'mean': 'x' * 100}); print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", fill, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "went on\n" and "couldn't be kept" in done.stderr
    assert path.read_bytes() == before


def test_a_line_cut_short_by_a_kill_is_not_joined_to_the_next(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    path.write_text('{"mean": 1}\n{"mean": 2')
    append_line(path, {"mean": 3})
    assert [line["mean"] for line in read_evaluations(tmp_path)] == [1, 3]


def test_evaluations_that_end_at_once_are_all_kept(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: append_line(path, {"number": number, "padding": "x" * 5000}), range(100)))
    assert sorted(line["number"] for line in read_evaluations(tmp_path)) == list(range(100))
    assert list(tmp_path.iterdir()) == [path]


def test_the_end_of_long_metrics_is_found_without_reading_them_all(tmp_path):
    lines = [{"step": step, "x" if step % 3 else "other": step, "padding": "y" * 3000} for step in range(300)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 300, "x"')
    assert [line["x"] for line in last_lines(tmp_path, "x", 3)] == [296, 298, 299]
    assert [line["x"] for line in last_lines(tmp_path, "x", 100)] == [step for step in range(300) if step % 3][-100:]
    assert len(last_lines(tmp_path, "other", 1000)) == 100
    assert last_lines(tmp_path, "nothing", 5) == []
