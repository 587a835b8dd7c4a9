"""Optimism in bandits: pull what could be best, as far as one can tell (Agarwal, Jiang, Kakade & Sun, "Multi-Armed & Linear Bandits")."""

import numpy as np
from jaxtyping import Float

from rlhub.foundations.compiled import compiled


@compiled
def ucb1(means: Float[np.ndarray, " arms"], steps: int, *, runs: int, seed: int) -> Float[np.ndarray, "runs steps"]:
    """Pull the arm with the largest upper confidence bound, its average plus sqrt(2 ln t / n) (Auer, Cesa-Bianchi & Fischer 2002, Fig. 1).

    Args:
        means: each arm's chance of a reward of 1; else it gives 0.
        steps: pulls of each run.
        runs: independent repetitions.
        seed: of all randomness; each run has its own stream.

    Returns:
        The regret so far: what the best arm's mean would have earned more than the means of the arms pulled.
    """
    arms, best = len(means), means.max()
    regret = np.empty((runs, steps))
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        averages, counts, lost = np.zeros(arms), np.zeros(arms), 0.0
        for step in range(steps):
            arm = step if step < arms else (averages + np.sqrt(2 * np.log(step + 1) / counts)).argmax()
            reward = 1.0 if np.random.random() < means[arm] else 0.0
            counts[arm] += 1
            averages[arm] += (reward - averages[arm]) / counts[arm]
            lost += best - means[arm]
            regret[run, step] = lost
    return regret


@compiled
def farthest_point(
    center: Float[np.ndarray, " dimensions"], precision: Float[np.ndarray, "dimensions dimensions"], radius: float
) -> Float[np.ndarray, " dimensions"]:
    """The point farthest from zero in the ellipsoid (w - center)' precision (w - center) <= radius^2.

    Along the ellipsoid's axes, the condition of Lagrange leaves one unknown, found by halving.
    """
    weights, axes = np.linalg.eigh(precision)
    half, middle = radius / np.sqrt(weights), axes.T @ center
    # Steps u of length 1 in the unit ball: u_i = half_i middle_i / (multiplier - half_i^2), where all denominators are above 0.
    pull = half * middle
    low = half[0] ** 2 * (1 + 1e-10)
    high = low + np.sqrt((pull**2).sum()) + 1e-12
    for _ in range(60):
        multiplier = (low + high) / 2
        if ((pull / (multiplier - half**2)) ** 2).sum() > 1:
            low = multiplier
        else:
            high = multiplier
    step = pull / (high - half**2)
    # No pull along the longest axis leaves length over; either way along it is as far.
    left = 1 - (step**2).sum()
    if left > 0:
        step[0] = np.sqrt(step[0] ** 2 + left) * (1.0 if step[0] >= 0 else -1.0)
    return axes @ (middle + half * step)


@compiled
def confidence_radius(dimensions: int, steps: int, noise: float, failure: float) -> float:
    """How far the true parameters are from the ridge estimate at most, with probability 1 - failure, for features of length up to 1.

    It is sqrt(lambda) |theta| + noise sqrt(2 ln(1/failure) + d ln(1 + t / d)), with lambda = 1 and |theta| <= 1 (Abbasi-Yadkori, Pal &
    Szepesvari 2011, Theorem 2).
    """
    return 1 + noise * np.sqrt(2 * np.log(1 / failure) + dimensions * np.log(1 + steps / dimensions))


@compiled
def linucb(truth: Float[np.ndarray, " dimensions"], steps: int, *, noise: float, failure: float, runs: int, seed: int) -> np.ndarray:
    """LinUCB where any direction of length 1 may be chosen (AJKS, LinUCB): act for the most hopeful parameters in the ball.

    Args:
        truth: the true parameters, of length up to 1; a choice x earns truth . x on average.
        steps: choices of each run.
        noise: standard deviation of the normal noise on rewards.
        failure: probability (delta) that the ball may miss the truth.
        runs: independent repetitions.
        seed: of all randomness; each run has its own stream.

    Returns:
        The regret so far, [runs, steps].
    """
    dimensions, length = len(truth), np.sqrt((truth**2).sum())
    regret = np.empty((runs, steps))
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        precision, inverse = np.eye(dimensions), np.eye(dimensions)
        weighted, lost = np.zeros(dimensions), 0.0
        for step in range(steps):
            radius = confidence_radius(dimensions, step, noise, failure)
            hopeful = farthest_point(inverse @ weighted, precision, radius)
            choice = hopeful / np.sqrt((hopeful**2).sum())
            reward = (truth * choice).sum() + noise * np.random.randn()
            precision += np.outer(choice, choice)
            inverse = add_to_inverse(inverse, choice)
            weighted += reward * choice
            lost += length - (truth * choice).sum()
            regret[run, step] = lost
    return regret


@compiled
def add_to_inverse(
    inverse: Float[np.ndarray, "dimensions dimensions"], feature: Float[np.ndarray, " dimensions"]
) -> Float[np.ndarray, "dimensions dimensions"]:
    """The inverse of A + x x' from that of a symmetric A, in d^2 steps instead of d^3 (Sherman & Morrison 1950)."""
    pushed = inverse @ feature
    return inverse - np.outer(pushed, pushed) / (1 + (feature * pushed).sum())
