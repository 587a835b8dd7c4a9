"""Bandits: one state, many actions, rewards to learn from (Sutton & Barto 2018, chapter 2).

Every function runs many independent bandits at once, a row each, and gives what was earned and whether the best arm was pulled at each
step. The loops are compiled.
"""

import numpy as np
from jaxtyping import Bool, Float
from numba import prange

from rlhub.foundations.compiled import compiled


@compiled(parallel=True)
def epsilon_greedy(
    values: Float[np.ndarray, "runs arms"], steps: int, *, epsilon: float, first: float, step_size: float, seed: int
) -> tuple[Float[np.ndarray, "runs steps"], Bool[np.ndarray, "runs steps"]]:
    """Pull the arm that seems best, or with probability epsilon any (Sec. 2.2-2.6).

    Args:
        values: each arm's mean reward; rewards are normal around it with variance 1.
        steps: pulls of each run.
        epsilon: share of pulls at random.
        first: the estimate that every arm begins with; a high one is optimistic.
        step_size: how far an estimate moves towards a reward (alpha); 0 takes sample averages, 1/n.
        seed: of all randomness; each run has its own stream.

    Returns:
        Rewards, and whether the arm pulled was the best one.
    """
    runs, arms = values.shape
    rewards, best = np.empty((runs, steps)), np.empty((runs, steps), dtype=np.bool_)
    for run in prange(runs):
        np.random.seed(seed * 1_000_003 + run)
        estimates, counts = np.full(arms, first), np.zeros(arms)
        right = values[run].argmax()
        for step in range(steps):
            arm = np.random.randint(arms) if np.random.random() < epsilon else random_argmax(estimates)
            reward = values[run, arm] + np.random.randn()
            counts[arm] += 1
            estimates[arm] += (step_size if step_size > 0 else 1 / counts[arm]) * (reward - estimates[arm])
            rewards[run, step], best[run, step] = reward, arm == right
    return rewards, best


@compiled
def random_argmax(values: Float[np.ndarray, " actions"]) -> int:
    """An index of the largest value, ties broken evenly."""
    largest, found, chosen = values.max(), 0, 0
    for index in range(len(values)):
        if values[index] == largest:
            found += 1
            if np.random.randint(found) == 0:
                chosen = index
    return chosen
