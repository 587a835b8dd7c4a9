"""Fitted Q iteration: errors fall with data like 1 / sqrt(n), and grow like sqrt(C) where data is rare."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from rlhub.foundations.exact_planning import optimal_values
from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.fitted_q import draw_data, fitted_q, regression_errors
from rlhub.foundations.rates import Curve, Panel, drawn_panels, interval, slope
from rlhub.foundations.small_mdps import random_mdp

STATES, ACTIONS, STEPS, RUNS = 10, 2, 100, 20


def weights_of(concentrability: float) -> Float[np.ndarray, "states actions"]:
    """A data distribution that gives every pair of the first half of the states 1 / C, and the others the rest evenly.

    C is the concentrability coefficient: no distribution over states and actions is more than C times the data's.
    """
    half = STATES // 2 * ACTIONS
    weights = np.full((STATES, ACTIONS), (1 - half / concentrability) / half)
    weights[: STATES // 2] = 1 / concentrability
    return weights


def fitted_errors(*, runs: int = RUNS, seed: int = 0, gamma: float = 0.8) -> Results:
    """The largest errors of Q for more and more data, and for data that is rarer and rarer in half of the states."""
    check_runs(runs)
    mdp = random_mdp(STATES, ACTIONS, seed=seed, gamma=gamma)
    exact = optimal_values(mdp)
    even = float(STATES * ACTIONS)
    sizes, spreads = np.geomspace(1000, 1_000_000, 7).round(), np.geomspace(even, 64 * even, 7)
    settings = [(int(size), even) for size in sizes] + [(300_000, spread) for spread in spreads]
    errors, bounds = np.empty((len(settings), runs)), np.empty((len(settings), runs))
    generator = np.random.default_rng(seed)
    for place, (size, spread) in enumerate(settings):
        weights = weights_of(spread)
        for run in range(runs):
            iterates = fitted_q(draw_data(mdp.transitions, weights, size, generator), mdp.rewards, gamma, STEPS)
            missed = regression_errors(mdp, iterates, weights).max()
            errors[place, run] = np.abs(iterates[-1] - exact).max()
            bounds[place, run] = (np.sqrt(spread) * missed + gamma**STEPS) / (1 - gamma)
    return {"sizes": sizes, "spreads": spreads, "errors": errors, "bounds": bounds}


def draw_fitted(results: Results) -> go.Figure:
    """Errors against data and against concentrability, on log axes."""
    sizes, spreads, errors, bounds = results["sizes"], results["spreads"], results["errors"].T, results["bounds"].mean(1)
    count, panels = len(sizes), []
    for x, part, title, x_title, predicted in (
        (sizes, slice(count), f"evenly spread data, C = {spreads[0]:.0f}: 1/√n", "transitions in the data, n", "-1/2"),
        (spreads, slice(count, None), "300,000 transitions, half of the states rarer: √C", "concentrability C", "1/2"),
    ):
        curves = [
            Curve(name="largest error of Q", x=x, y=errors[:, part].mean(0), spread=interval(errors[:, part]), marks=True, colour=0,
                  predicted=predicted),
            Curve(name="bound (√C x regression error + γᵏ) / (1 - γ)", x=x, y=bounds[part], bound=True, colour=0,
                  predicted=predicted),
        ]  # fmt: skip
        panels.append(Panel(title=title, x_title=x_title, y_title="error, in value", curves=curves))
    return drawn_panels("Fitted Q iteration: less error with more data, more where data is rare", panels)


def tell_fitted(results: Results) -> dict[str, float]:
    """Slopes and the largest share of the bound."""
    count, errors = len(results["sizes"]), results["errors"].mean(1)
    return {
        "slope of the error in n": slope(results["sizes"], errors[:count]),
        "slope of the error in C": slope(results["spreads"], errors[count:]),
        "largest share of the bound": float((results["errors"] / results["bounds"]).max()),
    }


EXHIBITS = (
    Exhibit(
        key="fitted-q",
        title="Fitted Q iteration and concentrability",
        shows="errors fall like 1 / sqrt(n) with data and grow like sqrt(C) where the data covers a part of the states thinly",
        runs=RUNS,
        compute=fitted_errors,
        draw=draw_fitted,
        numbers=tell_fitted,
        code=(fitted_q, regression_errors),
    ),
)
