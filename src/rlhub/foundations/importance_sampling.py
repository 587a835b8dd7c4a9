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
        total, done = 0.0, 0
        for place in range(len(marks)):
            while done < marks[place]:
                ratio = 1.0
                while np.random.random() < 0.5:
                    ratio *= 2
                    if np.random.random() < 0.1:
                        total += ratio
                        break
                done += 1
            estimates[run, place] = total / done
    return estimates
