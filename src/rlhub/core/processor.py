"""The process's memory and arithmetic, set for small networks while one trains."""

import ctypes
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT = 1 << 30
DENORMAL = 1e-40

Products = Literal["fp32", "bf16"]


@contextmanager
def small_networks(products: Products = "fp32") -> Iterator[None]:
    """Keep freed memory, take denormal numbers for zero, and choose how matrix products are made, while the block runs.

    Training a small network frees and takes pieces of a few hundred kilobytes all the time. By default glibc maps and unmaps them, and the
    page faults that follow cost more than the arithmetic (twice the time of a pass over 8,192 rows); what it keeps stays kept afterwards.
    And the running averages of Adam decay into denormal numbers where a unit is dead, on which a step takes ten times as long. Where the C
    library or the processor can't be told, this does nothing.

    Args:
        products: bf16 rounds the factors of matrix products to bfloat16, and adds up in float32; weights and all else stay float32. Where
            the processor has no such products, they are made in float32 all the same.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_MMAP_THRESHOLD, KEPT)
            libc.mallopt(M_TRIM_THRESHOLD, KEPT)
    precision, flushed = torch.get_float32_matmul_precision(), not torch.tensor(DENORMAL).mul(1.0)
    torch.set_float32_matmul_precision("medium" if products == "bf16" else "highest")
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.set_flush_denormal(flushed)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work in one thread while the block runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def with_small_networks(train: Callable[..., None]) -> Callable[..., None]:
    """Let a system's `train` run in `small_networks`, with the products that the system's field of that name says."""

    @functools.wraps(train)
    def trained(self: Any, run: Any) -> None:
        with small_networks(getattr(self, "products", "fp32")):
            train(self, run)

    return trained
