"""What a claim's number is worth is said by what was measured."""

import json
from pathlib import Path

import pytest

from rlhub.studies.evidence import dpo_bypasses, forgetting_by_kl, rl_forgets_less, rl_keeps_heads


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


def test_arms_that_are_not_at_one_accuracy_are_not_compared(report):
    assert rl_keeps_heads(report).missing == ""
    low, high = report["measured"]["base"]["behaviour"]["train"]["interval"]
    run, found = next((run, found) for run, found in report["matched"]["train"].items() if run.startswith("grpo"))
    found["value"] = found["target"] + (high - low)
    assert f"accuracies don't match: {run}'s nearest checkpoint" in rl_keeps_heads(report).missing


def test_a_difference_is_no_surer_than_what_each_side_was_measured_on(report):
    found = rl_keeps_heads(report)
    ends = [report["measured"][f"{run}@{one['step']}"]["circuit"]["alike"]["heads"] for run, one in report["matched"]["train"].items()]
    assert found.interval[1] - found.interval[0] >= min(one["interval"][1] - one["interval"][0] for one in ends)


@pytest.mark.parametrize(("output", "told"), [(-0.8, ""), (0.9, "nothing was bypassed: 0.90 of the preference is still there")])
def test_only_a_preference_that_the_output_has_dropped_can_have_been_bypassed(report, output, told):
    for name, found in report["measured"].items():
        last = output if name.startswith("dpo") else 1.0
        found.setdefault("inside", {})["wrong"] = {"preference": [[1.0]] * 8 + [[last]]}
    found = dpo_bypasses(report)
    assert found.value == 1.0
    assert found.missing.startswith(told) and bool(found.missing) == bool(told)
