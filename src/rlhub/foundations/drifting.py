"""Bandits whose arms change: forgetting by discount or window, restarts, and noticing changes (Garivier & Moulines 2011; Liu et al. 2018).

Rewards are 0 or 1, with a mean for each arm at each step; regret is against the best arm of each moment. A learner's runs are rows.
"""

import numpy as np
from jaxtyping import Bool, Float
from numba import prange

from rlhub.core.errors import UserError
from rlhub.foundations.bandits import random_argmax
from rlhub.foundations.compiled import compiled


@compiled
def hopeful_arm(sums: Float[np.ndarray, " arms"], counts: Float[np.ndarray, " arms"], width: float, horizon: float) -> int:
    """The arm with the largest average plus width sqrt(ln(horizon) / count); one hardly ever counted comes first."""
    bounds = np.empty(len(sums))
    for arm in range(len(sums)):
        seldom = counts[arm] < 1e-9
        bounds[arm] = np.inf if seldom else sums[arm] / counts[arm] + width * np.sqrt(max(np.log(horizon), 0.0) / counts[arm])
    return random_argmax(bounds)


@compiled
def restarted_ucb(
    means: Float[np.ndarray, "runs steps arms"], restarts: Bool[np.ndarray, " steps"], *, exploration: float, seed: int
) -> Float[np.ndarray, "runs steps"]:
    """UCB1 that forgets everything at given steps: at the true changes it is an oracle, with no restarts plain UCB1.

    Args:
        means: each arm's chance of a reward of 1 at each step.
        restarts: before which steps all that was seen is dropped.
        exploration: xi; an arm's bound is its average plus sqrt(xi ln t / n).
        seed: of all randomness; each run has its own stream.

    Returns:
        The regret so far: what the best arm of each step would have earned more than the arms pulled, on average.
    """
    runs, steps, arms = means.shape
    regret = np.empty((runs, steps))
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        sums, counts, lost = np.zeros(arms), np.zeros(arms), 0.0
        for step in range(steps):
            if restarts[step]:
                sums[:], counts[:] = 0.0, 0.0
            arm = hopeful_arm(sums, counts, np.sqrt(exploration), counts.sum())
            sums[arm] += np.random.random() < means[run, step, arm]
            counts[arm] += 1
            lost += means[run, step].max() - means[run, step, arm]
            regret[run, step] = lost
    return regret


@compiled
def discounted_ucb(
    means: Float[np.ndarray, "runs steps arms"], *, discount: float, exploration: float, seed: int
) -> Float[np.ndarray, "runs steps"]:
    """Discounted UCB: all counts and sums fade by a factor each step (Garivier & Moulines 2011, Fig. 1); see `restarted_ucb`.

    An arm's bound is its discounted average plus 2 sqrt(xi ln n / N), with N its discounted count and n their sum.
    """
    runs, steps, arms = means.shape
    regret = np.empty((runs, steps))
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        sums, counts, lost = np.zeros(arms), np.zeros(arms), 0.0
        for step in range(steps):
            arm = hopeful_arm(sums, counts, 2 * np.sqrt(exploration), counts.sum())
            sums *= discount
            counts *= discount
            sums[arm] += np.random.random() < means[run, step, arm]
            counts[arm] += 1
            lost += means[run, step].max() - means[run, step, arm]
            regret[run, step] = lost
    return regret


@compiled
def sliding_window_ucb(
    means: Float[np.ndarray, "runs steps arms"], *, window: int, exploration: float, seed: int
) -> Float[np.ndarray, "runs steps"]:
    """Sliding-window UCB: only the latest pulls count (Garivier & Moulines 2011, Fig. 2); see `restarted_ucb`.

    An arm's bound is its average in the window plus sqrt(xi ln(min(t, window)) / N).
    """
    runs, steps, arms = means.shape
    regret = np.empty((runs, steps))
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        sums, counts, lost = np.zeros(arms), np.zeros(arms), 0.0
        pulled, rewards = np.zeros(window, dtype=np.int64), np.zeros(window)
        for step in range(steps):
            place = step % window
            if step >= window:
                sums[pulled[place]] -= rewards[place]
                counts[pulled[place]] -= 1
            arm = hopeful_arm(sums, counts, np.sqrt(exploration), min(step + 1, window))
            pulled[place], rewards[place] = arm, np.random.random() < means[run, step, arm]
            sums[arm] += rewards[place]
            counts[arm] += 1
            lost += means[run, step].max() - means[run, step, arm]
            regret[run, step] = lost
    return regret


@compiled
def cusum_ucb(
    means: Float[np.ndarray, "runs steps arms"],
    *,
    first: int,
    tolerance: float,
    threshold: float,
    forced: float,
    exploration: float,
    seed: int,
) -> tuple[Float[np.ndarray, "runs steps"], Bool[np.ndarray, "runs steps"]]:
    """CUSUM-UCB: an arm is forgotten when sums of its deviations say that it changed (Liu, Lee & Shroff 2018, Alg. 1-3).

    Args:
        means: each arm's chance of a reward of 1 at each step.
        first: pulls after a restart whose average is what later rewards are held against (M).
        tolerance: deviations up to this size are no change (epsilon).
        threshold: of either sum of deviations, at which an arm is forgotten (h).
        forced: share of pulls at random (alpha), as a change of an arm that isn't pulled can't be seen.
        exploration: xi, as in `restarted_ucb`.
        seed: of all randomness; each run has its own stream.

    Returns:
        The regret so far, and at which steps an alarm was raised.
    """
    runs, steps, arms = means.shape
    regret, alarms = np.empty((runs, steps)), np.zeros((runs, steps), dtype=np.bool_)
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        sums, counts, lost = np.zeros(arms), np.zeros(arms), 0.0
        begun, up, down = np.zeros(arms), np.zeros(arms), np.zeros(arms)
        for step in range(steps):
            by_chance = np.random.random() < forced
            arm = np.random.randint(arms) if by_chance else hopeful_arm(sums, counts, np.sqrt(exploration), counts.sum())
            reward = 1.0 if np.random.random() < means[run, step, arm] else 0.0
            lost += means[run, step].max() - means[run, step, arm]
            regret[run, step] = lost
            sums[arm] += reward
            counts[arm] += 1
            if counts[arm] <= first:
                begun[arm] += reward / first
                continue
            up[arm] = max(0.0, up[arm] + reward - begun[arm] - tolerance)
            down[arm] = max(0.0, down[arm] + begun[arm] - reward - tolerance)
            if max(up[arm], down[arm]) >= threshold:
                alarms[run, step] = True
                sums[arm], counts[arm], begun[arm], up[arm], down[arm] = 0.0, 0.0, 0.0, 0.0, 0.0
    return regret, alarms


@compiled(parallel=True)
def walking_epsilon_greedy(
    runs: int, steps: int, *, arms: int, drift: float, epsilon: float, step_size: float, seed: int
) -> tuple[Float[np.ndarray, "runs steps"], Bool[np.ndarray, "runs steps"]]:
    """Epsilon-greedy where each arm's mean walks at random, all begun at 0 (Sutton & Barto, Exercise 2.5).

    Args:
        runs: independent bandits.
        steps: pulls of each.
        arms: of each.
        drift: standard deviation of each arm's move at each step.
        epsilon: share of pulls at random.
        step_size: how far an estimate moves towards a reward (alpha); 0 takes sample averages, 1/n.
        seed: of all randomness; each run has its own stream.

    Returns:
        Rewards, normal around the arm's mean with variance 1, and whether the arm pulled was the best one at that step.
    """
    rewards, best = np.empty((runs, steps)), np.empty((runs, steps), dtype=np.bool_)
    for run in prange(runs):
        np.random.seed(seed * 1_000_003 + run)
        means, estimates, counts = np.zeros(arms), np.zeros(arms), np.zeros(arms)
        for step in range(steps):
            arm = np.random.randint(arms) if np.random.random() < epsilon else random_argmax(estimates)
            reward = means[arm] + np.random.randn()
            counts[arm] += 1
            estimates[arm] += (step_size if step_size > 0 else 1 / counts[arm]) * (reward - estimates[arm])
            rewards[run, step], best[run, step] = reward, means[arm] == means.max()
            for moved in range(arms):
                means[moved] += drift * np.random.randn()
    return rewards, best


def reflected_walks(*, runs: int, steps: int, arms: int, drift: float, seed: int) -> Float[np.ndarray, "runs steps arms"]:
    """Means that walk at random between 0 and 1, where they are reflected, from even starts.

    Raises:
        UserError: a drift below 0.
    """
    if drift < 0:
        raise UserError(f"the drift is {drift}; give a standard deviation of at least 0")
    generator = np.random.default_rng(seed)
    moves = drift * generator.standard_normal((runs, steps, arms))
    moves[:, 0] = generator.random((runs, arms))
    # Folding a free walk is the same as reflecting it.
    free = moves.cumsum(1) % 2
    return np.where(free > 1, 2 - free, free)


def abrupt(
    levels: Float[np.ndarray, "pieces arms"], begins: tuple[int, ...], *, runs: int, steps: int
) -> Float[np.ndarray, "runs steps arms"]:
    """Means that stay for a while and then jump.

    Args:
        levels: the means of each piece.
        begins: the step at which each piece begins; the first is 0.
        runs: copies, one for each run.
        steps: of each.

    Raises:
        UserError: a mean outside [0, 1], or begins that don't rise from 0, one for each piece.
    """
    if (levels < 0).any() or (levels > 1).any():
        raise UserError("an arm's mean lies outside [0, 1]; rewards are 0 or 1, so give chances")
    if len(begins) != len(levels) or begins[0] != 0 or list(begins) != sorted(set(begins)):
        raise UserError(f"pieces begin at {list(begins)}; give rising steps from 0, one for each of the {len(levels)} pieces")
    piece = np.searchsorted(np.array(begins), np.arange(steps), side="right") - 1
    return np.repeat(levels[piece][None], runs, 0)
