"""Bases for linear methods: from points to tables of features (Sutton & Barto, Sec. 9.3 and 9.5)."""

from itertools import product

import numpy as np
from jaxtyping import Float, Int

from rlhub.core.errors import UserError


def exponents(dimensions: int, order: int) -> Int[np.ndarray, "features dimensions"]:
    """All vectors of whole numbers from 0 to an order: (order + 1) ** dimensions of them, the constant first.

    Raises:
        UserError: the order is negative.
    """
    if order < 0:
        raise UserError(f"a basis of order {order} has no features: give an order of at least 0")
    return np.array(list(product(range(order + 1), repeat=dimensions))).reshape(-1, dimensions)


def polynomial_basis(points: Float[np.ndarray, "points dimensions"], order: int) -> Float[np.ndarray, "points features"]:
    """Products of powers of a point's coordinates, each power up to the order (eq. 9.17)."""
    return np.prod(points[:, None, :] ** exponents(points.shape[1], order)[None], axis=2)


def fourier_basis(points: Float[np.ndarray, "points dimensions"], order: int) -> Float[np.ndarray, "points features"]:
    """Cosines of up to `order` half periods along each side of the unit box (eq. 9.18)."""
    return np.cos(np.pi * points @ exponents(points.shape[1], order).T)


def aggregation(states: int, groups: int) -> Float[np.ndarray, "states groups"]:
    """One feature a group of neighbouring states, 1 inside and 0 elsewhere (Sec. 9.3).

    Raises:
        UserError: the states don't divide into that many equal groups.
    """
    if groups < 1 or states % groups:
        raise UserError(f"{states} states don't divide into {groups} equal groups: give a number of groups that divides them")
    return np.kron(np.eye(groups), np.ones((states // groups, 1)))


def interval_features(
    points: Float[np.ndarray, " points"], centres: Float[np.ndarray, " features"], width: float
) -> Float[np.ndarray, "points features"]:
    """One feature an interval on the line, 1 where a point lies within half the width of the centre (coarse coding, Sec. 9.5.3)."""
    return (np.abs(points[:, None] - centres[None]) <= width / 2).astype(float)
