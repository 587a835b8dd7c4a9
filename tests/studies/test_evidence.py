"""What a claim's number is worth is said by what was measured."""

import json
from pathlib import Path

import pytest

from rlhub.studies.evidence import forgetting_by_kl, rl_forgets_less


@pytest.fixture
def report():
    return json.loads((Path(__file__).parent / "report.json").read_text())


@pytest.mark.parametrize("measure", [rl_forgets_less, forgetting_by_kl])
def test_forgetting_can_only_be_told_where_something_was_forgotten(report, measure):
    assert "nothing was forgotten" in measure(report).missing
    for name, found in report["measured"].items():
        if name.startswith("sft"):
            found["behaviour"]["untouched"]["value"] -= 0.4
    assert measure(report).missing == ""
