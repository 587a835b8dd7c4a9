"""Planning when the MDP is known: how fast value iteration and policy iteration close in, and the linear program that agrees."""

import numpy as np
import plotly.graph_objects as go

from rlhub.foundations.exact_planning import linear_program, policy_iterates, value_iterates
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.mdp import policy_iteration
from rlhub.foundations.rates import Curve, Panel, drawn_panels
from rlhub.foundations.small_mdps import random_mdp

RUNS, STEPS = 20, 150


def errors_of_planning(*, runs: int = RUNS, seed: int = 0, states: int = 30, actions: int = 4, gamma: float = 0.9) -> Results:
    """The largest error of the action values after each step, on random MDPs."""
    value, policy = np.zeros((runs, STEPS + 1)), np.full((runs, STEPS + 1), np.nan)
    program, first = np.zeros(runs), np.zeros(runs)
    for run in range(runs):
        mdp = random_mdp(states, actions, seed=seed * 1_000_003 + run, successors=min(states, 5), gamma=gamma)
        stages = policy_iterates(mdp)
        exact = stages[-1]
        value[run] = np.abs(value_iterates(mdp, STEPS) - exact).max((1, 2))
        gaps = np.abs(stages - exact).max((1, 2))
        policy[run, : len(gaps)], first[run] = gaps, gaps[0]
        values, _ = linear_program(mdp, np.full(states, 1 / states))
        program[run] = np.abs(values - exact.max(1)).max()
    return {"gamma": gamma, "value": value, "policy": policy, "first": first, "program": program}


def draw_planning(results: Results) -> go.Figure:
    """Errors on log axes, where a constant factor a step is a straight line; where policy iteration is exact, it has no point left."""
    steps, powers, few = np.arange(STEPS + 1), results["gamma"] ** np.arange(STEPS + 1), 8
    told = tell_planning(results)
    policy = np.nanmax(np.where(results["policy"] > 1e-12, results["policy"], np.nan)[:, :few], axis=0, initial=0)
    there, sparse = policy > 0, steps % 5 == 0
    factor = told["value iteration's factor a step, steps 20 to 50"]
    value = [
        Curve(name=f"value iteration: a factor of {factor:.4f} a step", x=steps[sparse], y=results["value"].max(0)[sparse], colour=0,
              points=True),
        Curve(name=f"its bound γᵏ‖Q₀ - Q*‖: {results['gamma']:g} a step", x=steps, y=powers * results["value"][:, 0].max(),
              bound=True, colour=0),
    ]  # fmt: skip
    jumps = [
        Curve(name="policy iteration, exact after the last point", x=steps[:few][there], y=policy[there], colour=1, marks=True),
        Curve(name="its bound γᵏ‖Q₀ - Q*‖", x=steps[:few], y=powers[:few] * results["first"].max(), bound=True, colour=1),
        Curve(name="the linear program's values, less the exact ones", x=steps[:few], y=np.full(few, max(results["program"].max(), 1e-16)),
              bound=True, dash="dot", colour=2),
    ]  # fmt: skip
    worst = f"largest error of Q, worst of {len(results['value'])} MDPs"
    panels = [
        Panel(title="value iteration", x_title="steps k", y_title=worst, curves=value, log_x=False),
        Panel(title="policy iteration and the linear program", x_title="steps k", y_title=worst, curves=jumps, log_x=False),
    ]
    return drawn_panels("Planning: value iteration's error shrinks by γ a step, policy iteration's much faster", panels)


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
        code=(value_iterates, policy_iterates, policy_iteration, linear_program),
    ),
)
