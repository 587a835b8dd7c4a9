"""Bandits: one state, many actions, rewards to learn from (Sutton & Barto 2018, chapter 2).

Every function runs many independent bandits at once, a row each, and gives what was earned and whether the best arm was pulled at each
step. The loops are compiled. A reward is its arm's mean plus the noise of the step, which is drawn beforehand: methods that are given the
same noise had the same luck, so that fewer runs tell them apart.
"""

import numpy as np
from jaxtyping import Bool, Float
from numba import prange

from rlhub.foundations.compiled import compiled


@compiled(parallel=True)
def epsilon_greedy(
    values: Float[np.ndarray, "runs arms"],
    noise: Float[np.ndarray, "runs steps"],
    *,
    epsilon: float,
    first: float,
    step_size: float,
    seed: int,
) -> tuple[Float[np.ndarray, "runs steps"], Bool[np.ndarray, "runs steps"]]:
    """Pull the arm that seems best, or with probability epsilon any (Sec. 2.2-2.6).

    Args:
        values: each arm's mean reward.
        noise: what is added to the mean at each step of each run.
        epsilon: share of pulls at random.
        first: the estimate that every arm begins with; a high one is optimistic.
        step_size: how far an estimate moves towards a reward (alpha); 0 takes sample averages, 1/n.
        seed: of the choices; each run has its own stream.

    Returns:
        Rewards, and whether the arm pulled was the best one.
    """
    (runs, arms), steps = values.shape, noise.shape[1]
    rewards, best = np.empty((runs, steps)), np.empty((runs, steps), dtype=np.bool_)
    for run in prange(runs):
        np.random.seed(seed * 1_000_003 + run)
        estimates, counts = np.full(arms, first), np.zeros(arms)
        right = values[run].argmax()
        for step in range(steps):
            arm = np.random.randint(arms) if np.random.random() < epsilon else random_argmax(estimates)
            reward = values[run, arm] + noise[run, step]
            counts[arm] += 1
            estimates[arm] += (step_size if step_size > 0 else 1 / counts[arm]) * (reward - estimates[arm])
            rewards[run, step], best[run, step] = reward, arm == right
    return rewards, best


@compiled(parallel=True)
def upper_confidence_bound(
    values: Float[np.ndarray, "runs arms"], noise: Float[np.ndarray, "runs steps"], *, confidence: float, seed: int
) -> tuple[Float[np.ndarray, "runs steps"], Bool[np.ndarray, "runs steps"]]:
    """Pull the arm that could be best: the one with the highest estimate plus c sqrt(ln t / N) (Sec. 2.7, Eq. 2.10).

    Args:
        values: each arm's mean reward.
        noise: what is added to the mean at each step of each run.
        confidence: how wide the doubt about an arm is taken (c).
        seed: of the choices; each run has its own stream.

    Returns:
        Rewards, and whether the arm pulled was the best one.
    """
    (runs, arms), steps = values.shape, noise.shape[1]
    rewards, best = np.empty((runs, steps)), np.empty((runs, steps), dtype=np.bool_)
    for run in prange(runs):
        np.random.seed(seed * 1_000_003 + run)
        estimates, counts, bounds = np.zeros(arms), np.zeros(arms), np.empty(arms)
        # An arm never pulled comes before all others; infinity would be no number where it meets the first step's ln 1 = 0.
        doubts = np.full(arms, 1e300)
        right = values[run].argmax()
        for step in range(steps):
            width = confidence * np.sqrt(np.log(step + 1))
            for arm in range(arms):
                bounds[arm] = estimates[arm] + width * doubts[arm]
            arm = random_argmax(bounds)
            reward = values[run, arm] + noise[run, step]
            counts[arm] += 1
            doubts[arm] = 1 / np.sqrt(counts[arm])
            estimates[arm] += (reward - estimates[arm]) / counts[arm]
            rewards[run, step], best[run, step] = reward, arm == right
    return rewards, best


@compiled(parallel=True)
def gradient_bandit(
    values: Float[np.ndarray, "runs arms"], noise: Float[np.ndarray, "runs steps"], *, step_size: float, baseline: bool, seed: int
) -> tuple[Float[np.ndarray, "runs steps"], Bool[np.ndarray, "runs steps"]]:
    """Draw arms from a softmax of preferences that climb the gradient of expected reward (Sec. 2.8, Eq. 2.12).

    Args:
        values: each arm's mean reward.
        noise: what is added to the mean at each step of each run.
        step_size: how far preferences move (alpha).
        baseline: compare a reward with the mean of those before it; without, with 0.
        seed: of the choices; each run has its own stream.

    Returns:
        Rewards, and whether the arm pulled was the best one.
    """
    (runs, arms), steps = values.shape, noise.shape[1]
    rewards, best = np.empty((runs, steps)), np.empty((runs, steps), dtype=np.bool_)
    for run in prange(runs):
        np.random.seed(seed * 1_000_003 + run)
        preferences, policy, average = np.zeros(arms), np.full(arms, 1 / arms), 0.0
        right = values[run].argmax()
        for step in range(steps):
            arm = draw(policy)
            reward = values[run, arm] + noise[run, step]
            if baseline and step == 0:
                average = reward
            move = step_size * (reward - average)
            for other in range(arms):
                preferences[other] -= move * policy[other]
            preferences[arm] += move
            if baseline:
                average += (reward - average) / (step + 1)
            softmax(preferences, policy)
            rewards[run, step], best[run, step] = reward, arm == right
    return rewards, best


@compiled(parallel=True)
def thompson_sampling(
    values: Float[np.ndarray, "runs arms"], noise: Float[np.ndarray, "runs steps"], *, prior_variance: float, seed: int
) -> tuple[Float[np.ndarray, "runs steps"], Bool[np.ndarray, "runs steps"]]:
    """Pull each arm as often as it is believed to be best: the best of one draw from each posterior (Sec. 2.9; Thompson 1933).

    An arm's mean is believed to be normal, at first around 0; with rewards of variance 1 it stays normal, with variance 1 / (1 / v + N).

    Args:
        values: each arm's mean reward.
        noise: what is added to the mean at each step of each run.
        prior_variance: of an arm's mean before any reward (v); 1 is what the testbed's arms are drawn with.
        seed: of the choices; each run has its own stream.

    Returns:
        Rewards, and whether the arm pulled was the best one.
    """
    (runs, arms), steps = values.shape, noise.shape[1]
    rewards, best = np.empty((runs, steps)), np.empty((runs, steps), dtype=np.bool_)
    for run in prange(runs):
        np.random.seed(seed * 1_000_003 + run)
        means, variances, draws = np.zeros(arms), np.full(arms, prior_variance), np.empty(arms)
        right = values[run].argmax()
        for step in range(steps):
            for arm in range(arms):
                draws[arm] = means[arm] + np.sqrt(variances[arm]) * np.random.randn()
            arm = random_argmax(draws)
            reward = values[run, arm] + noise[run, step]
            variances[arm] /= 1 + variances[arm]
            means[arm] += variances[arm] * (reward - means[arm])
            rewards[run, step], best[run, step] = reward, arm == right
    return rewards, best


@compiled(inlined=True)
def random_argmax(values: Float[np.ndarray, " actions"]) -> int:
    """An index of the largest value, ties broken evenly."""
    largest, found, chosen = values[0], 1, 0
    for index in range(1, len(values)):
        if values[index] > largest:
            largest, found, chosen = values[index], 1, index
        elif values[index] == largest:
            found += 1
            if np.random.random() * found < 1:
                chosen = index
    return chosen


@compiled(inlined=True)
def draw(probabilities: Float[np.ndarray, " actions"]) -> int:
    """An index, drawn with its probability."""
    left = np.random.random()
    for index in range(len(probabilities) - 1):
        left -= probabilities[index]
        if left < 0:
            return index
    return len(probabilities) - 1


@compiled
def softmax(preferences: Float[np.ndarray, " actions"], probabilities: Float[np.ndarray, " actions"]) -> None:
    """Write the probabilities that are in proportion to e to the power of the preferences."""
    highest, total = preferences[0], 0.0
    for index in range(len(preferences)):
        highest = max(highest, preferences[index])
    for index in range(len(preferences)):
        probabilities[index] = np.exp(preferences[index] - highest)
        total += probabilities[index]
    share = 1 / total
    for index in range(len(preferences)):
        probabilities[index] *= share
