"""What the agents of DDPG, TD3 and SAC share: critics beside an actor, and how critics learn."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from rlhub.agents.agent import Agent
from rlhub.agents.parameters import Stepper
from rlhub.agents.passes import Pass, Reading


@dataclass(frozen=True)
class Judgement:
    """What critics say of actions, kept so that slopes can be sent back.

    Attributes:
        passed: their pass, critics of all seeds side by side.
        values: Q(s, a).
        taken: for critics that value all discrete actions at once, the actions that were asked for.
    """

    passed: Pass
    values: Float[Tensor, "seeds critics batch"]
    taken: Shaped[Tensor, "seeds critics batch 1"] | None = None

    def back(self, slopes: Float[Tensor, "seeds critics batch"]) -> None:
        """Write the slopes by the critics' parameters, given those by the values."""
        self.passed.back(self._by_outputs(slopes))

    def through(self, slopes: Float[Tensor, "seeds critics batch"], *, parameters: bool = False) -> Float[Tensor, "seeds batch inputs"]:
        """The slope by what the critics read, which all of them do; with `parameters`, those are written, too."""
        return self.passed.through(self._by_outputs(slopes), parameters=parameters).unflatten(0, slopes.shape[:2]).sum(1)

    def _by_outputs(self, slopes: Float[Tensor, "seeds critics batch"]) -> Float[Tensor, "networks batch outputs"]:
        each = slopes[..., None]
        if self.taken is not None:
            each = torch.zeros_like(self.passed.output).view(*slopes.shape, -1).scatter_(-1, self.taken, each)
        return each.flatten(0, 1)


class CriticAgent(Agent):
    """An actor and its critics.

    Attributes:
        torso: reads observations for both; images' is trained by the critics alone.
        actor: puts out what actions are made of.
        critics: several networks side by side.
        critic_count: how many critics there are.
    """

    torso: nn.Module
    actor: nn.Module
    critics: nn.Module
    critic_count: int

    @property
    def critic_parts(self) -> list[nn.Module]:
        """What the critics depend on."""
        return [self.torso, self.critics]

    def judge(self, features: Float[Tensor, "seeds batch features"], actions: Any) -> Judgement:
        """Every critic's Q(s, a)."""
        raise NotImplementedError

    def through_critics(self, read: Float[Tensor, "seeds batch inputs"]) -> Pass:
        """A pass of what is read through every critic, [seeds x critics, batch, outputs]."""
        return Pass(self.critics, read[:, None].expand(-1, self.critic_count, -1, -1).flatten(0, 1))

    @torch.no_grad()
    def fit(
        self, stepper: Stepper, reading: Reading, actions: Any, targets: Float[Tensor, "seeds batch"]
    ) -> Float[Tensor, "seeds critics batch"]:
        """One step of every critic down the mean of (Q(s, a) - target)^2 / 2, and of the torso; Q(s, a) - target, from before."""
        judged = self.judge(reading.features, actions)
        errors = judged.values - targets[:, None]
        slopes = errors / errors.shape[-1]
        if reading.learns:
            reading.back(judged.through(slopes, parameters=True)[..., : reading.features.shape[-1]])
        else:
            judged.back(slopes)
        stepper.descend()
        return errors
