"""Chapter 8: which updates to make, by priority, by samples, along trajectories."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.style import colour_of, styled
from rlhub.foundations.dyna import ENDLESS, dyna_q
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.figures.chapter_08 import MAZE_MAP, seeds
from rlhub.foundations.prioritized_sweeping import prioritized_sweeping
from rlhub.foundations.real_time_dp import expected, trajectory_sampling
from rlhub.foundations.worlds import World, gridworld, shortest, world

BRANCHES = (2, 10, 100, 1000, 10_000)
TASKS = {(1000, 1): 20_000, (1000, 3): 20_000, (1000, 10): 20_000, (10_000, 1): 200_000}
"""States and branches of random tasks, and for how many updates they are planned in."""


def finer(down: int, right: int) -> World:
    """The maze of Figure 8.2 with each cell cut into so many, of which one is the start and all of the goal's are goals."""
    rows = []
    for line in MAZE_MAP:
        wide = "".join(cell * right for cell in line)
        rows += [wide.replace("S" * right, "S" + "." * (right - 1)), *[wide.replace("S", ".")] * (down - 1)]
    return gridworld(rows, reward=0.0, goal=1.0)


def growing_mazes(*, runs: int = 3, seed: int = 0, mazes: int = 7) -> Results:
    """Updates until greedy actions take at most a fifth more moves than the fewest, in mazes of twice as many states each."""
    found: dict[str, Any] = {"states": 47 * 2 ** np.arange(mazes), "Dyna-Q": [], "Dyna-Q, once rewarded": [], "prioritized sweeping": []}
    for doubled in range(mazes):
        maze = finer(2 ** (doubled // 2), 2 ** ((doubled + 1) // 2))
        # The very fewest wait for a random action off the way, not for planning.
        shared = {"planning": 5, "step_size": 1.0, "epsilon": 0.1, "discount": 0.95, "enough": int(1.2 * shortest(maze))}
        counts: dict[str, list[int]] = {name: [] for name in found if name != "states"}
        for one in seeds(runs, seed):
            rewards, lengths, _, _ = dyna_q(maze, maze, change=0, bonus=0.0, episodes=ENDLESS, steps=ENDLESS, seed=one, **shared)
            counts["Dyna-Q"].append(6 * len(rewards))
            counts["Dyna-Q, once rewarded"].append(6 * (len(rewards) - lengths[0] + 1))
            counts["prioritized sweeping"].append(prioritized_sweeping(maze, steps=ENDLESS, threshold=1e-6, seed=one, **shared)[1])
        for name, many in counts.items():
            found[name].append(float(np.mean(many)))
    return found


def draw_growing_mazes(results: Results) -> go.Figure:
    """Updates against states, both on scales of powers."""
    drawn = go.Figure()
    for place, (name, dash) in enumerate({"Dyna-Q": "solid", "Dyna-Q, once rewarded": "dot", "prioritized sweeping": "solid"}.items()):
        line = {"color": colour_of("", place // 2), "dash": dash, "width": 2}
        drawn.add_trace(go.Scatter(x=results["states"], y=results[name], name=name, mode="lines+markers", line=line))
    drawn.update_xaxes(
        title_text="gridworld size (states)", type="log", tickvals=results["states"], ticktext=list(map(str, results["states"]))
    )
    drawn.update_yaxes(title_text="updates until near-optimal", type="log", dtick=1, exponentformat="power")
    drawn.update_layout(legend={"x": 0.02, "y": 0.98})
    return styled(drawn, title="Example 8.4: prioritized sweeping and Dyna-Q in growing mazes")


def tell_growing_mazes(results: Results) -> dict[str, float]:
    """Both methods' updates in the smallest and largest maze, and by what factor Dyna-Q needs more."""
    told = {}
    for name in ("Dyna-Q", "prioritized sweeping"):
        for place in (0, -1):
            told[f"updates, {name}, {results['states'][place]} states"] = results[name][place]
    sweeping = np.array(results["prioritized sweeping"])
    for name in ("Dyna-Q", "Dyna-Q, once rewarded"):
        ratios = np.array(results[name]) / sweeping
        told |= {f"least factor, {name}": float(ratios.min()), f"mean factor, {name}": float(np.exp(np.log(ratios).mean()))}
    return told


def sample_updates(*, runs: int = 400, seed: int = 0) -> Results:
    """The error of a mean of sampled outcomes, after up to two samples for each of b outcomes, measured and by its formula."""
    found = {}
    for branches in BRANCHES:
        generator = np.random.default_rng((seed, branches))
        samples = np.unique(np.append(np.geomspace(1, 2 * branches, 60).astype(int), np.linspace(1, 2 * branches, 100).astype(int)))
        errors = np.empty((runs, len(samples)))
        for run in range(runs):
            outcomes = generator.standard_normal(branches)
            drawn = generator.choice(outcomes, 2 * branches)
            errors[run] = (drawn.cumsum()[samples - 1] / samples) - outcomes.mean()
        formula = np.sqrt((branches - 1) / (branches * samples))
        found[str(branches)] = {"samples": samples, "measured": np.sqrt((errors**2).mean(0)), "formula": formula}
    return found


def draw_sample_updates(results: Results) -> go.Figure:
    """Errors against computation in units of one expected update, which goes from 1 to 0 when it is done."""
    expected_update = {"color": "#222222", "width": 2.5}
    drawn = go.Figure(go.Scatter(x=[0, 1, 1, 2], y=[1, 1, 0, 0], name="expected updates", mode="lines", line=expected_update))
    for place, (branches, one) in enumerate(results.items()):
        name, colour, x = f"sample updates, b = {int(branches):,}", colour_of("", place), one["samples"] / int(branches)
        # Before the first sample the error is 1, as the estimate began with it.
        x, y, formula = ([start, *values] for start, values in ((0, x), (1, one["measured"]), (1, one["formula"])))
        drawn.add_trace(go.Scatter(x=x, y=y, name=name, mode="lines", line={"color": colour, "width": 1.6}))
        drawn.add_trace(go.Scatter(x=x, y=formula, mode="lines", line={"color": colour, "dash": "dot"}, showlegend=False, hoverinfo="skip"))
    drawn.update_xaxes(title_text="number of max<sub>a'</sub> Q(s', a') computations", tickvals=[0, 1, 2], ticktext=["0", "1b", "2b"])
    drawn.update_yaxes(title_text="RMS error in value estimate", range=[0, 1.05])
    drawn.update_layout(legend={"x": 0.98, "xanchor": "right", "y": 0.98})
    return styled(drawn, title="Figure 8.7: expected and sample updates; dots: √((b - 1) / (b t))")


def tell_sample_updates(results: Results) -> dict[str, float]:
    """The error after as much computation as a tenth of an expected update and a whole one."""
    told = {}
    for branches, one in results.items():
        for share, words in ((0.1, "a tenth of "), (1, "")):
            if share * int(branches) >= 1:
                place = np.searchsorted(one["samples"], int(share * int(branches)))
                told[f"error after {words}an expected update, b = {branches}"] = float(one["measured"][place])
    return told


def random_task(states: int, branches: int, seed: int) -> World:
    """Two actions in each state, each with equally likely outcomes drawn from all states; a tenth of all steps end the episode.

    Rewards of outcomes are normal with variance 1 (Sec. 8.6).
    """
    generator = np.random.default_rng((seed, branches))
    following, rewards = np.full((states + 1, 2, branches + 1), states), np.zeros((states + 1, 2, branches + 1))
    following[:-1, :, :-1] = generator.integers(states, size=(states, 2, branches))
    rewards[:-1, :, :-1] = generator.standard_normal((states, 2, branches))
    chance = np.tile([*[0.9 / branches] * branches, 0.1], (states + 1, 2, 1))
    return world(following, rewards, ends=(states,), chance=chance)


def trajectories(*, runs: int = 200, seed: int = 0) -> Results:
    """What the greedy policy is worth from the start, by updates made evenly and on policy, averaged over random tasks."""
    found = {}
    for (states, branches), updates in TASKS.items():
        marks = updates * np.arange(1, 26) // 25
        shared = {"epsilon": 0.1, "discount": 1.0, "tolerance": 3e-3}
        curves = np.zeros((2, 25))
        tasks = seeds(runs, seed)
        for one in tasks:
            task = random_task(states, branches, one)
            for row, on_policy in enumerate((True, False)):
                curves[row] += trajectory_sampling(task, marks, on_policy=on_policy, seed=one, **shared) / len(tasks)
        found[f"{states} states, b = {branches}"] = {
            "states": states,
            "branches": branches,
            "updates": marks,
            "on-policy": curves[0],
            "uniform": curves[1],
        }
    return found


def draw_trajectories(results: Results) -> go.Figure:
    """The tasks of 1,000 states on top and that of 10,000 below: values against updates, a colour for each number of branches."""
    sizes = list(dict.fromkeys(one["states"] for one in results.values()))
    drawn = make_subplots(len(sizes), 1, subplot_titles=[f"{states:,} states" for states in sizes], vertical_spacing=0.14)
    for one in results.values():
        states, branches = one["states"], one["branches"]
        for name, dash in (("on-policy", "solid"), ("uniform", "dash")):
            line = {"color": colour_of("", (1, 3, 10).index(branches)), "dash": dash, "width": 2}
            trace = go.Scatter(x=one["updates"], y=one[name], name=f"b = {branches}, {name}", mode="lines", line=line)
            drawn.add_trace(trace.update(showlegend=states == sizes[0]), row=sizes.index(states) + 1, col=1)
    drawn.update_xaxes(title_text="computation time, in expected updates", rangemode="tozero")
    drawn.update_yaxes(title_text="value of start state<br>under greedy policy", rangemode="tozero")
    return styled(drawn, title="Figure 8.8: updates spread evenly and on policy", width=850, height=820)


def tell_trajectories(results: Results) -> dict[str, float]:
    """What each is worth after a twenty-fifth of the updates and after all."""
    return {
        f"value {when}, {name}, {task}": float(one[name][place])
        for task, one in results.items()
        for name in ("on-policy", "uniform")
        for when, place in (("early", 0), ("at the end", -1))
    }


EXHIBITS = (
    Exhibit(
        key="example 8.4",
        title="Prioritized sweeping in growing mazes",
        shows="updates in order of priority, backwards from the goal, need a fraction of those that Dyna-Q makes at random",
        runs=3,
        compute=growing_mazes,
        draw=draw_growing_mazes,
        numbers=tell_growing_mazes,
        code=(prioritized_sweeping, dyna_q),
    ),
    Exhibit(
        key="8.7",
        title="Expected and sample updates",
        shows="where many outcomes may follow, a small part of an expected update's computation takes most of the error away by samples",
        runs=400,
        compute=sample_updates,
        draw=draw_sample_updates,
        numbers=tell_sample_updates,
    ),
    Exhibit(
        key="8.8",
        title="Trajectory sampling",
        shows="updates along the policy's own trajectories plan faster at first; in time even ones catch up, later with more states",
        runs=200,
        compute=trajectories,
        draw=draw_trajectories,
        numbers=tell_trajectories,
        code=(trajectory_sampling, expected),
    ),
)
