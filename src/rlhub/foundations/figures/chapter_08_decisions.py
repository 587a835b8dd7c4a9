"""Chapter 8: planning where the agent is, by real-time dynamic programming and tree search."""

from functools import cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.style import INK, SEQUENTIAL, colour_of, styled
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.figures.chapter_08 import seeds
from rlhub.foundations.racetrack import SMALL_TRACK, Racetrack, racetrack
from rlhub.foundations.real_time_dp import greedy_visits, real_time_dp, value_sweeps
from rlhub.foundations.tree_search import decide_and_act, search
from rlhub.foundations.worlds import gridworld, policy_values

CLIFF = gridworld(("......", "......", "SCCCCG"), reward=0.0, goal=1.0, cliff=-1.0)
SIMULATIONS = (1, 3, 10, 30, 100, 300, 1000)
LONGEST = 60
PLANNER: dict[str, Any] = {"longest": LONGEST, "depth": 30, "discount": 0.9, "exploration": 1.0}


@cache
def small_track() -> Racetrack:
    """The racetrack of Example 8.6."""
    return racetrack(SMALL_TRACK)


def racing(*, runs: int = 25, seed: int = 0, episodes: int = 4000) -> Results:
    """Sweeps over all states of a racetrack, and real-time dynamic programming that updates only where the car goes."""
    track = small_track()
    states = len(track.cars) - 1
    values, sweeps, updates = value_sweeps(track.world, discount=1.0, tolerance=1e-4, most=1000)
    visits, lengths = greedy_visits(track.world, track.starts, values, episodes=100_000, longest=1000, seed=seed)
    learned, counts, steps = zip(
        *(real_time_dp(track.world, track.starts, episodes=episodes, discount=1.0, seed=one) for one in seeds(runs, seed)), strict=True
    )
    return {
        "states": states,
        "relevant": int((visits > 0).sum()),
        "sweeps": sweeps,
        "sweep updates": updates,
        "optimal": -float(values[track.starts].mean()),
        "optimal lengths": lengths,
        "start values": np.array([one[track.starts].mean() for one in learned]),
        "counts": np.array(counts)[:, :-1],
        "lengths": np.array(steps),
    }


def draw_racing(results: Results) -> go.Figure:
    """How long episodes are while RTDP learns, on a scale of powers, and how many updates fall on each cell of the track."""
    drawn = make_subplots(2, 1, row_heights=[0.6, 0.4], vertical_spacing=0.16, subplot_titles=["", "RTDP's updates by cell, per run"])
    lengths = results["lengths"].mean(0)
    line = {"color": colour_of("", 0), "width": 1.5}
    drawn.add_trace(go.Scatter(x=np.arange(1, len(lengths) + 1), y=lengths, mode="lines", line=line, name="RTDP"), row=1, col=1)
    ends = {"x": [1, len(lengths)], "y": [results["optimal"]] * 2, "line": {"color": INK, "dash": "dash"}}
    drawn.add_trace(go.Scatter(mode="lines", name=f"optimal, {results['optimal']:.1f}", **ends), row=1, col=1)
    cells = np.array([[np.nan if cell == "#" else 0.0 for cell in row] for row in SMALL_TRACK])
    np.add.at(cells, tuple(small_track().cars[:-1, :2].T), results["counts"].mean(0))
    scale = [list(one) for one in SEQUENTIAL]
    bar = {"title": "updates", "tickvals": [0, 1, 2, 3, 4], "ticktext": ["1", "10", "100", "1,000", "10,000"], "len": 0.4, "y": 0.16}
    shown = np.log10(np.maximum(cells, 1))
    drawn.add_trace(go.Heatmap(z=shown, colorscale=scale, xgap=1, ygap=1, colorbar=bar, name="updates"), row=2, col=1)
    drawn.update_xaxes(title_text="episodes", type="log", dtick=1, row=1, col=1)
    drawn.update_yaxes(title_text="steps to the finish line", type="log", dtick=1, row=1, col=1)
    drawn.update_xaxes(visible=False, row=2, col=1)
    drawn.update_yaxes(visible=False, autorange="reversed", scaleanchor="x2", row=2, col=1)
    for x, y, text in ((0, 4.1, "start"), (33, -0.9, "finish")):
        drawn.add_annotation(x=x, y=y, text=text, showarrow=False, row=2, col=1)
    styled(drawn, title="Example 8.6: real-time dynamic programming on a racetrack", width=880, height=760)
    return drawn.update_layout(legend={"x": 0.98, "xanchor": "right", "y": 0.98})


def tell_racing(results: Results) -> dict[str, float]:
    """The rows of the book's table."""
    counts = results["counts"]
    return {
        "states": float(results["states"]),
        "relevant states": float(results["relevant"]),
        "DP, sweeps": float(results["sweeps"]),
        "DP, updates": float(results["sweep updates"]),
        "DP, steps to the finish": float(results["optimal lengths"].mean()),
        "RTDP, episodes": float(results["lengths"].shape[1]),
        "RTDP, updates": float(counts.sum(1).mean()),
        "RTDP, updates per episode": float(results["lengths"].mean()),
        "RTDP, steps to the finish": float(results["lengths"][:, -500:].mean()),
        "RTDP, % of states updated at most 100 times": float(100 * (counts <= 100).mean()),
        "RTDP, % of states updated at most 10 times": float(100 * (counts <= 10).mean()),
        "RTDP, % of states never updated": float(100 * (counts == 0).mean()),
        "RTDP, error of the start's value": float(np.abs(results["start values"] + results["optimal"]).mean()),
    }


def deciding(*, runs: int = 10, seed: int = 0) -> Results:
    """Moves to the goal along a small cliff, by simulations before each move, with a tree and with rollouts alone."""
    found: dict[str, Any] = {"simulations": SIMULATIONS}
    found["random"] = decide_and_act(CLIFF, runs=runs, simulations=0, grow=False, seed=seed, **PLANNER)
    for name, grow in (("tree search", True), ("rollouts", False)):
        moves = [decide_and_act(CLIFF, runs=runs, simulations=many, grow=grow, seed=seed, **PLANNER) for many in SIMULATIONS]
        found[name] = np.array(moves)
    return found


def draw_deciding(results: Results) -> go.Figure:
    """Mean moves with their standard error against simulations."""
    drawn = go.Figure()
    names = {"tree search": "Monte Carlo tree search", "rollouts": "rollout algorithm: the same without a tree"}
    for place, (name, words) in enumerate(names.items()):
        moves = results[name]
        error = {"array": moves.std(1) / np.sqrt(moves.shape[1])}
        line = {"color": colour_of("", place), "width": 2}
        drawn.add_trace(go.Scatter(x=results["simulations"], y=moves.mean(1), error_y=error, name=words, mode="lines+markers", line=line))
    for y, text in ((7, "fewest possible: 7"), (float(results["random"].mean()), "random actions")):
        drawn.add_hline(y=y, line={"dash": "dash", "color": "#888888"}, annotation_text=text, annotation_position="top right")
    drawn.update_xaxes(title_text="simulations before each move", type="log", dtick=1)
    drawn.update_yaxes(title_text=f"moves to the goal, at most {LONGEST}", range=[0, LONGEST + 3])
    drawn.update_layout(legend={"x": 0.02, "y": 0.2, "yanchor": "bottom"})
    return styled(drawn, title="Section 8.11: what planning at decision time buys beside a cliff")


def tell_deciding(results: Results) -> dict[str, float]:
    """Moves with few and with many simulations, and the random policy's value at the start, which rollouts see."""
    told = {"moves, random": float(results["random"].mean())}
    for name in ("tree search", "rollouts"):
        for place in (2, -1):
            told[f"moves, {name}, {results['simulations'][place]} simulations"] = float(results[name][place].mean())
    random = policy_values(CLIFF, np.full(CLIFF.spread.shape, 0.25), discount=0.9)
    return told | {"value of random actions at the start": float(random[CLIFF.start])}


EXHIBITS = (
    Exhibit(
        key="example 8.6",
        title="Real-time dynamic programming on a racetrack",
        shows="RTDP finds a policy as good as that of sweeps with a fraction of the updates, most of which fall on few states",
        runs=25,
        compute=racing,
        draw=draw_racing,
        numbers=tell_racing,
        code=(real_time_dp, value_sweeps),
    ),
    Exhibit(
        key="example 8.11",
        title="Monte Carlo tree search beside a cliff",
        shows="more simulations bring a tree search near the fewest moves; rollouts alone, which go on at random, shun the way",
        runs=10,
        compute=deciding,
        draw=draw_deciding,
        numbers=tell_deciding,
        code=(search,),
    ),
)
