"""Core questions on disk: how they stand, what came out, what is damaged, and that telling of them loads no torch."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rlhub.core.errors import UserError
from rlhub.core.provenance import provenance
from rlhub.hub import questions as asked
from rlhub.hub.cli import main

REPORT = Path(__file__).parents[1] / "studies" / "report.json"


@pytest.fixture
def runs(reported, tmp_path):
    shutil.copytree(reported, tmp_path / "runs")
    return tmp_path / "runs"


def change(folder, **values):
    path = folder / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_finished_study_tells_its_question_arms_and_seeds(runs):
    (found,) = asked.questions(runs)
    assert (found.key, found.study, found.status, found.report) == ("mine", "recall", "finished", True)
    assert found.arms == ("SFT", "DPO", "GRPO", "random reward")
    assert (found.seeds, found.runs, found.done, found.when) == (1, 4, 0, 1795000000.0)
    assert "What did each signal do" in found.question


def test_a_study_that_was_begun_again_is_unfinished_until_its_process_lives(runs):
    executions = json.loads(REPORT.read_text())["executions"]
    change(runs / "mine", executions=[*executions, executions[-1] | {"pid": os.getpid(), "pid_started": 0.0}])
    (found,) = asked.questions(runs)
    assert (found.status, found.report) == ("unfinished", True)
    assert "rlhub resume mine" in found.reason
    change(runs / "mine", executions=[*executions, provenance()])
    assert asked.questions(runs)[0].status == "running"


def test_a_study_without_a_report_asks_its_question(runs):
    for name in ("page.json", "report.json"):
        (runs / "mine" / name).unlink()
    (found,) = asked.questions(runs)
    assert (found.status, found.report, found.name) == ("unfinished", False, "mine")
    assert "circuits that recall facts" in found.question
    assert asked.question(runs / "mine").page is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"study": "recall"}', '{"study": "recall", "asked": {}, "executions": 3}', "\x00\xff"]
)
def test_a_damaged_study_is_listed_as_damaged_and_hides_no_other(runs, text):
    (runs / "broken").mkdir()
    (runs / "broken" / "study.json").write_text(text)
    states = {found.key: found.status for found in asked.questions(runs)}
    assert states == {"mine": "finished", "broken": "damaged"}
    with pytest.raises(UserError, match="damaged"):
        asked.question(runs / "broken")


@pytest.mark.parametrize("text", ["{", "[]", '{"verdicts": []}', '{"verdicts": [{"verdict": "maybe"}]}'])
def test_a_damaged_report_is_damage_with_its_mend(runs, text):
    (runs / "mine" / "page.json").write_text(text)
    (found,) = asked.questions(runs)
    assert found.status == "damaged"
    assert "page.json" in found.reason


def test_an_answer_has_claims_arms_costs_and_runs(runs):
    answer = asked.question(runs / "mine")
    assert answer.page is not None
    assert len(answer.page["claims"]) == 1 + len(answer.page["verdicts"])
    assert {verdict["mark"] for verdict in answer.page["verdicts"]} == {"open", "untested"}
    assert [row[0] for row in answer.page["arms"][1:]] == ["SFT", "DPO", "GRPO", "random reward"]
    assert [run["key"] for run in answer.page["circuits"]] == ["sft-seed0", "dpo-seed0", "grpo-seed0", "random-seed0"]
    assert "rlhub study recall" in answer.page["reproduce"][0]


def test_a_run_is_told_with_its_place_and_cost(runs):
    folder = runs / "mine" / "sft-seed0"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "provenance.json").write_text(json.dumps({"executions": [{"status": "finished"}]}))
    (folder / "metrics.jsonl").write_text('{"step": 12}\n')
    (run,) = asked.question(runs / "mine").runs
    assert (run["key"], run["arm"], run["seed"], run["status"], run["step"]) == ("mine/sft-seed0", "SFT", 0, "finished", 12)
    assert run["seconds"] == json.loads(REPORT.read_text())["runs"]["sft-seed0"]["seconds"]
    assert asked.questions(runs)[0].done == 1


def test_every_figure_and_circuit_can_be_had_and_nothing_else(runs):
    page = asked.question(runs / "mine").page
    for drawn in page["figures"]:
        assert {"data", "layout"} <= json.loads(asked.figure(runs / "mine", drawn["key"])).keys()
        assert len(drawn["alternative"]) > 20
    for circuit in page["circuits"]:
        assert {"nodes", "edges", "sizes", "faithfulness"} <= json.loads(asked.circuit(runs / "mine", circuit["key"])).keys()
    for key in ("../study", "..", "", "nothing", "/etc/passwd"):
        with pytest.raises(UserError, match="among its"):
            asked.figure(runs / "mine", key)


def test_faithfulness_stands_at_sizes_that_the_slider_reaches(runs):
    circuit = json.loads(asked.circuit(runs / "mine", "sft-seed0"))
    measured = {one["edges"] for one in circuit["faithfulness"]["before"] if one["edges"] <= max(circuit["sizes"]["before"])}
    assert measured
    assert measured <= set(circuit["sizes"]["before"])
    assert all(0 <= edge["from"] < len(circuit["nodes"]) for edge in circuit["edges"])
    for side in ("before", "after"):
        for size in circuit["sizes"][side]:
            assert sum(edge[side] is not None and edge[side]["size"] <= size for edge in circuit["edges"]) == size


def test_telling_of_studies_loads_no_torch(runs):
    code = (
        "import sys; from pathlib import Path; from rlhub.hub import questions, post; "
        "questions.question(questions.find_question('mine', Path(sys.argv[1]))); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(runs)], check=False).returncode == 0


def test_the_command_lists_and_shows(runs, capsys):
    assert main(["questions", "--runs", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["key"] == "mine"
    assert main(["questions", "--runs", str(runs)]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["questions", "mine", "--runs", str(runs)]) == 0
    assert "RL updates 5-30% of the parameters" in capsys.readouterr().out
    assert main(["questions", "mine", "--runs", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["about"]["status"] == "finished"
    assert main(["questions", "mien", "--runs", str(runs)]) == 2
    assert "did you mean mine?" in capsys.readouterr().err


def test_a_process_that_is_gone_is_not_running(runs):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(gone.pid).create_time()
    gone.wait()
    executions = json.loads(REPORT.read_text())["executions"]
    change(runs / "mine", executions=[*executions, provenance() | {"pid": gone.pid, "pid_started": started, "started": time.time()}])
    assert asked.questions(runs)[0].status == "unfinished"
