"""Chapter 7: n-step bootstrapping, on the 19-state random walk and in a gridworld."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.style import INK, colour_of, styled
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.figures.chapter_06_control import add_map
from rlhub.foundations.figures.chapter_12 import ALPHA, LENGTHS, STEP_SIZES, walk_errors
from rlhub.foundations.linear_prediction import n_step_td
from rlhub.foundations.n_step import (
    N_STEP_EXPECTED_SARSA,
    N_STEP_SARSA,
    Q_SIGMA,
    TREE_BACKUP,
    check_policies,
    n_step_episode,
    n_step_learning,
    q_sigma_return,
    sarsa_return,
    seeded_path,
    tree_backup_return,
)
from rlhub.foundations.worlds import MOVES, gridworld, policy_values, random_walk

STATES, EPISODES = 19, 10
WALK = random_walk(STATES, left=-1.0, right=1.0)
GRID_MAP = (".........", ".........", "..S......", ".........", "......G..", ".........", ".........")
GRID = gridworld(GRID_MAP, reward=0.0, goal=1.0)
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
WAYS = {
    "n-step Sarsa": (N_STEP_SARSA, 1.0),
    "n-step Expected Sarsa": (N_STEP_EXPECTED_SARSA, 1.0),
    f"Q({SIGMA}), {SIGMA} = 0.5": (Q_SIGMA, 0.5),
    f"Q({SIGMA}), {SIGMA} = 1": (Q_SIGMA, 1.0),
    "tree backup": (TREE_BACKUP, 0.0),
}
WALK_LENGTHS, WALK_STEP_SIZES = (1, 2, 4, 8), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
LIKELY_RIGHT = 0.65


def lengths(*, runs: int = 100, seed: int = 0) -> Results:
    """The error of n-step TD over the first ten episodes for each n and step size."""
    return {f"n = {n}": errors for n, errors in walk_errors(n_step_td, LENGTHS, runs=runs, seed=seed).items()}


def draw_lengths(results: Results) -> go.Figure:
    """A curve for each n."""
    drawn = go.Figure()
    for place, (name, errors) in enumerate(results.items()):
        line = {"color": colour_of("", place), "dash": "dot" if place == 9 else "solid"}
        drawn.add_scatter(x=STEP_SIZES, y=errors, name=name, line=line)
    drawn.update_xaxes(title_text=f"step size {ALPHA}", range=[0, 1])
    drawn.update_yaxes(title_text="RMS error, averaged over 19 states and first 10 episodes", range=[0.25, 0.56])
    return styled(drawn, title="Figure 7.2: n-step TD methods on the 19-state random walk", width=860, height=560)


def tell_lengths(results: Results) -> dict[str, float]:
    """Each n's lowest error, which n and step size have the lowest of all."""
    lowest = {name: float(np.nanmin(errors)) for name, errors in results.items()}
    best = min(lowest, key=lambda name: lowest[name])
    told = {f"lowest error, {name}": error for name, error in lowest.items()}
    return told | {"best n": float(best.removeprefix("n = ")), "step size of the best": STEP_SIZES[int(np.nanargmin(results[best]))]}


def strengthened(*, runs: int = 100, seed: int = 0) -> Results:
    """The action values after one first episode, by one-step and 10-step Sarsa on the same path.

    Of so many episodes, the shortest of at least 15 moves is drawn, so that the picture can be read.
    """
    even = np.full((len(GRID.ends), 4), 0.25)
    settings: dict[str, Any] = {"backup": N_STEP_SARSA, "step_size": 0.5, "epsilon": 0.1, "discount": 0.95, "sigma": 1.0}
    settings |= {"on_policy": True, "runs": runs, "episodes": 1, "seed": seed}
    by_one, steps = n_step_learning(GRID, even, even, n=1, **settings)
    by_ten, _ = n_step_learning(GRID, even, even, n=10, **settings)
    shortest = int(np.where(steps[:, 0] >= 15, steps[:, 0], np.iinfo(int).max).argmin())
    # All values were 0 before the end, so the path is that of the random policy, and the same again.
    return {
        "path": seeded_path(GRID, even, seed, shortest).tolist(),
        "one-step Sarsa": by_one[shortest, 0],
        "10-step Sarsa": by_ten[shortest, 0],
        "strengthened": {
            "one-step Sarsa": (by_one[:, 0] > 0).sum((1, 2)).mean(),
            "10-step Sarsa": (by_ten[:, 0] > 0).sum((1, 2)).mean(),
        },
    }


def draw_strengthened(results: Results) -> go.Figure:
    """The path at the left, then an arrow for each action whose value each method has raised, darker where it is higher."""
    names = ("path taken", "action values raised by one-step Sarsa", "action values raised by 10-step Sarsa")
    drawn = make_subplots(1, 3, subplot_titles=names, horizontal_spacing=0.03)
    for col in (1, 2, 3):
        add_map(drawn, GRID_MAP, {"path": results["path"]} if col == 1 else {}, row=1, col=col)
    for col, name in ((2, "one-step Sarsa"), (3, "10-step Sarsa")):
        values = results[name]
        for state, action in np.argwhere(values > 0):
            y, x = divmod(int(state), len(GRID_MAP[0]))
            down, right = MOVES[action]
            drawn.add_annotation(
                x=x + 0.42 * right, y=y + 0.42 * down, ax=x - 0.42 * right, ay=y - 0.42 * down, axref=f"x{col}", ayref=f"y{col}",
                showarrow=True, arrowhead=2, arrowsize=1.2, arrowwidth=2.2, arrowcolor=INK,
                opacity=float(0.35 + 0.65 * values[state, action] / values.max()), row=1, col=col,
            )  # fmt: skip
    drawn.update_xaxes(range=[-0.5, len(GRID_MAP[0]) - 0.5])
    drawn.update_yaxes(autorange=False, range=[len(GRID_MAP) - 0.5, -0.5])
    title = "Figure 7.4: what one episode teaches one-step and 10-step Sarsa"
    return styled(drawn, title=title, width=1180, height=400).update_layout(margin={"t": 90})


def tell_strengthened(results: Results) -> dict[str, float]:
    """How many action values one episode raises, on average and on the path that is drawn, and the path's moves."""
    told = {f"action values raised, {name}": float(mean) for name, mean in results["strengthened"].items()}
    drawn = {f"action values raised on the path drawn, {name}": float((results[name] > 0).sum()) for name in results["strengthened"]}
    return told | drawn | {"moves of the path drawn": float(len(results["path"]) - 1)}


def ways(*, runs: int = 100, seed: int = 0) -> Results:
    """The error in action values over the first ten episodes: the random policy learned from itself, and another from it."""
    even = np.full((STATES + 2, 2), 0.5)
    other = np.tile([1 - LIKELY_RIGHT, LIKELY_RIGHT], (STATES + 2, 1))
    found: dict[str, Any] = {}
    for panel, target in (("on policy", even), ("off policy", other)):
        check_policies(target, even)
        truth = (WALK.rewards[:, :, 0] + policy_values(WALK, target, discount=1.0)[WALK.following[:, :, 0]])[1:-1]
        shared: dict[str, Any] = {"on_policy": False, "runs": runs, "episodes": EPISODES, "epsilon": -1.0, "discount": 1.0, "seed": seed}
        found[panel] = {
            name: {
                n: np.array([
                    np.sqrt(((n_step_learning(WALK, target, even, backup=backup, n=n, step_size=alpha, sigma=sigma, **shared)[0][:, :, 1:-1]
                              - truth) ** 2).mean((2, 3))).mean()
                    for alpha in WALK_STEP_SIZES
                ])
                for n in WALK_LENGTHS
            }
            for name, (backup, sigma) in WAYS.items()
        }  # fmt: skip
    return found


def draw_ways(results: Results) -> go.Figure:
    """Rows on and off policy, a column an n, a curve a method."""
    titles = [f"{panel}, n = {n}" for panel in results for n in WALK_LENGTHS]
    drawn = make_subplots(
        2, len(WALK_LENGTHS), subplot_titles=titles, shared_xaxes=True, shared_yaxes=True, horizontal_spacing=0.02, vertical_spacing=0.1
    )
    for row, curves in enumerate(results.values(), 1):
        for place, (name, by_length) in enumerate(curves.items()):
            line = {"color": colour_of("", place), "dash": "dash" if place == 3 else "solid"}
            for col, errors in enumerate(by_length.values(), 1):
                shown = row == 1 and col == 1
                drawn.add_scatter(x=WALK_STEP_SIZES, y=errors, name=name, legendgroup=name, showlegend=shown, line=line, row=row, col=col)
        drawn.update_yaxes(title_text="RMS error of action values", row=row, col=1)
    for row, range_ in enumerate(([0.2, 0.62], [0.45, 0.98]), 1):
        drawn.update_yaxes(range=range_, row=row)
    drawn.update_xaxes(range=[0, 1.02], dtick=0.25)
    drawn.update_xaxes(title_text=f"step size {ALPHA}", row=2)
    drawn = styled(drawn, title="n-step methods for action values on the 19-state random walk, first 10 episodes", width=1180, height=680)
    return drawn.update_layout(legend={"orientation": "h", "y": -0.12, "x": 0}, margin={"t": 90, "b": 110})


def tell_ways(results: Results) -> dict[str, float]:
    """Each method's lowest error at each n."""
    return {
        f"lowest error {panel}, {name}, n = {n}": float(np.nanmin(errors))
        for panel, curves in results.items()
        for name, by_length in curves.items()
        for n, errors in by_length.items()
    }


EXHIBITS = (
    Exhibit(
        key="7.2",
        title="n-step TD on the 19-state random walk",
        shows="a middle n does best: n = 4, between one step and the whole episode",
        runs=100,
        compute=lengths,
        draw=draw_lengths,
        numbers=tell_lengths,
        code=(n_step_td,),
    ),
    Exhibit(
        key="7.4",
        title="What one episode teaches one-step and 10-step Sarsa",
        shows="one-step Sarsa raises the last action's value alone, 10-step Sarsa those of the last ten moves",
        runs=100,
        compute=strengthened,
        draw=draw_strengthened,
        numbers=tell_strengthened,
        code=(n_step_episode, sarsa_return),
    ),
    Exhibit(
        key="example 7.5",
        title="n-step Sarsa, Expected Sarsa, Q(sigma) and tree backup on the 19-state random walk",
        shows="Expected Sarsa errs less than Sarsa at every n; at n = 8 Q(0.5), half sampled and half expected, errs least in both rows",
        runs=100,
        compute=ways,
        draw=draw_ways,
        numbers=tell_ways,
        code=(n_step_learning, n_step_episode, sarsa_return, tree_backup_return, q_sigma_return),
    ),
)
