"""Imitation: how costs grow with the horizon, for behaviour cloning and for DAgger."""

import numpy as np
import plotly.graph_objects as go

from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.imitation import cost_of, dagger_labels, expert_labels
from rlhub.foundations.rates import Curve, Panel, drawn_panels, interval, slope

CONTEXTS, RUNS = 100, 200
HORIZONS = np.array([5.0, 10.0, 20.0, 40.0, 80.0])


def imitation_costs(*, runs: int = RUNS, seed: int = 0, labels: int = 600) -> Results:
    """Mean costs and mistakes for each horizon, with the same number of labels for both learners."""
    check_runs(runs)
    costs, wrong, back = np.empty((2, len(HORIZONS), runs)), np.empty((2, len(HORIZONS), runs)), np.empty((len(HORIZONS), runs))
    for place, horizon in enumerate(HORIZONS):
        for run in range(runs):
            generator = np.random.default_rng([seed, run])
            costs[0, place, run], wrong[0, place, run] = cost_of(expert_labels(CONTEXTS, labels, generator), int(horizon))
            known = dagger_labels(CONTEXTS, labels, int(horizon), generator)
            costs[1, place, run], wrong[1, place, run] = cost_of(known, int(horizon))
            back[place, run] = known[1].mean()
    # Once off, a learner is off for 1 / back steps on average; at least one context off the track is known in all runs but the unluckiest.
    recovery = 1 / np.maximum(back, 1 / CONTEXTS)
    bounds = np.array([wrong[0] * (HORIZONS * (HORIZONS + 1) / 2)[:, None], wrong[1] * HORIZONS[:, None] * recovery])
    return {"costs": costs, "bounds": bounds, "recovery": recovery, "labels": labels}


def draw_imitation(results: Results) -> go.Figure:
    """Costs and bounds against the horizon on log axes."""
    costs, bounds = results["costs"], results["bounds"].mean(2)
    curves = []
    for place, (name, bound, predicted) in enumerate(
        (("behaviour cloning", "ε H (H + 1) / 2", "2"), ("DAgger", "ε H x steps to recover", "1"))
    ):
        curves.append(
            Curve(name=name, x=HORIZONS, y=costs[place].mean(1), spread=interval(costs[place].T), marks=True, colour=place,
                  predicted=predicted)
        )  # fmt: skip
        curves.append(Curve(name=f"bound {bound}", x=HORIZONS, y=bounds[place], bound=True, colour=place))
    panel = Panel(
        title="ε: share of contexts on the track without a label", x_title="horizon H, steps", y_title="cost of an episode, steps off",
        curves=curves,
    )  # fmt: skip
    return drawn_panels(f"Imitation from {results['labels']} labels: cloning pays like H², DAgger like H", [panel])


def tell_imitation(results: Results) -> dict[str, float]:
    """Slopes in the horizon and shares of the bounds."""
    costs, bounds = results["costs"], results["bounds"]
    told = {}
    for place, name in enumerate(("behaviour cloning", "DAgger")):
        told[f"{name}: slope of the cost in H"] = slope(HORIZONS, costs[place].mean(1))
        told[f"{name}: largest share of the bound"] = float((costs[place] / np.maximum(bounds[place], 1e-300)).max())
        told[f"{name}: cost at the longest horizon"] = float(costs[place, -1].mean())
    return told | {"DAgger: steps to recover, longest horizon": float(results["recovery"][-1].mean())}


EXHIBITS = (
    Exhibit(
        key="imitation",
        title="Behaviour cloning and DAgger",
        shows="a cloner that never saw how to recover pays like H^2; one that is corrected where it goes itself pays like H",
        runs=RUNS,
        compute=imitation_costs,
        draw=draw_imitation,
        numbers=tell_imitation,
        code=(expert_labels, dagger_labels, cost_of),
    ),
)
