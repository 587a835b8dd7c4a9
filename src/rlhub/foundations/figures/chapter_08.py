"""Chapter 8: Dyna in mazes that stay and in mazes that change."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.style import INK, colour_of, styled
from rlhub.foundations.dyna import ENDLESS, dyna_q
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.figures.chapter_06_control import add_map
from rlhub.foundations.worlds import World, gridworld

MAZE_MAP = (".......#G", "..#....#.", "S.#....#.", "..#......", ".....#...", ".........")
MAZE = gridworld(MAZE_MAP, reward=0.0, goal=1.0)
PLANNING = (0, 5, 50)
LEARNER: dict[str, Any] = {"epsilon": 0.1, "discount": 0.95}
STILL: dict[str, Any] = {"change": 0, "bonus": 0.0, "enough": 0, "step_size": 0.1} | LEARNER


def barrier_map(wall: str) -> tuple[str, ...]:
    """The maze of figures 8.4 and 8.5 with a barrier in its fourth row."""
    return ("........G", ".........", ".........", wall, ".........", "...S.....")


BLOCKING = (barrier_map("########."), barrier_map(".########"))
SHORTCUT = (barrier_map(".########"), barrier_map(".#######."))


def seeds(runs: int, seed: int) -> list[int]:
    """A seed for each run."""
    return [seed * 1_000_003 + run for run in range(runs)]


def dyna_maze(*, runs: int = 30, seed: int = 0, episodes: int = 50) -> Results:
    """Steps per episode, averaged over runs, by the number of planning steps."""
    shared = STILL | {"episodes": episodes, "steps": ENDLESS}
    return {
        str(planning): np.mean([dyna_q(MAZE, MAZE, planning=planning, seed=one, **shared)[1] for one in seeds(runs, seed)], 0)
        for planning in PLANNING
    }


def draw_dyna_maze(results: Results) -> go.Figure:
    """Steps against episodes from the second on, as the first, a random walk, would hide the rest; the maze in the corner."""
    drawn = make_subplots(1, 2, column_widths=[0.62, 0.38], horizontal_spacing=0.06)
    for place, (planning, steps) in enumerate(results.items()):
        name = f"{planning} planning steps" + ("" if planning != "0" else " (direct RL only)")
        line = {"color": colour_of("", place), "width": 1.8}
        drawn.add_trace(go.Scatter(x=np.arange(2, len(steps) + 1), y=steps[1:], name=name, mode="lines", line=line), row=1, col=1)
    add_map(drawn, MAZE_MAP, {}, row=1, col=2)
    drawn.update_xaxes(title_text="episodes", range=[0, 50], tickvals=[2, 10, 20, 30, 40, 50], row=1, col=1)
    drawn.update_yaxes(title_text="steps per episode", range=[0, 850], row=1, col=1)
    styled(drawn, title="Figure 8.2: Dyna-Q in a maze, by its number of planning steps", width=1100, height=460)
    return drawn.update_layout(legend={"x": 0.6, "xanchor": "right", "y": 0.98})


def tell_dyna_maze(results: Results) -> dict[str, float]:
    """The first episode's length, the last ten's, and the first episode after which all are short; 14 steps are the fewest."""
    told = {}
    for planning, steps in results.items():
        short = np.flatnonzero(steps > 20)
        told[f"steps of episode 1, {planning} planning steps"] = float(steps[0])
        told[f"steps at the end, {planning} planning steps"] = float(steps[-10:].mean())
        told[f"episodes above 20 steps, {planning} planning steps"] = float(short[-1] + 1 if len(short) else 0)
    return told


def halfway(*, runs: int = 1, seed: int = 1) -> Results:
    """One learner's values and place halfway through its second episode, without planning and with 50 steps; runs don't matter."""
    found = {}
    for planning in (0, 50):
        shared = STILL | {"planning": planning, "seed": seeds(1, seed)[0]}
        lengths = dyna_q(MAZE, MAZE, episodes=2, steps=ENDLESS, **shared)[1]
        _, _, values, state = dyna_q(MAZE, MAZE, episodes=ENDLESS, steps=int(lengths[0] + lengths[1] // 2), **shared)
        found[str(planning)] = {"values": values, "state": state}
    return found


def draw_halfway(results: Results) -> go.Figure:
    """An arrow in each state in which an action is worth more than the others, and the learner as a black square."""
    titles = [f"{'without' if planning == '0' else 'with'} planning (n = {planning})" for planning in results]
    drawn = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.04)
    for column, one in enumerate(results.values(), 1):
        add_map(drawn, MAZE_MAP, {}, row=1, col=column)
        for state, worths in enumerate(one["values"]):
            y, x = divmod(state, 9)
            if worths.max() > worths.min() and MAZE_MAP[y][x] == ".":
                arrow = "↑↓→←"[int(worths.argmax())]
                drawn.add_annotation(x=x, y=y, text=arrow, showarrow=False, font={"size": 20, "color": INK}, row=1, col=column)
        y, x = divmod(one["state"], 9)
        mark = {"symbol": "square", "size": 26, "color": INK, "opacity": 0.6}
        drawn.add_trace(go.Scatter(x=[x], y=[y], mode="markers", marker=mark, name="the learner", showlegend=False), row=1, col=column)
    drawn.update_xaxes(range=[-0.5, 8.5])
    drawn.update_yaxes(range=[5.5, -0.5], autorange=False)
    return styled(drawn, title="Figure 8.3: greedy actions halfway through the second episode", width=1050, height=420)


def tell_halfway(results: Results) -> dict[str, float]:
    """How many of the 46 states before the goal know a better action."""
    return {
        f"states with a greedy action, n = {planning}": float((one["values"].max(1) > one["values"].min(1)).sum())
        for planning, one in results.items()
    }


def changing(before: World, after: World, *, change: int, steps: int, runs: int, seed: int) -> Results:
    """Reward so far of Dyna-Q+ and Dyna-Q, averaged over runs; the settings, which the book leaves out, are alike for both tasks."""
    shared = LEARNER | {"change": change, "steps": steps, "episodes": ENDLESS, "planning": 10, "step_size": 1.0, "enough": 0}
    return {
        name: np.mean([dyna_q(before, after, bonus=bonus, seed=one, **shared)[0].cumsum() for one in seeds(runs, seed)], 0)
        for name, bonus in (("Dyna-Q+", 5e-4), ("Dyna-Q", 0.0))
    }


def blocking(*, runs: int = 30, seed: int = 0) -> Results:
    """A short way that is blocked after 1000 steps, when a longer one opens."""
    before, after = (gridworld(rows, reward=0.0, goal=1.0) for rows in BLOCKING)
    return changing(before, after, change=1000, steps=3000, runs=runs, seed=seed)


def shortcut(*, runs: int = 30, seed: int = 0) -> Results:
    """A long way, beside which a shorter one opens after 3000 steps."""
    before, after = (gridworld(rows, reward=0.0, goal=1.0) for rows in SHORTCUT)
    return changing(before, after, change=3000, steps=6000, runs=runs, seed=seed)


def draw_changing(results: Results, maps: tuple[tuple[str, ...], tuple[str, ...]], change: int, title: str) -> go.Figure:
    """Both mazes above, the reward so far below, with a line where the maze changes."""
    specs: list[list[Any]] = [[{}, {}], [{"colspan": 2}, None]]
    drawn = make_subplots(2, 2, specs=specs, row_heights=[0.34, 0.66], vertical_spacing=0.06, horizontal_spacing=0.08)
    for column, rows in enumerate(maps, 1):
        add_map(drawn, rows, {}, row=1, col=column)
    for place, (name, curve) in enumerate(results.items()):
        line = {"color": colour_of("", place), "width": 2}
        drawn.add_trace(go.Scatter(x=np.arange(1, len(curve) + 1), y=curve, name=name, mode="lines", line=line), row=2, col=1)
    drawn.add_vline(x=change, line={"dash": "dash", "color": "#888888"}, row=2, col=1)
    drawn.update_xaxes(title_text="time steps", range=[0, len(results["Dyna-Q"])], row=2, col=1)
    drawn.update_yaxes(title_text="cumulative reward", rangemode="tozero", row=2, col=1)
    styled(drawn, title=title, width=800, height=640)
    return drawn.update_layout(legend={"x": 0.02, "y": 0.6, "yanchor": "top"})


def draw_blocking(results: Results) -> go.Figure:
    """See `draw_changing`."""
    return draw_changing(results, BLOCKING, 1000, "Figure 8.4: Dyna-Q+ and Dyna-Q when the way is blocked")


def draw_shortcut(results: Results) -> go.Figure:
    """See `draw_changing`."""
    return draw_changing(results, SHORTCUT, 3000, "Figure 8.5: Dyna-Q+ and Dyna-Q when a shortcut opens")


def tell_changing(results: Results, change: int) -> dict[str, float]:
    """The reward before and after the change, and that of each of the last 1000 steps."""
    told = {}
    for name, curve in results.items():
        told[f"reward before the change, {name}"] = float(curve[change - 1])
        told[f"reward at the end, {name}"] = float(curve[-1])
        told[f"reward of the last 1000 steps, {name}"] = float(curve[-1] - curve[-1001])
    return told


def tell_blocking(results: Results) -> dict[str, float]:
    """See `tell_changing`; ten moves are the fewest at first, then sixteen."""
    return tell_changing(results, 1000)


def tell_shortcut(results: Results) -> dict[str, float]:
    """See `tell_changing`; sixteen moves are the fewest at first, then ten."""
    return tell_changing(results, 3000)


EXHIBITS = (
    Exhibit(
        key="8.2",
        title="Dyna-Q in a maze",
        shows="the more planning steps, the fewer episodes: 50 planning steps need about three, 5 about five, none about 25",
        runs=30,
        compute=dyna_maze,
        draw=draw_dyna_maze,
        numbers=tell_dyna_maze,
        code=(dyna_q,),
    ),
    Exhibit(
        key="8.3",
        title="What planning has found halfway through the second episode",
        shows="without planning the first episode taught only its last step; with it, half an episode on, most of the way is known",
        runs=1,
        compute=halfway,
        draw=draw_halfway,
        numbers=tell_halfway,
        code=(dyna_q,),
    ),
    Exhibit(
        key="8.4",
        title="Dyna in a maze whose way is blocked",
        shows="when its model turns wrong, Dyna-Q wanders for long; Dyna-Q+, which doubts what it hasn't tried lately, soon finds out",
        runs=30,
        compute=blocking,
        draw=draw_blocking,
        numbers=tell_blocking,
        code=(dyna_q,),
    ),
    Exhibit(
        key="8.5",
        title="Dyna in a maze where a shortcut opens",
        shows="Dyna-Q never notices that the maze became better, as its model says that there is no way; Dyna-Q+ finds the shortcut",
        runs=30,
        compute=shortcut,
        draw=draw_shortcut,
        numbers=tell_shortcut,
        code=(dyna_q,),
    ),
)
