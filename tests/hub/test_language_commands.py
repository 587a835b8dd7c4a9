"""`rlhub search` and `rlhub chat`, on the tiny model."""

import io
import json
import sys

import pytest

import rlhub
from rlhub.hub.cli import main
from rlhub.language.process_reward import ProcessReward
from rlhub.language.sft import SFT


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "facts.jsonl"
    row = {"prompt": "The capital of France is the city of", "answer": " Paris", "steps": [" Paris"], "labels": [1]}
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "steps": [" Rome"], "labels": [0]}) + "\n")
    return path


@pytest.fixture(scope="module")
def judge(facts, tmp_path_factory):
    system = ProcessReward(model="tiny", task=str(facts), steps=5, batch=2, learning_rate=1e-3, precision="fp32")
    return str(rlhub.train(system, seed=0, runs=tmp_path_factory.mktemp("runs"), name="judge").folder)


@pytest.mark.parametrize("words", [["--data", "{}"], ["--data={}"]])
def test_a_file_to_train_on_may_be_called_data(words, facts, tmp_path, capsys):
    asked = ["train", "sft", "--model", "tiny", "--steps", "1", "--runs", str(tmp_path), "--name", "one", "--plain", "--json"]
    assert main(asked + [word.format(facts) for word in words]) == 0
    capsys.readouterr()
    assert json.loads((tmp_path / "one/config.json").read_text())["fields"]["task"] == str(facts)


def test_search_says_how_many_are_solved_and_for_how_many_tokens(facts, judge, capsys):
    task = f"{facts}?test={facts}"
    asked = ["search", "--model", "tiny", "--task", task, "--problems", "2", "--n", "4", "--max-new-tokens", "4", "--plain"]
    assert main([*asked, "--prm", judge, "--strategy", "weighted-vote", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["problems"] == 2
    assert 0 <= told["solved"] <= 1
    assert 0 < told["tokens_a_problem"] <= 16
    assert len(told["found"]) == 2
    assert main([*asked, "--strategy", "majority"]) == 0
    assert "majority: " in capsys.readouterr().out


def test_search_compares_strategies_at_equal_tokens(facts, judge, capsys):
    asked = ["search", "--model", "tiny", "--task", f"{facts}?test={facts}", "--problems", "2", "--n", "4", "--max-new-tokens", "4"]
    asked += ["--width", "2", "--rounds", "2", "--prm", judge, "--strategy", "beam", "--equal-tokens", "--plain"]
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(told["equal_tokens"]) == {"single", "majority", "best-of-n", "weighted-vote"}
    assert all(0 < one["tokens_a_problem"] <= told["tokens_a_problem"] for one in told["equal_tokens"].values())
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{strategy}: " in printed for strategy in ("beam", *told["equal_tokens"]))


@pytest.mark.parametrize("words", [["--strategy", "beam"], ["--strategy", "majority", "--equal-tokens"]])
def test_search_without_a_judge_says_what_is_missing(words, capsys):
    assert main(["search", *words]) == 2
    assert "needs a judge of steps" in capsys.readouterr().err


def test_a_process_reward_model_is_evaluated_by_the_first_errors_it_finds(facts, judge, tmp_path, capsys):
    asked = ["evaluate", judge, "--plain"]
    assert main([*asked, "--data", str(facts), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["wrong_solutions"], told["right_solutions"], told["step"]) == (1, 1, 5)
    wrong, right = told["accuracy_on_wrong"], told["accuracy_on_right"]
    assert told["f1"] == (1.0 if wrong == right == 1 else 0.0)
    assert main([*asked, "--data", str(facts), "--threshold", "0.0001", "--json"]) == 0
    trusting = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (trusting["accuracy_on_wrong"], trusting["accuracy_on_right"], trusting["f1"]) == (0, 1, 0)
    path = tmp_path / "bench.jsonl"
    row = {"problem": "The capital of France is the city of", "steps": [" Paris", " no"], "final_answer_correct": False}
    path.write_text("".join(json.dumps({**row, "label": label}) + "\n" for label in (1, -1)))
    assert main([*asked, "--data", str(path)]) == 0
    assert "of 1 wrong solutions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give others to measure on with --data"),
        (["--data", "facts:capitals"], "doesn't say where solutions go wrong"),
        (["--threshold", "1"], "threshold is 1.0"),
        (["--problems", "1"], "at least 2"),
    ],
)
def test_what_a_process_reward_model_cant_be_evaluated_on_is_named(judge, words, said, capsys):
    assert main(["evaluate", judge, "--plain", *words]) == 2
    assert said in capsys.readouterr().err


def test_chat_answers_beside_the_base_of_a_run(tmp_path, monkeypatch, capsys):
    rlhub.train(SFT(model="tiny", steps=1, batch=2), runs=tmp_path, name="mine")
    # By its name alone, as a title shows only the beginning of a long path.
    monkeypatch.setenv("RLHUB_RUNS", str(tmp_path))
    asked = ["chat", "mine", "--max-new-tokens", "3"]
    assert main([*asked, "--ask", "Hi", "Yo", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [one["said"] for one in told] == ["Hi", "Yo"]
    assert set(told[0]["answers"]) == {"mine", "tiny"}
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello\n/new\nHello\n/end\n"))
    assert main([*asked, "--base", "none"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("mine") >= 2
    assert main([*asked, "--json"]) == 2
