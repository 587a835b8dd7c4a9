"""Waiting for what another process does: `from waiting import until`."""

import time


def until(condition, seconds=30):
    """What a condition gives once it holds; fails where it doesn't in time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found
