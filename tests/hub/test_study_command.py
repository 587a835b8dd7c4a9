"""The study command: what it lists, refuses, tells, and how it goes on."""

import json

import pytest

from rlhub.hub.cli import main
from rlhub.hub.commands import study


def test_without_a_study_it_lists_them(capsys):
    assert main(["study"]) == 0
    assert "recall" in capsys.readouterr().out
    assert main(["study", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "recall"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["recal"], "did you mean recall?"),
        (["--seeds", "3"], "needs a study before --seeds"),
        (["recall", "--seeds", "0"], "seeds is 0"),
        (["recall", "--signals", "ppo"], "no signal 'ppo'"),
        (["recall", "--model", "/nowhere/at/all", "--size", "tiny"], "/nowhere/at/all"),
        (["recall", "--size", "huge"], "tiny"),
        (["recall", "--report-only"], "run it first"),
        (["recall", "--wat"], "no option --wat"),
    ],
)
def test_a_mistake_is_one_sentence_with_exit_code_2(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("RLHUB_RUNS", str(tmp_path / "runs"))
    assert main(["study", *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not (tmp_path / "runs").exists()


def test_it_tells_where_the_report_is_and_what_was_found(capsys, tmp_path, monkeypatch):
    report = {
        "study": "recall",
        "measured": {"base": {"behaviour": {"train": {"value": 0.3}}}, "sft-seed0@4": {"behaviour": {"train": {"value": 0.8}}}},
        "last": {"sft-seed0": "sft-seed0@4"},
        "claims": [{"key": "sparse", "verdict": "agrees"}, {"key": "full-rank", "verdict": "agrees"}],
        "lacking": ["No run on a random reward."],
        "runs": {"sft-seed0": {"seconds": 65}},
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    monkeypatch.setattr("rlhub.studies.study.run_study", lambda *_, **__: tmp_path)
    assert study.run(["recall", "--size", "tiny"]) == 0
    told = capsys.readouterr().out
    assert str(tmp_path / "report.html") in told
    assert "base 30%, sft-seed0 80%" in told
    assert "2 agrees" in told
    assert "No run on a random reward." in told
    assert "1:05" in told


def test_resume_goes_on_with_a_study_as_it_was_asked(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    asked = {"signals": ["sft"], "seeds": 2, "model": "tiny", "relation": "symbols", "control": False, "size": "tiny"}
    (folder / "study.json").write_text(json.dumps({"study": "recall", "asked": asked}))
    seen = {}

    def run_study(chosen, *, runs, name):
        seen.update(study=chosen, runs=runs, name=name)
        return folder

    monkeypatch.setattr("rlhub.studies.study.run_study", run_study)
    monkeypatch.setattr(study, "summary", lambda folder: {})
    assert main(["resume", "mine", "--runs", str(tmp_path), "--json"]) == 0
    assert (seen["runs"], seen["name"]) == (tmp_path, "mine")
    assert seen["study"].settings == asked
