"""Policy optimisation with exact gradients: the natural gradient's rate, the plain one's slow start, and conservative steps."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from rlhub.foundations.exact_gradients import ascend, conservative_policy_iteration, natural_direction, softmax_gradient
from rlhub.foundations.exact_planning import optimal_values
from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.mdp import policy_values
from rlhub.foundations.rates import Curve, Panel, drawn_panels, slope
from rlhub.foundations.small_mdps import chain, random_mdp

GAMMA, ACTIONS, STEPS, CORRIDORS = 0.5, 4, 300, np.arange(2, 10)
STATES, SCALES = (4, 16, 64), np.geomspace(0.01, 1, 6)


def natural_bound(steps: Float[np.ndarray, " times"], step_size: float, gamma: float = GAMMA) -> Float[np.ndarray, " times"]:
    """What is missing after T steps of the natural gradient: ln A / (eta T) + 1 / ((1 - gamma)^2 T), for any number of states.

    It is the theorem on the softmax natural gradient of Agarwal, Kakade, Lee & Mahajan (2021), and of AJKS's chapter on optimality.
    """
    return np.log(ACTIONS) / (step_size * steps) + 1 / ((1 - gamma) ** 2 * steps)


def policy_gradients(*, runs: int = 1, seed: int = 0, step_size: float = 1.0, patience: int = 5000) -> Results:
    """What the natural gradient misses on MDPs of several sizes, and steps to half the optimum on longer and longer corridors.

    On one MDP the natural gradient ends up faster than its bound; rewards are scaled to several sizes, and the worst counts for each T.
    """
    check_runs(runs)
    missing = np.zeros((len(STATES), len(SCALES), runs, STEPS))
    for size, states in enumerate(STATES):
        for run in range(runs):
            mdp, start = random_mdp(states, ACTIONS, seed=seed * 1_000_003 + run, gamma=GAMMA), np.full(states, 1 / states)
            best = start @ optimal_values(mdp).max(1)
            for place, scale in enumerate(SCALES):
                scaled = replace(mdp, rewards=scale * mdp.rewards)
                walked = ascend(natural_direction, scaled, start, step_size=step_size, steps=STEPS + 1)
                missing[size, place, run] = scale * best - walked[1:]
    needed, promised, first = np.empty((2, len(CORRIDORS))), np.empty(len(CORRIDORS)), np.empty(len(CORRIDORS))
    for place, length in enumerate(CORRIDORS):
        corridor, start = chain(int(length), ACTIONS, gamma=(length - 1) / length), np.eye(int(length))[0]
        half = optimal_values(corridor)[0].max() / 2
        promised[place] = natural_bound(np.ones(1), step_size, corridor.gamma)[0] / half
        first[place] = policy_values(corridor, corridor.uniform_policy())[0]
        for way, direction in enumerate((natural_direction, softmax_gradient)):
            walked = ascend(direction, corridor, start, step_size=step_size, steps=patience, enough=float(half))
            needed[way, place] = len(walked) - 1 if walked[-1] >= half else np.nan
    bound = natural_bound(np.arange(1.0, STEPS + 1), step_size)
    return {"missing": missing, "needed": needed, "bound": bound, "promised": promised, "first": first}


def draw_policy_gradient(results: Results) -> go.Figure:
    """What is missing against steps, and steps against a corridor's length."""
    steps, worst = np.arange(1.0, STEPS + 1), results["missing"].max((1, 2))
    rate = [
        Curve(name=f"natural gradient, {states} states", x=steps, y=row, colour=i, predicted="-1", fitted=(30.0, np.inf))
        for i, (states, row) in enumerate(zip(STATES, worst, strict=True))
    ]
    rate.append(Curve(name="bound (ln A / η + 1/(1 - γ)²) / T", x=steps, y=results["bound"], bound=True, colour=6))
    there, told = ~np.isnan(results["needed"][1]), tell_policy_gradient(results)
    slower, shrunk = told["gradient's steps, times for each more state"], told["first value, divided by for each more state"]
    slow = [
        Curve(name="natural gradient", x=CORRIDORS, y=results["needed"][0], marks=True, colour=0),
        Curve(name="bound on it, twice that at T = 1 / V*", x=CORRIDORS, y=results["promised"], bound=True, colour=0),
        Curve(name=f"gradient: x {slower:.2f} a state", x=CORRIDORS[there],
              y=results["needed"][1][there], marks=True, colour=1),
        Curve(name=f"1 / value of the even policy: x {shrunk:.2f}", x=CORRIDORS,
              y=1 / results["first"], bound=True, colour=1),
    ]  # fmt: skip
    panels = [
        Panel(title="natural gradient, worst scale of rewards: 1/T", x_title="steps T", y_title="value missing", curves=rate),
        Panel(
            title="a corridor, 3 of 4 actions lead back", x_title="length of the corridor, states", y_title="steps to half the optimum",
            curves=slow, log_x=False,
        ),
    ]  # fmt: skip
    return drawn_panels("Softmax policies: natural gradient at a rate without dimension, plain gradient slow from the start", panels)


def tell_policy_gradient(results: Results) -> dict[str, float]:
    """Slopes of the rate, the share of the bound, and growth with the corridor."""
    steps, worst = np.arange(1.0, STEPS + 1), results["missing"].max((1, 2))
    natural, plain = results["needed"]
    told = {f"slope in T, last tenfold, {states} states": slope(steps[29:], row[29:]) for states, row in zip(STATES, worst, strict=True)}
    there = ~np.isnan(plain)
    return told | {
        "largest share of the bound": float((results["missing"] / results["bound"]).max()),
        "natural gradient's steps on the longest corridor": float(natural[-1]),
        "gradient's steps, times for each more state": float(np.exp(np.polyfit(CORRIDORS[there][-4:], np.log(plain[there][-4:]), 1)[0])),
        "first value, divided by for each more state": float(np.exp(-np.polyfit(CORRIDORS[-4:], np.log(results["first"][-4:]), 1)[0])),
        "natural gradient's largest share of its bound on corridors": float((natural / results["promised"]).max()),
        "longest corridor that the gradient got through": float(CORRIDORS[there].max()),
    }


CPI_GAMMA = 0.7


def cpi_values(*, runs: int = 3, seed: int = 0, steps: int = 2000, states: int = 10) -> Results:
    """Values and advantages of conservative policy iteration on random MDPs."""
    check_runs(runs)
    missing, gains = np.empty((runs, steps)), np.empty((runs, steps))
    for run in range(runs):
        mdp = random_mdp(states, 3, seed=seed * 1_000_003 + run, gamma=CPI_GAMMA)
        start = np.full(states, 1 / states)
        worths, gains[run] = conservative_policy_iteration(mdp, start, steps=steps, least=-1.0)
        missing[run] = start @ optimal_values(mdp).max(1) - worths
    times = np.arange(1.0, steps + 1)
    return {"missing": missing, "gains": gains, "times": times, "bound": np.sqrt(8 * CPI_GAMMA / times) / (1 - CPI_GAMMA)}


def draw_cpi(results: Results) -> go.Figure:
    """The least advantage so far beside its bound, and each step's improvement beside its own."""
    times, gains = results["times"], results["gains"]
    least = np.minimum.accumulate(gains, axis=1).max(0)
    improved, promised = -np.diff(results["missing"][0]), (1 - CPI_GAMMA) * gains[0, :-1] ** 2 / (8 * CPI_GAMMA)
    late = (times[-1] / 10, np.inf)
    rate = [
        Curve(name="advantage A of the greedy policy, worst MDP", x=times, y=least, colour=0,
              predicted="-1/2 or steeper", fitted=late),
        Curve(name="bound on it, √(8γ / T) / (1 - γ)", x=times, y=results["bound"], bound=True, colour=0,
              predicted="-1/2"),
        Curve(name="value missing, worst MDP", x=times, y=results["missing"].max(0), colour=1),
    ]  # fmt: skip
    each = [
        Curve(name="improvement of a step, first MDP", x=times[:-1], y=improved, colour=2),
        Curve(name="promised, (1 - γ) A² / 8γ", x=times[:-1], y=promised, bound=True, colour=2),
    ]
    panels = [
        Panel(title="in the long run", x_title="steps T", y_title="advantage and value", curves=rate),
        Panel(title="at each step", x_title="steps T", y_title="improvement of the value", curves=each),
    ]
    return drawn_panels("Conservative policy iteration: every step improves at least as promised", panels)


def tell_cpi(results: Results) -> dict[str, float]:
    """Slopes, the share of the bound, and the least ratio of an improvement to its promise."""
    times, gains = results["times"], results["gains"]
    late = times >= times[-1] / 10
    promised = (1 - CPI_GAMMA) * gains[:, :-1] ** 2 / (8 * CPI_GAMMA)
    return {
        "slope of the missing value in T, last tenfold": slope(times[late], results["missing"].max(0)[late]),
        "slope of the advantage in T, last tenfold": slope(times[late], gains.max(0)[late]),
        "largest share of the bound": float((np.minimum.accumulate(gains, axis=1) / results["bound"]).max()),
        "least improvement, times what was promised": float((-np.diff(results["missing"], axis=1) / promised).min()),
    }


EXHIBITS = (
    Exhibit(
        key="policy-gradient",
        title="Natural and plain policy gradient",
        shows="the natural gradient misses O(1 / T) for any number of states; the plain one starts exponentially slowly in a corridor",
        runs=1,
        compute=policy_gradients,
        draw=draw_policy_gradient,
        numbers=tell_policy_gradient,
        code=(ascend, natural_direction, softmax_gradient, natural_bound),
    ),
    Exhibit(
        key="cpi",
        title="Conservative policy iteration",
        shows="each small step improves at least as much as promised, and what is missing falls like 1 / T",
        runs=3,
        compute=cpi_values,
        draw=draw_cpi,
        numbers=tell_cpi,
        code=(conservative_policy_iteration,),
    ),
)
