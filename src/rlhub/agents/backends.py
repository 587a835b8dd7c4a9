"""Where batches of environments come from: EnvPool, the environment's own vector form, Gymnasium's loop over copies, or PettingZoo.

Whatever is behind it, a batch resets an environment in the step *after* its episode's last one
(`AutoresetMode.NEXT_STEP`): the episode's last observation is always seen, and the step after it ignores its action.
"""

import importlib
import importlib.util
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.error import DependencyNotInstalled
from gymnasium.error import Error as GymnasiumError
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode, VectorEnv

from rlhub.agents.games import PREFIX, Game, Games, make_game
from rlhub.agents.spaces import alike
from rlhub.core.errors import UserError
from rlhub.core.named import parted
from rlhub.core.system import function_in_file

Made = TypeVar("Made")
ATARI = "ALE/"
PACKAGES = {"ALE": "ale_py", "MinAtar": "minatar.gym"}
"""Namespaces of environment ids that only a package's import registers."""


@runtime_checkable
class Backend(Protocol):
    """A batch of environments that can begin again from seeds.

    Attributes:
        observation_space: of one row.
        action_space: of one row.
        together: rows that share one world: a game's players.
    """

    observation_space: Space[Any]
    action_space: Space[Any]
    together: int

    def reset(self, seeds: Sequence[int]) -> Any:
        """Begin every environment anew from its own seed; the first observations."""

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Observations, rewards, terminated, truncated, and where there was no transition."""

    def close(self) -> None:
        """Give back what it holds."""


class Pool:
    """Environments in EnvPool's threads (Weng et al. 2022, arXiv:2206.10558), which is seeded where it is made."""

    together = 1

    def __init__(self, name: str, count: int) -> None:
        """Environments of one of EnvPool's ids."""
        self._name, self._count = name, count
        self._make([0] * count)
        self.observation_space = self._pool.observation_space
        self.action_space = self._pool.action_space

    def reset(self, seeds: Sequence[int]) -> Any:
        """Begin every environment anew."""
        self._make(seeds)
        self._over = np.zeros(self._count, dtype=bool)
        return self._pool.reset()[0]

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One step of all."""
        observations, rewards, terminated, truncated, _ = self._pool.step(actions)
        begun, self._over = self._over, terminated | truncated
        return observations, rewards, terminated, truncated, begun

    def close(self) -> None:
        """Stop the threads."""
        self._pool.close()

    def _make(self, seeds: Sequence[int]) -> None:
        import envpool

        self._pool: Any = envpool.make(self._name, env_type="gymnasium", num_envs=self._count, seed=list(seeds))


class Vector:
    """Any Gymnasium vector environment."""

    together = 1

    def __init__(self, environments: "VectorEnv[Any, Any, Any]", name: str) -> None:
        """Take over a vector environment; `name` is for messages."""
        mode = environments.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if AutoresetMode(mode) is not AutoresetMode.NEXT_STEP:
            how = "resets in the step that ends an episode" if AutoresetMode(mode) is AutoresetMode.SAME_STEP else "never resets by itself"
            raise UserError(f"{name} {how}; make it with autoreset_mode=AutoresetMode.NEXT_STEP")
        self._environments, self._name = environments, name
        self._over = np.zeros(environments.num_envs, dtype=bool)
        self.observation_space = environments.single_observation_space
        self.action_space = environments.single_action_space

    def reset(self, seeds: Sequence[int]) -> Any:
        """Begin every environment anew; one that has a single generator for all takes the first seed.

        Raises:
            UserError: the observations don't have the shape that their space says.
        """
        self._over = np.zeros_like(self._over)
        # A loop over copies takes a list, Atari's an array, and those with a single generator one number.
        with self._shaped():
            for form in (list(seeds), np.array(seeds)):
                with suppress(TypeError, GymnasiumError):
                    return self._environments.reset(seed=cast(Any, form))[0]
            return self._environments.reset(seed=seeds[0])[0]

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One step of all.

        Raises:
            UserError: what the environments give doesn't have the shape that their spaces say.
        """
        with self._shaped():
            observations, rewards, terminated, truncated, _ = self._environments.step(actions)
        begun = self._over
        self._over = (terminated | truncated).astype(bool)
        return observations, rewards, terminated, truncated, begun

    def close(self) -> None:
        """Close every environment."""
        self._environments.close()

    @contextmanager
    def _shaped(self) -> Iterator[None]:
        """Tell in a sentence that what the environments give can't be laid side by side."""
        try:
            yield
        except ValueError as error:
            if from_an_environment(error):
                raise
            raise UserError(
                f"{self._name} gives observations that aren't {self.observation_space}, or rewards that aren't one number each ({error})"
            ) from error


def from_an_environment(error: Exception) -> bool:
    """Whether it was raised within an environment, and not where what several gave is laid side by side."""
    own = ("rlhub.agents.", "numpy", "gymnasium.vector", "functools")
    return any(not frame.f_globals["__name__"].startswith(own) for frame, _ in traceback.walk_tb(error.__traceback__))


def make_backend(env: str, count: int, *, pool: bool = True) -> Backend:
    """A batch of environments.

    Args:
        env: a Gymnasium id (`LunarLander-v3`, `ALE/Pong-v5`, `MinAtar/Breakout-v1`, `module:Id-v0`), with options for its constructor after
            a question mark (`LunarLander-v3?enable_wind=true`); a PettingZoo parallel environment (`PettingZoo/sisl/pursuit_v5`, see
            `games.make_game`); or `path/to/file.py:function` for a function that takes a number and gives that many environments, as a
            Gymnasium vector environment or a list of PettingZoo parallel ones.
        count: how many; a game counts once, and has a row for each player.
        pool: EnvPool may serve them.

    Raises:
        UserError: there is no such environment, its package is missing, or it refuses its options.
    """
    name, options = named(env)
    if ".py:" in name:
        return adapted(making(name, options, lambda: function_in_file(name, "environment")(count, **options)), count, name)
    if name.startswith(PREFIX):
        return Games([make_game(name, **options) for _ in range(count)])
    if pool and not options and prefers_pool(name):
        return Pool(name, count)
    if name.startswith(ATARI):
        options = {"reward_clipping": False} | options
    return Vector(making(name, options, lambda: gymnasium.make_vec(name, num_envs=count, **options)), name)


def clips_rewards(env: str) -> bool:
    """Whether learners see an environment's rewards by their sign alone: Atari's, unless its own options say what becomes of them."""
    name, options = named(env)
    return name.startswith(ATARI) and "reward_clipping" not in options


def longest_episode(env: str) -> int | None:
    """The steps after which an environment cuts its episodes, where its options or its registration say so."""
    name, options = named(env)
    spec = gymnasium.registry.get(name)
    return options.get("max_episode_steps") or (spec.max_episode_steps if spec else None)


def named(env: str) -> tuple[str, dict[str, Any]]:
    """An environment's id, with its package imported, and the options after the question mark.

    Raises:
        UserError: its package is missing.
    """
    name, options = parted(env)
    module = PACKAGES.get(name.partition("/")[0])
    if module is not None and name not in gymnasium.registry:
        package = module.partition(".")[0]
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{name} needs the package {package.replace('_', '-')}: pip install 'rlhub[agents]'")
        # Importing Atari registers its games; MinAtar leaves that to a function.
        getattr(importlib.import_module(module), "register_envs", bool)()
    return name, options


def making(name: str, options: dict[str, Any], make: Callable[[], Made]) -> Made:
    """What `make` makes, its failures told in one sentence.

    Raises:
        UserError: there is no such environment, its package is missing, or it refuses its options.
    """
    try:
        return make()
    except DependencyNotInstalled as error:
        raise UserError(f"{name} can't be made: {str(error).strip()}; pip install 'rlhub[agents]' brings the usual packages") from error
    except (GymnasiumError, ModuleNotFoundError) as error:
        raise UserError(f"there is no environment {name!r} here: {str(error).strip()}") from error
    except UserError:
        raise
    except Exception as error:  # each environment checks its options in its own way
        told = f"{type(error).__name__}: {error}".strip(": ")
        raise UserError(f"{name} can't be made with the options {options or 'it has by default'} ({told})") from error


@cache
def pool_names() -> frozenset[str]:
    """What EnvPool has; nothing where it isn't installed."""
    if importlib.util.find_spec("envpool") is None:
        return frozenset()
    import envpool

    return frozenset(envpool.list_all_envs())


@cache
def prefers_pool(name: str) -> bool:
    """Whether EnvPool has the environment as Gymnasium has it, in which agents are measured and watched.

    CartPole's own vector form is faster still, and Atari's comes with its package.
    """
    spec = gymnasium.registry.get(name)
    if spec is None or spec.vector_entry_point is not None or name not in pool_names():
        return False
    own, pool = making(name, {}, lambda: gymnasium.make(name)), Pool(name, 1)
    pool.close()
    own.close()
    return alike(pool.observation_space, own.observation_space) and alike(pool.action_space, own.action_space)


def adapted(made: Any, count: int, name: str) -> Backend:
    """What a person's function gave, as a batch of environments.

    Raises:
        UserError: it is none, or of another size.
    """
    if isinstance(made, VectorEnv):
        if made.num_envs != count:
            raise UserError(f"{name} gave {made.num_envs} environments where {count} were asked for")
        return Vector(made, name)
    if isinstance(made, list) and len(made) == count and all(hasattr(game, "possible_agents") for game in made):
        return Games([Game(game, name) for game in made])
    wanted = f"a gymnasium VectorEnv, or a list of {count} PettingZoo ParallelEnvs"
    raise UserError(f"{name} gave a {type(made).__name__}; it must give {wanted}")
