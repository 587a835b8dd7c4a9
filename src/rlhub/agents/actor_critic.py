"""The agent of on-policy algorithms: a policy and a value function, side by side or on a shared torso."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium.spaces import Space
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from rlhub.agents.agent import Agent
from rlhub.agents.distributions import distribution_over
from rlhub.agents.networks import Normalise, initialise, mlp
from rlhub.agents.torsos import is_image, torso_for


class ActorCritic(Agent):
    """A policy and a value function.

    Vectors are read by two networks of their own; images by one torso for both, as in Mnih et al. 2016 (arXiv:1602.01783).

    Attributes:
        distribution: what the policy's outputs are the parameters of.
        normalise: takes out the observations' running mean and variance, where that was asked for.
        torso: what both read first.
        actor: puts out the distribution's parameters, but those that no observation changes.
        critic: puts out the value.
        log_std: a Gaussian's log standard deviations; empty for other distributions.
        memory_width: numbers that a recurrent one carries from step to step (`recurrent.py`); none here.
    """

    memory_width = 0

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        *,
        hidden: Sequence[int] = (64, 64),
        activation: str = "tanh",
        normalise: bool = False,
        log_std: float = 0.0,
        env: str = "the environment",
        generator: torch.Generator | None = None,
    ) -> None:
        """Make the networks.

        Args:
            observation_space: of the environment, as it is.
            action_space: likewise.
            hidden: widths of the hidden layers, for vectors.
            activation: tanh, relu, elu or silu.
            normalise: keep observations' running moments and take them out.
            log_std: a Gaussian's log standard deviation to begin with.
            env: for messages.
            generator: where the first weights come from.

        Raises:
            UserError: observations can't be read, or there is no distribution over such actions.
        """
        settings = {"hidden": list(hidden), "activation": activation, "normalise": normalise}
        super().__init__(observation_space, action_space, env=env, **settings)
        self.distribution = distribution_over(action_space, "an actor-critic", env)
        draw = generator or torch.Generator().manual_seed(0)
        images = is_image(self.box)
        torso, features = torso_for(self.box)
        self.features = features
        inputs = self.memory_width // 2 or features
        sizes = [inputs] if images else [inputs, *hidden]
        outputs = self.distribution.width - self.distribution.state_independent
        self.normalise = Normalise(features) if normalise and not images else nn.Identity()
        self.torso = initialise(torso, generator=draw, last_gain=math.sqrt(2))
        self.actor = initialise(mlp([*sizes, outputs], activation=activation), generator=draw, last_gain=0.01)
        self.critic = initialise(mlp([*sizes, 1], activation=activation), generator=draw)
        self.log_std = nn.Parameter(torch.full((self.distribution.state_independent,), log_std))

    def forward(self, observations: Shaped[Tensor, "..."]) -> tuple[Float[Tensor, "... width"], Float[Tensor, "..."]]:
        """The policy's parameters and the values."""
        features = self.features_of(observations)
        return self.with_log_std(self.actor(features)), self.critic(features)[..., 0]

    def features_of(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... features"]:
        """What actor and critic read of observations; of a recurrent agent, each as an episode's first."""
        return self.normalise(self.torso(observations))

    def remembering(
        self, observations: Shaped[Tensor, "..."], memory: Float[Tensor, "... memory"]
    ) -> tuple[Float[Tensor, "... width"], Float[Tensor, "... memory"]]:
        """The policy's parameters for one step of all environments, and what is remembered from then on."""
        return self.policy(observations), memory

    def read(
        self,
        observations: Shaped[Tensor, "seeds rows ..."],
        memory: Float[Tensor, "seeds environments memory"],
        happened: Bool[Tensor, "seeds rows"],
    ) -> tuple[Float[Tensor, "seeds rows width"], Float[Tensor, "seeds rows"]]:
        """The policy's parameters and the values on a batch; recurrent agents go through its sequences."""
        return self(observations)

    def values(
        self,
        observations: Shaped[Tensor, "seeds rows environments ..."],
        memory: Float[Tensor, "seeds environments memory"],
        happened: Bool[Tensor, "seeds steps environments"],
    ) -> Float[Tensor, "seeds rows environments"]:
        """The values along a roll-out, whose last row of observations follows the last step."""
        return self.value(observations.flatten(1, 2)).unflatten(1, observations.shape[1:3])

    @property
    def policy_parts(self) -> list[nn.Module | nn.Parameter]:
        """What the policy alone depends on."""
        return [self.torso, self.actor, self.log_std]

    def policy(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... width"]:
        """The policy's parameters alone."""
        return self.with_log_std(self.actor(self.features_of(observations)))

    def value(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The values alone."""
        return self.critic(self.features_of(observations))[..., 0]

    def observe(self, observations: Shaped[Tensor, "..."]) -> None:
        """Let observations change the moments that are taken out, where they are."""
        if isinstance(self.normalise, Normalise):
            self.normalise.observe(self.torso(observations))

    def actions(self, observations: Shaped[Tensor, "..."], *, generator: torch.Generator | None) -> Tensor:
        """The likeliest actions, or drawn ones."""
        return self.choose(self.policy(observations), generator)

    def choose(self, parameters: Float[Tensor, "... width"], generator: torch.Generator | None) -> Tensor:
        """The distributions' likeliest actions, or drawn ones."""
        if generator is None:
            return self.distribution.mode(parameters)
        return self.distribution.sample(parameters, self.distribution.noise(tuple(parameters.shape[:-1]), generator))

    def with_log_std(self, outputs: Float[Tensor, "... outputs"]) -> Float[Tensor, "... width"]:
        """The actor's outputs, and beside them the log standard deviations where there are any."""
        if not self.distribution.state_independent:
            return outputs
        return torch.cat([outputs, self.log_std.expand_as(outputs)], -1)
