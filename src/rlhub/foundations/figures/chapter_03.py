"""Chapter 3: a gridworld's values, under a random policy and under the best."""

import numpy as np
import plotly.graph_objects as go

from rlhub.core.style import SEQUENTIAL, styled
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.gridworlds import ARROWS, leaping_gridworld
from rlhub.foundations.mdp import greedy_actions, policy_iteration, policy_values


def random_policy(*, runs: int = 1, seed: int = 0) -> Results:
    """The values of moving at random, exactly; neither runs nor seed matter."""
    grid = leaping_gridworld()
    return {"values": policy_values(grid, grid.uniform_policy()).reshape(5, 5)}


def best_policy(*, runs: int = 1, seed: int = 0) -> Results:
    """The optimal values and all optimal moves, exactly; neither runs nor seed matter."""
    grid = leaping_gridworld()
    *_, (_, values) = policy_iteration(grid, np.zeros(25, dtype=int))
    return {"values": values.reshape(5, 5), "moves": greedy_actions(grid, values).reshape(5, 5, 4)}


def table(values: np.ndarray, words: list[list[str]]) -> go.Heatmap:
    """A grid with something written in each cell, darker where it is worth more."""
    scale = [list(one) for one in SEQUENTIAL[:-1]] + [[1.0, "#4393c3"]]
    written = {"text": words, "texttemplate": "%{text}", "textfont_size": 17}
    return go.Heatmap(z=values, colorscale=scale, showscale=False, xgap=2, ygap=2, **written)


def draw_random_policy(results: Results) -> go.Figure:
    """The grid with each cell's value."""
    values = results["values"]
    drawn = go.Figure(table(values, [[f"{value:.1f}" for value in row] for row in values]))
    return squared(styled(drawn, title="Figure 3.2: values under the equiprobable random policy", width=480, height=500))


def draw_best_policy(results: Results) -> go.Figure:
    """Optimal values on the left, optimal moves on the right."""
    from plotly.subplots import make_subplots

    values = results["values"]
    arrows = [["".join(arrow for arrow, good in zip(ARROWS, cell, strict=True) if good) for cell in row] for row in results["moves"]]
    drawn = make_subplots(1, 2, subplot_titles=("v*", "π*"), horizontal_spacing=0.05)
    drawn.add_trace(table(values, [[f"{value:.1f}" for value in row] for row in values]), row=1, col=1)
    drawn.add_trace(table(values, arrows), row=1, col=2)
    return squared(styled(drawn, title="Figure 3.5: optimal values and policies of the gridworld", width=860, height=500))


def squared(drawn: go.Figure) -> go.Figure:
    """The grid with its first row on top and without ticks."""
    drawn.update_xaxes(showticklabels=False, ticks="", showgrid=False, zeroline=False, showline=False)
    drawn.update_yaxes(showticklabels=False, ticks="", showgrid=False, zeroline=False, showline=False, autorange="reversed")
    return drawn


def tell_values(results: Results) -> dict[str, float]:
    """The values of the cells that leap, and of the worst."""
    values = results["values"]
    return {"value of A": float(values[0, 1]), "value of B": float(values[0, 3]), "lowest value": float(values.min())}


EXHIBITS = (
    Exhibit(
        key="3.2",
        title="A gridworld under the random policy",
        shows="A is worth less than the 10 that it earns, as it leads to the edge; B is worth more than its 5, as it leads to the middle",
        runs=1,
        compute=random_policy,
        draw=draw_random_policy,
        numbers=tell_values,
        code=(policy_values, leaping_gridworld),
    ),
    Exhibit(
        key="3.5",
        title="Optimal values and policies of the gridworld",
        shows="the best policies go to A again and again: 10 every five steps is worth 24.4",
        runs=1,
        compute=best_policy,
        draw=draw_best_policy,
        numbers=tell_values,
        code=(policy_iteration, leaping_gridworld),
    ),
)
