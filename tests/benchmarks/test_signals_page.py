"""The page on what signals teach says what was measured, and its gains come from paired questions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUESTIONS = 40


@pytest.fixture(scope="module")
def report(script):
    return script("signals_report")


def answers(right):
    """So many of the held-out questions answered rightly, the first ones."""
    each = "1" * right + "0" * (QUESTIONS - right)
    return {split: {"value": right / QUESTIONS, "count": QUESTIONS, "each": each} for split in ("heldout", "drawn", "untouched")}


@pytest.fixture
def result():
    def run(arm, seed, right):
        says = [{"asked": "1 + 2 =", "right": "3", "says": f"1 + 2\n= {right} | sure"}]
        trained = {"fields": {"steps": 12, "learning_rate": 2e-5, "kl": 0.05}, "commits": [{"id": "0123456789", "dirty": arm == "sft"}]}
        return {"arm": arm, "seed": seed, "answers": answers(right), "said": says, "tokens": 12_000, "seconds": 60.0 + 60 * seed} | trained

    half = {"value": 0.5, "interval": [0.3, 0.75]}
    points = [{"answers": count, "tokens": 25.0 * count, "right": half} for count in (1, 2)]
    searched = {"questions": 8, "strategies": {"majority": points, "weighted-vote": points}}
    return {
        "asked": {"task": "chain_sum", "size": "small", "model": "smollm2", "seeds": 2, "signals": ["sft", "grpo"]},
        "prompt": "reasoning-gym:chain_sum",
        "start": {split: told for split, told in answers(0).items() if split != "drawn"},
        "base": answers(10),
        "said": [{"asked": "1 + 2 =", "right": "3", "says": "twelve"}],
        "runs": [run("grpo", 0, 30), run("grpo", 1, 20), run("sft", 1, 10), run("sft", 0, 10)],
        "failed": {"dpo-seed0": "UserError: no room"},
        "search": searched | {"temperature": 0.8, "likeliest": {"answers": 1, "tokens": 20.0, "right": half}},
        "warmed": {"steps": [8, 16]},
        "before": {
            "warm-up": {"fields": {"steps": 16, "batch": 32}, "tokens": 5_000, "seconds": 30.0},
            "process-reward": {"fields": {"steps": 60}, "tokens": 80_000, "seconds": 600.0},
        },
        "machine": {"gpu": None, "cpu": "a processor"},
    }


def test_the_page_holds_what_was_measured():
    script = "benchmarks/signals_report.py"
    done = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_gain_is_paired_question_by_question(report, result):
    runs = report.arms(result)
    assert report.gain(result, runs["sft"]) == (0.0, 0.0, 0.0)  # the same questions as the base: not even an interval
    value, low, high = report.gain(result, runs["grpo"])
    assert value == pytest.approx(0.375)
    assert 0.0 < low < 0.25 < 0.5 < high < 0.8  # seeds differ by more than questions


def test_a_gain_that_may_be_none_is_not_in_bold(report, result):
    lines = report.rows(result)
    assert "| SFT | 25%, 25% | 0 [0, 0] | 25%, 25% | 0 [0, 0] | 25% |" in lines
    assert next(line for line in lines if "GRPO" in line).startswith("| GRPO | 75%, 50% | **+38 [")


def test_answers_are_told_word_for_word_with_how_many_models_give_them(report, result):
    assert report.spoken(result) == [
        "| likeliest answer to: `1 + 2 =` | models |",
        "|---|---|",
        "| `twelve` | the base |",
        "| `1 + 2 ⏎ = 10 \\| sure` | SFT |",
        "| `1 + 2 ⏎ = 30 \\| sure` | GRPO (1 of 2) |",
        "| `1 + 2 ⏎ = 20 \\| sure` | GRPO (1 of 2) |",
    ]
    assert report.quoted("a" * 20, most=10) == "`aaaaaaaaa…`"


def test_what_each_signal_was_trained_with_stands_beside_what_it_cost(report, result):
    lines = report.recipes(result)
    assert "| judge of steps | steps 60 | 80 thousand | 10.0 minutes |" in lines
    assert "| GRPO | steps 12, learning rate 2e-05, kl 0.05 | 12 thousand | 1.5 minutes |" in lines
    assert report.commits(result) == "0123456, 0123456+"


def test_search_stands_beside_the_likeliest_answer_to_the_same_questions(report, result):
    assert report.searched(result)[-1].startswith(
        "Answers drawn at temperature 0.8; the likeliest answer to the same questions is right in 50%, with 20 tokens. Wilson's intervals "
        "reach up to 25% beyond"
    )


def test_a_section_tells_what_failed(report, result):
    assert "`dpo-seed0` failed: UserError: no room" in report.section(result)


def test_a_figure_has_each_seed_and_the_base_for_likeliest_and_for_drawn_answers(report, result):
    result["runs"][0]["answers"]["drawn"] = answers(36)["drawn"]
    drawn = json.loads(report.figure(result).to_json())["data"]
    lines = [(trace["name"], trace["yaxis"], trace["y"]) for trace in drawn if trace["mode"] == "lines"]
    assert lines == [("base", "y", [25.0, 25.0]), ("before", "y", [0.0, 0.0]), ("base", "y2", [25.0, 25.0])]
    seeds = {trace["yaxis"]: trace["y"] for trace in drawn if trace["x"] == ["GRPO", "GRPO"] and trace["mode"] == "markers"}
    assert seeds == {"y": [75.0, 50.0], "y2": [90.0, 50.0]}
