"""Planning when the MDP is known: how fast value iteration and policy iteration close in, and the linear program that agrees."""

import numpy as np
import plotly.graph_objects as go

from rlhub.foundations.exact_planning import linear_program, policy_iterates, value_iterates
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.rates import Curve, Panel, drawn_panels
from rlhub.foundations.small_mdps import random_mdp

RUNS, STEPS = 20, 150


def errors_of_planning(*, runs: int = RUNS, seed: int = 0, states: int = 30, actions: int = 4, gamma: float = 0.9) -> Results:
    """The largest error of the action values after each step, on random MDPs."""
    value, policy = np.zeros((runs, STEPS + 1)), np.full((runs, STEPS + 1), np.nan)
    program, first = np.zeros(runs), np.zeros(runs)
    for run in range(runs):
        transitions, rewards = random_mdp(states, actions, seed=seed * 1_000_003 + run, successors=min(states, 5))
        stages = policy_iterates(transitions, rewards, gamma)
        exact = stages[-1]
        value[run] = np.abs(value_iterates(transitions, rewards, gamma, STEPS) - exact).max((1, 2))
        gaps = np.abs(stages - exact).max((1, 2))
        policy[run, : len(gaps)], first[run] = gaps, gaps[0]
        values, _ = linear_program(transitions, rewards, gamma, np.full(states, 1 / states))
        program[run] = np.abs(values - exact.max(1)).max()
    return {"gamma": gamma, "value": value, "policy": policy, "first": first, "program": program}


def draw_planning(results: Results) -> go.Figure:
    """Errors on a log axis, where a constant factor a step is a straight line."""
    steps, powers = np.arange(STEPS + 1), results["gamma"] ** np.arange(STEPS + 1)
    policy = np.nanmax(np.where(results["policy"] > 1e-12, results["policy"], np.nan)[:, :12], axis=0, initial=0)
    there = policy > 0
    curves = [
        Curve(name="value iteration", x=steps, y=results["value"].max(0), colour=0),
        Curve(name="its bound gamma^k |Q0 - Q*|", x=steps, y=powers * results["value"][:, 0].max(), bound=True, colour=0),
        Curve(name="policy iteration", x=steps[:12][there], y=policy[there], colour=1, marks=True),
        Curve(name="its bound gamma^k |Q0 - Q*|", x=steps, y=powers * results["first"].max(), bound=True, colour=1),
    ]
    panel = Panel(x_title="steps k", y_title="largest error of Q, worst MDP", curves=curves, log_x=False)
    return drawn_panels("Planning: errors shrink by gamma a step, or faster", [panel])


def tell_planning(results: Results) -> dict[str, float]:
    """Factors a step, and how close the linear program comes."""
    value, powers = results["value"], results["gamma"] ** np.arange(STEPS + 1)
    policy = results["policy"]
    # Below that, rounding is all that is left of the error.
    counted = powers > 1e-8
    return {
        "gamma": results["gamma"],
        "value iteration's factor a step, steps 20 to 50": float(((value[:, 50] / value[:, 20]) ** (1 / 30)).mean()),
        "largest share of value iteration's bound": float((value / (powers * value[:, :1]))[:, counted].max()),
        "largest share of policy iteration's bound": float(np.nanmax((policy / (powers * policy[:, :1]))[:, counted])),
        "policy iteration's steps, most": float((~np.isnan(policy)).sum(1).max() - 1),
        "linear program's largest difference": float(results["program"].max()),
    }


EXHIBITS = (
    Exhibit(
        key="planning",
        title="Value iteration, policy iteration and the linear program",
        shows="value iteration's error shrinks by exactly gamma a step in the long run; policy iteration needs a handful of steps",
        runs=RUNS,
        compute=errors_of_planning,
        draw=draw_planning,
        numbers=tell_planning,
        code=(value_iterates, policy_iterates, linear_program),
    ),
)
