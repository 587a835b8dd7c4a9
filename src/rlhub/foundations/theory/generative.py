"""Planning in a model estimated from a generative model: how the error falls with samples (AJKS, Ch. 2)."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from rlhub.foundations.exact_planning import greedy, optimal_values, policy_iterates
from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.mdp import MDP, action_values, policy_values
from rlhub.foundations.rates import Curve, Panel, drawn_panels, interval, slope
from rlhub.foundations.small_mdps import random_mdp

RUNS, FAILURE = 20, 0.05


def estimated(mdp: MDP, samples: int, generator: np.random.Generator) -> MDP:
    """The same MDP with the frequencies of next states when each state and action is sampled so many times (AJKS, Sec. 2.1)."""
    return replace(mdp, transitions=generator.multinomial(samples, mdp.transitions) / samples)


def bound(states: int, actions: int, gamma: float, samples: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " sizes"]:
    """The largest error of Q, with probability 1 - delta: gamma / (1 - gamma)^2 sqrt(ln(2 S A / delta) / (2 n)).

    The error is no more than gamma / (1 - gamma) times that of the next optimal value, an average of n draws between 0 and
    1 / (1 - gamma), which Hoeffding's inequality holds for all pairs at once (AJKS, Sec. 2.2).
    """
    return gamma / (1 - gamma) ** 2 * np.sqrt(np.log(2 * states * actions / FAILURE) / (2 * samples))


def generative_errors(*, runs: int = RUNS, seed: int = 0, states: int = 10, actions: int = 3, gamma: float = 0.9) -> Results:
    """Errors of the estimated model's optimal values, and what its optimal policy loses in the true MDP."""
    check_runs(runs)
    mdp = random_mdp(states, actions, seed=seed, gamma=gamma)
    exact = optimal_values(mdp)
    samples = np.geomspace(10, 100_000, 9).round()
    errors, lost = np.empty((len(samples), runs)), np.empty((len(samples), runs))
    generator = np.random.default_rng(seed)
    for place, size in enumerate(samples):
        for run in range(runs):
            found = optimal_values(estimated(mdp, int(size), generator))
            behaved = action_values(mdp, policy_values(mdp, greedy(found)))
            errors[place, run], lost[place, run] = np.abs(found - exact).max(), (exact - behaved).max()
    return {"samples": samples, "errors": errors, "lost": lost, "bound": bound(states, actions, gamma, samples), "gamma": gamma}


def draw_generative(results: Results) -> go.Figure:
    """Error against samples on log axes."""
    samples, errors, lost = results["samples"], results["errors"].T, results["lost"].mean(1)
    some = lost > 0
    curves = [
        Curve(name="largest error of Q", x=samples, y=errors.mean(0), spread=interval(errors), marks=True, colour=0,
              predicted="-1/2"),
        Curve(name="bound γ/(1 - γ)² √(ln(2SA/δ) / 2n)", x=samples, y=results["bound"], bound=True, colour=0),
        Curve(name=f"loss of the plan when carried out, none for n > {samples[some][-1]:,.0f}", x=samples[some], y=lost[some], marks=True,
              colour=1),
        Curve(name="1/(1 - γ), the largest value there is", x=samples, y=np.full(len(samples), 1 / (1 - results["gamma"])), bound=True,
              dash="dot", colour=6),
    ]  # fmt: skip
    panel = Panel(x_title="samples of each state and action, n", y_title="error, in value", curves=curves)
    return drawn_panels("A model from samples: values planned in it are off by 1/√n", [panel])


def tell_generative(results: Results) -> dict[str, float]:
    """Slope, shares of the bound, and the largest loss per error."""
    samples, errors, gamma = results["samples"], results["errors"], results["gamma"]
    return {
        "slope of the error in n": slope(samples, errors.mean(1)),
        "error at the most samples": float(errors[-1].mean()),
        "largest share of the bound": float((errors / results["bound"][:, None]).max()),
        "largest share of 2 error / (1 - gamma) lost": float((results["lost"] * (1 - gamma) / (2 * errors)).max()),
    }


EXHIBITS = (
    Exhibit(
        key="generative",
        title="Planning in a sampled model",
        shows="the error of values planned in an estimated model falls like 1 / sqrt(n); the plan itself loses far less",
        runs=RUNS,
        compute=generative_errors,
        draw=draw_generative,
        numbers=tell_generative,
        code=(estimated, policy_iterates, bound),
    ),
)
