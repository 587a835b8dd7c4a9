"""Chapter 6: temporal-difference control on gridworlds, and maximization bias."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.progress import track
from rlhub.core.style import INK, colour_of, styled
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.temporal_difference import (
    EXPECTED_SARSA,
    Q_LEARNING,
    SARSA,
    double_q_learning,
    double_q_learning_run,
    td_control,
    td_control_run,
)
from rlhub.foundations.worlds import greedy_path, gridworld, world

METHODS = {"Expected Sarsa": EXPECTED_SARSA, "Q-learning": Q_LEARNING, "Sarsa": SARSA}
CLIFF_MAP = ("............",) * 3 + ("SCCCCCCCCCCG",)
CLIFF = gridworld(CLIFF_MAP, reward=-1.0, goal=-1.0, cliff=-100.0)
WINDS = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
WINDY_MAP = ("..........",) * 3 + ("S......G..",) + ("..........",) * 3
WINDY = gridworld(WINDY_MAP, reward=-1.0, goal=-1.0, wind=WINDS)


def add_map(drawn: go.Figure, rows: Sequence[str], paths: dict[str, list[int]], *, row: int, col: int) -> None:
    """Draw a gridworld with the paths taken through it into a panel."""
    shades = [[{"#": 0.8, "C": 0.5}.get(cell, 0.0) for cell in line] for line in rows]
    scale = [[0, "#eef1f4"], [1, "#444444"]]
    drawn.add_trace(
        go.Heatmap(z=shades, zmin=0, zmax=1, colorscale=scale, showscale=False, xgap=1, ygap=1, hoverinfo="skip"), row=row, col=col
    )
    for place, (name, path) in enumerate(paths.items()):
        down, right = np.divmod(path, len(rows[0]))
        # Paths over the same cells stay apart by a little.
        aside = 0.12 * (place - (len(paths) - 1) / 2)
        line = {"color": colour_of("", place), "width": 3}
        drawn.add_trace(
            go.Scatter(x=right + aside, y=down + aside, mode="lines", line=line, name=name, legendgroup=name, showlegend=False),
            row=row,
            col=col,
        )
    for y, line_of in enumerate(rows):
        for x, cell in enumerate(line_of):
            if cell in "SG":
                drawn.add_annotation(x=x, y=y, text=f"<b>{cell}</b>", showarrow=False, font={"color": INK, "size": 16}, row=row, col=col)
    drawn.update_xaxes(visible=False, row=row, col=col)
    drawn.update_yaxes(visible=False, autorange="reversed", row=row, col=col)


def performance(*, runs: int = 50_000, seed: int = 0, episodes: int = 100_000, step_sizes: int = 19) -> Results:
    """Return an episode for each step size: over the first 100 episodes of `runs` learners, and over all of 10 long ones.

    The curves look the same from a tenth of the book's many learners, in a fifth of the minutes.
    """
    alphas, few = np.linspace(0.1, 1.0, step_sizes), min(10, max(5, runs // 5000))
    about = f"interim: first 100 episodes of {runs} learners; asymptotic: {episodes:,} episodes of {few}"
    found: dict[str, Any] = {"alpha": alphas, "about": about}
    curves = list(product(METHODS, (("interim", runs, 100), ("asymptotic", few, episodes))))
    for name, (kind, _, _) in curves:
        found[f"{kind} {name}"] = np.zeros(step_sizes)
    for (name, (kind, times, long)), place in track(list(product(curves, range(step_sizes))), "curves of 6.3"):
        shared: dict[str, Any] = {"backup": METHODS[name], "epsilon": 0.1, "discount": 1.0, "seed": seed}
        returns, _, _ = td_control(CLIFF, runs=times, episodes=long, step_size=alphas[place], **shared)
        found[f"{kind} {name}"][place] = returns.mean()
    return found


def draw_performance(results: Results) -> go.Figure:
    """Sum of rewards an episode against the step size: dashes for interim, lines for asymptotic performance."""
    drawn = go.Figure()
    for place, method in enumerate(METHODS):
        for kind, dash in (("asymptotic", "solid"), ("interim", "dash")):
            line = {"color": colour_of("", place), "dash": dash}
            name = f"{method}, {kind}"
            drawn.add_trace(go.Scatter(x=results["alpha"], y=results[f"{kind} {method}"], name=name, mode="lines+markers", line=line))
    drawn.update_xaxes(title_text="step size")
    drawn.update_yaxes(title_text="sum of rewards per episode", range=[-160, 0])
    last = float(results["asymptotic Sarsa"][-1])
    if last < -160:
        note = {"xanchor": "right", "yanchor": "bottom", "showarrow": False, "font": {"size": 12}}
        drawn.add_annotation(x=0.96, y=-158, text=f"Sarsa, asymptotic, falls to {last:.0f} at step size 1", **note)
    title = f"Figure 6.3: interim and asymptotic performance on cliff walking<br><sup>{results['about']}</sup>"
    return styled(drawn, title=title, width=900)


def tell_performance(results: Results) -> dict[str, float]:
    """The returns at the smallest and the largest step size, and the best."""
    places = {"smallest alpha": 0, "largest alpha": -1}
    curves = {name: curve for name, curve in results.items() if name not in ("alpha", "about")}
    told = {f"{name}, {where}": float(curve[place]) for name, curve in curves.items() for where, place in places.items()}
    return told | {f"{name}, best": float(curve.max()) for name, curve in curves.items()}


def cliff(*, runs: int = 100, seed: int = 0) -> Results:
    """Returns of Sarsa and Q-learning while they learn, and the greedy path of their values, averaged over runs."""
    found: dict[str, Any] = {}
    for name in ("Sarsa", "Q-learning"):
        settings: dict[str, Any] = {"runs": runs, "episodes": 500, "step_size": 0.5, "epsilon": 0.1, "discount": 1.0, "seed": seed}
        returns, _, values = td_control(CLIFF, backup=METHODS[name], **settings)
        found[name] = {"returns": returns.mean(0), "path": greedy_path(CLIFF, values.mean(0), most=100)}
    return found


def draw_cliff(results: Results) -> go.Figure:
    """The cliff and both paths above, the sum of rewards by episode below."""
    drawn = make_subplots(2, 1, row_heights=[0.4, 0.6], vertical_spacing=0.06)
    add_map(drawn, CLIFF_MAP, {name: one["path"] for name, one in results.items()}, row=1, col=1)
    drawn.add_annotation(x=5.5, y=3, text="the cliff: -100, back to S", showarrow=False, font={"color": "white"}, row=1, col=1)
    for place, (name, one) in enumerate(results.items()):
        line = {"color": colour_of("", place), "width": 1.5}
        drawn.add_trace(go.Scatter(y=one["returns"], name=name, legendgroup=name, mode="lines", line=line), row=2, col=1)
    drawn.update_xaxes(title_text="episodes", row=2, col=1)
    drawn.update_yaxes(title_text="sum of rewards during episode", range=[-100, 0], row=2, col=1)
    return styled(drawn, title="Example 6.6: Sarsa goes around the cliff, Q-learning along it", width=800, height=720)


def tell_cliff(results: Results) -> dict[str, float]:
    """The return at the end, the length of the path, and how many of its cells lie on the cliff's edge."""
    told = {}
    for name, one in results.items():
        told[f"return over the last 100 episodes, {name}"] = float(one["returns"][-100:].mean())
        told[f"moves on the greedy path, {name}"] = float(len(one["path"]) - 1)
        told[f"cells at the edge, {name}"] = float(sum(24 < state < 35 for state in one["path"]))
    return told


def windy(*, runs: int = 30, seed: int = 0) -> Results:
    """Sarsa's steps in the wind, and the greedy path of its values, averaged over runs."""
    settings: dict[str, Any] = {"runs": runs, "episodes": 200, "step_size": 0.5, "epsilon": 0.1, "discount": 1.0, "seed": seed}
    _, lengths, values = td_control(WINDY, backup=SARSA, **settings)
    return {"steps": lengths.cumsum(1).mean(0), "lengths": lengths.mean(0), "path": greedy_path(WINDY, values.mean(0), most=100)}


def draw_windy(results: Results) -> go.Figure:
    """Episodes against time steps, as the slope tells how fast the goal is reached, and the path."""
    drawn = make_subplots(1, 2, column_widths=[0.55, 0.45], horizontal_spacing=0.06)
    line = {"color": colour_of("", 0)}
    drawn.add_trace(go.Scatter(x=[0, *results["steps"]], y=np.arange(201), mode="lines", line=line, showlegend=False), row=1, col=1)
    add_map(drawn, WINDY_MAP, {"Sarsa": results["path"]}, row=1, col=2)
    for column, strength in enumerate(WINDS):
        drawn.add_annotation(x=column, y=6.9, text=f"{strength}", showarrow=False, row=1, col=2)
    drawn.update_xaxes(title_text="time steps", range=[0, 8000], row=1, col=1)
    drawn.update_yaxes(title_text="episodes", range=[0, 170], row=1, col=1)
    return styled(drawn, title="Example 6.5: Sarsa in the windy gridworld; below each column its wind", width=1050, height=460)


def tell_windy(results: Results) -> dict[str, float]:
    """How long an episode is at the end, and the greedy path's length; 15 is the least possible."""
    done = float(np.searchsorted(results["steps"], 8000))
    return {
        "steps per episode, last 50": float(results["lengths"][-50:].mean()),
        "moves on the greedy path": float(len(results["path"]) - 1),
        "episodes in 8000 steps": done,
    }


def biased(*, arms: int = 10) -> Any:
    """The task of Figure 6.5: from A, right ends with 0; left leads to B, whose many actions end with rewards of mean -0.1."""
    following = np.full((3, arms, 1), 2)
    following[0, 0] = 1
    rewards, spread = np.zeros((3, arms, 1)), np.zeros((3, arms))
    rewards[1], spread[1] = -0.1, 1.0
    return world(following, rewards, ends=(2,), start=0, spread=spread, choices=np.array([2, arms, arms]))


def maximization(*, runs: int = 10_000, seed: int = 0) -> Results:
    """How often left is taken in A, by episode; an episode that goes left is two steps long."""
    settings: dict[str, Any] = {"runs": runs, "episodes": 300, "step_size": 0.1, "epsilon": 0.1, "discount": 1.0, "seed": seed}
    single = td_control(biased(), backup=Q_LEARNING, **settings)[1]
    double = double_q_learning(biased(), **settings)[1]
    return {"Q-learning": 100 * (single == 2).mean(0), "Double Q-learning": 100 * (double == 2).mean(0)}


def draw_maximization(results: Results) -> go.Figure:
    """Left choices in percent against episodes, with the 5% of a learner that knows better."""
    drawn = go.Figure(
        [
            go.Scatter(x=np.arange(1, 301), y=share, name=name, mode="lines", line={"color": colour_of("", place)})
            for place, (name, share) in enumerate(results.items())
        ]
    )
    drawn.add_hline(y=5, line={"dash": "dash", "color": INK}, annotation_text="optimal", annotation_position="bottom left")
    drawn.update_xaxes(title_text="episodes", range=[0, 300])
    drawn.update_yaxes(title_text="left actions from A, %", range=[0, 100])
    return styled(drawn, title="Figure 6.5: maximization bias in Q-learning and Double Q-learning", width=820)


def tell_maximization(results: Results) -> dict[str, float]:
    """The largest share of left choices, and that over the last 20 episodes."""
    told = {f"left at most, %, {name}": float(share.max()) for name, share in results.items()}
    return told | {f"left at the end, %, {name}": float(share[-20:].mean()) for name, share in results.items()}


CLIFF_WALKING = Exhibit(
    key="6.4",
    title="Sarsa and Q-learning at the cliff",
    shows="Q-learning learns the shortest path along the edge and falls off while it explores; Sarsa takes the safe way and earns more",
    runs=100,
    compute=cliff,
    draw=draw_cliff,
    numbers=tell_cliff,
    code=(td_control, td_control_run),
)

EXHIBITS = (
    Exhibit(
        key="6.3",
        title="Interim and asymptotic performance of Sarsa, Q-learning and Expected Sarsa",
        shows="Expected Sarsa earns most at every step size, and in the long run bears 1, where Sarsa falls",
        runs=50_000,
        compute=performance,
        draw=draw_performance,
        numbers=tell_performance,
        code=(td_control, td_control_run),
    ),
    CLIFF_WALKING,
    replace(CLIFF_WALKING, key="example 6.6"),
    Exhibit(
        key="6.5",
        title="Maximization bias",
        shows="Q-learning takes the worse action far oftener than exploration's 5%; Double Q-learning nears that, 7% after 300 episodes",
        runs=10_000,
        compute=maximization,
        draw=draw_maximization,
        numbers=tell_maximization,
        code=(double_q_learning, double_q_learning_run),
    ),
    Exhibit(
        key="example 6.5",
        title="Sarsa in the windy gridworld",
        shows="Sarsa finds the 15 moves that the wind allows while it learns, within a few thousand steps",
        runs=30,
        compute=windy,
        draw=draw_windy,
        numbers=tell_windy,
        code=(td_control, td_control_run),
    ),
)
