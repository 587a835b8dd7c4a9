"""Drawing transitions by how wrong their values were (Schaul et al. 2016, arXiv:1511.05952)."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LEAST = 1e-6


class Priorities:
    """Priorities of a memory's places, for each seed its own.

    A place is drawn with probability p^alpha / sum p^alpha (Eq. 1). Places lie in blocks, so that a draw adds up blocks first and then
    looks inside the chosen one.

    Attributes:
        exponent: alpha.
    """

    def __init__(self, seeds: int, places: int, *, exponent: float) -> None:
        """Nothing can be drawn yet."""
        self.exponent = exponent
        self._width = max(1, int(places**0.5))
        self._masses = torch.zeros(seeds, -(-places // self._width), self._width, dtype=torch.float64)
        self._largest = torch.ones(seeds, dtype=torch.float64)

    def enter(self, places: Int[Tensor, " copies"], drawable: Bool[Tensor, "seeds copies"]) -> None:
        """New transitions, which get the largest priority so far; what can't be drawn gets none."""
        self._flat[:, places] = self._largest[:, None] ** self.exponent * drawable

    def update(self, places: Int[Tensor, "seeds batch"], errors: Float[Tensor, "seeds batch"]) -> None:
        """Set the priorities of places to the size of their errors."""
        priorities = errors.abs().double() + LEAST
        self._largest = self._largest.maximum(priorities.amax(1))
        self._flat.scatter_(1, places, priorities**self.exponent)

    def draw(
        self, batch: int, generators: Sequence[torch.Generator], *, importance: float
    ) -> tuple[Int[Tensor, "seeds batch"], Float[Tensor, "seeds batch"]]:
        """Places, one from each of `batch` equal shares of the mass, and the weights that correct for drawing so.

        Args:
            batch: how many for each seed.
            generators: one a seed.
            importance: beta; a weight is (count P(i))^-beta over the batch's largest (Sec. 3.4).
        """
        blocks = self._masses.sum(2)
        total = blocks.sum(1, keepdim=True)
        shares = torch.stack([torch.rand(batch, generator=draws, dtype=torch.float64) for draws in generators])
        wanted = (torch.arange(batch) + shares) / batch * total * (1 - 1e-12)
        ends = blocks.cumsum(1)
        chosen = torch.searchsorted(ends, wanted, right=True).clamp_(max=blocks.shape[1] - 1)
        rest = wanted - (ends - blocks).gather(1, chosen)
        inside = self._masses[torch.arange(len(blocks))[:, None], chosen]
        within = torch.searchsorted(inside.cumsum(2), rest[..., None], right=True)[..., 0].clamp_(max=self._width - 1)
        # Rounding can land on a place without mass at a block's end: the last one before it that has some.
        places = chosen * self._width + within
        masses = self._flat.gather(1, places)
        if not bool((masses > 0).all()):
            last = (inside > 0).double().mul(torch.arange(1, self._width + 1)).argmax(2)
            places = torch.where(masses > 0, places, chosen * self._width + last)
            masses = self._flat.gather(1, places)
        count = (self._flat > 0).sum(1, keepdim=True)
        weights = (count * masses / total) ** -importance
        return places, (weights / weights.amax(1, keepdim=True)).float()

    def state_dict(self) -> dict[str, Any]:
        """All masses."""
        return {"masses": self._masses, "largest": self._largest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self._masses.copy_(state["masses"])
        self._largest = state["largest"].clone()

    @property
    def _flat(self) -> Float[Tensor, "seeds places"]:
        return self._masses.flatten(1)
