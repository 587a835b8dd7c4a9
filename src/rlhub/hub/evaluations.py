"""What `rlhub evaluate` found, kept in the run's folder."""

import logging
import time
from pathlib import Path
from typing import Any

from rlhub.core.files import append_line, in_words
from rlhub.core.provenance import commit

_log = logging.getLogger("rlhub")
FILE = "evaluations.jsonl"


def keep_evaluation(folder: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Add an evaluation to a run's evaluations.jsonl, with the time and this package's commit.

    A disk that is full or may not be written costs the line, not the result: it is then a warning.

    Args:
        folder: the run's.
        told: the result, as JSON.

    Returns:
        The line, whether or not it could be kept.
    """
    line = told | {"time": time.time(), "commit": commit()}
    try:
        append_line(folder / FILE, line)
    except OSError as error:
        room = in_words(len(str(line)))
        _log.warning(
            "the result couldn't be kept in %s (%s): mend that and evaluate again, it takes %s", folder / FILE, error.strerror, room
        )
    return line
