"""The agent of DQN: what each discrete action is worth, as a number or as a distribution over returns."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium.spaces import Discrete, Space
from jaxtyping import Float, Shaped
from torch import Tensor

from rlhub.agents.agent import Agent
from rlhub.agents.networks import initialise, mlp
from rlhub.agents.passes import Pass, Reading
from rlhub.agents.torsos import is_image, torso_for
from rlhub.core.errors import UserError


class QNetwork(Agent):
    """Action values of a discrete action space.

    Attributes:
        torso: what reads the observation.
        advantage: one output, or one for each atom, for each action.
        value: the same for the state, where the network is duelling (Wang et al. 2016, arXiv:1511.06581, Eq. 9); else None.
        support: lowest and highest return and the number of atoms between, for a distribution over returns (Bellemare et al. 2017,
            arXiv:1707.06887); None for plain values.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        *,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        duelling: bool = False,
        support: Sequence[float | int] | None = None,
        env: str = "the environment",
        generator: torch.Generator | None = None,
    ) -> None:
        """Make the network.

        Args:
            observation_space: of the environment, as it is.
            action_space: likewise.
            hidden: widths of the hidden layers, for vectors.
            activation: tanh, relu, elu or silu.
            duelling: value and advantages by themselves.
            support: lowest and highest return and the number of atoms between, for a distribution over returns.
            env: for messages.
            generator: where the first weights come from.

        Raises:
            UserError: actions aren't discrete.
        """
        if not isinstance(action_space, Discrete):
            raise UserError(f"dqn can't act in {env}, whose actions are {action_space}: it serves discrete ones; try sac, td3 or ppo")
        settings = {"hidden": list(hidden), "activation": activation, "duelling": duelling, "support": list(support) if support else None}
        super().__init__(observation_space, action_space, env=env, **settings)
        draw = generator or torch.Generator().manual_seed(0)
        torso, features = torso_for(self.box)
        sizes = [features] if is_image(self.box) else [features, *hidden]
        self.count, self.width = int(action_space.n), int(support[2]) if support else 1
        self.torso = initialise(torso, generator=draw, last_gain=math.sqrt(2))
        self.advantage = initialise(mlp([*sizes, self.count * self.width], activation=activation), generator=draw)
        self.value = initialise(mlp([*sizes, self.width], activation=activation), generator=draw) if duelling else None
        self.support = support

    def forward(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... actions"]:
        """Q(s, a)."""
        return self.expected(self.outputs(observations))

    def expected(self, outputs: Float[Tensor, "... actions width"]) -> Float[Tensor, "... actions"]:
        """Values of outputs: themselves, or the means of the distributions they are the logits of."""
        return outputs[..., 0] if self.support is None else outputs.softmax(-1) @ self.atoms

    def outputs(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... actions width"]:
        """Values, or the logits of each atom, for each action."""
        features = self.torso(observations)
        return self.joined(self.advantage(features), self.value(features) if self.value is not None else None)

    def joined(
        self, advantages: Float[Tensor, "... outputs"], value: Float[Tensor, "... width"] | None
    ) -> Float[Tensor, "... actions width"]:
        """The two parts' outputs as one: V + A - mean A."""
        each = advantages.unflatten(-1, (self.count, self.width))
        return each if value is None else value[..., None, :] + each - each.mean(-2, keepdim=True)

    @property
    def atoms(self) -> Float[Tensor, " atoms"]:
        """The returns that the distribution is over."""
        low, high, count = self.support or (0.0, 0.0, 1)
        return torch.linspace(low, high, int(count), device=self.device, dtype=next(self.parameters()).dtype)

    def actions(self, observations: Shaped[Tensor, "..."], *, generator: torch.Generator | None) -> Tensor:
        """The most valuable actions."""
        return self(observations).argmax(-1)


class Kept:
    """A pass through a Q-network, kept so that slopes can be sent back.

    Attributes:
        outputs: what `QNetwork.outputs` gives.
    """

    def __init__(self, network: QNetwork, observations: Shaped[Tensor, "..."]) -> None:
        """Read a batch."""
        self._reading = Reading(network.torso, observations)
        self._advantages = Pass(network.advantage, self._reading.features)
        self._value = Pass(network.value, self._reading.features) if network.value is not None else None
        self.outputs: Float[Tensor, "... actions width"] = network.joined(
            self._advantages.output, self._value.output if self._value else None
        )

    def back(self, slope: Float[Tensor, "... actions width"]) -> None:
        """Write the slopes by the parameters into their gradients."""
        by_value = slope.sum(-2)
        if self._value is not None:
            slope = slope - by_value[..., None, :] / slope.shape[-2]
        parts = [(self._advantages, slope.flatten(-2))] + ([(self._value, by_value)] if self._value else [])
        if self._reading.learns:
            self._reading.back(torch.stack([part.through(slope, parameters=True) for part, slope in parts]).sum(0))
        else:
            for part, slope in parts:
                part.back(slope)
