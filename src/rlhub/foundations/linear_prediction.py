"""Linear value prediction from finished episodes (Sutton & Barto 2018, chapters 9 and 12), and the random walks that it is tried on.

A problem whose states can be listed comes as a table of features, a row a state. Each method is one function that takes the weights
through one episode in place; as the policy is fixed, an episode can be drawn first and learned from afterwards, step by step, with the same
result as learning while it goes on. Nothing is discounted and the only reward is the last one, as on the book's walks.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rlhub.core.errors import UserError
from rlhub.foundations.compiled import compiled


class Walks(NamedTuple):
    """Episodes of a random walk.

    Attributes:
        visited: each episode's states, from the start to the last before the end.
        rewards: what each episode's last step paid: -1 on the left and +1 on the right.
    """

    visited: list[np.ndarray]
    rewards: np.ndarray


@compiled
def draw_walks(
    states: int, jump: int, episodes: int, seed: int, run: int
) -> tuple[Int[np.ndarray, " steps"], Int[np.ndarray, " episodes"], Float[np.ndarray, " episodes"]]:
    """All states visited in one row, where each episode ends in it, and the last rewards; see `random_walks`."""
    np.random.seed(seed * 1_000_003 + run)
    visited, filled = np.empty(1024, dtype=np.int32), 0
    ends, rewards = np.empty(episodes, dtype=np.int64), np.empty(episodes)
    for episode in range(episodes):
        state = (states - 1) // 2
        while 0 <= state < states:
            if filled == len(visited):
                visited = np.concatenate((visited, np.empty_like(visited)))
            visited[filled] = state
            filled += 1
            step = np.random.randint(1, jump + 1)
            state += step if np.random.random() < 0.5 else -step
        ends[episode], rewards[episode] = filled, -1.0 if state < 0 else 1.0
    return visited[:filled], ends, rewards


def random_walks(*, states: int, jump: int, episodes: int, seed: int, run: int = 0) -> Walks:
    """Episodes of a walk from the middle that goes 1 to `jump` states left or right, all equally likely, until it leaves (Example 9.1).

    Raises:
        UserError: there is no state, jump or episode.
    """
    check_walk(states, jump)
    if episodes < 1:
        raise UserError(f"random_walks was asked for {episodes} episodes: ask for at least 1")
    visited, ends, rewards = draw_walks(states, jump, episodes, seed, run)
    return Walks(np.split(visited, ends[:-1]), rewards)


def check_walk(states: int, jump: int) -> None:
    """Refuse a walk without states or steps.

    Raises:
        UserError: there is no state or the jump is below 1.
    """
    if states < 1 or jump < 1:
        raise UserError(f"a random walk of {states} states with jumps up to {jump} can't be walked: give at least 1 for both")


def walk_transitions(states: int, jump: int) -> tuple[Float[np.ndarray, "states states"], Float[np.ndarray, " states"]]:
    """The probabilities of stepping from row to column, and each state's expected reward."""
    check_walk(states, jump)
    distance = np.abs(np.arange(states)[:, None] - np.arange(states)[None])
    transitions = np.where((distance > 0) & (distance <= jump), 0.5 / jump, 0.0)
    out_left = np.maximum(jump - np.arange(states), 0) * 0.5 / jump
    return transitions, out_left[::-1] - out_left


def walk_truth(states: int, jump: int) -> tuple[Float[np.ndarray, " states"], Float[np.ndarray, " states"]]:
    """The true values, and the share of time that an episode spends in each state (mu of Sec. 9.2)."""
    transitions, rewards = walk_transitions(states, jump)
    start = np.eye(states)[(states - 1) // 2]
    visits = np.linalg.solve(np.eye(states) - transitions.T, start)
    return np.linalg.solve(np.eye(states) - transitions, rewards), visits / visits.sum()


def td_fixed_point(features: Float[np.ndarray, "states features"], jump: int) -> Float[np.ndarray, " features"]:
    """The weights at which semi-gradient TD(0) rests: A w = b of eq. 9.12."""
    transitions, rewards = walk_transitions(len(features), jump)
    weighted = features.T * walk_truth(len(features), jump)[1]
    return np.linalg.solve(weighted @ (features - transitions @ features), weighted @ rewards)


@compiled
def value_of(weights: Float[np.ndarray, " features"], features: Float[np.ndarray, " features"]) -> float:
    """The inner product; a plain loop, since a call of BLAS costs more than so few features do."""
    total = 0.0
    for index in range(len(weights)):
        total += weights[index] * features[index]
    return total


@compiled
def move(weights: Float[np.ndarray, " features"], amount: float, along: Float[np.ndarray, " features"]) -> None:
    """Add a multiple of a vector to the weights in place."""
    for index in range(len(weights)):
        weights[index] += amount * along[index]


@compiled
def gradient_monte_carlo(
    weights: Float[np.ndarray, " features"],
    features: Float[np.ndarray, "states features"],
    visited: Int[np.ndarray, " steps"],
    reward: float,
    step_size: float,
) -> None:
    """Move each visited state's value towards the return that followed (box of Sec. 9.3)."""
    for state in visited:
        move(weights, step_size * (reward - value_of(weights, features[state])), features[state])


@compiled
def n_step_td(
    weights: Float[np.ndarray, " features"],
    features: Float[np.ndarray, "states features"],
    visited: Int[np.ndarray, " steps"],
    reward: float,
    step_size: float,
    n: int,
) -> None:
    """Move each visited state's value towards the estimate n steps later (box of Sec. 9.4); n = 1 is semi-gradient TD(0)."""
    for time in range(len(visited)):
        later = time + n
        target = value_of(weights, features[visited[later]]) if later < len(visited) else reward
        state = visited[time]
        move(weights, step_size * (target - value_of(weights, features[state])), features[state])


@compiled
def offline_lambda_return(
    weights: Float[np.ndarray, " features"],
    features: Float[np.ndarray, "states features"],
    visited: Int[np.ndarray, " steps"],
    reward: float,
    step_size: float,
    trace_decay: float,
) -> None:
    """Move each visited state's value towards its lambda-return, all of them known once the episode has ended (eq. 12.3 and 12.4)."""
    targets, target = np.empty(len(visited)), reward
    for time in range(len(visited) - 1, -1, -1):
        targets[time] = target
        target = (1 - trace_decay) * value_of(weights, features[visited[time]]) + trace_decay * target
    for time, state in enumerate(visited):
        move(weights, step_size * (targets[time] - value_of(weights, features[state])), features[state])


@compiled
def td_lambda(
    weights: Float[np.ndarray, " features"],
    features: Float[np.ndarray, "states features"],
    visited: Int[np.ndarray, " steps"],
    reward: float,
    step_size: float,
    trace_decay: float,
) -> None:
    """Semi-gradient TD(lambda) with accumulating traces (box of Sec. 12.2)."""
    trace = np.zeros(len(weights))
    for time, state in enumerate(visited):
        trace *= trace_decay
        move(trace, 1.0, features[state])
        target = value_of(weights, features[visited[time + 1]]) if time + 1 < len(visited) else reward
        move(weights, step_size * (target - value_of(weights, features[state])), trace)


@compiled
def true_online_td_lambda(
    weights: Float[np.ndarray, " features"],
    features: Float[np.ndarray, "states features"],
    visited: Int[np.ndarray, " steps"],
    reward: float,
    step_size: float,
    trace_decay: float,
) -> None:
    """True online TD(lambda) with dutch traces, which equals the online lambda-return algorithm (box of Sec. 12.5)."""
    trace, value_before = np.zeros(len(weights)), 0.0
    for time, state in enumerate(visited):
        here = features[state]
        last = time + 1 == len(visited)
        value = value_of(weights, here)
        value_next = 0.0 if last else value_of(weights, features[visited[time + 1]])
        error = (reward if last else 0.0) + value_next - value
        overlap = value_of(trace, here)
        trace *= trace_decay
        move(trace, 1 - step_size * trace_decay * overlap, here)
        move(weights, step_size * (error + value - value_before), trace)
        move(weights, -step_size * (value - value_before), here)
        value_before = value_next


@compiled
def root_mean_square_error(
    weights: Float[np.ndarray, " features"],
    features: Float[np.ndarray, "states features"],
    values: Float[np.ndarray, " states"],
    weighting: Float[np.ndarray, " states"],
) -> float:
    """The root of the mean square value error, states counted by a weighting that sums to 1 (eq. 9.1)."""
    total = 0.0
    for state in range(len(values)):
        total += weighting[state] * (value_of(weights, features[state]) - values[state]) ** 2
    return np.sqrt(total)
