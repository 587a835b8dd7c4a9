"""Maximum entropy IRL: the dual's rate under gradient descent, and the error of the expert's features with demonstrations."""

import numpy as np
import plotly.graph_objects as go
from scipy.optimize import minimize

from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.maximum_entropy import demonstrated_features, dual, expected_features, match_features, soft_policy
from rlhub.foundations.rates import Curve, Panel, drawn_panels, interval, slope
from rlhub.foundations.small_mdps import random_mdp

STATES, ACTIONS, DIMENSIONS, HORIZON, STEPS, RUNS = 8, 3, 4, 5, 1000, 20


def recovered(*, runs: int = RUNS, seed: int = 0) -> Results:
    """Descent towards an expert that is softly optimal for hidden weights, and fits to more and more of its demonstrations."""
    check_runs(runs)
    generator = np.random.default_rng(seed)
    transitions = random_mdp(STATES, ACTIONS, seed=seed).transitions
    features = generator.standard_normal((STATES, ACTIONS, DIMENSIONS))
    # Features of length up to 1 make the dual H^2-smooth: its curvature is no more than the largest square of what an episode sums up.
    features /= np.linalg.norm(features, axis=-1).max()
    hidden, start = generator.standard_normal(DIMENSIONS), np.full(STATES, 1 / STATES)
    expert, _ = soft_policy(transitions, features @ hidden, HORIZON)
    target = expected_features(transitions, features, expert, start)
    objectives, _ = match_features(transitions, features, target, start, horizon=HORIZON, step_size=1 / HORIZON**2, steps=STEPS)
    least, _ = dual(transitions, features, hidden, target, start, HORIZON)
    counts, apart, values = np.geomspace(30, 30_000, 7).round(), [], []
    for count in counts:
        for run in range(runs):
            seen = demonstrated_features(transitions, features, expert, start, int(count), seed * 1_000_003 + run)
            found = minimize(
                lambda weights, seen=seen: dual(transitions, features, weights, seen, start, HORIZON), np.zeros(DIMENSIONS), jac=True
            )
            policy, _ = soft_policy(transitions, features @ found.x, HORIZON)
            apart.append(np.linalg.norm(expected_features(transitions, features, policy, start) - target))
            values.append(np.linalg.norm(found.x - hidden))
    shape = (len(counts), runs)
    return {
        "gap": objectives - least,
        "bound": HORIZON**2 * (hidden @ hidden) / (2 * np.arange(1.0, STEPS)),
        "counts": counts,
        "apart": np.reshape(apart, shape),
        "weights": np.reshape(values, shape),
    }


def draw_recovered(results: Results) -> go.Figure:
    """The dual's gap against steps, and errors against demonstrations, on log axes."""
    steps, counts = np.arange(1.0, STEPS), results["counts"]
    apart, weights = results["apart"].T, results["weights"].T
    descent = [
        Curve(name="gap of the dual", x=steps, y=results["gap"][1:], colour=0, predicted="-1 or steeper", fitted=(100.0, 400.0)),
        Curve(name="bound H² ‖w*‖² / 2T", x=steps, y=results["bound"], bound=True, colour=0, predicted="-1"),
    ]
    data = [
        Curve(name="features of the recovered policy", x=counts, y=apart.mean(0), spread=interval(apart), marks=True, colour=1,
              predicted="-1/2"),
        Curve(name="bound on that, H/√n", x=counts, y=HORIZON / np.sqrt(counts), bound=True, colour=1),
        Curve(name="recovered weights", x=counts, y=weights.mean(0), spread=interval(weights), marks=True, colour=2,
              predicted="-1/2"),
    ]  # fmt: skip
    panels = [
        Panel(title="the expert is known: O(1/T) and faster", x_title="steps of descent T", y_title="dual above its least", curves=descent),
        Panel(title="the expert is seen n times: 1/√n", x_title="demonstrations n", y_title="distance from the expert's", curves=data),
    ]
    return drawn_panels("Maximum entropy inverse RL: the dual's descent, and errors with demonstrations", panels)


def tell_recovered(results: Results) -> dict[str, float]:
    """Slopes and shares of the bounds."""
    gap, counts = results["gap"], results["counts"]
    return {
        "slope of the gap in T, 100 to 400": slope(np.arange(100.0, 401), gap[100:401]),
        "largest share of the dual's bound": float((gap[1:] / results["bound"]).max()),
        "slope of the features' distance in n": slope(counts, results["apart"].mean(1)),
        "slope of the weights' distance in n": slope(counts, results["weights"].mean(1)),
        "largest share of the bound on the mean distance": float((results["apart"].mean(1) * np.sqrt(counts) / HORIZON).max()),
    }


EXHIBITS = (
    Exhibit(
        key="maxent-irl",
        title="Maximum entropy inverse RL",
        shows="descent on the dual keeps to O(1 / T), and the policy recovered from n demonstrations is off by 1 / sqrt(n)",
        runs=RUNS,
        compute=recovered,
        draw=draw_recovered,
        numbers=tell_recovered,
        code=(soft_policy, dual, match_features),
    ),
)
