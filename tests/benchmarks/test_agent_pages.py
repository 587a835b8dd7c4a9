"""The pages on agents: their lines are the code's, and their numbers those that were measured."""

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
