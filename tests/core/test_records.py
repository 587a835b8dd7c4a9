"""What a folder says of a run, read from its files alone."""

import json

import pytest

from rlhub.core.records import seconds_of


@pytest.fixture
def folder(tmp_path):
    def write(executions, steps):
        (tmp_path / "provenance.json").write_text(json.dumps({"executions": executions}))
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps({"step": step, "time": time}) + "\n" for step, time in steps.items()))
        return tmp_path

    return write


def test_a_run_took_what_its_executions_took(folder):
    assert seconds_of(folder([{"started": 100.0, "ended": 160.0}, {"started": 500.0, "ended": 520.0}], {1: 130.0, 2: 510.0})) == 80.0


def test_an_execution_that_was_killed_counts_up_to_its_last_step(folder):
    path = folder([{"started": 100.0}, {"started": 500.0, "ended": 520.0}], {1: 130.0, 2: 150.0, 3: 510.0})
    assert seconds_of(path) == 70.0
    assert seconds_of(path, times=[170.0, 505.0]) == 90.0


def test_a_run_that_is_still_training_counts_up_to_now_and_one_killed_at_once_not_at_all(folder):
    assert seconds_of(folder([{"started": 100.0}, {"started": 200.0}], {1: 230.0})) == 30.0
