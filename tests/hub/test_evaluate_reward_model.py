"""`rlhub evaluate` of a reward model: what it counts, what it draws, and what it can't be asked."""

import json
import math
from pathlib import Path

import pytest

import rlhub
from rlhub.core.run import Run
from rlhub.core.statistics import wilson_interval
from rlhub.hub.cli import main
from rlhub.language.reward_model import RewardModel

CAPITALS = {"France": " Paris", "Italy": " Rome", "Spain": " Madrid", "Norway": " Oslo"}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Per country three ranked answers, which make two ordered pairs a prompt and a tie."""
    rows = [
        {"prompt": f"The capital of {country} is the city of", "completions": [capital, " Tokyo", " Cairo"], "scores": [1, 0, 0]}
        for country, capital in CAPITALS.items()
    ]
    return write(tmp_path_factory.mktemp("data") / "ranked.jsonl", rows)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    settings = {"model": "tiny", "batch": 4, "learning_rate": 1e-3, "scale": "none", "precision": "fp32", "steps": 8}
    rlhub.train(RewardModel(**settings, task=f"{data}?test={data}"), seed=0, runs=folder, name="judge", keep=(1,))
    rlhub.train(RewardModel(**settings | {"steps": 1}, task=data), seed=0, runs=folder, name="untested")
    return str(folder)


def told(capsys, *words):
    assert main(["evaluate", *words, "--json", "--plain"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_it_counts_ordered_pairs_and_agrees_with_the_runs_own_test(runs, data, capsys):
    found = told(capsys, "judge", "--runs", runs)
    assert (found["prompts"], found["pairs"], found["step"]) == (4, 8, 8)
    last = Run.open(f"{runs}/judge").metrics()[-1]
    assert found["accuracy"] == pytest.approx(last["test_accuracy"])
    assert found["calibration_error"] == pytest.approx(last["test_calibration_error"], abs=1e-6)
    assert found["interval"] == pytest.approx(wilson_interval(found["accuracy"], 4))
    assert sum(part["pairs"] for part in found["calibration"]) == 8
    for part in found["calibration"]:
        assert part["interval"] == pytest.approx(wilson_interval(part["right"], part["pairs"]))
        assert 0.5 <= part["said"] <= 1
    assert told(capsys, "judge", f"--runs={runs}", "--data", data)["accuracy"] == found["accuracy"]


def test_pairs_the_other_way_round_are_ordered_wrongly(runs, data, tmp_path, capsys):
    rows = [json.loads(line) for line in Path(data).read_text().splitlines()]
    swapped = write(tmp_path / "swapped.jsonl", [{**row, "scores": [-score for score in row["scores"]]} for row in rows])
    right, wrong = (told(capsys, "judge", "--runs", runs, "--data", path)["accuracy"] for path in (data, swapped))
    assert right + wrong == pytest.approx(1)
    assert right > 0.5


def test_a_checkpoint_of_an_earlier_step_is_asked_by_its_name(runs, capsys):
    assert told(capsys, "judge@1", "--runs", runs)["step"] == 1


def test_it_draws_and_says_where(runs, tmp_path, capsys):
    page = tmp_path / "plots" / "calibration.html"
    assert main(["evaluate", "judge", "--runs", runs, "--plot", str(page), "--plain"]) == 0
    printed = capsys.readouterr().out
    assert str(page) in printed
    assert "8 pairs of 4 prompts" in printed
    assert "Calibration of judge" in page.read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["untested"], "has no test split: give pairs with --data"),
        (["judge", "--bins", "0"], "bins is 0"),
        (["judge", "--plot", "plot.txt"], "ends in .html"),
        (["judge", "--episodes", "3"], "--episodes"),
        (["judge@99"], "no checkpoint of step 99"),
    ],
)
def test_what_cant_be_asked_is_one_sentence(words, sentence, runs, capsys):
    assert main(["evaluate", *words, "--runs", runs, "--plain"]) == 2
    assert sentence in capsys.readouterr().err


def test_ties_alone_tell_nothing(runs, tmp_path, capsys):
    path = write(tmp_path / "ties.jsonl", [{"prompt": "The", "completions": [" a", " b"], "scores": [1, 1]}])
    assert main(["evaluate", "judge", "--runs", runs, "--data", path, "--plain"]) == 2
    assert "all scores are ties" in capsys.readouterr().err


def test_wilsons_interval_is_the_one_of_the_books():
    assert wilson_interval(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    low, high = wilson_interval(0.0, 10)
    assert low == pytest.approx(0)
    assert high == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-4)
    assert wilson_interval(1.0, 10) == pytest.approx((1 - high, 1))
    assert wilson_interval(math.nan, 0) == (0, 1)
