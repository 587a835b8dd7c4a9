"""Rewards brought to one scale, as saved state."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class RewardScale:
    """Divides rewards by the standard deviation of their discounted sums so far (Engstrom et al. 2020, arXiv:2005.12729, Sec. 3).

    The sums run backwards in time, G_t = discount G_(t-1) + r_t, from each episode's beginning; moments are each seed's own.
    """

    def __init__(self, seeds: int, copies: int, *, discount: float, clip: float = 10.0) -> None:
        """Nothing seen yet.

        Args:
            seeds: how many.
            copies: environments of each.
            discount: gamma.
            clip: scaled rewards are held within this.
        """
        self._discount, self._clip = discount, clip
        self._sums = torch.zeros(seeds, copies)
        self._moments = torch.zeros(seeds, 3, dtype=torch.float64)  # count, mean, sum of squared deviations

    def __call__(
        self,
        rewards: Float[Tensor, "seeds steps copies"],
        ended: Bool[Tensor, "seeds steps copies"],
        begun: Bool[Tensor, "seeds steps copies"],
    ) -> Float[Tensor, "seeds steps copies"]:
        """A roll-out's rewards, scaled by all that was seen with them; rows in which an environment began anew don't count."""
        sums = torch.empty_like(rewards)
        for step in range(rewards.shape[1]):
            self._sums = self._discount * self._sums + rewards[:, step]
            sums[:, step] = self._sums
            self._sums = self._sums * ~ended[:, step]
        self._count(sums.flatten(1).double(), (~begun).flatten(1).double())
        count, _, squares = self._moments.unbind(1)
        deviation = (squares / count.clamp(min=1)).sqrt().float()[:, None, None]
        return (rewards / (deviation + 1e-8)).clamp(-self._clip, self._clip)

    def state_dict(self) -> dict[str, Any]:
        """Sums under way, and moments."""
        return {"sums": self._sums, "moments": self._moments}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self._sums, self._moments = state["sums"].clone(), state["moments"].clone()

    def _count(self, values: Float[Tensor, "seeds rows"], weights: Float[Tensor, "seeds rows"]) -> None:
        count, mean, squares = self._moments.unbind(1)
        many = weights.sum(1)
        new_mean = (values * weights).sum(1) / many.clamp(min=1)
        new_squares = ((values - new_mean[:, None]).square() * weights).sum(1)
        total = (count + many).clamp(min=1)
        shift = new_mean - mean
        moments = [count + many, mean + shift * many / total, squares + new_squares + shift.square() * count * many / total]
        self._moments = torch.stack(moments, 1)
