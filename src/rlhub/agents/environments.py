"""Environments stepped together, one row each: what an agent's training loop sees of the world.

An episode's last observation is always seen: the environment begins anew one step later, in a step that ignores its action and has no
reward (`begun`). So a row of a roll-out is (observation, action, reward, terminated, truncated), the next row's observation is where that
led, and whoever learns leaves out the rows at which an episode begins anew. Termination and truncation are never merged: only a terminated
state's value is zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Space
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from rlhub.agents.backends import clips_rewards, longest_episode, make_backend
from rlhub.agents.spaces import flatten_batch, observation_box
from rlhub.core.errors import DivergenceError
from rlhub.core.seeding import derive

EPISODES_BETWEEN_RESTARTS = 20
USUAL_EPISODE = 1000


@dataclass(slots=True)
class Step:
    """What one step of all environments gave; the arrays are the caller's to read until the next step.

    Attributes:
        observations: what is seen now.
        rewards: for the action just taken; 0 where the episode has just begun anew.
        terminated: the episode ended and nothing comes after.
        truncated: the episode was cut off; its state has a value like any other.
        begun: the environment began anew in this step, or a game's player waits for that, so there was no transition.
    """

    observations: Shaped[np.ndarray, "environments ..."]
    rewards: Float[np.ndarray, " environments"]
    terminated: Bool[np.ndarray, " environments"]
    truncated: Bool[np.ndarray, " environments"]
    begun: Bool[np.ndarray, " environments"]


def write_row(row: Shaped[Tensor, "..."], observations: Shaped[np.ndarray, "environments ..."]) -> None:
    """Write what all environments show into a memory's row; on the CPU as an array, which takes half as long as through tensors."""
    if row.is_cuda:
        row.copy_(torch.from_numpy(np.ascontiguousarray(observations)).view(row.shape))
    else:
        row.numpy()[:] = observations.reshape(row.shape)


@dataclass
class Episodes:
    """Episodes that ended since one last looked, oldest first.

    Attributes:
        places: which environment each was in.
        returns: undiscounted sums of rewards.
        lengths: steps.
    """

    places: list[int] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


class Environments:
    """A batch of copies of one environment that can be brought back to where it was.

    Few simulators can save their state, but all of them repeat themselves for the same seeds and actions. So the actions are remembered
    since the last time that all environments began anew from known seeds, and restoring plays them again. That memory stays short because
    all begin anew every twenty of the longest episodes, a cut that learners see as truncation.

    Attributes:
        env: the environment's id.
        seeds: whose environments they are.
        copies: rows that each seed has: its environments, or all players of its games.
        count: rows there are.
        observation_space: of one copy.
        box: observations as one array: discrete ones, dictionaries and tuples become a vector.
        action_space: of one copy.
        observations: what is seen now.
        episodes: those that ended since they were last taken, without those that the fresh beginnings cut.
    """

    def __init__(self, env: str, copies: int, *, seeds: Sequence[int], restart_every: int | None = None, pool: bool = True) -> None:
        """Make the environments and begin.

        Args:
            env: see `make_backend`.
            copies: environments of each seed; of games, each has a row for every player.
            seeds: what the environments' own seeds derive from; those of one seed lie side by side.
            restart_every: steps after which all begin anew; by default twenty of the longest episodes.
            pool: EnvPool may serve them.
        """
        self.env, self.seeds = env, tuple(seeds)
        self._backend = make_backend(env, copies * len(seeds), pool=pool)
        self.copies = copies * self._backend.together
        self.count = self.copies * len(seeds)
        self.observation_space: Space[Any] = self._backend.observation_space
        self.box = observation_box(self.observation_space, env)
        self.action_space = self._backend.action_space
        self._restart_every = restart_every or EPISODES_BETWEEN_RESTARTS * (longest_episode(env) or USUAL_EPISODE)
        self._clips = clips_rewards(env)
        self._restarts = -1
        self.episodes = Episodes()
        self._restart()

    def step(self, actions: Shaped[np.ndarray, "environments ..."]) -> Step:
        """Act in all environments.

        Args:
            actions: one of the action space in each row; ignored where the episode is over.

        Raises:
            DivergenceError: an environment shows NaN or infinity.
        """
        if len(self._actions) == self._restart_every:
            self._restart()
            nothing = np.zeros(self.count, dtype=bool)
            return Step(self.observations, np.zeros(self.count, dtype=np.float32), nothing, nothing, ~nothing)
        self._actions.append(actions.copy())
        return self._act(actions)

    @property
    def longest_running(self) -> int:
        """Steps of the longest episode that goes on."""
        return int(self._lengths.max())

    def take_episodes(self) -> Episodes:
        """The episodes that ended since this was last asked."""
        ended, self.episodes = self.episodes, Episodes()
        return ended

    def told(self) -> dict[str, Tensor]:
        """What the log says of episodes that ended since it was last asked: each seed's mean return and length; nothing if none did."""
        ended = self.take_episodes()
        if not ended.places:
            return {}
        owner = torch.tensor(ended.places) // self.copies
        counts = torch.bincount(owner, minlength=len(self.seeds))
        sums = {"episode_return": ended.returns, "episode_length": ended.lengths}
        return {
            name: torch.bincount(owner, torch.tensor(values, dtype=torch.float64), len(self.seeds)) / counts
            for name, values in sums.items()
        }

    def close(self) -> None:
        """Give back what the environments hold."""
        self._backend.close()

    def state_dict(self) -> dict[str, Any]:
        """What brings them back: how often they began anew, and all actions since."""
        actions = torch.from_numpy(np.stack(self._actions)) if self._actions else torch.zeros(0)
        return {"restarts": self._restarts, "actions": actions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Play the actions again."""
        actions: Tensor = state["actions"]
        self._restarts = state["restarts"] - 1
        self._restart()
        for action in actions.numpy():
            self.step(action)
        self.episodes = Episodes()

    def _restart(self) -> None:
        self._restarts += 1
        self._actions: list[np.ndarray] = []
        own = [derive(seed, "environments", self._restarts, copy) % 2**31 for seed in self.seeds for copy in range(self.copies)]
        raw = self._backend.reset(own)
        self.observations = flatten_batch(self.observation_space, raw, self.count)
        if self.observations.dtype.kind == "f" and not np.isfinite(self.observations.sum()):
            self._check(np.zeros(self.count, dtype=np.float32))
        self._returns = np.zeros(self.count)
        self._lengths = np.zeros(self.count, dtype=np.int64)

    def _act(self, actions: np.ndarray) -> Step:
        raw, rewards, terminated, truncated, begun = self._backend.step(actions)
        self.observations = flatten_batch(self.observation_space, raw, self.count)
        if not np.isfinite(rewards.sum()) or (self.observations.dtype.kind == "f" and not np.isfinite(self.observations.sum())):
            self._check(rewards)
        self._returns += rewards
        self._lengths += ~begun
        over = terminated | truncated
        if over.any():
            self._record(over)
        if len(self._actions) == self._restart_every:
            truncated = ~terminated & ~begun
        return Step(self.observations, np.sign(rewards) if self._clips else rewards, terminated, truncated, begun)

    def _record(self, over: Bool[np.ndarray, " environments"]) -> None:
        for place in over.nonzero()[0].tolist():
            self.episodes.places.append(place)
            self.episodes.returns.append(float(self._returns[place]))
            self.episodes.lengths.append(int(self._lengths[place]))
        self._returns[over] = 0
        self._lengths[over] = 0

    def _check(self, rewards: np.ndarray) -> None:
        """Say which environment shows what no agent can learn from."""
        for what, values in (("observation", self.observations), ("reward", rewards)):
            broken = ~np.isfinite(values.reshape(self.count, -1)).all(1)
            if broken.any():
                place = int(broken.argmax())
                raise DivergenceError(
                    f"{self.env} gave the {what} {values[place].tolist()} in environment {place} after {len(self._actions)} steps from a "
                    "fresh beginning: its simulation broke down, or an action was out of its range"
                )
