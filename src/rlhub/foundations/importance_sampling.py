"""Importance sampling whose estimates have infinite variance (Sutton & Barto 2018, example 5.5)."""

import numpy as np
from jaxtyping import Float, Int
from numba import prange

from rlhub.foundations.compiled import compiled


@compiled(parallel=True)
def left_or_right(marks: Int[np.ndarray, " marks"], runs: int, seed: int) -> Float[np.ndarray, "runs marks"]:
    """Ordinary importance sampling of a value that is 1, from episodes that go left or right evenly.

    Right ends an episode with 0; left comes back with probability 0.9 and else ends it with 1. The target policy always goes left.

    Args:
        marks: after how many episodes estimates are read, in order.
        runs: independent estimates.
        seed: of all randomness; each run has its own stream.
    """
    estimates = np.empty((runs, len(marks)))
    for run in prange(runs):
        np.random.seed(seed * 1_000_003 + run)
        # Ten episodes of eleven go right at last and add 0: how many come before the next that ends on the left is drawn at once.
        total, next_left = 0.0, np.random.geometric(1 / 11)
        for place in range(len(marks)):
            while next_left <= marks[place]:
                # All its moves were to the left, n of them with a chance in proportion to (0.5 * 0.9)^n; its ratio is 1 / 0.5^n.
                total += 2.0 ** np.random.geometric(1 - 0.5 * 0.9)
                next_left += np.random.geometric(1 / 11)
            estimates[run, place] = total / marks[place]
    return estimates
