"""Writing to a disk that may be full, read-only, or lose its power: whole or not at all."""

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError

_MENDS = {
    errno.ENOSPC: "the disk is full ({free} free): free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "a file would pass the size limit of this shell or file system: raise `ulimit -f` or use another disk",
    errno.ENOENT: "a folder of that path is gone or can't be made: choose another folder with {option}",
    errno.EROFS: "it is on a read-only file system: choose a folder you can write to with {option}",
    errno.EACCES: "you may not write there: mend its permissions, or choose another folder with {option}",
    errno.EPERM: "you may not write there: mend its permissions, or choose another folder with {option}",
    errno.EEXIST: "a file is where a folder should be: choose another folder with {option}",
    errno.ENOTDIR: "part of that path is a file: choose another folder with {option}",
    errno.EIO: "the disk reports an input/output error: look after the disk, or use another one",
}


@contextmanager
def writing(what: str, path: Path, *, afterwards: str = "", option: str = "--runs or RLHUB_RUNS") -> Iterator[None]:
    """Turn the failures of a disk into one sentence.

    Args:
        what: what is being written ("checkpoint 30").
        path: where.
        afterwards: what to do once the disk is mended ("then `rlhub resume NAME` goes on").
        option: what chooses another place.

    Raises:
        UserError: the disk is full, read-only, forbidden or broken. Any other exception passes through unchanged.
    """
    try:
        yield
    except Exception as error:
        mend = _MENDS.get(_error_number(error) or 0)
        if mend is None:
            raise
        sentence = f"could not write {what} in {path}: {mend.format(free=in_words(_free(path)), option=option)}"
        raise UserError(sentence + (f"; {afterwards}" if afterwards else "")) from error


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one motion, as `write_text` does."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a file in one motion: a reader, or a crash, sees the old one or the new one, never half of it."""
    beside = path.with_name(f".{path.name}.partial")
    try:
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        UserError: the file is not there, can't be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged, it is not JSON: {error}") from error


def read_appended(path: Path, *, together: int = 1) -> list[Any]:
    """The lines of a JSONL file that is written by appending; what a kill left of a line, or of lines that belong together, is cut off.

    Args:
        path: the file; none there is none written.
        together: lines that are written, and count, only together.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    whole = whole[: len(whole) // together * together]
    if len(whole) < len(lines):
        # Cutting keeps what comes before; writing it anew could be killed in between and lose it.
        os.truncate(path, sum(map(len, whole)))
    return [json.loads(line) for line in whole]


def append_line(path: Path, value: Any) -> None:
    """Add a line to a JSONL file: whole or not at all, also where others append at once or an earlier process died within its line.

    Raises:
        OSError: the disk is full or may not be written; the lines that were there still are.
    """
    line = json.dumps(value).encode() + b"\n"
    # Without a buffer, closing the file can't try once more to write what failed.
    with path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        try:
            while line:
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(whole)
            raise


def sync_file(path: Path) -> None:
    """Return once the file's bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Return once the folder's entries (names created, renamed, removed) are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder, which may change while it is read."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def in_words(count: int) -> str:
    """Bytes as a person reads them."""
    for power, unit in enumerate(("B", "KiB", "MiB")):
        if count < 1024 ** (power + 1):
            return f"{count / 1024**power:.0f} {unit}"
    return f"{count / 1024**3:.1f} GiB"


def check_room(folder: Path, needed: int, what: str) -> None:
    """Refuse work that the disk can't hold before it begins.

    Args:
        folder: where it will write; needn't be there yet.
        needed: bytes.
        what: who needs them, for the message.

    Raises:
        UserError: the disk of the folder has less left.
    """
    free = _free(folder)
    if free < needed:
        raise UserError(
            f"{what} needs about {in_words(needed)} in {folder}, whose disk has {in_words(free)} left: free some space, or choose a folder "
            "on another disk"
        )


def _error_number(error: BaseException) -> int | None:
    """The operating system's error number, also out of libraries that only carry it in their text (safetensors)."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    told = re.search(r"os error (\d+)", str(error))
    return int(told.group(1)) if told else None


def _free(path: Path) -> int:
    """The bytes left on the disk of a path, which needn't be there yet."""
    path = path.absolute()
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free
