"""An actor-critic that remembers: an LSTM (Hochreiter & Schmidhuber 1997) between what reads observations and what acts and values."""

from typing import Any

import torch
from gymnasium.spaces import Space
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.networks import initialise


class RecurrentActorCritic(ActorCritic):
    """A policy and a value function on one memory, which is empty where an episode begins.

    `act` remembers from call to call: `begin()` before each episode. `forward`, `policy` and `value` take each observation as an episode's
    first, so that they are functions of what they are given, as the lens needs them.

    Attributes:
        inputs: an observation's part in the gates.
        recurrent: the last output's part in them.
        memory_width: numbers that are carried on: the LSTM's output and its cells.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        *,
        lstm: int,
        generator: torch.Generator | None = None,
        **settings: Any,
    ) -> None:
        """Make the networks.

        Args:
            observation_space: of the environment, as it is.
            action_space: likewise.
            lstm: cells.
            generator: where the first weights come from.
            settings: the other arguments of `ActorCritic`.
        """
        self.memory_width = 2 * lstm
        draw = generator or torch.Generator().manual_seed(0)
        super().__init__(observation_space, action_space, generator=draw, **settings)
        self.settings["lstm"] = lstm
        features = self.features
        self.inputs = initialise(nn.Linear(features, 4 * lstm), generator=draw)
        self.recurrent = initialise(nn.Linear(lstm, 4 * lstm, bias=False), generator=draw)
        self._now: Tensor | None = None

    def features_of(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... features"]:
        """The LSTM's output where nothing was seen before."""
        inputs = self.inputs(self.normalise(self.torso(observations)))
        return self.remember(inputs, inputs.new_zeros(*inputs.shape[:-1], self.memory_width)).chunk(2, -1)[0]

    def remembering(
        self, observations: Shaped[Tensor, "..."], memory: Float[Tensor, "... memory"]
    ) -> tuple[Float[Tensor, "... width"], Float[Tensor, "... memory"]]:
        """The policy's parameters for one step of all environments, and what is remembered from then on."""
        memory = self.remember(self.inputs(self.normalise(self.torso(observations))), memory)
        return self.with_log_std(self.actor(memory.chunk(2, -1)[0])), memory

    def remember(self, inputs: Float[Tensor, "... gates"], memory: Float[Tensor, "... memory"]) -> Float[Tensor, "... memory"]:
        """One step: c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')."""
        output, cells = memory.chunk(2, -1)
        admit, forget, new, leave = (inputs + self.recurrent(output)).chunk(4, -1)
        cells = forget.sigmoid() * cells + admit.sigmoid() * new.tanh()
        return torch.cat([leave.sigmoid() * cells.tanh(), cells], -1)

    def read(
        self,
        observations: Shaped[Tensor, "seeds rows ..."],
        memory: Float[Tensor, "seeds environments memory"],
        happened: Bool[Tensor, "seeds rows"],
    ) -> tuple[Float[Tensor, "seeds rows width"], Float[Tensor, "seeds rows"]]:
        """The policy's parameters and the values on whole sequences, whose rows lie time by time."""
        count = memory.shape[1]
        inputs = self.inputs(self.normalise(self.torso(observations)))
        outputs = []
        for now, going in zip(inputs.split(count, 1), happened.split(count, 1), strict=True):
            memory = self.remember(now, memory)
            outputs.append(memory.chunk(2, -1)[0])
            memory = memory * going[..., None]
        features = torch.cat(outputs, 1)
        return self.with_log_std(self.actor(features)), self.critic(features)[..., 0]

    def values(
        self,
        observations: Shaped[Tensor, "seeds rows environments ..."],
        memory: Float[Tensor, "seeds environments memory"],
        happened: Bool[Tensor, "seeds steps environments"],
    ) -> Float[Tensor, "seeds rows environments"]:
        """The values along a roll-out, whose last row of observations follows the last step."""
        rows = torch.cat([happened, torch.ones_like(happened[:, :1])], 1)
        return self.read(observations.flatten(1, 2), memory, rows.flatten(1, 2))[1].unflatten(1, observations.shape[1:3])

    def actions(self, observations: Shaped[Tensor, "..."], *, generator: torch.Generator | None) -> Tensor:
        """The likeliest actions, or drawn ones, given what was seen since the episode began."""
        if self._now is None:
            self._now = observations.new_zeros(*observations.shape[: observations.ndim - len(self.box.shape)], self.memory_width).float()
        parameters, self._now = self.remembering(observations, self._now)
        return self.choose(parameters, generator)

    def begin(self, rows: Bool[Tensor, "..."] | None = None) -> None:
        """Forget: the episodes of these rows begin; by default all."""
        if rows is None or self._now is None:
            self._now = None
        else:
            self._now = self._now * ~rows[..., None]
