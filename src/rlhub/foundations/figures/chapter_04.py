"""Chapter 4: dynamic programming on a grid, a car rental and a gambler."""

from itertools import islice, pairwise

import numpy as np
import plotly.graph_objects as go

from rlhub.core.style import DIVERGING, SEQUENTIAL, colour_of, styled
from rlhub.foundations.car_rental import MOST_MOVED, car_rental
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.figures.chapter_03 import squared, table
from rlhub.foundations.gambler import gamblers_problem
from rlhub.foundations.gridworlds import ARROWS, corner_gridworld
from rlhub.foundations.mdp import evaluation_sweeps, greedy_actions, policy_iteration, policy_values, value_iteration_sweeps

SWEEPS = (0, 1, 2, 3, 10)


def evaluation(*, runs: int = 1, seed: int = 0) -> Results:
    """Iterative policy evaluation of random moves, and the greedy policy after each of some sweeps; neither runs nor seed matter."""
    grid = corner_gridworld()
    policy = grid.uniform_policy()
    sweeps = list(islice(evaluation_sweeps(grid, policy), max(SWEEPS) + 1))
    found = {str(sweep): sweeps[sweep] for sweep in SWEEPS} | {"∞": policy_values(grid, policy)}
    return {
        name: {"values": values.reshape(4, 4), "moves": (greedy_actions(grid, values) & ~grid.terminal[:, None]).reshape(4, 4, 4)}
        for name, values in found.items()
    }


def draw_evaluation(results: Results) -> go.Figure:
    """A row for each number of sweeps: the values, and the moves that are greedy for them."""
    from plotly.subplots import make_subplots

    titles = [title for name in results for title in (f"k = {name}: values", "greedy moves")]
    drawn = make_subplots(len(results), 2, subplot_titles=titles, vertical_spacing=0.03, horizontal_spacing=0.05)
    for row, found in enumerate(results.values(), 1):
        values = found["values"]
        arrows = [["".join(arrow for arrow, good in zip(ARROWS, cell, strict=True) if good) for cell in line] for line in found["moves"]]
        for column, words in enumerate(([[f"{value:.1f}" for value in line] for line in values], arrows), 1):
            drawn.add_trace(table(values, words), row=row, col=column)
    return squared(styled(drawn, title="Figure 4.1: iterative policy evaluation on a small gridworld", width=760, height=1500))


def tell_evaluation(results: Results) -> dict[str, float]:
    """The value of the cell next to a corner and of the far corner, sweep after sweep."""
    return {
        f"value of {name}, k = {sweep}": float(found["values"][cell])
        for sweep, found in results.items()
        for name, cell in (("the cell beside the end", (0, 1)), ("the cell farthest from both ends", (0, 3)))
    }


def rental(*, runs: int = 1, seed: int = 0) -> Results:
    """Policy iteration from never moving a car; neither runs nor seed matter."""
    problem = car_rental()
    found = list(policy_iteration(problem, np.full(len(problem.rewards), MOST_MOVED)))
    side = int(np.sqrt(len(problem.rewards)))
    return {
        "policies": [(actions - MOST_MOVED).reshape(side, side) for actions, _ in found],
        "values": found[-1][1].reshape(side, side),
    }


def draw_rental(results: Results) -> go.Figure:
    """Each policy as a map of cars moved, and the last one's values as a surface."""
    from plotly.subplots import make_subplots

    policies = results["policies"]
    kinds = [[{"type": "heatmap"}] * 3, [{"type": "heatmap"}] * 2 + [{"type": "surface"}]]
    titles = [f"π<sub>{number}</sub>" for number in range(len(policies))] + [f"v of π<sub>{len(policies) - 1}</sub>"]
    drawn = make_subplots(2, 3, specs=kinds, subplot_titles=titles, horizontal_spacing=0.07, vertical_spacing=0.13)
    scale = [list(one) for one in DIVERGING]
    for number, policy in enumerate(policies):
        words = {"text": policy, "texttemplate": "%{text}", "textfont_size": 8}
        drawn.add_trace(
            go.Heatmap(z=policy, zmin=-5, zmax=5, colorscale=scale, showscale=False, **words), row=number // 3 + 1, col=number % 3 + 1
        )
    drawn.add_trace(go.Surface(z=results["values"], colorscale=[list(one) for one in SEQUENTIAL], showscale=False), row=2, col=3)
    drawn.update_xaxes(title_text="cars at second location")
    drawn.update_yaxes(title_text="cars at first location")
    eye = {"x": -1.9, "y": -1.9, "z": 0.9}
    drawn.update_scenes(xaxis_title="second", yaxis_title="first", zaxis_title="value, $", camera_eye=eye)
    return styled(
        drawn, title="Figure 4.2: policy iteration on Jack's car rental (cars moved from the first to the second)", width=1150, height=800
    )


def tell_rental(results: Results) -> dict[str, float]:
    """How many policies it took, the range of moves, and the range of values."""
    last = results["policies"][-1]
    return {
        "policies": float(len(results["policies"])),
        "most cars moved to the second location": float(last.max()),
        "most cars moved to the first location": float(-last.min()),
        "lowest value": float(results["values"].min()),
        "highest value": float(results["values"].max()),
    }


def gambling(*, runs: int = 1, seed: int = 0, heads: float = 0.4) -> Results:
    """Value iteration on the gambler's problem; neither runs nor seed matter."""
    problem = gamblers_problem(heads=heads)
    sweeps = [next(value_iteration_sweeps(problem))]
    for before, after in pairwise(value_iteration_sweeps(problem)):
        sweeps.append(after)
        if np.abs(after - before).max() < 1e-14:
            break
    # Many stakes are as good as the best; the smallest of them draw the book's picture.
    return {"sweeps": sweeps, "stakes": greedy_actions(problem, sweeps[-1]).argmax(1), "best": greedy_actions(problem, sweeps[-1])}


def draw_gambling(results: Results) -> go.Figure:
    """Values after some sweeps, and under them the final policy."""
    from plotly.subplots import make_subplots

    sweeps, stakes = results["sweeps"], results["stakes"]
    capitals = np.arange(1, len(stakes) - 1)
    drawn = make_subplots(2, 1, vertical_spacing=0.14)
    shown = {f"sweep {sweep}": sweeps[min(sweep, len(sweeps) - 1)] for sweep in (1, 2, 3, 32)} | {"final value function": sweeps[-1]}
    for place, (name, values) in enumerate(shown.items()):
        line = {"color": colour_of("", place), "width": 1.5}
        drawn.add_trace(go.Scatter(x=capitals, y=values[1:-1], name=name, line=line), row=1, col=1)
    mark = {"color": colour_of("", 0), "shape": "hvh", "width": 1.5}
    drawn.add_trace(go.Scatter(x=capitals, y=stakes[1:-1], line=mark, name="final policy", showlegend=False), row=2, col=1)
    drawn.update_xaxes(title_text="capital", tickvals=[1, 25, 50, 75, 99])
    drawn.update_yaxes(title_text="value estimates", row=1, col=1)
    drawn.update_yaxes(title_text="final policy (stake)", row=2, col=1)
    return styled(drawn, title="Figure 4.3: value iteration on the gambler's problem", width=760, height=860)


def tell_gambling(results: Results) -> dict[str, float]:
    """The chance to win from three capitals, the stake at each, and how many sweeps it took."""
    told = {"sweeps": float(len(results["sweeps"]) - 1)}
    for capital in (25, 50, 75):
        told |= {f"value of {capital}": float(results["sweeps"][-1][capital]), f"stake at {capital}": float(results["stakes"][capital])}
    return told


EXHIBITS = (
    Exhibit(
        key="4.1",
        title="Iterative policy evaluation on a small gridworld",
        shows="the greedy policy is optimal after three sweeps, long before the values of the random policy are found",
        runs=1,
        compute=evaluation,
        draw=draw_evaluation,
        numbers=tell_evaluation,
        code=(evaluation_sweeps, greedy_actions),
    ),
    Exhibit(
        key="4.2",
        title="Jack's car rental",
        shows="from never moving a car, four improvements reach the best policy among all",
        runs=1,
        compute=rental,
        draw=draw_rental,
        numbers=tell_rental,
        code=(policy_iteration, car_rental),
    ),
    Exhibit(
        key="4.3",
        title="The gambler's problem",
        shows="with a bad coin, bold bets at 25, 50 and 75 are best, and the best policy has a curious form in between",
        runs=1,
        compute=gambling,
        draw=draw_gambling,
        numbers=tell_gambling,
        code=(value_iteration_sweeps, gamblers_problem),
    ),
)
