"""Random numbers of several seeds at once, each seed's from its own generator."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def standard_normal(shape: tuple[int, ...], draws: Sequence[torch.Generator]) -> Float[Tensor, "seeds ..."]:
    """Standard normal numbers, each seed's from its own generator."""
    return torch.stack([torch.randn(shape, generator=draw) for draw in draws])


def evenly(shape: tuple[int, ...], draws: Sequence[torch.Generator]) -> Float[Tensor, "seeds ..."]:
    """Numbers drawn evenly from [-1, 1), each seed's from its own generator."""
    return torch.stack([torch.rand(shape, generator=draw) * 2 - 1 for draw in draws])
