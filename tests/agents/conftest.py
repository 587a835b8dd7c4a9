"""Networks of agents are too small for a second thread, which on a busy machine makes them wait for each other."""

import pytest

from rlhub.core.processor import one_thread


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield
