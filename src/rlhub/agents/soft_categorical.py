"""The agent of soft actor-critic over discrete actions (Christodoulou 2019, arXiv:1910.07207)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium.spaces import Discrete, Space
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from rlhub.agents.agent import Agent
from rlhub.agents.distributions import Categorical
from rlhub.agents.networks import mlp, stacked, uniform
from rlhub.agents.torsos import torso_for
from rlhub.core.errors import UserError


class SoftCategoricalAgent(Agent):
    """A policy over discrete actions, and two critics that value all of them at once.

    Attributes:
        torso: reads observations for both; images' is trained by the critics alone.
        actor: puts out logits.
        critics: Q(s, .), two networks side by side.
        distribution: of the actions.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        *,
        hidden: Sequence[int] = (256, 256),
        activation: str = "relu",
        env: str = "the environment",
        generator: torch.Generator | None = None,
    ) -> None:
        """Make the networks; the arguments are those of `continuous.ContinuousAgent`.

        Raises:
            UserError: actions aren't discrete.
        """
        if not isinstance(action_space, Discrete):
            raise UserError(
                f"sac can't act in {env}, whose actions are {action_space}: it serves discrete ones, and bounded continuous ones"
            )
        super().__init__(observation_space, action_space, env=env, hidden=list(hidden), activation=activation)
        draw = generator or torch.Generator().manual_seed(0)
        self.distribution = Categorical(int(action_space.n))
        self.torso, features = torso_for(self.box)
        self.actor, *valued = (mlp([features, *hidden, self.distribution.count], activation=activation) for _ in range(3))
        for part in (self.torso, self.actor, *valued):
            uniform(part, generator=draw)
        self.critics = stacked(valued)

    @property
    def critic_parts(self) -> list[nn.Module]:
        """What the critics depend on."""
        return [self.torso, self.critics]

    @property
    def usual_entropy(self) -> float:
        """The target that the paper gives the temperature: nearly that of an even choice."""
        return 0.98 * math.log(self.distribution.count)

    @property
    def no_action(self) -> Int[Tensor, ""]:
        """An action's shape and type."""
        return torch.zeros((), dtype=torch.long)

    def forward(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... actions"]:
        """Logits."""
        return self.actor(self.torso(observations))

    def actions(self, observations: Shaped[Tensor, "..."], *, generator: torch.Generator | None) -> Tensor:
        """The likeliest actions, or drawn ones."""
        logits = self(observations)
        if generator is None:
            return logits.argmax(-1)
        return self.distribution.sample(logits, self.distribution.noise(tuple(logits.shape[:-1]), generator))

    def noise(self, rows: int, draws: Sequence[torch.Generator]) -> Float[Tensor, "seeds rows actions"]:
        """What `drawn` turns into actions, each seed's from its own generator."""
        return torch.stack([self.distribution.noise((rows,), draw) for draw in draws])

    def at_random(self, rows: int, draws: Sequence[torch.Generator]) -> Int[Tensor, "seeds rows"]:
        """Actions drawn evenly."""
        return torch.stack([torch.randint(self.distribution.count, (rows,), generator=draw) for draw in draws])

    def drawn(self, observations: Shaped[Tensor, "..."], noise: Float[Tensor, "seeds rows actions"]) -> Int[Tensor, "seeds rows"]:
        """Actions of the policy."""
        return self.distribution.sample(self(observations), noise)

    def all_values(self, features: Float[Tensor, "seeds batch features"]) -> Float[Tensor, "seeds critics batch actions"]:
        """Every critic's Q(s, .)."""
        each = features.unsqueeze(1).expand(-1, 2, -1, -1).flatten(0, 1)
        return self.critics(each).unflatten(0, (len(features), 2))

    def values(
        self, features: Float[Tensor, "seeds batch features"], actions: Int[Tensor, "seeds batch"]
    ) -> Float[Tensor, "seeds critics batch"]:
        """Every critic's Q(s, a)."""
        each = actions[:, None, :, None].expand(-1, 2, -1, -1)
        return self.all_values(features).gather(-1, each)[..., 0]

    def soft_value(
        self,
        features: Float[Tensor, "seeds batch features"],
        critics: Any,
        seen: Float[Tensor, "seeds batch features"],
        noise: Float[Tensor, "seeds batch actions"],
        alpha: Float[Tensor, "seeds 1"],
    ) -> tuple[Float[Tensor, "seeds batch"], Float[Tensor, "seeds batch"]]:
        """E[min Q(s, a) - alpha log pi(a|s)] over the policy's actions, summed and not drawn, and the entropy (Eq. 10-12)."""
        log_probs = self.actor(features).log_softmax(-1)
        least = critics.all_values(seen).amin(1)
        probabilities = log_probs.exp()
        return (probabilities * (least - alpha[..., None] * log_probs)).sum(-1), -(probabilities * log_probs).sum(-1)
