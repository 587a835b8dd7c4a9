"""The process's own memory."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT = 1 << 30


def keep_freed_memory() -> None:
    """Let glibc's malloc keep what is freed instead of giving it back to the system.

    Training a small network frees and takes pieces of a few hundred kilobytes all the time. By default glibc maps and unmaps them, and the
    page faults that follow cost more than the arithmetic (twice the time of a pass over 8,192 rows). Elsewhere than on glibc this does
    nothing.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_MMAP_THRESHOLD, KEPT)
            libc.mallopt(M_TRIM_THRESHOLD, KEPT)
