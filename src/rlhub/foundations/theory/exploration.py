"""Regret of exploring a tabular MDP: UCB-VI with two bonuses, and posterior sampling, each beside its own bound."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.exploration import BERNSTEIN, HOEFFDING, POSTERIOR, explore, plan_with_bonus
from rlhub.foundations.rates import Curve, Panel, drawn_panels, interval, slope
from rlhub.foundations.small_mdps import random_mdp, small_mdp

HORIZON, FAILURE, RUNS = 10, 0.05, 2
WAYS = {"UCB-VI, Hoeffding": HOEFFDING, "UCB-VI, Bernstein": BERNSTEIN, "PSRL": POSTERIOR}


def hoeffding_bound(states: int, actions: int, episodes: Float[np.ndarray, " episodes"], horizon: int) -> Float[np.ndarray, " episodes"]:
    """UCB-VI's regret with the Hoeffding bonus, 10 H^2 S sqrt(A K L), L = ln(S A H K / delta) (AJKS, the theorem on UCB-VI)."""
    logs = np.log(states * actions * horizon * episodes / FAILURE)
    return 10 * horizon**2 * states * np.sqrt(actions * episodes * logs)


def bernstein_bound(states: int, actions: int, episodes: Float[np.ndarray, " episodes"], horizon: int) -> Float[np.ndarray, " episodes"]:
    """UCB-VI's regret with a Bernstein bonus, as far as it grows with K: 30 H L sqrt(S A K) + 4 H sqrt(H K L), L = ln(5 H S A T / delta).

    These are the constants of Azar, Osband & Munos (2017), Theorem 2, in which T = K H. It holds with probability 1 - delta for their
    bonus, which is wider than ours, and adds `constant_term`, which is the larger part until there are millions of episodes.
    """
    logs = np.log(5 * horizon * states * actions * horizon * episodes / FAILURE)
    return 30 * horizon * logs * np.sqrt(states * actions * episodes) + 4 * horizon * np.sqrt(horizon * episodes * logs)


def constant_term(states: int, actions: int, episodes: float, horizon: int) -> float:
    """What the same theorem adds, which grows with K by logarithms alone: 2500 H^2 S^2 A L^2."""
    return float(2500 * horizon**2 * states**2 * actions * np.log(5 * horizon * states * actions * horizon * episodes / FAILURE) ** 2)


def posterior_bound(states: int, actions: int, episodes: Float[np.ndarray, " episodes"], horizon: int) -> Float[np.ndarray, " episodes"]:
    """Posterior sampling's Bayesian regret, 2 H sqrt(2 S A T ln(S A T)): on average over MDPs drawn from its prior, T = K H.

    Osband & Van Roy (2017), Theorem 1, say O(H sqrt(S A T)) and leave logarithms and constants out; those here are ours, from the
    argument's two steps: a next value between 0 and H is known within H sqrt(2 ln(S A T) / n) after n tries, and 1 / sqrt(n) over all
    tries sums to no more than 2 sqrt(S A T).
    """
    steps = horizon * episodes
    return 2 * horizon * np.sqrt(2 * states * actions * steps * np.log(states * actions * steps))


BOUNDS = {"UCB-VI, Hoeffding": hoeffding_bound, "UCB-VI, Bernstein": bernstein_bound, "PSRL": posterior_bound}


def regrets(ways: tuple[str, ...], env: str, episodes: int, runs: int, seed: int) -> Results:
    """Regret so far of several ways to explore one MDP, at episodes spread evenly on a log axis."""
    check_runs(runs)
    mdp = small_mdp(env)
    seen = np.unique(np.geomspace(10, episodes, 60).round())
    found, promised, kept = [], [], []
    for way in ways:
        settings = {"horizon": HORIZON, "way": WAYS[way], "failure": FAILURE, "start": 0}
        told = [explore(mdp.transitions, mdp.rewards, episodes, **settings, seed=seed * 1_000_003 + run) for run in range(runs)]
        found.append([regret.cumsum()[seen.astype(int) - 1] for regret, _ in told])
        promised.append(min(promise.min() for _, promise in told))
        kept.append([(promise + regret).cumsum()[seen.astype(int) - 1] for regret, promise in told])
    shared = {"env": env, "ways": ways, "shape": mdp.rewards.shape, "episodes": seen}
    return shared | {"regret": np.array(found), "promise": np.array(promised), "broken": np.array(kept)}


def ucbvi_regrets(*, runs: int = RUNS, seed: int = 0, env: str = "riverswim", episodes: int = 300_000) -> Results:
    """UCB-VI under both bonuses."""
    return regrets(("UCB-VI, Hoeffding", "UCB-VI, Bernstein"), env, episodes, runs, seed)


def psrl_regrets(*, runs: int = 20, seed: int = 0, env: str = "riverswim", episodes: int = 20_000) -> Results:
    """Posterior sampling beside the better bonus on one MDP, and alone on MDPs drawn from its prior, of which its bound speaks."""
    one = regrets(("UCB-VI, Bernstein", "PSRL"), env, episodes, runs, seed)
    states, actions = one["shape"]
    regret, missed, surplus = [], [], []
    for run in range(runs):
        # Rows drawn evenly from all distributions are the prior of one count for each next state
        mdp = random_mdp(states, actions, seed=seed * 1_000_003 + run)
        settings = {"horizon": HORIZON, "way": POSTERIOR, "failure": FAILURE, "start": 0}
        lost, promise = explore(mdp.transitions, mdp.rewards, episodes, **settings, seed=seed * 1_000_003 + run)
        regret.append(lost.cumsum())
        missed.append(np.abs(promise + lost).cumsum())
        surplus.append(promise.mean())
    places = one["episodes"].astype(int) - 1
    return {**one, "prior": np.array(regret)[:, places], "missed": np.array(missed)[:, places], "surplus": np.array(surplus)}


def bounds_of(results: Results) -> dict[str, np.ndarray]:
    """The bound of each way that has one for a single MDP."""
    states, actions = results["shape"]
    return {way: BOUNDS[way](states, actions, results["episodes"], HORIZON) for way in results["ways"] if way != "PSRL"}


def panel_of(results: Results) -> Panel:
    """Regret and bounds on one MDP, on log axes."""
    episodes, curves = results["episodes"], []
    late, all_lost = (
        (episodes[-1] / 10, np.inf),
        Curve(name="H K, all there is to lose", x=episodes, y=HORIZON * episodes, bound=True, dash="dot", colour=6),
    )
    for way, regret, broken in zip(results["ways"], results["regret"], results["broken"], strict=True):
        place = list(WAYS).index(way)
        curves.append(
            Curve(name=f"{way}, regret", x=episodes, y=regret.mean(0), spread=interval(regret), colour=place,
                  predicted="at most 1/2", fitted=late)
        )  # fmt: skip
        if way in bounds_of(results):
            name = f"{way}, promised - earned"
            predicted = "1/2" if way.endswith("Hoeffding") else "at most 1/2"
            curves.append(Curve(name=name, x=episodes, y=broken.mean(0), bound=True, colour=place, predicted=predicted, fitted=late))
            said = {
                "UCB-VI, Hoeffding": "bound 10 H²S √(AKL)",
                "UCB-VI, Bernstein": "bound 30 HL √(SAK) + ..., growing part",
            }
            curves.append(Curve(name=f"{way}, {said[way]}", x=episodes, y=bounds_of(results)[way], bound=True, dash="dot", colour=place))
    return Panel(
        x_title="episodes K", y_title="regret, in reward", curves=[*curves, all_lost], title=f"{results['env']}, horizon {HORIZON}"
    )


def draw_ucbvi(results: Results) -> go.Figure:
    """Regret, what was promised and not kept, and bounds on log axes."""
    return drawn_panels("UCB-VI: regret stays below what plans promise and don't earn, at most like √K", [panel_of(results)])


def draw_psrl(results: Results) -> go.Figure:
    """One MDP beside UCB-VI, and the average over MDPs of the prior beside its bound."""
    episodes, late = results["episodes"], (results["episodes"][-1] / 10, np.inf)
    states, actions = results["shape"]
    curves = [
        Curve(name="PSRL, regret", x=episodes, y=results["prior"].mean(0), spread=interval(results["prior"]), colour=2,
              predicted="at most 1/2", fitted=late),
        Curve(name="PSRL, |promised - earned|", x=episodes, y=results["missed"].mean(0), spread=interval(results["missed"]), colour=3,
              predicted="1/2", fitted=late),
        Curve(name="bound on both, 2 H √(2 SAT ln SAT), T = KH", x=episodes, y=posterior_bound(states, actions, episodes, HORIZON),
              bound=True, dash="dot", colour=2),
        Curve(name="H K, all there is to lose", x=episodes, y=HORIZON * episodes, bound=True, dash="dot", colour=6),
    ]  # fmt: skip
    title = f"{len(results['prior'])} MDPs of the prior, {states} states and {actions} actions"
    panel = Panel(title=title, x_title="episodes K", y_title="regret, in reward", curves=curves)
    return drawn_panels("Posterior sampling: less regret than a bonus on one MDP, and its Bayesian bound", [panel_of(results), panel])


def tell_ucbvi(results: Results) -> dict[str, float]:
    """Regret at the end, its slope, its share of the bound, and the smallest surplus of a promise."""
    episodes, told = results["episodes"], {}
    late = episodes >= episodes[-1] // 10
    each = zip(results["ways"], results["regret"], results["promise"], results["broken"], strict=True)
    for way, regret, promise, broken in each:
        told[f"{way}: regret at the end"] = float(regret[:, -1].mean())
        told[f"{way}: slope, last tenfold"] = slope(episodes[late], regret.mean(0)[late])
        if way in bounds_of(results):
            told[f"{way}: largest share of the bound"] = float((regret / bounds_of(results)[way]).max())
            told[f"{way}: least promise above the optimum"] = float(promise)
            told[f"{way}: slope of what was promised and not kept, last tenfold"] = slope(episodes[late], broken.mean(0)[late])
            told[f"{way}: largest share of what was promised and not kept"] = float((regret / broken).max())
    if "UCB-VI, Bernstein" in results["ways"]:
        states, actions = results["shape"]
        told["UCB-VI, Bernstein: the bound's constant term, not drawn"] = constant_term(states, actions, episodes[-1], HORIZON)
    return told


def tell_psrl(results: Results) -> dict[str, float]:
    """The same on one MDP, and over MDPs of the prior: slopes, the share of the bound, and whether promises are right on average."""
    episodes, surplus, (states, actions) = results["episodes"], results["surplus"], results["shape"]
    late = episodes >= episodes[-1] // 10
    bound = posterior_bound(states, actions, episodes, HORIZON)
    return tell_ucbvi(results) | {
        "prior: regret at the end": float(results["prior"][:, -1].mean()),
        "prior: slope of regret, last tenfold": slope(episodes[late], results["prior"].mean(0)[late]),
        "prior: slope of how far promises miss, last tenfold": slope(episodes[late], results["missed"].mean(0)[late]),
        "prior: largest share of the bound": float((results["missed"].mean(0) / bound).max()),
        "prior: a promise above the optimum, on average": float(surplus.mean()),
        "prior: its standard error": float(surplus.std(ddof=1) / np.sqrt(len(surplus))) if len(surplus) > 1 else float("nan"),
    }


EXHIBITS = (
    Exhibit(
        key="ucbvi",
        title="UCB-VI's regret with Hoeffding's and Bernstein's bonus",
        shows="promises not kept bound regret and grow no faster than sqrt(K); Bernstein's bonus costs a tenth of Hoeffding's",
        runs=RUNS,
        compute=ucbvi_regrets,
        draw=draw_ucbvi,
        numbers=tell_ucbvi,
        code=(explore, plan_with_bonus, hoeffding_bound, bernstein_bound),
    ),
    Exhibit(
        key="psrl",
        title="Posterior sampling's regret",
        shows="sampling an MDP from the posterior explores as deeply as a bonus does, at a small part of its regret; over MDPs drawn from "
        "the prior its promises are right on average, and miss by a sum that grows like sqrt(K), below the bound on Bayesian regret",
        runs=20,
        compute=psrl_regrets,
        draw=draw_psrl,
        numbers=tell_psrl,
        code=(explore, posterior_bound),
    ),
)
