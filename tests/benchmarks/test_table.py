"""The pages that show speed say what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("language_grpo_prompt150", "language_grpo_prompt8", "language_dpo", "language_decoding", "lens_patching", "lens_attribution")


def test_the_pages_hold_the_numbers_of_the_recorded_results():
    done = subprocess.run([sys.executable, "benchmarks/table.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_comparison_is_recorded_with_where_it_was_made(name):
    result = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    assert result["peer"] in result["sides"]
    assert len(result["sides"]) > 1
    assert result["commit"] and result["machine"]["cpu"] and result["versions"]["torch"]
    assert all(len(side["seconds"]) >= 2 for side in result["sides"].values())
