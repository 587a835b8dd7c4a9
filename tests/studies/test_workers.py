"""Pieces of a study done here or in several processes: each once, each told when it is done, the first failure passed on."""

import os

import pytest
from pieces import Idle, failing, noted

from rlhub.core.errors import UserError
from rlhub.studies.store import Store
from rlhub.studies.workers import LOGS, Workers

NAMES = [("a",), ("b",), ("c",)]


def workers(folder, count):
    study = Idle()
    return Workers(study, study.begin(Store(folder), None, None), count)


@pytest.mark.parametrize("count", [1, 2])
def test_every_piece_is_done_once_and_told(tmp_path, count, capfd):
    assert sorted(workers(tmp_path, count).each(noted, NAMES)) == NAMES
    done = {name: int((tmp_path / name).read_text()) for (name,) in NAMES}
    assert (set(done.values()) == {os.getpid()}) == (count == 1)
    assert 1 <= len(set(done.values())) <= count
    # processes of their own print into files of their own
    assert ("doing a" in capfd.readouterr().out) == (count == 1)
    assert ("doing a" in "".join(path.read_text() for path in (tmp_path / LOGS).glob("*.log"))) == (count > 1)


@pytest.mark.parametrize("count", [1, 2])
def test_a_failure_is_passed_on_in_its_own_sentence(tmp_path, count):
    with pytest.raises(UserError, match="b can't be done: do another"):
        list(workers(tmp_path, count).each(failing, NAMES))


def test_a_single_piece_needs_no_other_process(tmp_path):
    list(workers(tmp_path, 4).each(noted, NAMES[:1]))
    assert int((tmp_path / "a").read_text()) == os.getpid()


def test_no_process_at_all_is_refused(tmp_path):
    with pytest.raises(UserError, match="workers is 0"):
        workers(tmp_path, 0)
