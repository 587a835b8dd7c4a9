"""Chapter 9: on-policy prediction with approximation, on the 1000-state random walk."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from rlhub.core.style import colour_of, styled
from rlhub.foundations.bases import aggregation, fourier_basis, interval_features, polynomial_basis
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.linear_prediction import (
    Walks,
    gradient_monte_carlo,
    n_step_td,
    random_walks,
    root_mean_square_error,
    td_fixed_point,
    walk_truth,
)
from rlhub.foundations.tiles import active_tiles, tile_coding, tile_features

STATES, JUMP = 1000, 100
EPISODES, EVERY = 5000, 50
LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
STEP_SIZES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ORDERS = (5, 10, 20)
SIZES = (10, 40, 160, 640, 2560, 10240)
# Whole multiples of the distance between centres, so that as many features are present at every point away from the ends.
WIDTHS = {"narrow": 0.12, "medium": 0.32, "broad": 0.72}


def state_values(*, runs: int = 1, seed: int = 0, episodes: int = 100_000, step_size: float = 2e-5) -> Results:
    """Gradient Monte Carlo with ten groups of a hundred states."""
    features = aggregation(STATES, 10)
    values, weighting = walk_truth(STATES, JUMP)
    weights = np.zeros((runs, 10))
    for run in range(runs):
        walks = random_walks(states=STATES, jump=JUMP, episodes=episodes, seed=seed, run=run)
        for visited, reward in zip(walks.visited, walks.rewards, strict=True):
            gradient_monte_carlo(weights[run], features, visited, reward, step_size)
    return {"learned": features @ weights.mean(0), "values": values, "weighting": weighting}


def draw_state_values(results: Results) -> go.Figure:
    """True and learned values against states, and the distribution of states on a scale of its own at the right."""
    states = np.arange(1, STATES + 1)
    drawn = go.Figure()
    drawn.add_scatter(x=states, y=results["values"], name="true value", line={"color": "#d55e00"})
    drawn.add_scatter(x=states, y=results["learned"], name="Monte Carlo, 10 groups of states", line={"color": colour_of("", 0)})
    drawn.add_scatter(
        x=states,
        y=results["weighting"],
        name="share of time (right scale)",
        yaxis="y2",
        line={"color": "#888888", "width": 1},
        fill="tozeroy",
    )
    drawn.update_layout(
        xaxis={"title": "state", "range": [1, STATES]},
        yaxis={"title": "value", "range": [-1.05, 1.05]},
        yaxis2={"title": "share of time", "overlaying": "y", "side": "right", "range": [0, 0.0065], "showgrid": False},
        legend={"x": 0.02, "y": 0.98},
    )
    return styled(drawn, title="Figure 9.1: state aggregation on the 1000-state random walk", width=820)


def tell_state_values(results: Results) -> dict[str, float]:
    """How near the values come, and what the state distribution looks like at its middle and edge."""
    learned, values, weighting = (results[name] for name in ("learned", "values", "weighting"))
    return {
        "root mean square value error": float(np.sqrt(weighting @ (learned - values) ** 2)),
        "learned value of the leftmost group": float(learned[0]),
        "true value of state 1": float(values[0]),
        "share of time at the start state": float(weighting[(STATES - 1) // 2]),
        "share of time at its neighbour": float(weighting[(STATES - 1) // 2 + 1]),
        "share of time at state 1": float(weighting[0]),
    }


def bootstrapping(*, runs: int = 100, seed: int = 0, episodes: int = 100_000) -> Results:
    """Where TD(0) with ten groups ends; and with twenty groups, n-step TD's errors over the first ten episodes."""
    coarse, features = aggregation(STATES, 10), aggregation(STATES, 20)
    values, _ = walk_truth(STATES, JUMP)
    weights = np.zeros(10)
    walks = random_walks(states=STATES, jump=JUMP, episodes=episodes, seed=seed)
    for visited, reward in zip(walks.visited, walks.rewards, strict=True):
        n_step_td(weights, coarse, visited, reward, 2e-4, 1)
    errors = np.zeros((len(LENGTHS), len(STEP_SIZES)))
    for run in range(runs):
        walks = random_walks(states=STATES, jump=JUMP, episodes=10, seed=seed + 1, run=run)
        for row, n in enumerate(LENGTHS):
            for column, step_size in enumerate(STEP_SIZES):
                errors[row, column] += mean_error(walks, features, values, step_size, n) / runs
    return {"learned": coarse @ weights, "fixed point": coarse @ td_fixed_point(coarse, JUMP), "values": values, "errors": errors}


def mean_error(walks: Walks, features: Any, values: Any, step_size: float, n: int) -> float:
    """n-step TD's error after an episode, averaged over the episodes."""
    weights, total, alike = np.zeros(features.shape[1]), 0.0, np.full(len(values), 1 / len(values))
    for visited, reward in zip(walks.visited, walks.rewards, strict=True):
        n_step_td(weights, features, visited, reward, step_size, n)
        total += root_mean_square_error(weights, features, values, alike)
    return total / len(walks.rewards)


def draw_bootstrapping(results: Results) -> go.Figure:
    """Left the values, right the errors against step sizes, a curve for each n."""
    from plotly.subplots import make_subplots

    drawn = make_subplots(1, 2, horizontal_spacing=0.1)
    states = np.arange(1, STATES + 1)
    for name, part, colour in (("true value", "values", "#d55e00"), ("TD(0), 10 groups", "learned", colour_of("", 0))):
        drawn.add_scatter(x=states, y=results[part], name=name, line={"color": colour}, row=1, col=1)
    for place, n in enumerate(LENGTHS):
        line = {"color": colour_of("", place), "dash": "dot" if place == len(LENGTHS) - 1 else "solid"}
        drawn.add_scatter(x=STEP_SIZES, y=results["errors"][place], name=f"n = {n}", line=line, row=1, col=2)
    drawn.update_xaxes(title_text="state", row=1, col=1)
    drawn.update_yaxes(title_text="value", range=[-1.05, 1.05], row=1, col=1)
    drawn.update_xaxes(title_text="step size \N{GREEK SMALL LETTER ALPHA}", row=1, col=2)
    drawn.update_yaxes(title_text="RMS error over 1000 states<br>and first 10 episodes", range=[0.24, 0.56], row=1, col=2)
    return styled(drawn, title="Figure 9.2: bootstrapping with state aggregation on the 1000-state random walk", width=1150)


def tell_bootstrapping(results: Results) -> dict[str, float]:
    """Each n's lowest error, and how far TD's values lie from Monte Carlo's best and from the fixed point."""
    lowest = {f"lowest error, n = {n}": float(np.nanmin(row)) for n, row in zip(LENGTHS, results["errors"], strict=True)}
    return {
        "largest distance from TD's fixed point": float(np.abs(results["learned"] - results["fixed point"]).max()),
        "fixed point's value of the leftmost group": float(results["fixed point"][0]),
        "mean true value of the leftmost group": float(results["values"][:100].mean()),
    } | lowest


def learning_curves(features: dict[str, Any], step_sizes: dict[str, float], *, runs: int, seed: int, episodes: int) -> Results:
    """Gradient Monte Carlo's error as episodes go by, for several tables of features on the same walks."""
    values, weighting = walk_truth(STATES, JUMP)
    curves = {name: np.zeros(episodes // EVERY + 1) for name in features}
    for run in range(runs):
        walks = random_walks(states=STATES, jump=JUMP, episodes=episodes, seed=seed, run=run)
        for name, table in features.items():
            weights = np.zeros(table.shape[1])
            curves[name][0] += root_mean_square_error(weights, table, values, weighting) / runs
            for episode, (visited, reward) in enumerate(zip(walks.visited, walks.rewards, strict=True), 1):
                gradient_monte_carlo(weights, table, visited, reward, step_sizes[name])
                if episode % EVERY == 0:
                    curves[name][episode // EVERY] += root_mean_square_error(weights, table, values, weighting) / runs
    return curves


def bases(*, runs: int = 30, seed: int = 0, episodes: int = EPISODES) -> Results:
    """Fourier and polynomial bases of three orders."""
    points = np.arange(1, STATES + 1)[:, None] / STATES
    features = {f"Fourier basis, order {order}": fourier_basis(points, order) for order in ORDERS}
    features |= {f"polynomial basis, order {order}": polynomial_basis(points, order) for order in ORDERS}
    step_sizes = {name: 5e-5 if name.startswith("Fourier") else 1e-4 for name in features}
    return learning_curves(features, step_sizes, runs=runs, seed=seed, episodes=episodes)


def tilings(*, runs: int = 30, seed: int = 0, episodes: int = EPISODES) -> Results:
    """Fifty tilings, each shifted by four states, and one, which is state aggregation; tiles of two hundred states."""
    points = np.arange(STATES, dtype=float)[:, None]
    features = {
        f"{count} tiling{'s' if count > 1 else ', state aggregation'}": tile_features(
            tile_coding([0.0], [float(STATES)], tiles=5, tilings=count), points
        )
        for count in (1, 50)
    }
    step_sizes = {name: 1e-4 / int(name.split()[0]) for name in features}
    return learning_curves(features, step_sizes, runs=runs, seed=seed, episodes=episodes)


def draw_curves(results: Results, title: str) -> go.Figure:
    """Root mean square value errors against episodes."""
    drawn = go.Figure()
    for place, (name, curve) in enumerate(results.items()):
        line = {"color": colour_of("", place % 3 if len(results) > 2 else place), "dash": "dot" if name.startswith("poly") else "solid"}
        drawn.add_scatter(x=np.arange(len(curve)) * EVERY, y=curve, name=name, line=line)
    drawn.update_xaxes(title_text="episodes")
    drawn.update_yaxes(title_text="√VE, averaged over runs", rangemode="tozero")
    return styled(drawn, title=title, width=900)


def tell_curves(results: Results) -> dict[str, float]:
    """Every curve's last error."""
    return {f"error at the end, {name}": float(curve[-1]) for name, curve in results.items()}


def widths(*, runs: int = 1, seed: int = 0) -> Results:
    """A square wave learned from random points with features of three widths."""
    points, centres = (np.arange(400) + 0.5) / 200, (np.arange(50) + 0.5) / 25
    found: dict[str, Any] = {"points": points}
    for name, width in WIDTHS.items():
        table = interval_features(points, centres, width)
        for size in SIZES:
            total = np.zeros(len(points))
            for run in range(runs):
                drawn = np.random.default_rng([seed, run]).uniform(0, 2, size)
                rows, targets = interval_features(drawn, centres, width), ((drawn >= 0.5) & (drawn < 1.5)).astype(float)
                weights = np.zeros(len(centres))
                for row, target in zip(rows, targets, strict=True):
                    weights += 0.2 / row.sum() * (target - row @ weights) * row
                total += table @ weights / runs
            found[f"{name}, {size}"] = total
    return found


def draw_widths(results: Results) -> go.Figure:
    """A column for each width and a row for each number of examples, over the function that is wanted."""
    from plotly.subplots import make_subplots

    titles = [f"{name} features" for name in WIDTHS]
    drawn = make_subplots(
        len(SIZES), 3, shared_xaxes=True, shared_yaxes=True, column_titles=titles, row_titles=[f"{size:,}" for size in SIZES]
    )
    points = results["points"]
    for column, name in enumerate(WIDTHS, 1):
        for row, size in enumerate(SIZES, 1):
            wanted = ((points >= 0.5) & (points < 1.5)).astype(float)
            drawn.add_scatter(x=points, y=wanted, line={"color": "#bbbbbb", "width": 1}, showlegend=False, row=row, col=column)
            line = {"color": colour_of("", column - 1)}
            drawn.add_scatter(x=points, y=results[f"{name}, {size}"], line=line, showlegend=False, row=row, col=column)
    drawn.update_xaxes(showticklabels=False)
    drawn.update_yaxes(showticklabels=False, range=[-0.35, 1.35])
    return styled(drawn, title="Figure 9.8: feature width and generalisation, by number of examples", width=900, height=780)


def tell_widths(results: Results) -> dict[str, float]:
    """How rough the early function is, and how near the last one comes."""
    points = results["points"]
    wanted = (points >= 0.5) & (points < 1.5)
    told = {f"share of points moved after 10 examples, {name}": float((results[f"{name}, 10"] != 0).mean()) for name in WIDTHS}
    return told | {f"mean error after 10,240, {name}": float(np.abs(results[f"{name}, 10240"] - wanted).mean()) for name in WIDTHS}


def draw_bases(results: Results) -> go.Figure:
    """Solid Fourier, dotted polynomial."""
    return draw_curves(results, "Figure 9.5: Fourier and polynomial bases on the 1000-state random walk")


def draw_tilings(results: Results) -> go.Figure:
    """Fifty tilings and one."""
    return draw_curves(results, "Figure 9.10: many tilings and one on the 1000-state random walk")


EXHIBITS = (
    Exhibit(
        key="9.1",
        title="State aggregation on the 1000-state random walk",
        shows="gradient Monte Carlo finds values in steps, each group's drawn to its states that are visited more often",
        runs=1,
        compute=state_values,
        draw=draw_state_values,
        numbers=tell_state_values,
        code=(gradient_monte_carlo,),
    ),
    Exhibit(
        key="9.2",
        title="Bootstrapping with state aggregation on the 1000-state random walk",
        shows="TD(0) rests farther from the true values than Monte Carlo, and n between 4 and 32 learns fastest",
        runs=100,
        compute=bootstrapping,
        draw=draw_bootstrapping,
        numbers=tell_bootstrapping,
        code=(n_step_td, td_fixed_point),
    ),
    Exhibit(
        key="9.5",
        title="Fourier and polynomial bases on the 1000-state random walk",
        shows="Fourier features learn faster than polynomials of the same order",
        runs=30,
        compute=bases,
        draw=draw_bases,
        numbers=tell_curves,
        code=(fourier_basis, polynomial_basis, gradient_monte_carlo),
    ),
    Exhibit(
        key="9.8",
        title="Feature width and generalisation",
        shows="broad features generalise widely at first, and in the end every width learns the function about as well",
        runs=1,
        compute=widths,
        draw=draw_widths,
        numbers=tell_widths,
        code=(interval_features,),
    ),
    Exhibit(
        key="9.10",
        title="Many tilings and one on the 1000-state random walk",
        shows="fifty overlapping tilings end with a lower error than one, at the same speed at first",
        runs=30,
        compute=tilings,
        draw=draw_tilings,
        numbers=tell_curves,
        code=(tile_coding, active_tiles, gradient_monte_carlo),
    ),
)
