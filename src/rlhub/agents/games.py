"""Games of several agents: a PettingZoo parallel environment as rows of a batch, one a player, that one policy plays together."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from jaxtyping import Bool, Shaped

from rlhub.core.errors import UserError

PREFIX = "PettingZoo/"


class Game:
    """One game, whose observations, actions and rewards are arrays with a row for each player.

    Attributes:
        players: how many there are at most.
        observation_space: of one player.
        action_space: of one player.
    """

    def __init__(self, environment: Any, name: str) -> None:
        """Take over a PettingZoo `ParallelEnv`; `name` is for messages.

        Raises:
            UserError: its players see or act differently.
        """
        self._environment, self._names = environment, list(environment.possible_agents)
        self.players = len(self._names)
        self.observation_space: Space[Any] = environment.observation_space(self._names[0])
        self.action_space: Space[Any] = environment.action_space(self._names[0])
        for player in self._names[1:]:
            spaces = environment.observation_space(player), environment.action_space(player)
            if spaces != (self.observation_space, self.action_space):
                raise UserError(
                    f"{name}: {player} sees {spaces[0]} and does {spaces[1]}, {self._names[0]} sees {self.observation_space} and does "
                    f"{self.action_space}; one policy plays for all, so they must be alike (SuperSuit pads observations and actions)"
                )
        self.metadata = environment.metadata
        self._blank: Any = next(iterate(self.observation_space, create_empty_array(self.observation_space, n=1, fn=np.zeros)))

    def reset(self, seed: int) -> Any:
        """Begin a game; each player's observation."""
        seen, _ = self._environment.reset(seed=seed)
        return self._rows(seen)

    def step(self, actions: Shaped[np.ndarray, "players ..."]) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
        """Observations, rewards, terminated and truncated by player; those out of the game see zeros."""
        chosen = {player: action for player, action in zip(self._names, actions, strict=True) if player in self._environment.agents}
        seen, *told, _ = self._environment.step(chosen)
        rewards, terminated, truncated = (np.array([part.get(player, 0) for player in self._names]) for part in told)
        return self._rows(seen), rewards.astype(np.float64), terminated.astype(bool), truncated.astype(bool)

    @property
    def playing(self) -> Bool[np.ndarray, " players"]:
        """Who is still in the game."""
        return np.array([player in self._environment.agents for player in self._names])

    def render(self) -> Any:
        """A picture."""
        return self._environment.render()

    def close(self) -> None:
        """Close the game."""
        self._environment.close()

    def _rows(self, seen: dict[str, Any]) -> Any:
        return _batched(self.observation_space, [seen.get(player, self._blank) for player in self._names])


class Games:
    """Several copies of a game, as a backend: a row is no transition while its player is out of the game.

    Attributes:
        together: rows that share one game.
    """

    def __init__(self, games: Sequence[Game]) -> None:
        """Take over games of one kind."""
        self._games, self.together = list(games), games[0].players
        self.observation_space, self.action_space = games[0].observation_space, games[0].action_space
        self._out = np.zeros((len(games), self.together), dtype=bool)
        self._seeds = [0] * len(games)

    def reset(self, seeds: Sequence[int]) -> Any:
        """Begin every game anew, each from its first player's seed."""
        self._out[:] = False
        self._seeds = list(seeds[:: self.together])
        return self._whole([game.reset(seed) for game, seed in zip(self._games, self._seeds, strict=True)])

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One step of all; a game that everybody has left begins anew."""
        parts = []
        for place, (game, chosen) in enumerate(zip(self._games, actions.reshape(len(self._games), self.together, -1), strict=True)):
            absent = self._out[place].copy()
            if absent.all():
                self._seeds[place] = (self._seeds[place] + 1) % 2**31
                nothing = np.zeros(self.together, dtype=bool)
                parts.append((game.reset(self._seeds[place]), nothing.astype(np.float64), nothing, nothing, absent))
                self._out[place] = False
            else:
                shaped = chosen.reshape(self.together, *actions.shape[1:])
                seen, rewards, terminated, truncated = game.step(shaped)
                # Some games leave the table without telling each player that it is over.
                truncated = truncated | (~game.playing & ~terminated & ~absent)
                parts.append((seen, rewards * ~absent, terminated & ~absent, truncated & ~absent, absent))
                self._out[place] = ~game.playing
        seen, *columns = zip(*parts, strict=True)
        rewards, terminated, truncated, absent = (np.concatenate(column) for column in columns)
        return self._whole(seen), rewards, terminated, truncated, absent

    def close(self) -> None:
        """Close every game."""
        for game in self._games:
            game.close()

    def _whole(self, seen: Sequence[Any]) -> Any:
        return _batched(self.observation_space, [row for batch in seen for row in iterate(self.observation_space, batch)])


def make_game(name: str, **options: Any) -> Game:
    """A PettingZoo parallel environment by id: ``PettingZoo/sisl/pursuit_v5``, or another package's, ``PettingZoo/mpe2/simple_spread_v3``.

    Raises:
        UserError: there is no such module, it lacks a package, or its players act in turns.
    """
    path = name.removeprefix(PREFIX).replace("/", ".")
    found = module_of(path, name)
    make: Callable[..., Any] | None = getattr(found, "parallel_env", None)
    if make is None:
        raise UserError(f"{name} has no parallel_env: its players act in turns, and agents here act at the same time")
    try:
        return Game(make(**options), name)
    except (TypeError, AssertionError) as error:
        raise UserError(f"{name} refuses its options ({', '.join(options) or 'none'}): {error}") from error


def module_of(path: str, name: str) -> Any:
    """The module that makes a game: PettingZoo's own, or one by its full path.

    Raises:
        UserError: there is none.
    """
    told = []
    for place in (f"pettingzoo.{path}", path):
        try:
            return importlib.import_module(place)
        except ImportError as error:
            told.append(str(error))
    raise UserError(f"there is no game {name!r} here ({'; '.join(told)}): pip install 'rlhub[agents]' brings PettingZoo")


def _batched(space: Space[Any], rows: Sequence[Any]) -> Any:
    """Observations as a batch, whatever their structure."""
    out: Any = create_empty_array(space, n=len(rows))
    return concatenate(space, rows, out)
