"""The agents of DDPG, TD3 and SAC: an actor over bounded continuous actions, and critics that value what it does.

Networks and memory hold actions in [-1, 1]; only on the way to the environment are they stretched to its bounds.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Space
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from rlhub.agents.agent import Agent
from rlhub.agents.draws import evenly, standard_normal
from rlhub.agents.networks import mlp, stacked, uniform
from rlhub.agents.parameters import Stepper
from rlhub.agents.replay import Replay
from rlhub.agents.torsos import torso_for
from rlhub.core.errors import UserError

LOG_STD_RANGE = (-20.0, 2.0)


class ContinuousAgent(Agent):
    """An actor and its critics.

    Attributes:
        torso: reads observations for both; images' is trained by the critics alone.
        actor: puts out what actions are made of.
        critics: Q(s, a), several networks side by side; each reads features and actions.
        count: numbers in one action.
        critic_count: how many critics there are.
    """

    per_action = 1
    """Outputs of the actor for each number of an action."""

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        *,
        hidden: Sequence[int] = (256, 256),
        activation: str = "relu",
        critics: int = 2,
        env: str = "the environment",
        generator: torch.Generator | None = None,
    ) -> None:
        """Make the networks.

        Args:
            observation_space: of the environment, as it is.
            action_space: likewise.
            hidden: widths of the hidden layers.
            activation: tanh, relu, elu or silu.
            critics: how many.
            env: for messages.
            generator: where the first weights come from.

        Raises:
            UserError: actions aren't continuous, or have no bounds.
        """
        if not isinstance(action_space, Box) or not action_space.is_bounded():
            raise UserError(f"this algorithm can't act in {env}, whose actions are {action_space}: it serves continuous ones within bounds")
        super().__init__(observation_space, action_space, env=env, hidden=list(hidden), activation=activation, critics=critics)
        draw = generator or torch.Generator().manual_seed(0)
        self.count, self.critic_count = math.prod(action_space.shape), critics
        self.torso, features = torso_for(self.box)
        self.actor = mlp([features, *hidden, self.per_action * self.count], activation=activation)
        valued = [mlp([features + self.count, *hidden, 1], activation=activation) for _ in range(critics)]
        for part in (self.torso, self.actor, *valued):
            uniform(part, generator=draw)
        self.critics = stacked(valued)

    @property
    def critic_parts(self) -> list[nn.Module]:
        """What the critics depend on."""
        return [self.torso, self.critics]

    def values(
        self, features: Float[Tensor, "seeds batch features"], actions: Float[Tensor, "seeds batch numbers"]
    ) -> Float[Tensor, "seeds critics batch"]:
        """Every critic's Q(s, a)."""
        pairs = torch.cat([features, actions], -1)
        if self.critic_count == 1:
            return self.critics(pairs)[..., 0].unsqueeze(1)
        each = pairs.unsqueeze(1).expand(-1, self.critic_count, -1, -1).flatten(0, 1)
        return self.critics(each)[..., 0].unflatten(0, (len(pairs), self.critic_count))

    def to_environment(self, actions: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """Actions in [-1, 1] stretched to the space's bounds and shape."""
        space = self.action_space
        assert isinstance(space, Box)  # noqa: S101 (the constructor refuses others)
        shaped = actions.reshape(*actions.shape[:-1], *space.shape)
        return np.clip(space.low + (shaped + 1) * (0.5 * (space.high - space.low)), space.low, space.high).astype(space.dtype, copy=False)


class DeterministicAgent(ContinuousAgent):
    """An actor that puts out the action itself (Silver et al. 2014)."""

    def forward(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... numbers"]:
        """Actions in [-1, 1]."""
        return self.act_on(self.torso(observations))

    def act_on(self, features: Float[Tensor, "... features"]) -> Float[Tensor, "... numbers"]:
        """Actions in [-1, 1] for features."""
        return self.actor(features).tanh()

    def actions(self, observations: Shaped[Tensor, "..."], *, generator: torch.Generator | None) -> Tensor:
        """The actor's actions, which are never drawn."""
        return self(observations)


class SquashedGaussianAgent(ContinuousAgent):
    """An actor whose actions are tanh of a Gaussian that depends on the observation (Haarnoja et al. 2018, arXiv:1812.05905, App. C)."""

    per_action = 2

    @property
    def usual_entropy(self) -> float:
        """The target that the paper gives the temperature: minus the numbers in an action (App. D)."""
        return -float(self.count)

    @property
    def no_action(self) -> Float[Tensor, " numbers"]:
        """An action's shape and type."""
        return torch.zeros(self.count)

    def noise(self, rows: int, draws: Sequence[torch.Generator]) -> Float[Tensor, "seeds rows numbers"]:
        """What `drawn` turns into actions, each seed's from its own generator."""
        return standard_normal((rows, self.count), draws)

    def at_random(self, rows: int, draws: Sequence[torch.Generator]) -> Float[Tensor, "seeds rows numbers"]:
        """Actions drawn evenly."""
        return evenly((rows, self.count), draws)

    def drawn(self, observations: Shaped[Tensor, "..."], noise: Float[Tensor, "seeds rows numbers"]) -> Float[Tensor, "seeds rows numbers"]:
        """Actions of the policy."""
        return squashed(self(observations), noise)[0]

    def soft_value(
        self,
        features: Float[Tensor, "seeds batch features"],
        critics: Any,
        seen: Float[Tensor, "seeds batch features"],
        noise: Float[Tensor, "seeds batch numbers"],
        alpha: Float[Tensor, "seeds 1"],
    ) -> tuple[Float[Tensor, "seeds batch"], Float[Tensor, "seeds batch"]]:
        """min Q(s, a) - alpha log pi(a|s) of one drawn action a row, and -log pi(a|s).

        Args:
            features: what the policy reads.
            critics: whose critics value the action.
            seen: what those read.
            noise: what the action is drawn with.
            alpha: temperatures.
        """
        actions, log_probs = squashed(self.actor(features), noise)
        return critics.values(seen, actions).amin(1) - alpha * log_probs, -log_probs

    def forward(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... outputs"]:
        """Means, then log standard deviations before they are held in range."""
        return self.actor(self.torso(observations))

    def actions(self, observations: Shaped[Tensor, "..."], *, generator: torch.Generator | None) -> Tensor:
        """tanh of the mean, or with a generator drawn ones, in [-1, 1]."""
        outputs = self(observations)
        mean = outputs[..., : self.count]
        if generator is None:
            return mean.tanh()
        return squashed(outputs, torch.randn(mean.shape, generator=generator))[0]


def explored(
    agent: DeterministicAgent, replay: Replay, draws: Sequence[torch.Generator], noise: float | None
) -> Float[Tensor, "seeds environments numbers"]:
    """The actor's actions for what is seen now with Gaussian noise of a standard deviation; without one, actions drawn evenly."""
    shape = (replay.count, agent.count)
    if noise is None:
        return evenly(shape, draws)
    return (agent(replay.newest) + noise * standard_normal(shape, draws)).clamp(-1, 1)


def climb(agent: DeterministicAgent, stepper: Stepper, observations: Shaped[Tensor, "..."]) -> dict[str, Float[Tensor, " seeds"]]:
    """One step of the actor up the first critic's value of the actor's own actions (Silver et al. 2014), and the losses."""
    features = agent.torso(observations).detach()
    agent.critics.requires_grad_(False)
    losses = -agent.values(features, agent.act_on(features))[:, 0].mean(1)
    stepper.step(losses.sum())
    agent.critics.requires_grad_(True)
    return {"actor_loss": losses.detach()}


def squashed(
    outputs: Float[Tensor, "... outputs"], noise: Float[Tensor, "... numbers"]
) -> tuple[Float[Tensor, "... numbers"], Float[Tensor, "..."]]:
    """Actions a = tanh(u), u ~ N(mean, std), and log pi(a).

    log pi(a) = log N(u) - sum log(1 - tanh(u)^2)   (Haarnoja et al. 2018, arXiv:1812.05905, Eq. 21)

    The correction is computed as 2 (log 2 - u - softplus(-2 u)), which is the same and loses nothing where tanh is flat.
    """
    mean, log_std = outputs.chunk(2, -1)
    log_std = log_std.clamp(*LOG_STD_RANGE)
    raw = torch.addcmul(mean, log_std.exp(), noise)
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    correction = 2 * (math.log(2) - raw - nn.functional.softplus(-2 * raw))
    return raw.tanh(), (gaussian - correction).sum(-1)
