"""Regret where the world changes: bandits that drift or jump, and decision processes whose dynamics switch."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from rlhub.foundations.drifting import abrupt, cusum_ucb, discounted_ucb, reflected_walks, restarted_ucb, sliding_window_ucb
from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.rates import Curve, Panel, drawn_panels
from rlhub.foundations.small_mdps import small_mdp
from rlhub.foundations.switching import alternating, switched_q_learning, windowed_posterior_sampling

# The jumps of Garivier & Moulines (2011, Sec. 5): of three arms one stays best but for a while in which another is far better.
LEVELS, BEGINS = np.array([[0.5, 0.3, 0.4], [0.5, 0.3, 0.9], [0.5, 0.3, 0.4]]), (0, 3000, 5000)
STEPS, DRIFT, EXPLORATION, EVERY = 10_000, 0.01, 0.5, 500
HORIZON, EPISODES, PHASE, WINDOW = 20, 6000, 1000, 100


def drifting_regrets(*, runs: int = 100, seed: int = 0, steps: int = STEPS, drift: float = DRIFT) -> Results:
    """Regret of each way to forget, where arms jump and where they walk."""
    check_runs(runs)
    jumps, walks = abrupt(LEVELS, BEGINS, runs=runs, steps=steps), reflected_walks(runs=runs, steps=steps, arms=3, drift=drift, seed=seed)
    never, changes, often = (np.isin(np.arange(steps), at) for at in ((), BEGINS[1:], range(EVERY, steps, EVERY)))
    # The discount and the window that the authors use: those that their bounds ask for, up to a constant.
    settings: dict[str, Any] = {"exploration": EXPLORATION, "seed": seed}
    discount, window = 1 - 1 / (4 * np.sqrt(steps)), int(4 * np.sqrt(steps * np.log(steps)))
    watch = {"first": 50, "tolerance": 0.1, "threshold": 20.0, "forced": 0.01}
    found: dict[str, Any] = {}
    for name, means, restarts, restarted in (
        ("jumps", jumps, changes, "UCB1 restarted at the true jumps (oracle)"),
        ("random walks", walks, often, f"UCB1 restarted every {EVERY} steps"),
    ):
        found[name] = {
            "UCB1": restarted_ucb(means, never, **settings),
            "discounted UCB": discounted_ucb(means, discount=discount, **settings),
            "sliding-window UCB": sliding_window_ucb(means, window=window, **settings),
            "CUSUM-UCB": cusum_ucb(means, **watch, **settings)[0],
            restarted: restarted_ucb(means, restarts, **settings),
        }
    return found


def switching_regrets(*, runs: int = 10, seed: int = 0, env: str = "riverswim", episodes: int = EPISODES, every: int = PHASE) -> Results:
    """Regret of model-free and model-based learners where the actions trade places every so many episodes."""
    check_runs(runs)
    mdp = small_mdp(env)
    dynamics, phases = alternating(mdp, episodes, every)
    never, changes = np.zeros(episodes, dtype=bool), np.arange(episodes) % every == 0
    task = (dynamics, mdp.rewards, phases)
    shared: dict[str, Any] = {"horizon": HORIZON, "start": 0, "seed": seed}
    learners: dict[str, Any] = {
        f"Q-learning, step size {kind}": (switched_q_learning, task, {"step_size": step_size, "epsilon": epsilon})
        for kind, step_size, epsilon in (("1/n, ε = 0.05", 0.0, 0.05), ("0.3, ε = 0.05", 0.3, 0.05), ("0.3, greedy", 0.3, 0.0))
    } | {
        kind: (windowed_posterior_sampling, (*task, restarts), {"window": window})
        for kind, restarts, window in (
            ("PSRL", never, episodes),
            (f"PSRL, window of {WINDOW} episodes", never, WINDOW),
            ("PSRL restarted at the true switches (oracle)", changes, episodes),
        )
    }
    regrets = {
        name: np.array([learn(*arguments, **settings, **shared, run=run).cumsum() for run in range(runs)])
        for name, (learn, arguments, settings) in learners.items()
    }
    return {"env": env, "every": every, "regret": regrets}


def panel_of(regrets: Results, x_title: str, title: str = "") -> Panel:
    """A curve for each learner with a shade of two standard errors, at two hundred places."""
    curves = []
    for place, (name, regret) in enumerate(regrets.items()):
        at = np.unique(np.linspace(0, regret.shape[1] - 1, 200).astype(int))
        spread = 2 * regret[:, at].std(0) / np.sqrt(len(regret))
        curves.append(Curve(name=name, x=at + 1.0, y=regret[:, at].mean(0), spread=spread, colour=place))
    return Panel(x_title=x_title, y_title="regret", curves=curves, log_x=False, log_y=False, title=title)


def draw_drifting(results: Results) -> go.Figure:
    """Jumps at the left with dotted lines where arms change, walks at the right."""
    panels = [panel_of(regrets, "steps", name) for name, regrets in results.items()]
    drawn = drawn_panels("Bandits whose arms change: regret against the best arm of each step", panels)
    for change in BEGINS[1:]:
        drawn.add_vline(x=change, line={"dash": "dot", "width": 1.2, "color": "#888888"}, row=1, col=1)
    return drawn


def draw_switching(results: Results) -> go.Figure:
    """One panel, with dotted lines at the switches."""
    panel = panel_of(results["regret"], "episodes")
    drawn = drawn_panels(f"{results['env']} whose actions trade places: regret against each phase's best policy", [panel])
    for change in range(results["every"], int(panel.curves[0].x[-1]), results["every"]):
        drawn.add_vline(x=change, line={"dash": "dot", "width": 1.2, "color": "#888888"})
    return drawn


def tell_drifting(results: Results) -> dict[str, float]:
    """Each learner's regret at the end and twice its standard error."""
    return {key: value for panel, regrets in results.items() for key, value in tell_ends(regrets, f"{panel}, ").items()}


def tell_ends(regrets: Results, before: str = "") -> dict[str, float]:
    """Regret at the end of each of these, and twice its standard error."""
    told = {}
    for name, regret in regrets.items():
        told[f"{before}{name}: regret at the end"] = float(regret[:, -1].mean())
        told[f"{before}{name}: two standard errors"] = float(2 * regret[:, -1].std() / np.sqrt(len(regret)))
    return told


def tell_switching(results: Results) -> dict[str, float]:
    """Each learner's regret at the end, and in the last phase over the first, where a learner that can't forget pays more."""
    every, told = results["every"], tell_ends(results["regret"])
    for name, regret in results["regret"].items():
        ends = regret.mean(0)[every - 1 :: every]
        told[f"{name}: regret of the last phase over the first's"] = float((ends[-1] - ends[-2]) / ends[0]) if len(ends) > 1 else 1.0
    return told


EXHIBITS = (
    Exhibit(
        key="drifting-bandits",
        title="Bandits whose arms jump or drift",
        shows="plain UCB1 keeps losing after a change; restarts, a window or noticing changes cut its regret, and fading counts hardly do",
        runs=100,
        compute=drifting_regrets,
        draw=draw_drifting,
        numbers=tell_drifting,
        code=(sliding_window_ucb, discounted_ucb, cusum_ucb, restarted_ucb),
    ),
    Exhibit(
        key="switching-mdp",
        title="A decision process whose dynamics switch",
        shows="a model of all that was seen never recovers from a switch; one of the last hundred episodes soon does, before Q-learning",
        runs=10,
        compute=switching_regrets,
        draw=draw_switching,
        numbers=tell_switching,
        code=(windowed_posterior_sampling, switched_q_learning),
    ),
)
