"""The agents of DDPG, TD3 and SAC: an actor over bounded continuous actions, and critics that value what it does.

Networks and memory hold actions in [-1, 1]; only on the way to the environment are they stretched to its bounds.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Space
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from rlhub.agents.agent import within
from rlhub.agents.critics import CriticAgent, Judgement
from rlhub.agents.draws import evenly, standard_normal
from rlhub.agents.networks import mlp, stacked, uniform
from rlhub.agents.parameters import Stepper
from rlhub.agents.passes import Pass
from rlhub.agents.replay import Replay
from rlhub.agents.torsos import torso_for
from rlhub.core.errors import UserError

LOG_STD_RANGE = (-20.0, 2.0)


class ContinuousAgent(CriticAgent):
    """An actor over continuous actions and its critics, each of which reads features and actions.

    Attributes:
        count: numbers in one action.
    """

    per_action = 1
    """Outputs of the actor for each number of an action."""
    who, serves = "this agent", "it serves continuous ones within bounds"
    """What messages say of the algorithm."""

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
            raise UserError(f"{self.who} can't act in {env}, whose actions are {action_space}: {self.serves}; try ppo")
        super().__init__(observation_space, action_space, env=env, hidden=list(hidden), activation=activation, critics=critics)
        draw = generator or torch.Generator().manual_seed(0)
        self.count, self.critic_count = math.prod(action_space.shape), critics
        self.torso, features = torso_for(self.box)
        self.actor = mlp([features, *hidden, self.per_action * self.count], activation=activation)
        valued = [mlp([features + self.count, *hidden, 1], activation=activation) for _ in range(critics)]
        for part in (self.torso, self.actor, *valued):
            uniform(part, generator=draw)
        self.critics = stacked(valued)

    def judge(self, features: Float[Tensor, "seeds batch features"], actions: Float[Tensor, "seeds batch numbers"]) -> Judgement:
        """Every critic's Q(s, a)."""
        passed = self.through_critics(torch.cat([features, actions], -1))
        return Judgement(passed, passed.output.view(len(features), self.critic_count, -1))

    def to_environment(self, actions: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """Actions in [-1, 1] stretched to the space's bounds and shape."""
        space = self.action_space
        assert isinstance(space, Box)  # noqa: S101 (the constructor refuses others)
        # Half of each bound by itself: the whole distance between the largest numbers is more than a number holds.
        middle, half = 0.5 * space.high + 0.5 * space.low, 0.5 * space.high - 0.5 * space.low
        return within(space, middle + actions.reshape(*actions.shape[:-1], *space.shape) * half)


class DeterministicAgent(ContinuousAgent):
    """An actor that puts out the action itself (Silver et al. 2014)."""

    who, serves = "an agent of ddpg or td3", "it serves continuous ones within bounds"

    def forward(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... numbers"]:
        """Actions in [-1, 1]."""
        return self.actor(self.torso(observations)).tanh()

    def act_on(self, features: Float[Tensor, "... features"]) -> Float[Tensor, "... numbers"]:
        """Actions in [-1, 1] for features, by the pass that training uses."""
        return Pass(self.actor, features).output.tanh_()

    def actions(self, observations: Shaped[Tensor, "..."], *, generator: torch.Generator | None) -> Tensor:
        """The actor's actions, which are never drawn."""
        return self(observations)


class SquashedGaussianAgent(ContinuousAgent):
    """An actor whose actions are tanh of a Gaussian that depends on the observation (Haarnoja et al. 2018, arXiv:1812.05905, App. C)."""

    per_action = 2
    who, serves = "sac", "it serves discrete ones, and continuous ones within bounds"

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
        return Squashed(Pass(self.actor, self.torso(observations)).output, noise).actions

    def soft_value(
        self,
        features: Float[Tensor, "seeds batch features"],
        critics: Any,
        seen: Float[Tensor, "seeds batch features"],
        noise: Float[Tensor, "seeds batch numbers"],
        alpha: Float[Tensor, "seeds 1"],
        *,
        improve: bool = False,
    ) -> tuple[Float[Tensor, "seeds batch"], Float[Tensor, "seeds batch"]]:
        """min Q(s, a) - alpha log pi(a|s) of one drawn action a row, and -log pi(a|s).

        Args:
            features: what the policy reads.
            critics: whose critics value the action.
            seen: what those read.
            noise: what the action is drawn with.
            alpha: temperatures.
            improve: write the slope of the mean of -(min Q - alpha log pi) by the actor's parameters into their gradients.
        """
        policy = Pass(self.actor, features)
        drawn = Squashed(policy.output, noise)
        judged = critics.judge(seen, drawn.actions)
        least = judged.values.min(1, keepdim=True)
        if improve:
            weights = torch.zeros_like(judged.values).scatter_(1, least.indices, 1 / judged.values.shape[-1])
            by_action = judged.through(weights)[..., -self.count :]
            policy.back(-drawn.back(by_action, -alpha / judged.values.shape[-1]))
        return least.values[:, 0] - alpha * drawn.log_probs, -drawn.log_probs

    def forward(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... outputs"]:
        """Means, then log standard deviations before they are held in range."""
        return self.actor(self.torso(observations))

    def actions(self, observations: Shaped[Tensor, "..."], *, generator: torch.Generator | None) -> Tensor:
        """tanh of the mean, or with a generator drawn ones, in [-1, 1]."""
        outputs = self(observations)
        mean = outputs[..., : self.count]
        if generator is None:
            return mean.tanh()
        return Squashed(outputs, torch.randn(mean.shape, generator=generator)).actions


def explored(
    agent: DeterministicAgent, replay: Replay, draws: Sequence[torch.Generator], noise: float | None
) -> Float[Tensor, "seeds environments numbers"]:
    """The actor's actions for what is seen now with Gaussian noise of a standard deviation; without one, actions drawn evenly."""
    shape = (replay.count, agent.count)
    if noise is None:
        return evenly(shape, draws)
    return (agent.act_on(agent.torso(replay.newest)) + noise * standard_normal(shape, draws)).clamp(-1, 1)


@torch.no_grad()
def climb(agent: DeterministicAgent, stepper: Stepper, observations: Shaped[Tensor, "..."]) -> dict[str, Float[Tensor, " seeds"]]:
    """One step of the actor up the first critic's value of its own actions: dQ/da dmu/dtheta (Silver et al. 2014, Eq. 9)."""
    features = agent.torso(observations)
    policy = Pass(agent.actor, features)
    actions = policy.output.tanh_()
    first = Pass(agent.critics, torch.cat([features, actions], -1), every=agent.critic_count)
    by_action = first.through(torch.full_like(first.output, 1 / actions.shape[1]))[..., -agent.count :]
    policy.back(-by_action * (1 - actions.square()))
    stepper.descend()
    return {"actor_loss": -first.output.mean((1, 2))}


class Squashed:
    """Actions a = tanh(u), u ~ N(mean, std), kept so that slopes can be sent back.

    log pi(a) = log N(u) - sum log(1 - tanh(u)^2)   (Haarnoja et al. 2018, arXiv:1812.05905, Eq. 21)

    The correction is computed as 2 (log 2 - u - softplus(-2 u)), which is the same and loses nothing where tanh is flat.

    Attributes:
        actions: in [-1, 1].
    """

    def __init__(self, outputs: Float[Tensor, "... outputs"], noise: Float[Tensor, "... numbers"]) -> None:
        """Draw with what the actor puts out (means, then log standard deviations) and standard normal numbers."""
        mean, log_std = outputs.chunk(2, -1)
        self._held = log_std.clamp(*LOG_STD_RANGE)
        self._log_std, self._noise, self._spread = log_std, noise, self._held.exp() * noise
        self._raw = mean + self._spread
        self.actions: Float[Tensor, "... numbers"] = self._raw.tanh()

    @cached_property
    def log_probs(self) -> Float[Tensor, "..."]:
        """log pi(a), which acting doesn't ask for."""
        raw = self._raw
        gaussian = -0.5 * self._noise.square() - self._held - 0.5 * math.log(2 * math.pi)
        correction = 2 * (math.log(2) - raw - nn.functional.softplus(-2 * raw))
        return (gaussian - correction).sum(-1)

    def back(self, by_action: Float[Tensor, "... numbers"], by_log_prob: Float[Tensor, "..."]) -> Float[Tensor, "... outputs"]:
        """The slope by the actor's outputs: with u = mean + std noise, da/du = 1 - a^2, and d log pi/du = 2 a, d log pi/d log std = -1."""
        by_raw = by_action * (1 - self.actions.square()) + by_log_prob[..., None] * 2 * self.actions
        by_log_std = (by_raw * self._spread - by_log_prob[..., None]) * (self._held == self._log_std)
        return torch.cat([by_raw, by_log_std], -1)
