"""The pages on agents: their lines are the code's, and their numbers those that were measured."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/agents").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_lines_beside_the_equations_are_the_codes(page):
    rows = re.findall(r"^\| .+ \| `(.+)` \| \[`\w+\.py`\]\((.+)\) \|$", page.read_text(), flags=re.MULTILINE)
    assert len(rows) >= 4
    for line, place in rows:
        assert line in (page.parent / place).read_text(), f"{place} has no line {line}"


def test_there_is_a_page_for_each_algorithm():
    assert {page.stem for page in PAGES} == {"a2c", "a3c", "ddpg", "dqn", "ppo", "sac", "td3", "trpo", "vpg"}


def test_the_pages_hold_what_was_measured():
    done = subprocess.run([sys.executable, "benchmarks/agents_report.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_detail_breaks_an_algorithm_only_where_the_intervals_say_so(script, monkeypatch, tmp_path):
    report = script("agents_report")
    monkeypatch.setattr(report, "ABLATIONS", tmp_path)
    planted = {
        "nothing left out": [500.0, 499.0, 500.0, 500.0, 498.0],
        "the first (at once)": [9.0, 10.0, 9.0, 11.0, 9.0],
        "the second": [500.0, 500.0, 500.0, 90.0, 500.0],
        "the third": [480.0, 470.0, 470.0, 480.0, 490.0],
        "the fourth": [400.0, 410.0, 420.0, 400.0, 410.0],
    }
    machine = {"cpu": "a processor"}
    cases = [{"detail": detail, "scores": scores, "machine": machine} for detail, scores in planted.items()]
    told = {"algorithm": "dqn", "settings": {"env": "CartPole-v1", "steps": 9}, "episodes": 5, "cases": cases}
    (tmp_path / "dqn.json").write_text(json.dumps(told))
    lines = report.table("dqn").splitlines()
    assert lines[-3:] == [
        "Breaks it: the first; the fourth.  ",
        "Does it a little harm: the third.  ",
        "Does it no clear harm here: the second.",
    ]
    assert "Measured on a processor." in lines[0]
    assert "| the first (at once) | **9** [9, 11] | 9, 10, 9, 11, 9 |" in lines
