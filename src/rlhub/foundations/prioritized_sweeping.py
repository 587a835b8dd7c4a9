"""Prioritized sweeping: planning backwards from where values have just changed (Sutton & Barto 2018, Sec. 8.4)."""

from heapq import heappop, heappush

import numpy as np
from jaxtyping import Float

from rlhub.foundations.compiled import compiled
from rlhub.foundations.dyna import leads_to_an_end
from rlhub.foundations.worlds import World, epsilon_greedy_action, step


@compiled
def prioritized_sweeping(
    world: World,
    *,
    steps: int,
    planning: int,
    step_size: float,
    epsilon: float,
    discount: float,
    threshold: float,
    enough: int,
    seed: int,
) -> tuple[int, int, Float[np.ndarray, "states actions"]]:
    """Prioritized sweeping for a deterministic world (Sec. 8.4, box): a queue of the pairs whose values would change most.

    Args:
        world: where to act; see `rlhub.foundations.dyna.check_deterministic`.
        steps: most steps to take.
        planning: most updates after each step (n).
        step_size: alpha.
        epsilon: share of random actions.
        discount: gamma.
        threshold: the least change worth queueing (theta).
        enough: stop once greedy actions lead to an end in so many moves; 0 for never.
        seed: of all randomness.

    Returns:
        Steps taken, updates made, and the action values.
    """
    np.random.seed(seed)
    states, actions = world.spread.shape
    values, rewards = np.zeros((states, actions)), np.zeros((states, actions))
    following = np.full((states, actions), -1)
    # The pairs known to lead to a state are a chain: the last one found, and for each pair the one found before it.
    last, before = np.full(states, -1), np.full(states * actions, -1)
    waiting = np.zeros((states, actions))
    queue = [(0.0, -1)]
    queue.pop()
    state, taken, updates = world.start, 0, 0
    for _ in range(steps):
        action = epsilon_greedy_action(world, values, state, epsilon)
        reached, reward = step(world, state, action)
        taken += 1
        if following[state, action] < 0:
            before[state * actions + action], last[reached] = last[reached], state * actions + action
        following[state, action], rewards[state, action] = reached, reward
        enqueue(queue, waiting, state, action, abs(reward + discount * values[reached].max() - values[state, action]), threshold)
        for _ in range(planning):
            one, act = first_in_line(queue, waiting)
            if one < 0:
                break
            target = rewards[one, act] + discount * values[following[one, act]].max()
            values[one, act] += step_size * (target - values[one, act])
            updates += 1
            pair = last[one]
            while pair >= 0:
                into, by = divmod(pair, actions)
                enqueue(queue, waiting, into, by, abs(rewards[into, by] + discount * values[one].max() - values[into, by]), threshold)
                pair = before[pair]
        state = world.start if world.ends[reached] else reached
        if enough > 0 and leads_to_an_end(world, values, enough):
            break
    return taken, updates, values


@compiled
def enqueue(
    queue: list[tuple[float, int]], waiting: Float[np.ndarray, "states actions"], state: int, action: int, change: float, threshold: float
) -> None:
    """Put a pair in line by how much it would change, unless that is too little or it waits with more."""
    if change > threshold and change > waiting[state, action]:
        waiting[state, action] = change
        heappush(queue, (-change, state * waiting.shape[1] + action))


@compiled
def first_in_line(queue: list[tuple[float, int]], waiting: Float[np.ndarray, "states actions"]) -> tuple[int, int]:
    """Take out the pair that would change most, (-1, -1) if none waits."""
    while len(queue) > 0:
        change, pair = heappop(queue)
        state, action = divmod(pair, waiting.shape[1])
        # A pair put in again with more waits twice; the second time it is found it has been served.
        if waiting[state, action] == -change:
            waiting[state, action] = 0.0
            return state, action
    return -1, -1
