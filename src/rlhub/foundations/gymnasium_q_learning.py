"""Q-learning on any Gymnasium environment whose observations and actions are numbers from a finite set (Sutton & Barto 2018, Sec. 6.5)."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float

from rlhub.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What Q-learning found.

    Attributes:
        worth: the action values.
        returns: what each episode of learning earned, undiscounted.
    """

    worth: Float[np.ndarray, "states actions"]
    returns: Float[np.ndarray, " episodes"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a greedy policy earns over some episodes.

    Attributes:
        mean: the mean return.
        deviation: the standard deviation of returns.
    """

    mean: float
    deviation: float

    @property
    def mark(self) -> float:
        """The mean less one standard deviation, by which the Deep RL course marks its learners: Taxi is passed at 4.5."""
        return self.mean - self.deviation


def make_discrete(name: str, **options: Any) -> gymnasium.Env[Any, Any]:
    """An environment by its id.

    Raises:
        UserError: Gymnasium doesn't know it or can't make it, or its observations or actions are no finite set of numbers.
    """
    try:
        environment = gymnasium.make(name, **options)
    except (gymnasium.error.Error, TypeError) as error:
        raise UserError(f"can't make the environment {name!r}: {' '.join(str(error).split())}") from error
    for what, space in (("observations", environment.observation_space), ("actions", environment.action_space)):
        if not isinstance(space, Discrete):
            environment.close()
            raise UserError(f"the {what} of {name} are {space}; a table needs Discrete ones, as FrozenLake-v1 and Taxi-v4 have")
    return environment


def q_learning(
    name: str,
    *,
    episodes: int = 10_000,
    step_size: float = 0.7,
    gamma: float = 0.95,
    epsilon: tuple[float, float] = (1.0, 0.05),
    decay: float = 0.005,
    seed: int = 0,
    **options: Any,
) -> Learned:
    """Learn by Q-learning from episodes that explore less and less (Sec. 6.5's box).

    Args:
        name: the environment's id.
        episodes: to learn from.
        step_size: how far a value moves towards its target (alpha).
        gamma: the discount.
        epsilon: the share of random actions in the first episode, and the one that it sinks to.
        decay: how fast it sinks: by e to the power of -decay an episode.
        seed: of all randomness.
        options: of the environment, as `is_slippery=False`.

    Raises:
        UserError: the environment isn't there or isn't discrete, or a setting is out of its range.
    """
    _check(episodes, step_size, gamma, epsilon)
    environment = make_discrete(name, **options)
    source = np.random.default_rng(seed)
    worth = empty_table(environment)
    returns = np.zeros(episodes)
    highest, lowest = epsilon
    for episode in range(episodes):
        share = lowest + (highest - lowest) * np.exp(-decay * episode)
        draws = seed if episode == 0 else None
        returns[episode] = learn_episode(environment, worth, epsilon=share, step_size=step_size, gamma=gamma, source=source, seed=draws)
    environment.close()
    return Learned(worth=worth, returns=returns)


def empty_table(environment: gymnasium.Env[Any, Any]) -> Float[np.ndarray, "states actions"]:
    """Action values of zero."""
    spaces: tuple[Any, Any] = (environment.observation_space, environment.action_space)
    return np.zeros([int(space.n) for space in spaces])


def learn_episode(
    environment: gymnasium.Env[Any, Any],
    worth: Float[np.ndarray, "states actions"],
    *,
    epsilon: float,
    step_size: float,
    gamma: float,
    source: np.random.Generator,
    seed: int | None,
) -> float:
    """Learn from one episode, which moves the values (Sec. 6.5's box); what it earned.

    Args:
        environment: a discrete one.
        worth: the action values.
        epsilon: the share of random actions.
        step_size: how far a value moves towards its target (alpha).
        gamma: the discount.
        source: of actions.
        seed: of the environment; None goes on with the draws of the last episode.
    """
    # A space may begin at another number than 0.
    first_state, first_action = int(environment.observation_space.start), int(environment.action_space.start)  # type: ignore[attr-defined]
    observation, _ = environment.reset(seed=seed)
    state, over, earned = int(observation) - first_state, False, 0.0
    while not over:
        action = int(source.integers(worth.shape[1])) if source.random() < epsilon else greedy(worth, state, source)
        observation, reward, ended, cut, _ = environment.step(first_action + action)
        successor, over = int(observation) - first_state, ended or cut
        # An episode that is cut off would have gone on: only a real end is worth nothing.
        target = float(reward) + gamma * (0.0 if ended else worth[successor].max())
        worth[state, action] += step_size * (target - worth[state, action])
        earned += float(reward)
        state = successor
    return earned


def greedy(worth: Float[np.ndarray, "states actions"], state: int, source: np.random.Generator) -> int:
    """An action of the highest value, ties broken evenly."""
    best = np.flatnonzero(worth[state] == worth[state].max())
    return int(best[0] if len(best) == 1 else source.choice(best))


def evaluate(name: str, worth: Float[np.ndarray, "states actions"], *, episodes: int = 100, seed: int = 0, **options: Any) -> Score:
    """Play greedily for some episodes.

    Args:
        name: the environment's id.
        worth: the action values.
        episodes: to play.
        seed: of the environment, a number on for each episode.
        options: of the environment.

    Raises:
        UserError: the environment isn't there or isn't discrete, the table isn't of its size, or there are no episodes.
    """
    if episodes < 1:
        raise UserError(f"episodes is {episodes}; give at least 1")
    environment = make_discrete(name, **options)
    first_state, first_action = int(environment.observation_space.start), int(environment.action_space.start)  # type: ignore[attr-defined]
    size = (int(environment.observation_space.n), int(environment.action_space.n))  # type: ignore[attr-defined]
    if worth.shape != size:
        environment.close()
        raise UserError(f"the values have the shape {worth.shape} where {name} has {size}, [states, actions]; give a table of that size")
    returns = np.zeros(episodes)
    for episode in range(episodes):
        observation, _ = environment.reset(seed=seed + episode)
        over = False
        while not over:
            observation, reward, ended, cut, _ = environment.step(first_action + int(worth[int(observation) - first_state].argmax()))
            returns[episode] += float(reward)
            over = ended or cut
    environment.close()
    return Score(mean=float(returns.mean()), deviation=float(returns.std()))


def _check(episodes: int, step_size: float, gamma: float, epsilon: tuple[float, float]) -> None:
    """Refuse settings out of their range."""
    if episodes < 1:
        raise UserError(f"episodes is {episodes}; give at least 1")
    if not 0 < step_size <= 1:
        raise UserError(f"step_size is {step_size:g}; give a share above 0 and up to 1")
    if not 0 <= gamma <= 1:
        raise UserError(f"gamma is {gamma:g}; give a discount between 0 and 1")
    if not 0 <= epsilon[1] <= epsilon[0] <= 1:
        raise UserError(f"epsilon is {epsilon}; give a first and a last share between 0 and 1, the last no higher")
