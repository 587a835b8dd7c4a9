"""The linear quadratic regulator: policy gradient finds Riccati's gain at a geometric rate although costs aren't convex."""

import numpy as np
import plotly.graph_objects as go

from rlhub.foundations.exhibit import Exhibit, Results, check_runs
from rlhub.foundations.linear_quadratic import Way, descend, evaluated, riccati
from rlhub.foundations.rates import Curve, Panel, drawn_panels

STEPS = 400


WAYS: tuple[Way, ...] = ("gradient", "natural", "gauss-newton")


def regulator_costs(*, runs: int = 1, seed: int = 0, states: int = 4, controls: int = 2) -> Results:
    """Costs above the best one, step by step, on a random system that is steady by itself; the worst of the runs counts."""
    check_runs(runs)
    excess: dict[Way, list[np.ndarray]] = {way: [] for way in WAYS}
    factors: dict[Way, float] = {"gradient": 0.0, "natural": 0.0}
    apart = 0.0
    for run in range(runs):
        generator = np.random.default_rng([seed, run])
        A = generator.standard_normal((states, states))
        A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
        B = generator.standard_normal((states, controls))
        Q, R, start = np.eye(states), np.eye(controls), np.eye(states)
        best, _ = riccati(A, B, Q, R)
        least, _, spread = evaluated(A, B, Q, R, best, start)
        zero = np.zeros((controls, states))
        first, _, first_spread = evaluated(A, B, Q, R, zero, start)
        # Curvature is at most that of the first gain: costs only fall, and P with them, in trace.
        steep = float(np.linalg.norm(R, 2) + np.linalg.norm(B, 2) ** 2 * first)
        sizes: dict[Way, float] = {
            "gradient": 1 / (4 * steep * float(np.linalg.norm(first_spread, 2))),
            "natural": 1 / (2 * steep),
            "gauss-newton": 0.5,
        }
        # Gradient dominance: each step takes off at least this share of what is too much (Fazel et al. 2018); start is 1.
        widest, lowest = np.linalg.norm(spread, 2), np.linalg.eigvalsh(R).min()
        factors["natural"] = max(factors["natural"], 1 - sizes["natural"] * lowest / widest)
        factors["gradient"] = max(factors["gradient"], 1 - sizes["gradient"] * lowest / widest)
        for way, rows in excess.items():
            costs, gain = descend(A, B, Q, R, zero, start, way=way, step_size=sizes[way], steps=STEPS)
            rows.append((costs - least) / (first - least))
            if way == "gauss-newton":
                apart = max(apart, float(np.abs(gain - best).max()))
    return {"excess": {way: np.array(rows) for way, rows in excess.items()}, "factors": factors, "apart": apart}


def draw_regulator(results: Results) -> go.Figure:
    """What a cost has too much against steps, where a constant factor a step is a straight line."""
    steps, curves, told = np.arange(STEPS), [], tell_regulator(results)
    for place, (way, rows) in enumerate(results["excess"].items()):
        worst = rows.max(0)
        # Below that, rounding is all that is left.
        shown = worst > 1e-12
        spoken = f": {told[f'{way}: factor a step, from 50 to 100, worst']:.4f} a step" if way in results["factors"] else ""
        name = {"gradient": "gradient", "natural": "natural gradient", "gauss-newton": "Gauss-Newton, policy iteration"}[way]
        curves.append(Curve(name=name + spoken, x=steps[shown], y=worst[shown], colour=place, marks=way == "gauss-newton"))
        if way in results["factors"]:
            factor = results["factors"][way]
            curves.append(Curve(name=f"{name}, bound: {factor:.4f} a step", x=steps, y=factor**steps, bound=True, colour=place))
    panel = Panel(x_title="steps", y_title="cost above Riccati's, share of the first", curves=curves, log_x=False)
    return drawn_panels("LQR: policy gradient comes to Riccati's gain by a constant factor a step", [panel])


def tell_regulator(results: Results) -> dict[str, float]:
    """Factors a step beside those promised, and how close the gain comes to Riccati's."""
    excess, factors = results["excess"], results["factors"]
    told = {"largest difference of a gain from Riccati's": results["apart"]}
    for way, factor in factors.items():
        rows = excess[way]
        told[f"{way}: factor a step, from 50 to 100, worst"] = float(((rows[:, 100] / rows[:, 50]) ** (1 / 50)).max())
        told[f"{way}: factor promised"] = factor
        told[f"{way}: largest share of the bound"] = float((rows / factor ** np.arange(STEPS)).max())
    told["gauss-newton: steps until 1e-12 of the first"] = float((excess["gauss-newton"].max(0) > 1e-12).sum())
    return told


EXHIBITS = (
    Exhibit(
        key="lqr",
        title="The linear quadratic regulator",
        shows="policy gradient reaches Riccati's gain by a constant factor a step; Gauss-Newton needs a handful of steps",
        runs=1,
        compute=regulator_costs,
        draw=draw_regulator,
        numbers=tell_regulator,
        code=(riccati, descend),
    ),
)
