"""Who may touch a run's folder at this moment. Nothing here loads torch."""

import fcntl
import os
from io import FileIO
from pathlib import Path

from rlhub.core.errors import UserError
from rlhub.core.files import writing
from rlhub.core.folder import handle


def hold(folder: Path) -> FileIO:
    """An exclusive lock on a run that the operating system releases however the process ends; closing the file releases it too.

    Raises:
        UserError: another process holds the run, or the lock can't be written.
    """
    with writing("the lock", folder):
        file = (folder / "lock").open("a+b", buffering=0)  # what a full disk refuses must not come again when it is closed
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().decode()
        file.close()
        mend = f"wait for it, or stop it with `rlhub stop {handle(folder)}`"
        raise UserError(f"run {folder.name} is being trained by process {holder}: {mend}") from None
    try:
        with writing("the lock", folder):
            file.truncate(0)
            file.write(str(os.getpid()).encode())
    except UserError:
        file.close()
        raise
    return file
