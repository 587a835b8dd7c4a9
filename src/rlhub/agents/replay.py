"""Memory of transitions for off-policy algorithms: drawn evenly or by priority, over one step or n."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
import torch
from gymnasium.spaces import Box
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from rlhub.agents.agent import Agent
from rlhub.agents.environments import Environments, Step, write_row
from rlhub.agents.priorities import Priorities
from rlhub.core.errors import UserError
from rlhub.core.files import in_words

COLUMNS = ("observations", "actions", "rewards", "terminated", "truncated", "begun")


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """What an off-policy update learns from, [seeds, batch, ...].

    Attributes:
        observations: s_t.
        actions: a_t.
        rewards: r_t + discount r_(t+1) + ... over as many steps as were asked for, fewer at an episode's end.
        following: s_(t+n), the observation after those steps.
        discounts: what the value of `following` counts for: discount^n, 0 where the episode ended by itself.
        places: where they lie in the memory.
        weights: what each counts for in the loss.
    """

    observations: Shaped[Tensor, "seeds batch ..."]
    actions: Shaped[Tensor, "seeds batch ..."]
    rewards: Float[Tensor, "seeds batch"]
    following: Shaped[Tensor, "seeds batch ..."]
    discounts: Float[Tensor, "seeds batch"]
    places: Int[Tensor, "seeds batch"]
    weights: Float[Tensor, "seeds batch"]


class Replay:
    """The last rows of experience of every environment, as a ring (Lin 1992; Mnih et al. 2015).

    Rows are laid out as roll-outs are: row t + 1's observation is where row t led, so that no observation is kept twice, and rows at which
    an environment began anew are never drawn.

    Attributes:
        size: rows of time that the memory holds.
        length: rows written so far, at most `size`.
    """

    def __init__(
        self,
        box: Box,
        actions: Shaped[Tensor, "environments ..."],
        *,
        seeds: int,
        capacity: int,
        steps: int | None = None,
        priority: float = 0.0,
        device: torch.device | None = None,
    ) -> None:
        """Make room.

        Args:
            box: space of observations.
            actions: an example of one action of all environments, seeds side by side.
            seeds: how many seeds the environments are shared out between.
            capacity: transitions that each seed remembers.
            steps: transitions that each seed will ever see, where that is known: there needn't be room for more.
            priority: exponent of the priorities that transitions are drawn by; 0 draws evenly.
            device: where observations lie and drawn transitions come to; by default the CPU, where all else always lies.

        Raises:
            UserError: the machine has less memory than that takes.
        """
        self.seeds, self.count = seeds, len(actions) // seeds
        # One row has only an observation yet, and a training's last pass may be one row of time longer than was asked for.
        needed = capacity if steps is None else min(capacity, steps + 2 * self.count)
        self.size = max(2, -(-needed // self.count))
        self.device = device or torch.device("cpu")
        check_memory(box, actions, rows=self.size * seeds * self.count, capacity=capacity, device=self.device)
        kind = torch.from_numpy(np.zeros(0, dtype=box.dtype)).dtype
        shape = (self.size, seeds, self.count)
        kind = torch.float32 if kind == torch.float64 else kind
        self.observations = torch.zeros(*shape, *box.shape, dtype=kind, device=self.device)
        self.actions = torch.zeros(*shape, *actions.shape[1:], dtype=actions.dtype)
        self.rewards = torch.zeros(shape)
        self.terminated, self.truncated, self.begun = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
        # The same memory as arrays: picking a few hundred places costs a third of what it does through tensors.
        self._arrays = {name: part.numpy() for name in COLUMNS if not (part := getattr(self, name)).is_cuda}
        self.written = 0
        self.priorities = Priorities(seeds, self.size * self.count, exponent=priority) if priority else None

    @property
    def length(self) -> int:
        """Rows of time that can be drawn from: the ring's, but the one that has only an observation yet."""
        return min(self.written, self.size - 1)

    def collect(self, environments: Environments, agent: Agent, steps: int, choose: Callable[[], Shaped[Tensor, "..."]]) -> None:
        """Act in all environments and remember what happens.

        Args:
            environments: where.
            agent: whose actions they are.
            steps: of each environment.
            choose: the actions for what is seen now (`newest`), [seeds, environments, ...].
        """
        if self.written == 0:
            write_row(self.observations[0], environments.observations)
        for _ in range(steps):
            with torch.inference_mode():
                actions = choose()
            self.write(actions, environments.step(agent.to_environment(actions.flatten(0, 1).numpy())))

    @property
    def newest(self) -> Shaped[Tensor, "seeds environments ..."]:
        """What is seen now."""
        return self.observations[self.written % self.size]

    def write(self, actions: Shaped[Tensor, "environments ..."], step: Step) -> None:
        """Write a row: what was done where the last observation was, and what is seen now."""
        place, following = self.written % self.size, (self.written + 1) % self.size
        into, shape = self._arrays, (self.seeds, self.count)
        self.actions[place] = actions.reshape(self.actions.shape[1:])
        into["rewards"][place] = step.rewards.reshape(shape)
        into["terminated"][place] = step.terminated.reshape(shape)
        into["truncated"][place] = step.truncated.reshape(shape)
        into["begun"][place] = step.begun.reshape(shape)
        write_row(self.observations[following], step.observations)
        self.written += 1
        if self.priorities is not None:
            copies = torch.arange(self.count)
            self.priorities.enter(place * self.count + copies, ~self.begun[place])
            self.priorities.enter(following * self.count + copies, torch.zeros_like(self.begun[place]))

    def draw(
        self, batch: int, generators: Sequence[torch.Generator], *, steps: int = 1, discount: float = 1.0, importance: float = 0.0
    ) -> Transitions:
        """Transitions that happened, for each seed its own: drawn evenly and with replacement, or by priority.

        Args:
            batch: transitions for each seed.
            generators: one a seed.
            steps: rewards that are added up before the value counts (n).
            discount: gamma.
            importance: how far the weights correct for priorities (beta).
        """
        if self.priorities is not None:
            places, weights = self.priorities.draw(batch, generators, importance=importance)
            return replace(self.gather(places, steps, discount), weights=weights.to(self.device))
        drawn = [self._evenly(batch, seed, draws) for seed, draws in enumerate(generators)]
        return self.gather(torch.from_numpy(np.stack(drawn)), steps, discount)

    def gather(self, places: Int[Tensor, "seeds batch"], steps: int, discount: float) -> Transitions:
        """The transitions that begin at places, where place = row * environments + environment counts within a seed.

        Rewards are added up until an episode ends or the newest row is reached, whichever comes first.
        """
        rows, copies = np.divmod(places.numpy(), self.count)
        copies += np.arange(self.seeds)[:, None] * self.count
        width = self.seeds * self.count
        at = rows * width + copies
        rewards, terminated = self._taken("rewards", at), self._taken("terminated", at)
        discounts = np.float32(discount) * ~terminated
        ends = (rows + 1) % self.size
        ended = terminated | self._taken("truncated", at) if steps > 1 else terminated
        for _ in range(1, steps):
            now = ends * width + copies
            going = ~ended & (ends != self.written % self.size)
            rewards += going * discounts * self._taken("rewards", now)
            terminated = self._taken("terminated", now)
            discounts = np.where(going, discounts * np.float32(discount) * ~terminated, discounts)
            ended = ended | terminated | self._taken("truncated", now)
            ends = np.where(going, (ends + 1) % self.size, ends)
        return Transitions(
            observations=self._seen(at),
            actions=self._there(self._taken("actions", at)),
            rewards=self._there(rewards),
            following=self._seen(ends * width + copies),
            discounts=self._there(discounts),
            places=places,
            weights=torch.ones(at.shape, device=self.device),
        )

    def state_dict(self) -> dict[str, Any]:
        """The rows that were written."""
        filled = min(self.written + 1, self.size)
        ranked = {} if self.priorities is None else {"priorities": self.priorities.state_dict()}
        return {"written": self.written, **ranked, **{name: getattr(self, name)[:filled] for name in COLUMNS}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.written = state["written"]
        if self.priorities is not None:
            self.priorities.load_state_dict(state["priorities"])
        for name in COLUMNS:
            getattr(self, name)[: len(state[name])] = state[name]

    def _evenly(self, batch: int, seed: int, draws: torch.Generator) -> Int[np.ndarray, " batch"]:
        """Places of one seed, drawn again where nothing happened."""
        oldest = (self.written - self.length) % self.size
        found = np.zeros(0, dtype=np.int64)
        while len(found) < batch:
            drawn = torch.randint(self.length * self.count, (batch + batch // 8 + 8,), generator=draws).numpy()
            rows, copies = np.divmod(drawn, self.count)
            rows = (rows + oldest) % self.size
            happened = ~self._taken("begun", (rows * self.seeds + seed) * self.count + copies)
            kept = (rows * self.count + copies)[happened]
            found = np.concatenate([found, kept]) if len(found) else kept
        return found[:batch]

    def _seen(self, at: Int[np.ndarray, "seeds batch"]) -> Shaped[Tensor, "seeds batch ..."]:
        """The observations at flat places."""
        if "observations" in self._arrays:
            return torch.from_numpy(self._taken("observations", at))
        return self.observations.flatten(0, 2)[torch.from_numpy(at).to(self.device)]

    def _there(self, array: Shaped[np.ndarray, "..."]) -> Shaped[Tensor, "..."]:
        """An array where transitions are wanted."""
        return torch.from_numpy(array).to(self.device)

    def _taken(self, column: str, at: Int[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """What a column holds at flat places."""
        array = self._arrays[column]
        return array.reshape(-1, *array.shape[3:]).take(at, axis=0)


def check_memory(box: Box, actions: Shaped[Tensor, "environments ..."], *, rows: int, capacity: int, device: torch.device) -> None:
    """Refuse a memory that the machine can't hold, before anything is learnt.

    Args:
        box: space of observations.
        actions: an example of one action of all environments.
        rows: transitions of all seeds.
        capacity: what was asked for, for the message.
        device: where it is to be.

    Raises:
        UserError: less memory is free.
    """
    each = int(np.prod(box.shape)) * min(box.dtype.itemsize, 4) + actions[0].numel() * actions.element_size() + 7
    needed, free = rows * each, torch.cuda.mem_get_info()[0] if device.type == "cuda" else psutil.virtual_memory().available
    if needed > free:
        raise UserError(
            f"a replay memory of {capacity:,} transitions, {rows:,} of which this training would fill, takes {in_words(needed)}, and "
            f"{in_words(free)} are free here: give a smaller --capacity"
        )


def check_warmup(steps: int, warmup: int) -> None:
    """Refuse a training that would act at random to its end.

    Raises:
        UserError: it would.
    """
    if warmup >= steps:
        raise UserError(f"warmup is {warmup:,} and steps is {steps:,}: nothing would be learnt; give more --steps or a shorter --warmup")
