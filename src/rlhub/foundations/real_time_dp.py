"""Expected updates where they are wanted: in sweeps, along trajectories, in real time (Sutton & Barto 2018, Sec. 8.5-8.7).

All work on state values of a world whose chances are known; the value of a state that ends an episode stays 0.
"""

import numpy as np
from jaxtyping import Float, Int

from rlhub.foundations.bandits import random_argmax
from rlhub.foundations.compiled import compiled
from rlhub.foundations.worlds import World, epsilon_greedy_action, step


@compiled
def expected(world: World, values: Float[np.ndarray, " states"], state: int, action: int, discount: float) -> float:
    """What an action is worth on average: its reward, and the values of what may follow."""
    worth = 0.0
    for branch in range(world.chance.shape[2]):
        following = world.following[state, action, branch]
        worth += world.chance[state, action, branch] * (world.rewards[state, action, branch] + discount * values[following])
    return worth


@compiled
def look_ahead(
    world: World, values: Float[np.ndarray, " states"], state: int, discount: float, worths: Float[np.ndarray, " actions"]
) -> None:
    """Write what each action is worth."""
    for action in range(world.choices[state]):
        worths[action] = expected(world, values, state, action, discount)


@compiled
def value_sweeps(world: World, *, discount: float, tolerance: float, most: int) -> tuple[Float[np.ndarray, " states"], int, int]:
    """Value iteration in place, state after state (Gauss-Seidel; Sec. 4.4, box), until no value changes by as much as the tolerance.

    Returns:
        Values, how many sweeps it took, and how many updates.
    """
    states, actions = world.spread.shape
    values, worths, sweeps, updates = np.zeros(states), np.empty(actions), 0, 0
    for _ in range(most):
        sweeps, largest = sweeps + 1, 0.0
        for state in range(states):
            if not world.ends[state]:
                look_ahead(world, values, state, discount, worths)
                best = worths[: world.choices[state]].max()
                largest = max(largest, abs(best - values[state]))
                values[state] = best
                updates += 1
        if largest < tolerance:
            break
    return values, sweeps, updates


@compiled
def real_time_dp(
    world: World, starts: Int[np.ndarray, " starts"], *, episodes: int, discount: float, seed: int
) -> tuple[Float[np.ndarray, " states"], Int[np.ndarray, " states"], Int[np.ndarray, " episodes"]]:
    """Real-time dynamic programming (Sec. 8.7): act greedily, and update the value of each state that is visited, as it is visited.

    Args:
        world: where to act; values begin at 0, which must be no less than the optimal ones if the optimal policy is to be found.
        starts: states of which one is drawn to begin each episode.
        episodes: how many.
        discount: gamma.
        seed: of all randomness.

    Returns:
        Values, how often each state was updated, and the length of each episode.
    """
    np.random.seed(seed)
    states, actions = world.spread.shape
    values, worths = np.zeros(states), np.empty(actions)
    updates, lengths = np.zeros(states, dtype=np.int64), np.zeros(episodes, dtype=np.int64)
    for episode in range(episodes):
        state = starts[np.random.randint(len(starts))]
        while not world.ends[state]:
            look_ahead(world, values, state, discount, worths)
            action = random_argmax(worths[: world.choices[state]])
            values[state] = worths[action]
            updates[state] += 1
            lengths[episode] += 1
            state, _ = step(world, state, action)
    return values, updates, lengths


@compiled
def greedy_visits(
    world: World, starts: Int[np.ndarray, " starts"], values: Float[np.ndarray, " states"], *, episodes: int, longest: int, seed: int
) -> tuple[Int[np.ndarray, " states"], Int[np.ndarray, " episodes"]]:
    """How often each state is visited, and how long episodes are, by actions greedy for given undiscounted values.

    Episodes stop after the longest length, as values that aren't optimal can lead in circles.
    """
    np.random.seed(seed)
    states, actions = world.spread.shape
    policy, worths = np.full(states, -1), np.empty(actions)
    visits, lengths = np.zeros(states, dtype=np.int64), np.zeros(episodes, dtype=np.int64)
    for episode in range(episodes):
        state = starts[np.random.randint(len(starts))]
        while not world.ends[state] and lengths[episode] < longest:
            if policy[state] < 0:
                look_ahead(world, values, state, 1.0, worths)
                policy[state] = random_argmax(worths[: world.choices[state]])
            visits[state] += 1
            lengths[episode] += 1
            state, _ = step(world, state, policy[state])
    return visits, lengths


@compiled
def trajectory_sampling(
    world: World, marks: Int[np.ndarray, " marks"], *, on_policy: bool, epsilon: float, discount: float, tolerance: float, seed: int
) -> Float[np.ndarray, " marks"]:
    """What the greedy policy is worth at the start, after so many expected updates of action values (Sec. 8.6).

    Args:
        world: where to plan.
        marks: after how many updates to look, in order.
        on_policy: update the pairs that episodes of the epsilon-greedy policy meet; otherwise all pairs in turn.
        epsilon: share of random actions on policy.
        discount: gamma.
        tolerance: within which greedy policies are evaluated, see `start_value`.
        seed: of all randomness.
    """
    np.random.seed(seed)
    states, actions = world.spread.shape
    values, best, true, curve = np.zeros((states, actions)), np.zeros(states), np.zeros(states), np.empty(len(marks))
    state, action, place = world.start, 0, 0
    for update in range(1, marks[-1] + 1):
        if on_policy:
            state = world.start if world.ends[state] else state
            action = epsilon_greedy_action(world, values, state, epsilon)
        values[state, action] = expected(world, best, state, action, discount)
        best[state] = values[state, : world.choices[state]].max()
        if on_policy:
            state, _ = step(world, state, action)
        else:
            action += 1
            while action >= world.choices[state] or world.ends[state]:
                state, action = (state + 1) % states, 0
        if update == marks[place]:
            curve[place] = start_value(world, values, true, discount, tolerance)
            place += 1
    return curve


@compiled
def start_value(
    world: World,
    action_values: Float[np.ndarray, "states actions"],
    values: Float[np.ndarray, " states"],
    discount: float,
    tolerance: float,
) -> float:
    """What the greedy policy is worth at the start (Sec. 4.1, box): sweeps until no value changes by as much as the tolerance.

    Args:
        world: where it acts.
        action_values: for which it is greedy.
        values: where the sweeps begin, and where they write; only states that the policy can come to count.
        discount: gamma.
        tolerance: the change that is small enough.
    """
    met, reached, policy = np.zeros(len(values), dtype=np.bool_), [world.start], np.empty(len(values), dtype=np.int64)
    met[world.start], place = True, 0
    while place < len(reached):
        state = reached[place]
        policy[state] = action_values[state, : world.choices[state]].argmax()
        for following in world.following[state, policy[state]]:
            if not met[following] and not world.ends[following]:
                met[following] = True
                reached.append(following)
        place += 1
    change = np.inf
    while change >= tolerance:
        change = 0.0
        # Backwards, so that a sweep hands values on along a whole path.
        for place in range(len(reached) - 1, -1, -1):
            state = reached[place]
            worth = expected(world, values, state, policy[state], discount)
            change = max(change, abs(worth - values[state]))
            values[state] = worth
    return values[world.start]
