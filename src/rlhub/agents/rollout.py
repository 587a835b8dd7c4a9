"""What a policy did in a batch of environments, row by row in preallocated memory."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.environments import Environments, write_row
from rlhub.agents.scaling import RewardScale
from rlhub.agents.torsos import is_image
from rlhub.core.processor import one_thread
from rlhub.core.returns import generalised_advantages
from rlhub.core.seeding import generator


class Rollout:
    """Rows of experience of all seeds, [seeds, steps, environments, ...]; collecting anew overwrites them.

    Attributes:
        observations: before each action, and in one more row what is seen at the end.
        actions: as the distribution drew them.
        rewards: of the actions.
        terminated: the episode ended by itself.
        truncated: the episode was cut off.
        begun: the environment began anew in place of acting, so that the row is no transition.
        parameters: of the distributions that the actions were drawn from.
        device: where the agent learns. What it reads lies there; rewards and ends lie with the CPU, where environments write them.
        memory: what a recurrent agent remembered before the first row; of no width for others.
    """

    def __init__(self, environments: Environments, agent: ActorCritic, *, steps: int, scale: float | None = None) -> None:
        """Make room.

        Args:
            environments: where the agents act.
            agent: those of all seeds.
            steps: rows of each environment.
            scale: the discount of the sums that rewards are brought to one scale by (`RewardScale`); None leaves rewards as they are.
        """
        seeds, self.steps, self.count = len(environments.seeds), steps, environments.copies
        self._scale = RewardScale(seeds, self.count, discount=scale) if scale is not None else None
        self._environments, self._agent = environments, agent
        kind = torch.from_numpy(np.zeros(0, dtype=environments.box.dtype)).dtype
        shape = (seeds, steps, self.count)
        self.device = agent.device
        self.observations: Shaped[Tensor, "seeds rows environments ..."] = torch.zeros(
            seeds,
            steps + 1,
            self.count,
            *environments.box.shape,
            dtype=torch.float32 if kind == torch.float64 else kind,
            device=self.device,
        )
        example = agent.distribution.mode(torch.zeros(agent.distribution.width))
        self.actions: Shaped[Tensor, "seeds steps environments ..."] = torch.zeros(
            *shape, *example.shape, dtype=example.dtype, device=self.device
        )
        self.rewards: Float[Tensor, "seeds steps environments"] = torch.zeros(shape)
        self.terminated, self.truncated, self.begun = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
        self.parameters: Float[Tensor, "seeds steps environments width"] = torch.zeros(*shape, agent.distribution.width, device=self.device)
        self.memory: Float[Tensor, "seeds environments memory"] = torch.zeros(seeds, self.count, agent.memory_width, device=self.device)
        self._remembered = self.memory.clone()

    @torch.no_grad()
    def collect(self, step: int) -> None:
        """Act with the policy as it is and write down what happens; each seed draws from its own generator of this step."""
        # Small products gain nothing from a second thread, and a thread that waits for the next one takes its core from the environments.
        with nullcontext() if is_image(self._environments.box) else one_thread():
            self._collect(step)

    def _collect(self, step: int) -> None:
        act, environments = self._agent, self._environments
        shape = (self.steps, self.count)
        noise = torch.stack([act.distribution.noise(shape, generator(seed, "actions", step)) for seed in environments.seeds])
        noise = noise.to(self.device)
        columns = [part.numpy() for part in (self.rewards, self.terminated, self.truncated, self.begun)]
        write_row(self.observations[:, 0], environments.observations)
        self.memory = self._remembered
        for place in range(self.steps):
            parameters, remembered = act.remembering(self.observations[:, place], self._remembered)
            actions = act.distribution.sample(parameters, noise[:, place])
            self.parameters[:, place], self.actions[:, place] = parameters, actions
            after = environments.step(act.to_environment(actions.flatten(0, 1).cpu().numpy()))
            write_row(self.observations[:, place + 1], after.observations)
            for column, values in zip(columns, (after.rewards, after.terminated, after.truncated, after.begun), strict=True):
                column[:, place] = values.reshape(len(environments.seeds), self.count)
            self._remembered = remembered * ~self.begun[:, place, :, None].to(self.device) if act.memory_width else remembered
        if self._scale is not None:
            self.rewards[:] = self._scale(self.rewards, self.terminated | self.truncated, self.begun)

    @property
    def rows(self) -> int:
        """Rows of each seed."""
        return self.steps * self.count

    @torch.no_grad()
    def batch(self, *, discount: float, decay: float) -> "Batch":
        """The rows with what updates need of the policy that acted, and advantages (`generalised_advantages`)."""
        agent = self._agent
        values = agent.values(self.observations, self.memory, self.happened)
        in_time = (part.to(self.device).transpose(0, 1) for part in (self.rewards, values, self.terminated, self.truncated))
        advantages = generalised_advantages(*in_time, discount=discount, decay=decay).transpose(0, 1)
        return Batch(
            observations=self.observations[:, :-1].flatten(1, 2),
            actions=self.actions.flatten(1, 2),
            log_probs=agent.distribution.log_prob(self.parameters, self.actions).flatten(1, 2),
            values=values[:, :-1].flatten(1, 2),
            advantages=advantages.flatten(1, 2),
            happened=self.happened.flatten(1, 2),
            memory=self.memory,
        )

    def state_dict(self) -> dict[str, Any]:
        """What a recurrent agent remembers, and the rewards' scale."""
        return {"memory": self._remembered, **({"scale": self._scale.state_dict()} if self._scale else {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put it back."""
        self._remembered = state["memory"].clone().to(self.device)
        if self._scale is not None:
            self._scale.load_state_dict(state["scale"])

    @property
    def happened(self) -> Bool[Tensor, "seeds steps environments"]:
        """The rows that are transitions."""
        return ~self.begun.to(self.device)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of a roll-out, [seeds, rows, ...].

    Attributes:
        observations: s.
        actions: a.
        log_probs: log pi(a|s) of the policy that acted.
        values: V(s) at that time.
        advantages: estimates of A(s, a).
        happened: rows that are transitions; the others take no part.
        memory: what a recurrent agent remembered before each environment's first row. The rows are whole sequences then, those of all
            environments at one time side by side.
    """

    observations: Shaped[Tensor, "seeds rows ..."]
    actions: Shaped[Tensor, "seeds rows ..."]
    log_probs: Float[Tensor, "seeds rows"]
    values: Float[Tensor, "seeds rows"]
    advantages: Float[Tensor, "seeds rows"]
    happened: Bool[Tensor, "seeds rows"]
    memory: Float[Tensor, "seeds environments memory"]

    @property
    def rows(self) -> int:
        """Rows of each seed."""
        return self.happened.shape[1]

    @property
    def returns(self) -> Float[Tensor, "seeds rows"]:
        """What values learn: advantages plus the values they were taken from."""
        return self.advantages + self.values

    def minibatches(self, count: int, *, epochs: int, seeds: Sequence[int], step: int) -> Iterator["Batch"]:
        """Every epoch's shares of the rows, each seed's in an order of its own that changes with the epoch.

        For recurrent agents it is environments, with all their rows, that are shared out.
        """
        recurrent = self.memory.shape[2] > 0
        whole = self.memory.shape[1] if recurrent else self.rows
        for epoch in range(epochs):
            orders = [torch.randperm(whole, generator=generator(seed, "minibatches", epoch, step)) for seed in seeds]
            for share in torch.stack(orders).to(self.happened.device).tensor_split(count, 1):
                yield self.of_environments(share) if recurrent else self.select(share)

    def select(self, rows: Int[Tensor, "seeds chosen"]) -> "Batch":
        """Other rows of each seed."""
        parts = {name: pick(part, rows) for name, part in vars(self).items() if name != "memory"}
        return Batch(**parts, memory=self.memory)

    def of_environments(self, places: Int[Tensor, "seeds chosen"]) -> "Batch":
        """All rows of some environments of each seed."""
        count = self.memory.shape[1]
        starts = torch.arange(0, self.rows, count, device=places.device)[:, None]
        return replace(self.select((places[:, None] + starts).flatten(1)), memory=pick(self.memory, places))


def pick(part: Shaped[Tensor, "seeds rows ..."], rows: Int[Tensor, "seeds chosen"]) -> Shaped[Tensor, "seeds chosen ..."]:
    """Each seed's own rows."""
    if len(rows) == 1:
        return part.index_select(1, rows[0])
    offsets = torch.arange(len(rows), device=rows.device)[:, None] * part.shape[1]
    return part.flatten(0, 1)[(rows + offsets).flatten()].unflatten(0, rows.shape)


def row_weights(happened: Bool[Tensor, "seeds rows"]) -> Float[Tensor, "seeds rows"]:
    """Weights that make a sum over rows the mean of those that happened."""
    return happened / happened.sum(1, keepdim=True).clamp(min=1)


def standardised(advantages: Float[Tensor, "seeds rows"], weights: Float[Tensor, "seeds rows"]) -> Float[Tensor, "seeds rows"]:
    """Mean 0 and standard deviation 1 (from n - 1 degrees of freedom) in each seed's rows that have weight."""
    count = (weights > 0).sum(1, keepdim=True)
    centred = advantages - (advantages * weights).sum(1, keepdim=True)
    variance = (centred.square() * weights).sum(1, keepdim=True) * count / (count - 1).clamp(min=1)
    return centred / (variance.sqrt() + 1e-8)
