"""Chapter 6: temporal-difference prediction on a random walk."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from rlhub.core.style import colour_of, styled
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.temporal_difference import batch_monte_carlo, batch_td, experience, monte_carlo_prediction, td_prediction
from rlhub.foundations.worlds import random_walk

RUNS, EPISODES = 100, 100
WALK = random_walk(5, left=0.0, right=1.0)
TRUE = np.arange(1, 6) / 6
EITHER_WAY = np.full((7, 2), 0.5)
FIRST = np.array([0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0])


def errors(values: np.ndarray) -> np.ndarray:
    """Root mean squared error over the five states, averaged over runs: one number after each episode."""
    return np.sqrt(((values[..., 1:6] - TRUE) ** 2).mean(-1)).mean(0)


def walk(*, runs: int = RUNS, seed: int = 0) -> Results:
    """One run's values by TD(0), and the error of TD(0) and Monte Carlo for several step sizes."""
    shared: dict[str, Any] = {"runs": runs, "episodes": EPISODES, "discount": 1.0, "seed": seed}
    one = td_prediction(WALK, EITHER_WAY, FIRST, step_size=0.1, **shared)[0]
    found: dict[str, Any] = {"values": {0: FIRST[1:6]} | {after: one[after - 1, 1:6] for after in (1, 10, 100)}, "TD": {}, "MC": {}}
    begun = errors(FIRST[None, None])
    for name, learn, step_sizes in (
        ("TD", td_prediction, (0.15, 0.1, 0.05)),
        ("MC", monte_carlo_prediction, (0.01, 0.02, 0.03, 0.04)),
    ):
        for step_size in step_sizes:
            values = learn(WALK, EITHER_WAY, FIRST, step_size=step_size, **shared)
            found[name][step_size] = np.concatenate((begun, errors(values)))
    return found


def draw_walk(results: Results) -> go.Figure:
    """Estimated values by state on the left, error by episode on the right."""
    from plotly.subplots import make_subplots

    drawn = make_subplots(1, 2, horizontal_spacing=0.1)
    for place, (after, values) in enumerate((*results["values"].items(), ("true values", TRUE))):
        name = after if after == "true values" else f"after {after} episode{'' if after == 1 else 's'}"
        drawn.add_trace(go.Scatter(x=list("ABCDE"), y=values, name=name, line={"color": colour_of("", place)}), row=1, col=1)
    for method, colour, dashes in (("TD", 0, ("solid", "dash", "dot")), ("MC", 1, ("solid", "dash", "dot", "dashdot"))):
        for dash, (step_size, error) in zip(dashes, results[method].items(), strict=True):
            line = {"color": colour_of("", colour), "dash": dash, "width": 1.8}
            drawn.add_trace(
                go.Scatter(y=error, name=f"{method}, step size {step_size:g}", line=line, mode="lines", legend="legend2"), row=1, col=2
            )
    drawn.update_xaxes(title_text="state", row=1, col=1)
    drawn.update_yaxes(title_text="estimated value", range=[0, 1], row=1, col=1)
    drawn.update_xaxes(title_text="walks / episodes", row=1, col=2)
    drawn.update_yaxes(title_text="RMS error, averaged over states", range=[0, 0.26], row=1, col=2)
    styled(drawn, title="Example 6.2: TD(0) and constant step-size Monte Carlo on the random walk", width=1100, height=480)
    drawn.update_layout(legend={"x": 0.01, "y": 0.99}, legend2={"x": 0.99, "xanchor": "right", "y": 0.99})
    return drawn


def tell_walk(results: Results) -> dict[str, float]:
    """The error after the last episode and the lowest, of each step size."""
    return {
        f"{what} error, {method}, alpha {step_size:g}": float(error[-1] if what == "last" else error.min())
        for method in ("TD", "MC")
        for step_size, error in results[method].items()
        for what in ("last", "lowest")
    }


def batches(*, runs: int = RUNS, seed: int = 0) -> Results:
    """The error of what both methods come to on all episodes so far."""
    moves, rewards, returns = experience(WALK, EITHER_WAY, runs=runs, episodes=EPISODES, discount=1.0, seed=seed)
    return {
        "TD": errors(batch_td(moves, rewards, FIRST, discount=1.0)),
        "MC": errors(batch_monte_carlo(moves, returns, FIRST)),
    }


def draw_batches(results: Results) -> go.Figure:
    """Error against episodes."""
    episodes = np.arange(1, len(results["TD"]) + 1)
    drawn = go.Figure(
        [
            go.Scatter(x=episodes, y=error, name=f"batch {method}", mode="lines", line={"color": colour_of("", place)})
            for place, (method, error) in enumerate(results.items())
        ]
    )
    drawn.update_xaxes(title_text="walks / episodes", range=[0, len(episodes)])
    drawn.update_yaxes(title_text="RMS error, averaged over states", range=[0, 0.25])
    return styled(drawn, title="Figure 6.2: TD(0) and Monte Carlo under batch training", width=760)


def tell_batches(results: Results) -> dict[str, float]:
    """Errors after 10, 50 and 100 episodes."""
    return {f"batch {method} error after {after}": float(error[after - 1]) for method, error in results.items() for after in (10, 50, 100)}


EXHIBITS = (
    Exhibit(
        key="example 6.2",
        title="TD(0) and Monte Carlo on the random walk",
        shows="TD(0) learns the walk's values with less error than constant step-size Monte Carlo at every step size shown",
        runs=RUNS,
        compute=walk,
        draw=draw_walk,
        numbers=tell_walk,
        code=(td_prediction, monte_carlo_prediction),
    ),
    Exhibit(
        key="6.2",
        title="Batch TD(0) and batch Monte Carlo",
        shows="on the same episodes, gone through until nothing changes, TD(0) has the lower error: it uses that states are Markov",
        runs=RUNS,
        compute=batches,
        draw=draw_batches,
        numbers=tell_batches,
        code=(batch_td, batch_monte_carlo),
    ),
)
