"""Regret of LSVI-UCB on linear MDPs: it depends on the features' dimension, not on the number of states."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from rlhub.foundations.exact_planning import finite_horizon_values
from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.linear_exploration import linear_mdp, lsvi_ucb
from rlhub.foundations.rates import Curve, Panel, drawn_panels, interval, slope

HORIZON, FAILURE, RUNS, SIZES = 4, 0.05, 3, (10, 40)


def radius_of(dimensions: int, episodes: int, share: float) -> float:
    """The radius beta = c d H sqrt(ln(2 d K H / delta)), for a share c of it (Jin et al. 2020, Th. 3.1)."""
    return float(share * dimensions * HORIZON * np.sqrt(np.log(2 * dimensions * episodes * HORIZON / FAILURE)))


def bound(dimensions: int, radius: float, episodes: Float[np.ndarray, " episodes"]) -> Float[np.ndarray, " episodes"]:
    """Regret while plans are optimistic: 2 beta H sqrt(2 d K ln(1 + K / d)) + 2 H sqrt(2 H K ln(2 / delta)) (Jin et al. 2020).

    Widths add up to no more than the first term, by the lemma of the elliptical potential; the second is chance.
    """
    widths = 2 * radius * HORIZON * np.sqrt(2 * dimensions * episodes * np.log(1 + episodes / dimensions))
    return widths + 2 * HORIZON * np.sqrt(2 * HORIZON * episodes * np.log(2 / FAILURE))


def lsvi_regrets(*, runs: int = RUNS, seed: int = 0, dimensions: int = 4, episodes: int = 20_000, share: float = 0.2) -> Results:
    """Regret and what was promised and not kept, for few and for many states; each run has its own MDP."""
    check_runs(runs)
    seen = np.unique(np.geomspace(10, episodes, 50).round())
    radius, places = radius_of(dimensions, episodes, share), seen.astype(int) - 1
    regret, broken = np.empty((len(SIZES), runs, len(seen))), np.empty((len(SIZES), runs, len(seen)))
    surplus = np.inf
    for size, states in enumerate(SIZES):
        for run in range(runs):
            features, mdp = linear_mdp(states, 4, dimensions, seed=seed * 1_000_003 + run)
            best = finite_horizon_values(mdp, HORIZON)[0, 0].max()
            settings = {"horizon": HORIZON, "radius": radius, "start": 0, "seed": seed * 1_000_003 + run}
            promised, worths, _ = lsvi_ucb(features, mdp.transitions, mdp.rewards, episodes, **settings)
            regret[size, run], broken[size, run] = (best - worths).cumsum()[places], (promised - worths).cumsum()[places]
            surplus = min(surplus, float((promised - best).min()))
    return {"episodes": seen, "regret": regret, "broken": broken, "bound": bound(dimensions, radius, seen), "surplus": surplus}


def draw_lsvi(results: Results) -> go.Figure:
    """Regret and its bounds on log axes; the more states are drawn as points, as they lie on the line of the fewer."""
    episodes, curves = results["episodes"], []
    late = (episodes[-1] / 10, np.inf)
    for place, states in enumerate(SIZES):
        for name, measured, colour, predicted in (("regret", "regret", 0, "1/2"), ("promised - earned", "broken", 1, "1/2 in the end")):
            rows, many = results[measured][place], place > 0
            curves.append(
                Curve(name=f"{name}, {states} states", x=episodes, y=rows.mean(0), spread=None if many else interval(rows), points=many,
                      colour=colour, predicted=predicted, fitted=late)
            )  # fmt: skip
    name = "bound 2βH √(2dK ln(1 + K/d)) + ..., for any number of states"
    curves.append(Curve(name=name, x=episodes, y=results["bound"], bound=True, colour=6))
    curves.append(Curve(name="H K, all there is to lose", x=episodes, y=HORIZON * episodes, bound=True, dash="dot", colour=6))
    panel = Panel(x_title="episodes K", y_title="regret, in reward", curves=curves)
    return drawn_panels("LSVI-UCB on linear MDPs: like √K, for 10 states as for 40", [panel])


def tell_lsvi(results: Results) -> dict[str, float]:
    """Slopes and shares of the bound."""
    episodes, told = results["episodes"], {}
    late = episodes >= episodes[-1] // 10
    for place, states in enumerate(SIZES):
        told[f"regret at the end, {states} states"] = float(results["regret"][place].mean(0)[-1])
        told[f"slope, last tenfold, {states} states"] = slope(episodes[late], results["regret"][place].mean(0)[late])
        told[f"slope of what was promised and not kept, {states} states"] = slope(episodes[late], results["broken"][place].mean(0)[late])
    told["largest share of the bound"] = float((results["broken"] / results["bound"]).max())
    told["largest share of what was promised and not kept"] = float((results["regret"] / results["broken"]).max())
    told["least promise above the optimum"] = results["surplus"]
    return told


EXHIBITS = (
    Exhibit(
        key="lsvi-ucb",
        title="LSVI-UCB's regret",
        shows="regret grows no faster than sqrt(K) and is no larger with four times as many states, as only the dimension counts",
        runs=RUNS,
        compute=lsvi_regrets,
        draw=draw_lsvi,
        numbers=tell_lsvi,
        code=(lsvi_ucb, radius_of, bound),
    ),
)
