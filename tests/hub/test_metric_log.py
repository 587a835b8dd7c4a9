import json

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.hub.metric_log import MetricLog, MetricLogs


def append(path, *lines):
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def test_lines_become_columns_and_a_cut_line_waits_for_its_end(path):
    append(path, {"step": 1, "time": 5, "loss": 2.0}, {"step": 2, "loss": 1.0, "kl": 0.5})
    with path.open("a") as file:
        file.write('{"step": 3, "lo')
    log = MetricLog(path)
    log.update()
    steps, values = log.values("loss")
    assert steps.tolist() == [1, 2]
    assert values.tolist() == [[2.0], [1.0]]
    assert log.names() == ["loss", "kl"]
    with path.open("a") as file:
        file.write('ss": 0.5}\n')
    log.update()
    assert log.values("loss", since=2)[1].tolist() == [[0.5]]
    assert log.lines == 3
    assert log.generation == 0


def test_seeds_are_columns_also_where_one_has_no_value(path):
    append(path, {"step": 1, "loss": 1.0}, {"step": 2, "loss": [1.0, None, 3.0]}, {"step": 3, "loss": [4.0]})
    log = MetricLog(path)
    log.update()
    values = log.values("loss")[1]
    assert values.shape == (3, 3)
    np.testing.assert_equal(values, [[1, np.nan, np.nan], [1, np.nan, 3], [4, np.nan, np.nan]])


def test_what_says_how_well_it_does_comes_first(path):
    append(path, {"step": 1, "loss": 1.0, "episode_return": 3.0})
    log = MetricLog(path)
    log.update()
    assert log.names() == ["episode_return", "loss"]


@pytest.mark.parametrize("longer", [False, True])
def test_a_file_that_was_cut_and_written_anew_is_read_anew(path, longer):
    append(path, *({"step": step, "loss": float(step)} for step in range(10)))
    log = MetricLog(path)
    log.update()
    # As a resumed run does: what came after its checkpoint is cut off, and it goes on, here past the old end before anyone looks.
    path.write_text("")
    append(path, *({"step": step, "loss": -1.0} for step in range(30 if longer else 4)))
    log.update()
    assert log.generation == 1
    assert log.values("loss")[1].flatten().tolist() == [-1.0] * (30 if longer else 4)


def test_lines_that_are_no_metrics_are_passed_over(path):
    path.write_bytes(
        b'\xff\xfe\n[]\n{"loss": 1}\n{"step": null, "loss": 1}\n{"step": 1, "loss": "low", "kl": {"a": 1}}\n{"step": 2, "loss": 7}\n'
    )
    log = MetricLog(path)
    log.update()
    assert log.values("loss")[1].tolist() == [[7.0]]
    assert log.names() == ["loss"]
    assert log.values("nothing")[1].size == 0


def test_a_link_is_not_followed(path, tmp_path):
    (tmp_path / "secret").write_text('{"step": 1, "loss": 1}\n')
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="can't read"):
        MetricLog(path).update()


def test_what_was_looked_at_longest_ago_is_forgotten_first(tmp_path):
    logs = MetricLogs(most=100)
    for name in "abc":
        (tmp_path / name).mkdir()
        append(tmp_path / name / "metrics.jsonl", *({"step": step, "loss": 1.0} for step in range(20)))
        first = logs.of(tmp_path / "a")
        logs.of(tmp_path / name)
    assert logs.of(tmp_path / "a") is first
    assert sum(log.numbers for log in logs._logs.values()) <= 100
