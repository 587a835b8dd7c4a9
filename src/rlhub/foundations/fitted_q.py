"""Fitted Q iteration on a fixed data set (Agarwal, Jiang, Kakade & Sun, "Fitted Dynamic Programming Methods"; Munos & Szepesvari 2008)."""

import numpy as np
from jaxtyping import Float

from rlhub.core.errors import UserError
from rlhub.foundations.mdp import MDP, action_values


def draw_data(
    transitions: Float[np.ndarray, "states actions states"],
    weights: Float[np.ndarray, "states actions"],
    samples: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "states actions states"]:
    """How often each state, action and next state is in a data set drawn from a distribution over states and actions.

    Raises:
        UserError: weights are no distribution, or there are no samples.
    """
    if samples < 1 or (weights < 0).any() or not np.isclose(weights.sum(), 1):
        raise UserError(f"{samples} samples from weights that sum to {weights.sum():g}: give at least 1, from a distribution")
    return generator.multinomial(samples, (weights[:, :, None] * transitions).ravel()).reshape(transitions.shape).astype(float)


def fitted_q(
    counts: Float[np.ndarray, "states actions states"], rewards: Float[np.ndarray, "states actions"], discount: float, steps: int
) -> Float[np.ndarray, "times states actions"]:
    """Action values after each regression of reward + discount * next value on states and actions, from zero.

    The functions fitted are all tables, so that a regression is the average of each pair's targets; pairs without data stay at zero.
    """
    seen = counts.sum(-1)
    iterates = np.zeros((steps + 1, *rewards.shape))
    for step in range(steps):
        targets = seen * rewards + discount * counts @ iterates[step].max(1)
        iterates[step + 1] = np.where(seen > 0, targets / np.maximum(seen, 1), 0)
    return iterates


def regression_errors(
    mdp: MDP, iterates: Float[np.ndarray, "times states actions"], weights: Float[np.ndarray, "states actions"]
) -> Float[np.ndarray, " steps"]:
    """How far each regression's result is from the true backup, in the data's own norm (root of the mean square)."""
    backups = np.array([action_values(mdp, one.max(1)) for one in iterates[:-1]])
    return np.sqrt((weights * (iterates[1:] - backups) ** 2).sum((1, 2)))
