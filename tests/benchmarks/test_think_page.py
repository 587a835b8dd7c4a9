"""The page on long thoughts says what was measured: depths beside the paper's, chains beside their closed forms."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report(script):
    return script("think_report")


def point(evidence, **more):
    return {
        "evidence": evidence,
        "decision": 0.5 + evidence / 2,
        "undecided": 0.1,
        "walk": 20 * evidence + 6,
        "longest_walk": 30,
        "tokens": 25.0,
        "best_of": [0.6, 0.8],
        "majority": [0.6, 0.7],
        **more,
    }


def seed(blocks, first, last, *, chains=("path",), grpo=False):
    learnt = {chain: point(first, shown={"mean": 9.0, "longest": 17}) for chain in chains}
    rounds = [point(first + (last - first) * turn / 4, step=10 * turn) for turn in range(1, 5)]
    setting = {"blocks": blocks, "chains": chains, "questions": 300, "answers": 32, "sizes": [1, 2]}
    told = {"setting": setting, "chains": learnt, "expert": rounds, "machine": {"cpu": "a processor"}, "torch_threads": 1}
    return told | ({"grpo": rounds} if grpo else {})


def test_the_page_holds_what_was_measured():
    script = "benchmarks/think_report.py"
    done = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_depth_stands_beside_the_papers_numbers_and_a_walkers_chance(report):
    lines = report.depths({1: [seed(1, 0.7, 0.9), seed(1, 0.6, 1.0)], 3: [seed(3, 0.2, 0.4)]})
    one, three = lines[2:]
    assert one == "| Bridge(1) | 2 | 0.667 | 0.65 (0.60 to 0.70) | 0.68 | 0.95 (0.90 to 1.00) | 1.00 | 19.0 to 25.0 |"
    assert three.startswith("| Bridge(3) | 1 | 0.167 | 0.20 (0.20 to 0.20) | 0.21 |")


def test_a_depth_without_grpo_has_no_row_of_it(report):
    assert not any("GRPO" in line for line in report.rows([seed(1, 0.7, 0.9)]))
    assert sum("GRPO" in line for line in report.rows([seed(3, 0.2, 0.4, grpo=True)])) == 4


def test_figures_have_a_line_a_seed_and_the_papers_two_stars(report):
    found = {1: [seed(1, 0.7, 0.9), seed(1, 0.6, 1.0)], 2: [seed(2, 0.4, 0.8)]}
    drawn = json.loads(report.deepening(found).to_json())["data"]
    assert [len(trace["y"]) for trace in drawn] == [5, 5, 2, 5, 2]
    assert [trace["y"] for trace in drawn if len(trace["y"]) == 2] == [[0.68, 1.0], [0.38, 0.99]]
    grown = json.loads(report.growing([seed(3, 0.2, 0.4, grpo=True)]).to_json())["data"]
    assert len(grown) == 4  # two ways, each once for evidence and once for length
