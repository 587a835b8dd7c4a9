"""Where to compute, and in which precision."""

from functools import cache
from pathlib import Path
from typing import Literal

import torch

from rlhub.core.errors import UserError

Device = Literal["auto", "cpu", "cuda"]


def best_device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def chosen_device(wanted: Device, *, large: bool) -> torch.device:
    """Where to compute what a person may have a wish about.

    Args:
        wanted: auto takes the GPU when there is one and there is enough to compute.
        large: whether there is: a network of a few thousand parameters is faster on the CPU.

    Raises:
        UserError: a GPU is wanted and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda, but torch finds no GPU here: give --device cpu, or install a build of torch for your GPU")
    return best_device() if wanted == "auto" and large else torch.device("cpu" if wanted == "auto" else wanted)


def has_fast_bfloat16(device: torch.device | str) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware, so that bfloat16 is faster than float32 and not emulated."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return not _cpu_flags().isdisjoint({"amx_bf16", "avx512_bf16", "bf16"})


@cache
def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))), set())
