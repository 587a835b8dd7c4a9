"""Semi-gradient Sarsa with tile coding on the mountain car (Sutton & Barto 2018, Sec. 10.1, 10.2 and 12.7).

Each function is one run: it learns from zero for some episodes and gives each one's steps and the weights at the end. Every step costs 1
and nothing is discounted, so zero is an optimistic start and the car explores without being told to. An episode that reaches `limit` steps
is cut there, and its last state's value stands for what would have followed.
"""

import numpy as np
from jaxtyping import Float, Int

from rlhub.foundations.bandits import random_argmax
from rlhub.foundations.compiled import compiled
from rlhub.foundations.tiles import TileCoding, active_tiles, tile_coding

LOW, HIGH = (-1.2, -0.07), (0.5, 0.07)
ACCUMULATING, REPLACING, CLEARING, DUTCH = range(4)


def car_tiles() -> TileCoding:
    """The book's coding of position and velocity: 8 grids of tiles that are an eighth of the range on each side."""
    return tile_coding(LOW, HIGH, tiles=8, tilings=8)


@compiled(inlined=True)
def drive(state: Float[np.ndarray, "2"], throttle: int) -> bool:
    """Move the car by one step in place, and tell whether it is at the goal (Example 10.1).

    Args:
        state: position and velocity.
        throttle: -1 backward, 0 none, +1 forward.
    """
    velocity = min(max(state[1] + 0.001 * throttle - 0.0025 * np.cos(3 * state[0]), -0.07), 0.07)
    position = min(max(state[0] + velocity, -1.2), 0.5)
    state[0], state[1] = position, 0.0 if position == -1.2 else velocity
    return position == 0.5


@compiled(inlined=True)
def begin(state: Float[np.ndarray, "2"]) -> None:
    """Put the car at rest somewhere near the bottom of the valley."""
    state[0], state[1] = np.random.uniform(-0.6, -0.4), 0.0


@compiled(inlined=True)
def action_value(weights: Float[np.ndarray, " tiles"], tiles: Int[np.ndarray, " tilings"]) -> float:
    """The sum of the active tiles' weights."""
    total = 0.0
    for tile in tiles:
        total += weights[tile]
    return total


@compiled(inlined=True)
def choose(weights: Float[np.ndarray, "actions tiles"], tiles: Int[np.ndarray, " tilings"], epsilon: float) -> int:
    """The action of the highest value, ties broken evenly, or with probability epsilon any."""
    if np.random.random() < epsilon:
        return np.random.randint(len(weights))
    values = np.empty(len(weights))
    for action in range(len(weights)):
        values[action] = action_value(weights[action], tiles)
    return random_argmax(values)


@compiled
def n_step_sarsa(
    coding: TileCoding, episodes: int, n: int, step_size: float, epsilon: float, limit: int, seed: int, run: int
) -> tuple[Int[np.ndarray, " episodes"], Float[np.ndarray, "actions tiles"]]:
    """Episodic semi-gradient n-step Sarsa (box of Sec. 10.2); n = 1 is the box of Sec. 10.1.

    Args:
        coding: of position and velocity.
        episodes: how many to learn from.
        n: steps until a value is backed up.
        step_size: alpha, for each active tile.
        epsilon: share of random actions.
        limit: steps at which an episode is cut.
        seed: of all randomness.
        run: which of the seed's runs.

    Returns:
        Steps of each episode, and the weights.
    """
    np.random.seed(seed * 1_000_003 + run)
    weights = np.zeros((3, len(coding.offsets) * np.prod(coding.tiles)))
    # Only the last n + 1 states matter, so they take turns in as many places.
    tiles, actions = np.empty((n + 1, len(coding.offsets)), dtype=np.int64), np.empty(n + 1, dtype=np.int64)
    taken, state = np.empty(episodes, dtype=np.int64), np.empty(2)
    for episode in range(episodes):
        begin(state)
        active_tiles(coding, state, tiles[0])
        actions[0] = choose(weights, tiles[0], epsilon)
        time, end, done = 0, limit, False
        while time - n + 1 < end:
            if time < end:
                done = drive(state, actions[time % (n + 1)] - 1)
                if done:
                    end = time + 1
                else:
                    following = (time + 1) % (n + 1)
                    active_tiles(coding, state, tiles[following])
                    actions[following] = choose(weights, tiles[following], epsilon)
            updated = time - n + 1
            if updated >= 0:
                last = min(updated + n, end)
                target = float(updated - last)
                if last < end or not done:
                    target += action_value(weights[actions[last % (n + 1)]], tiles[last % (n + 1)])
                place = updated % (n + 1)
                error = target - action_value(weights[actions[place]], tiles[place])
                for tile in tiles[place]:
                    weights[actions[place], tile] += step_size * error
            time += 1
        taken[episode] = end
    return taken, weights


@compiled
def sarsa_lambda(
    coding: TileCoding, episodes: int, kind: int, trace_decay: float, step_size: float, epsilon: float, limit: int, seed: int, run: int
) -> tuple[Int[np.ndarray, " episodes"], Float[np.ndarray, "actions tiles"]]:
    """Sarsa(lambda) with binary features (boxes of Sec. 12.7); see `n_step_sarsa` for the other arguments and what is returned.

    Args:
        kind: of trace: ACCUMULATING adds 1 at each visit, REPLACING sets it to 1, CLEARING also sets the other actions' to 0, and DUTCH is
            true online Sarsa(lambda).
        trace_decay: lambda.
    """
    np.random.seed(seed * 1_000_003 + run)
    weights = np.zeros((3, len(coding.offsets) * np.prod(coding.tiles)))
    trace = np.zeros_like(weights)
    here, there = np.empty(len(coding.offsets), dtype=np.int64), np.empty(len(coding.offsets), dtype=np.int64)
    taken, state = np.full(episodes, limit), np.empty(2)
    for episode in range(episodes):
        begin(state)
        trace[:] = 0
        active_tiles(coding, state, here)
        action, value_before = choose(weights, here, epsilon), 0.0
        for time in range(limit):
            done = drive(state, action - 1)
            value, following, value_next = action_value(weights[action], here), 0, 0.0
            if not done:
                active_tiles(coding, state, there)
                following = choose(weights, there, epsilon)
                value_next = action_value(weights[following], there)
            error = -1.0 + value_next - value
            if not np.isfinite(error):
                return taken, weights
            overlap = action_value(trace[action], here)
            for tile in here:
                if kind == CLEARING:
                    trace[:, tile] = 0
                if kind == ACCUMULATING:
                    trace[action, tile] += 1
                elif kind == DUTCH:
                    trace[action, tile] += 1 - step_size * overlap
                else:
                    trace[action, tile] = 1
            if kind == DUTCH:
                error += value - value_before
                for tile in here:
                    weights[action, tile] -= step_size * (value - value_before)
            learn_and_decay(weights.ravel(), trace.ravel(), step_size * error, trace_decay)
            value_before, action = value_next, following
            here[:] = there
            if done:
                taken[episode] = time + 1
                break
    return taken, weights


@compiled
def learn_and_decay(weights: Float[np.ndarray, " weights"], trace: Float[np.ndarray, " weights"], amount: float, decay: float) -> None:
    """Move all weights along their traces, and let the traces fade for the next step, in one pass over both."""
    for index in range(len(weights)):
        weights[index] += amount * trace[index]
        trace[index] *= decay
