"""Slow copies of networks, for targets that don't run away from what learns from them."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from rlhub.agents.parameters import Parameters


class Target:
    """A copy of a network whose parts follow it.

    Attributes:
        network: the copy; gradients don't reach it.
    """

    def __init__(self, network: Any, leaders: Sequence[Parameters], parts: Callable[[Any], Sequence[Sequence[nn.Module]]]) -> None:
        """Copy a network.

        Args:
            network: what is followed.
            leaders: the flat parameters of those of its parts that are followed.
            parts: finds these parts in a network, in the same order.
        """
        self.network: Any = copy.deepcopy(network)
        self._leaders = leaders
        self._followers = [Parameters(group, leader.seeds) for group, leader in zip(parts(self.network), leaders, strict=True)]
        self.network.requires_grad_(False)

    @torch.no_grad()
    def follow(self, share: float = 1.0) -> None:
        """Move towards the network: target <- (1 - share) target + share network; all the way by default."""
        for follower, leader in zip(self._followers, self._leaders, strict=True):
            follower.values.lerp_(leader.values, share)

    def state_dict(self) -> dict[str, Any]:
        """The copies' parameters."""
        return {"parts": [follower.values for follower in self._followers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put them back."""
        for follower, values in zip(self._followers, state["parts"], strict=True):
            follower.values.copy_(values)
