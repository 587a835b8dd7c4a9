"""The linear quadratic regulator: by Riccati's equation and by policy gradient (AJKS, "Linear Quadratic Regulators").

The state moves as x' = A x + B u, a step costs x'Q x + u'R u, and a policy is u = -K x. Costs are summed over all time from a first state
with covariance `start`.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_discrete_lyapunov

from rlhub.core.errors import UserError

Square = Float[np.ndarray, "states states"]
Gain = Float[np.ndarray, "controls states"]
Inputs = Float[np.ndarray, "states controls"]
Way = Literal["gradient", "natural", "gauss-newton"]
Controls = Float[np.ndarray, "controls controls"]


def riccati(A: Square, B: Inputs, Q: Square, R: Controls, *, steps: int = 10_000, tolerance: float = 1e-13) -> tuple[Gain, Square]:  # noqa: N803
    """The best gain and its cost matrix, by value iteration on quadratics until they stay.

    Raises:
        UserError: they don't settle, as where no control steadies the system.
    """
    P = Q
    for _ in range(steps):
        gain = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
        after = Q + A.T @ P @ (A - B @ gain)
        if np.abs(after).max() > 1e100:
            break
        if np.abs(after - P).max() <= tolerance * np.abs(after).max():
            return gain, after
        P = after
    raise UserError("Riccati's iteration doesn't settle; give a system that some control steadies, and costs above zero")


def evaluated(A: Square, B: Inputs, Q: Square, R: Controls, gain: Gain, start: Square) -> tuple[float, Square, Square]:  # noqa: N803
    """A gain's cost, its direction E and the states' summed covariance.

    With P the cost matrix of the gain, E = (R + B'P B) K - B'P A; the gradient is 2 E Sigma (Fazel et al. 2018, Lemma 1).

    Raises:
        UserError: the gain doesn't steady the system, so that its cost is infinite.
    """
    closed = A - B @ gain
    if np.abs(np.linalg.eigvals(closed)).max() >= 1:
        raise UserError("this gain lets the state grow without end; begin with one that steadies the system, or take smaller steps")
    P = solve_discrete_lyapunov(closed.T, Q + gain.T @ R @ gain)
    return float(np.trace(P @ start)), P, solve_discrete_lyapunov(closed, start)


def descend(
    A: Square,  # noqa: N803
    B: Inputs,  # noqa: N803
    Q: Square,  # noqa: N803
    R: Controls,  # noqa: N803
    gain: Gain,
    start: Square,
    *,
    way: Way,
    step_size: float,
    steps: int,
) -> tuple[Float[np.ndarray, " times"], Gain]:
    """Costs before each step down the gradient, and the last gain (Fazel et al. 2018, the model-based case).

    The natural gradient leaves the states' covariance out; Gauss-Newton divides by the curvature too, and with a step of 1 / 2 is policy
    iteration.
    """
    costs = np.empty(steps)
    for step in range(steps):
        costs[step], P, spread = evaluated(A, B, Q, R, gain, start)
        curvature = R + B.T @ P @ B
        direction = curvature @ gain - B.T @ P @ A
        if way == "gradient":
            direction = direction @ spread
        elif way == "gauss-newton":
            direction = np.linalg.solve(curvature, direction)
        gain = gain - step_size * 2 * direction
    return costs, gain
