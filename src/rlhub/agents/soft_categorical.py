"""The agent of soft actor-critic over discrete actions (Christodoulou 2019, arXiv:1910.07207)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium.spaces import Discrete, Space
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from rlhub.agents.critics import CriticAgent, Judgement
from rlhub.agents.distributions import Categorical
from rlhub.agents.networks import mlp, stacked, uniform
from rlhub.agents.passes import Pass
from rlhub.agents.torsos import torso_for
from rlhub.core.errors import UserError


class SoftCategoricalAgent(CriticAgent):
    """A policy over discrete actions, and two critics that value all of them at once.

    Attributes:
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
        self.critics, self.critic_count = stacked(valued), len(valued)

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

    def judge(self, features: Float[Tensor, "seeds batch features"], actions: Int[Tensor, "seeds batch"]) -> Judgement:
        """Every critic's Q(s, a)."""
        passed = self.through_critics(features)
        taken = actions[:, None, :, None].expand(-1, self.critic_count, -1, -1)
        values = passed.output.unflatten(0, (len(features), self.critic_count))
        return Judgement(passed, values.gather(-1, taken)[..., 0], taken)

    def soft_value(
        self,
        features: Float[Tensor, "seeds batch features"],
        critics: Any,
        seen: Float[Tensor, "seeds batch features"],
        noise: Float[Tensor, "seeds batch actions"],
        alpha: Float[Tensor, "seeds 1"],
        *,
        improve: bool = False,
    ) -> tuple[Float[Tensor, "seeds batch"], Float[Tensor, "seeds batch"]]:
        """E[min Q(s, a) - alpha log pi(a|s)] over the policy's actions, summed and not drawn, and the entropy (Eq. 10-12).

        The arguments are those of `continuous.SquashedGaussianAgent.soft_value`. By the logits, the slope of E[x(a)] with
        x = min Q - alpha log pi is pi (x - E[x]), for the entropy's own slope by pi adds the same to every action.
        """
        policy = Pass(self.actor, features)
        log_probs = policy.output.log_softmax(-1)
        probabilities = log_probs.exp()
        values = critics.through_critics(seen).output.unflatten(0, (len(seen), self.critic_count))
        worth = values.amin(1) - alpha[..., None] * log_probs
        soft = (probabilities * worth).sum(-1)
        if improve:
            policy.back(probabilities * (soft[..., None] - worth) / features.shape[1])
        return soft, -(probabilities * log_probs).sum(-1)
