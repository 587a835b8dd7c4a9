"""Regret of optimism in bandits: UCB1 and LinUCB beside their bounds."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.optimism import confidence_radius, farthest_point, linucb, ucb1
from rlhub.foundations.rates import Curve, Panel, drawn_panels, interval, slope

ARMS, RUNS = 5, 20
GAPS = np.geomspace(0.01, 0.5, 12)


def ucb1_bound(gap: float, steps: Float[np.ndarray, " times"], arms: int = ARMS) -> Float[np.ndarray, " steps"]:
    """Regret where all arms but one are worse by the same gap: 8 ln T / gap + (1 + pi^2 / 3) gap each (Auer et al. 2002, Th. 1)."""
    return (arms - 1) * (8 * np.log(steps) / gap + (1 + np.pi**2 / 3) * gap)


def worst_bound(steps: Float[np.ndarray, " times"], arms: int = ARMS) -> Float[np.ndarray, " steps"]:
    """The largest that bound can be, as a small gap costs no more than gap x T: sqrt(8 K T ln T) and a constant for each arm."""
    return np.sqrt(8 * (arms - 1) * steps * np.log(steps)) + (arms - 1) * (1 + np.pi**2 / 3)


def ucb1_regrets(*, runs: int = RUNS, seed: int = 0, steps: int = 100_000) -> Results:
    """Regret for gaps from small to large: one arm earns half the time, the others less."""
    check_runs(runs)
    seen = np.unique(np.geomspace(100, steps, 40).round())
    regrets = []
    for gap in GAPS:
        means = np.full(ARMS, 0.5 - gap / 2)
        means[0] = 0.5 + gap / 2
        regrets.append(ucb1(means, steps, runs=runs, seed=seed)[:, seen.astype(int) - 1])
    return {"steps": seen, "regret": np.array(regrets)}


def draw_ucb1(results: Results) -> go.Figure:
    """Regret at one gap, which is a straight line on the left, and the worst over gaps, on log axes on the right."""
    steps, regret = results["steps"], results["regret"].mean(1)
    place, late = len(GAPS) - 4, steps >= steps[-1] // 10
    grown = np.polyfit(np.log(steps[late]), regret[place][late], 1)[0]
    one = [
        Curve(name=f"UCB1, gap {GAPS[place]:.2g}: {grown:.0f} for each unit of ln T", x=steps, y=regret[place],
              spread=interval(results["regret"][place]), colour=0),
        Curve(name=f"bound 8 (K - 1) ln T / gap + ...: {8 * (ARMS - 1) / GAPS[place]:.0f}", x=steps, y=ucb1_bound(GAPS[place], steps),
              bound=True, colour=0),
    ]  # fmt: skip
    worst = [
        Curve(name="UCB1, worst gap for each T", x=steps, y=regret.max(0), colour=1, predicted="about 1/2"),
        Curve(name="bound √(8 (K - 1) T ln T) + ...", x=steps, y=worst_bound(steps), bound=True, colour=1, predicted="about 1/2"),
    ]
    panels = [
        Panel(title="one bandit: like ln T", x_title="pulls T", y_title="regret, in reward", curves=one, log_y=False),
        Panel(title="the worst bandit for each T: like √(T ln T)", x_title="pulls T", y_title="regret, in reward", curves=worst),
    ]
    return drawn_panels(f"UCB1 on {ARMS} arms: regret grows like ln T on one bandit, like √T on the worst", panels)


def tell_ucb1(results: Results) -> dict[str, float]:
    """Slopes, and the largest share of a bound that was reached."""
    steps, regret = results["steps"], results["regret"].mean(1)
    shares = [row / np.minimum(ucb1_bound(gap, steps), gap * steps) for gap, row in zip(GAPS, regret, strict=True)]
    late = steps >= steps[-1] // 10
    return {
        "slope of the worst regret in T": slope(steps, regret.max(0)),
        "slope of the worst bound in T": slope(steps, worst_bound(steps)),
        "largest share of a bound": float(np.max(shares)),
        "largest share of the worst bound": float((regret.max(0) / worst_bound(steps)).max()),
        "largest gap's slope in T, last tenfold": slope(steps[late], regret[-1][late]),
    }


def linucb_bound(dimensions: int, steps: Float[np.ndarray, " steps"], noise: float, failure: float) -> Float[np.ndarray, " steps"]:
    """2 radius sqrt(2 d T ln(1 + T / d)): no step loses more than twice the width, and widths add up to no more (AJKS, LinUCB).

    A step's loss is at most 2 as well, and the radius at least 1, so that the widths may be cut at 1.
    """
    radius = np.array([confidence_radius(dimensions, int(step), noise, failure) for step in steps])
    return 2 * radius * np.sqrt(2 * dimensions * steps * np.log(1 + steps / dimensions))


DIMENSIONS, NOISE, FAILURE = (2, 4, 8), 1.0, 0.05


def linucb_regrets(*, runs: int = 4, seed: int = 0, steps: int = 10_000) -> Results:
    """Regret in balls of several dimensions."""
    check_runs(runs)
    seen = np.unique(np.geomspace(100, steps, 40).round())
    regrets = []
    for dimensions in DIMENSIONS:
        truth = np.full(dimensions, dimensions**-0.5)
        regrets.append(linucb(truth, steps, noise=NOISE, failure=FAILURE, runs=runs, seed=seed)[:, seen.astype(int) - 1])
    return {"steps": seen, "regret": np.array(regrets)}


def draw_linucb(results: Results) -> go.Figure:
    """Regret against steps for each dimension, and at the end against the dimension."""
    steps, regret, wide = results["steps"], results["regret"], np.array(DIMENSIONS, dtype=float)
    late, grown = (steps[-1] / 10, np.inf), []
    for place, dimensions in enumerate(DIMENSIONS):
        grown.append(
            Curve(name=f"LinUCB, d = {dimensions}", x=steps, y=regret[place].mean(0), spread=interval(regret[place]), colour=place,
                  predicted="about 1/2", fitted=late)
        )  # fmt: skip
        bound = linucb_bound(dimensions, steps, NOISE, FAILURE)
        grown.append(Curve(name=f"bound, d = {dimensions}", x=steps, y=bound, bound=True, colour=place, predicted="about 1/2", fitted=late))
    ends, name = regret[:, :, -1].T, f"LinUCB after {steps[-1]:,.0f} steps"
    bounds = np.array([linucb_bound(dimensions, steps[-1:], NOISE, FAILURE)[0] for dimensions in DIMENSIONS])
    across = [
        Curve(name=name, x=wide, y=ends.mean(0), spread=interval(ends), marks=True, colour=3, predicted="about 1"),
        Curve(name="bound", x=wide, y=bounds, bound=True, colour=3, predicted="about 1"),
    ]
    panels = [
        Panel(title="in time: like √T", x_title="steps T", y_title="regret, in reward", curves=grown),
        Panel(title="in dimensions: like d", x_title="dimensions d", y_title="regret, in reward", curves=across),
    ]
    return drawn_panels("LinUCB choosing directions: regret grows like d√T, with logarithms", panels)


def tell_linucb(results: Results) -> dict[str, float]:
    """Slopes in time and dimension, and the largest share of the bound that a run reached."""
    steps, regret = results["steps"], results["regret"]
    late = steps >= steps[-1] // 10
    shares = [(row / linucb_bound(dimensions, steps, NOISE, FAILURE)).max() for dimensions, row in zip(DIMENSIONS, regret, strict=True)]
    told = {
        f"slope in T, last tenfold, d = {dimensions}": slope(steps[late], regret[place].mean(0)[late])
        for place, dimensions in enumerate(DIMENSIONS)
    }
    return told | {
        "slope of the bound in T, last tenfold, d = 8": slope(steps[late], linucb_bound(8, steps, NOISE, FAILURE)[late]),
        "slope in d at the end": slope(np.array(DIMENSIONS, dtype=float), regret[:, :, -1].mean(1)),
        "largest share of the bound": float(max(shares)),
    }


EXHIBITS = (
    Exhibit(
        key="ucb1",
        title="UCB1's regret",
        shows="on one bandit regret grows like ln T; on the worst bandit for each T like sqrt(T), both below their bounds",
        runs=RUNS,
        compute=ucb1_regrets,
        draw=draw_ucb1,
        numbers=tell_ucb1,
        code=(ucb1, ucb1_bound, worst_bound),
    ),
    Exhibit(
        key="linucb",
        title="LinUCB's regret",
        shows="regret grows like sqrt(T) in time and about linearly in dimension, whatever the number of choices",
        runs=4,
        compute=linucb_regrets,
        draw=draw_linucb,
        numbers=tell_linucb,
        code=(linucb, farthest_point, confidence_radius, linucb_bound),
    ),
)
