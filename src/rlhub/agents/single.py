"""One environment by itself, as Gymnasium or PettingZoo makes it, to be watched in."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import iterate

from rlhub.agents.backends import ATARI, adapted, making, named
from rlhub.agents.games import PREFIX, Game, make_game
from rlhub.core.errors import UserError
from rlhub.core.system import function_in_file


def make_single(env: str, **further: Any) -> "gymnasium.Env[Any, Any] | Game":
    """One environment.

    Args:
        env: as `backends.make_backend` takes it.
        further: options for its constructor beside those that `env` names.

    Raises:
        UserError: as `backends.make_backend`, or a file's function doesn't take these options.
    """
    name, options = named(env)
    options |= further
    if ".py:" in name:
        return from_file(name, options)
    if name.startswith(PREFIX):
        return make_game(name, **options)
    if name.startswith(ATARI):
        return making(name, options, lambda: seen_by_agents(gymnasium.make(name, frameskip=1, **options)))
    return making(name, options, lambda: gymnasium.make(name, **options))


def from_file(name: str, options: dict[str, Any]) -> "gymnasium.Env[Any, Any] | Game":
    """The one environment that a file's function gives when it is asked for one."""
    make = function_in_file(name, "environment")
    try:
        made = make(1, **options)
    except TypeError as error:
        raise UserError(f"{name} refuses {options} ({error}): to be watched, let the function take render_mode and pass it on") from error
    adapted(made, 1, name)  # refuses what is neither
    return Single(made) if isinstance(made, VectorEnv) else Game(made[0], name)


class Single(gymnasium.Env[Any, Any]):
    """A vector environment of one copy, without its axis."""

    def __init__(self, environments: "VectorEnv[Any, Any, Any]") -> None:
        """Take it over."""
        self._environments = environments
        self.observation_space, self.action_space = environments.single_observation_space, environments.single_action_space
        self.metadata = environments.metadata

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        return self._only(self._environments.reset(seed=seed, options=options)[0]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act."""
        seen, rewards, terminated, truncated, _ = self._environments.step(np.asarray(action)[None])
        return self._only(seen), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> Any:
        """A picture."""
        drawn = self._environments.render()
        return drawn[0] if isinstance(drawn, tuple | list) and drawn else drawn

    def close(self) -> None:
        """Close it."""
        self._environments.close()

    def _only(self, seen: Any) -> Any:
        return next(iter(iterate(self._environments.observation_space, seen)))


def seen_by_agents(game: "gymnasium.Env[Any, Any]") -> "gymnasium.Env[Any, Any]":
    """An Atari game as its vector form shows it: four small grey pictures at a time (Mnih et al. 2015, Nature 518, Methods)."""
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

    return FrameStackObservation(AtariPreprocessing(FireFirst(game), frame_skip=4), 4)


class FireFirst(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Presses the button that begins a game, where it has one, as the vector form does."""

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Begin anew."""
        seen = self.env.reset(**settings)
        meanings: list[str] = getattr(self.env.unwrapped, "get_action_meanings", list)()
        if "FIRE" not in meanings:
            return seen
        observation, _, terminated, truncated, told = self.env.step(meanings.index("FIRE"))
        return self.env.reset(**settings) if terminated or truncated else (observation, told)
