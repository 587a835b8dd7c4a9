"""Control without end and without discounting: what counts is the average reward (Sutton & Barto 2018, Sec. 10.3)."""

import numpy as np
from jaxtyping import Float
from scipy.stats import binom

from rlhub.core.errors import UserError
from rlhub.foundations.bandits import random_argmax
from rlhub.foundations.compiled import compiled


def access_control(
    *, servers: int = 10, priorities: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0), free_probability: float = 0.06
) -> tuple[Float[np.ndarray, "states 2 states"], Float[np.ndarray, "states 2"]]:
    """The queue of Example 10.2 as probabilities [state, action, next] and rewards [state, action].

    State number `free * len(priorities) + customer` has so many free servers and that customer at the head; action 0 turns the customer
    away, 1 accepts and earns the priority, which without a free server turns away too. Then each busy server gets free with a probability.

    Raises:
        UserError: there is no server or priority, or the probability isn't one.
    """
    if servers < 1 or not priorities or not 0 <= free_probability <= 1:
        raise UserError(
            f"access_control got {servers} servers, {len(priorities)} priorities and a probability of {free_probability}: "
            "give at least one of each, and a probability between 0 and 1"
        )
    kinds = len(priorities)
    transitions, rewards = np.zeros(((servers + 1) * kinds, 2, (servers + 1) * kinds)), np.zeros(((servers + 1) * kinds, 2))
    for free in range(servers + 1):
        for action in (0, 1):
            accepted = min(action, free)
            busy = servers - free + accepted
            getting_free = binom.pmf(np.arange(busy + 1), busy, free_probability)
            afterwards = np.concatenate([np.zeros(free - accepted), getting_free])
            rows = slice(free * kinds, (free + 1) * kinds)
            transitions[rows, action] = np.repeat(afterwards, kinds) / kinds
            rewards[rows, action] = np.asarray(priorities) * accepted
    return transitions, rewards


@compiled
def differential_sarsa(
    cumulative: Float[np.ndarray, "states actions states"],
    rewards: Float[np.ndarray, "states actions"],
    steps: int,
    step_size: float,
    step_size_average: float,
    epsilon: float,
    seed: int,
) -> tuple[Float[np.ndarray, "states actions"], float]:
    """Differential semi-gradient Sarsa with a feature for each state and action (box of Sec. 10.3).

    Args:
        cumulative: running sums over next states of the transition probabilities.
        rewards: of each state and action.
        steps: how long the one run is.
        step_size: alpha, of the values.
        step_size_average: beta, of the average reward.
        epsilon: share of random actions.
        seed: of all randomness.

    Returns:
        Differential action values, and the estimate of the average reward.
    """
    np.random.seed(seed * 1_000_003)
    values, average = np.zeros(rewards.shape), 0.0
    states, actions = rewards.shape
    state, action = states - 1, 0
    for _ in range(steps):
        # Rounding may leave the last sum a little below 1.
        following = min(np.searchsorted(cumulative[state, action], np.random.random(), side="right"), states - 1)
        next_action = np.random.randint(actions) if np.random.random() < epsilon else random_argmax(values[following])
        error = rewards[state, action] - average + values[following, next_action] - values[state, action]
        average += step_size_average * error
        values[state, action] += step_size * error
        state, action = following, next_action
    return values, average


def optimal_average_reward(
    transitions: Float[np.ndarray, "states actions states"], rewards: Float[np.ndarray, "states actions"], *, sweeps: int = 10_000
) -> tuple[float, Float[np.ndarray, "states actions"]]:
    """The best average reward and its differential action values, by relative value iteration (White 1963; Puterman 1994, Sec. 8.5.5).

    Raises:
        UserError: the probabilities don't sum to 1, or the sweeps don't settle, as on a periodic chain.
    """
    if transitions.min() < 0 or not np.allclose(transitions.sum(-1), 1):
        raise UserError("optimal_average_reward got transitions that don't sum to 1 for some state and action: give probabilities")
    values = np.zeros(len(rewards))
    for _ in range(sweeps):
        action_values = rewards + transitions @ values
        gained = action_values.max(1) - values
        if np.ptp(gained) < 1e-10:
            return float(gained.mean()), action_values - gained.mean()
        values = action_values.max(1) - action_values.max(1)[0]
    raise UserError(f"optimal_average_reward didn't settle in {sweeps} sweeps: raise sweeps, or let a state stay where it is now and then")
