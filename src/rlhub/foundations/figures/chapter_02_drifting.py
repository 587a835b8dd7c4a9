"""Chapter 2: bandits whose arms drift, in sample averages and with a constant step size (Exercise 2.5)."""

import plotly.graph_objects as go

from rlhub.foundations.drifting import walking_epsilon_greedy
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.figures.chapter_02 import averaged, draw_curves

WAYS = {"sample averages, α = 1/n": 0.0, "constant step size, α = 0.1": 0.1}


def walking(*, runs: int = 500, seed: int = 0, steps: int = 10_000) -> Results:
    """ε-greedy with both step sizes on ten arms whose means begin equal and each walk by 0.01 a step; the number of runs is ours."""
    settings = {"arms": 10, "drift": 0.01, "epsilon": 0.1, "seed": seed}
    return {name: averaged(walking_epsilon_greedy(runs, steps, step_size=step_size, **settings)) for name, step_size in WAYS.items()}


def draw_walking(results: Results) -> go.Figure:
    """Average reward and share of best pulls, one above the other."""
    return draw_curves(results, "Exercise 2.5: ε-greedy on arms whose means walk at random, ε = 0.1", ("reward", "best"))


def tell_walking(results: Results) -> dict[str, float]:
    """What each earns and chooses over the last thousand steps."""
    return {
        f"{what} at the end, {name}": float(curves[part][-1000:].mean())
        for name, curves in results.items()
        for what, part in (("reward", "reward"), ("share of best actions", "best"))
    }


EXHIBITS = (
    Exhibit(
        key="exercise 2.5",
        title="Sample averages and a constant step size on a nonstationary testbed",
        shows="where means walk, sample averages fall behind the change; a constant step size follows it and finds the best arm more often",
        runs=500,
        compute=walking,
        draw=draw_walking,
        numbers=tell_walking,
        code=(walking_epsilon_greedy,),
    ),
)
