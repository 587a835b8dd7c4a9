"""Regret of exploring a tabular MDP: UCB-VI with two bonuses, and posterior sampling, beside their bounds."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.exploration import BERNSTEIN, HOEFFDING, POSTERIOR, explore, plan_with_bonus
from rlhub.foundations.rates import Curve, Panel, drawn_panels, slope
from rlhub.foundations.small_mdps import check_mdp, small_mdp

HORIZON, FAILURE, RUNS = 10, 0.05, 2
WAYS = {"UCB-VI, Hoeffding": HOEFFDING, "UCB-VI, Bernstein": BERNSTEIN, "PSRL": POSTERIOR}


def hoeffding_bound(states: int, actions: int, episodes: Float[np.ndarray, " episodes"], horizon: int) -> Float[np.ndarray, " episodes"]:
    """UCB-VI's regret with the Hoeffding bonus, with high probability: 10 H^2 S sqrt(A K L) (AJKS, Sec. 7.2)."""
    logs = np.log(states * actions * horizon * episodes / FAILURE)
    return 10 * horizon**2 * states * np.sqrt(actions * episodes * logs)


def bernstein_bound(states: int, actions: int, episodes: Float[np.ndarray, " episodes"], horizon: int) -> Float[np.ndarray, " episodes"]:
    """UCB-VI's regret with the Bernstein bonus, sqrt(H S A T) L and lower orders, T = K H steps (Azar et al. 2017, Th. 2).

    Posterior sampling's expected regret has the same rate in T, H S sqrt(A T L) (Osband et al. 2013, Th. 1).
    """
    logs = np.log(states * actions * horizon * episodes / FAILURE)
    return 30 * horizon * np.sqrt(states * actions * episodes) * logs


def regrets(ways: tuple[str, ...], env: str, episodes: int, runs: int, seed: int) -> Results:
    """Regret so far of several ways to explore one MDP, at episodes spread evenly on a log axis."""
    check_runs(runs)
    transitions, rewards = small_mdp(env)
    check_mdp(transitions, rewards)
    seen = np.unique(np.geomspace(10, episodes, 60).round())
    found, promised, kept = [], [], []
    for way in ways:
        settings = {"horizon": HORIZON, "way": WAYS[way], "failure": FAILURE, "start": 0}
        told = [explore(transitions, rewards, episodes, **settings, seed=seed * 1_000_003 + run) for run in range(runs)]
        found.append([regret.cumsum()[seen.astype(int) - 1] for regret, _ in told])
        promised.append(min(promise.min() for _, promise in told))
        kept.append([(promise + regret).cumsum()[seen.astype(int) - 1] for regret, promise in told])
    shared = {"env": env, "ways": ways, "shape": rewards.shape, "episodes": seen}
    return shared | {"regret": np.array(found), "promise": np.array(promised), "broken": np.array(kept)}


def ucbvi_regrets(*, runs: int = RUNS, seed: int = 0, env: str = "riverswim", episodes: int = 300_000) -> Results:
    """UCB-VI under both bonuses."""
    return regrets(("UCB-VI, Hoeffding", "UCB-VI, Bernstein"), env, episodes, runs, seed)


def psrl_regrets(*, runs: int = 10, seed: int = 0, env: str = "riverswim", episodes: int = 20_000) -> Results:
    """Posterior sampling beside the better bonus."""
    return regrets(("UCB-VI, Bernstein", "PSRL"), env, episodes, runs, seed)


def bounds_of(results: Results) -> dict[str, np.ndarray]:
    """The bound of each way."""
    states, actions = results["shape"]
    bound = {"UCB-VI, Hoeffding": hoeffding_bound}
    return {way: bound.get(way, bernstein_bound)(states, actions, results["episodes"], HORIZON) for way in results["ways"]}


def draw_exploration(results: Results) -> go.Figure:
    """Regret and bounds on log axes."""
    episodes, curves = results["episodes"], []
    for way, regret, broken in zip(results["ways"], results["regret"], results["broken"], strict=True):
        place = list(WAYS).index(way)
        # A shade from below zero can't be drawn on a log axis.
        spread = np.minimum(2 * regret.std(0) / np.sqrt(len(regret)), 0.9 * regret.mean(0))
        curves.append(Curve(name=way, x=episodes, y=regret.mean(0), spread=spread, colour=place))
        if way != "PSRL":
            name = f"{way}: promised and not kept, no less while optimistic"
            curves.append(Curve(name=name, x=episodes, y=broken.mean(0), bound=True, colour=place))
        curves.append(
            Curve(name=f"{way}: bound before anything is seen", x=episodes, y=bounds_of(results)[way], bound=True, colour=place + 3)
        )
    curves.append(Curve(name="nothing earned", x=episodes, y=HORIZON * episodes, bound=True, colour=6))
    panel = Panel(x_title="episodes K", y_title="regret", curves=curves)
    return drawn_panels(f"Exploring {results['env']}: regret beside its bounds", [panel])


def tell_exploration(results: Results) -> dict[str, float]:
    """Regret at the end, its slope, its share of the bound, and the smallest surplus of a promise."""
    episodes, told = results["episodes"], {}
    late = episodes >= episodes[-1] // 10
    each = zip(results["ways"], results["regret"], results["promise"], results["broken"], strict=True)
    for way, regret, promise, broken in each:
        told[f"{way}: regret at the end"] = float(regret[:, -1].mean())
        told[f"{way}: slope, last tenfold"] = slope(episodes[late], regret.mean(0)[late])
        told[f"{way}: largest share of the bound"] = float((regret / bounds_of(results)[way]).max())
        if way != "PSRL":
            told[f"{way}: least promise above the optimum"] = float(promise)
            told[f"{way}: slope of what was promised and not kept, last tenfold"] = slope(episodes[late], broken.mean(0)[late])
            told[f"{way}: largest share of what was promised and not kept"] = float((regret / broken).max())
    return told


EXHIBITS = (
    Exhibit(
        key="ucbvi",
        title="UCB-VI's regret with Hoeffding's and Bernstein's bonus",
        shows="promises not kept bound regret and grow no faster than sqrt(K); Bernstein's bonus costs a tenth of Hoeffding's",
        runs=RUNS,
        compute=ucbvi_regrets,
        draw=draw_exploration,
        numbers=tell_exploration,
        code=(explore, plan_with_bonus),
    ),
    Exhibit(
        key="psrl",
        title="Posterior sampling's regret",
        shows="sampling an MDP from the posterior explores as deeply as a bonus does, at a small part of its regret",
        runs=10,
        compute=psrl_regrets,
        draw=draw_exploration,
        numbers=tell_exploration,
        code=(explore,),
    ),
)
