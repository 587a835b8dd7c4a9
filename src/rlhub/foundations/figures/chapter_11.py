"""Chapter 11: off-policy methods with approximation, on Baird's counterexample."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.style import colour_of, styled
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.off_policy import (
    baird,
    baird_start,
    expected_emphatic_td,
    expected_gradient_correction,
    expected_semi_gradient,
    gradient_correction,
    semi_gradient_td,
)

STEPS = 1000


def instability(*, runs: int = 1, seed: int = 0) -> Results:
    """Semi-gradient off-policy TD(0) along the behaviour's path, and semi-gradient dynamic programming."""
    paths = [semi_gradient_td(baird(), baird_start(), steps=STEPS, step_size=0.01, seed=seed + run) for run in range(runs)]
    return {
        "Semi-gradient off-policy TD": {"weights": np.mean(paths, 0)},
        "Semi-gradient DP": {"weights": expected_semi_gradient(baird(), baird_start(), sweeps=STEPS, step_size=0.01)},
    }


def with_errors(weights: Any) -> Results:
    """Weights at every step with both errors."""
    problem = baird()
    return {
        "weights": weights,
        "√VE": problem.value_error(weights),
        "√PBE": problem.projected_bellman_error(weights),
    }


def correction(*, runs: int = 1, seed: int = 0) -> Results:
    """TDC along a path and in expectation."""
    settings = {"step_size": 0.005, "correction_step_size": 0.05}
    paths = [gradient_correction(baird(), baird_start(), steps=STEPS, seed=seed + run, **settings) for run in range(runs)]
    return {
        "TDC": with_errors(np.mean(paths, 0)),
        "Expected TDC": with_errors(expected_gradient_correction(baird(), baird_start(), sweeps=STEPS, **settings)),
    }


def emphasis(*, runs: int = 1, seed: int = 0) -> Results:
    """One-step emphatic TD in expectation, which has nothing random."""
    found = with_errors(expected_emphatic_td(baird(), baird_start(), sweeps=STEPS, step_size=0.03))
    return {"Expected emphatic TD": {name: found[name] for name in ("weights", "√VE")}}


def draw_weights(results: Results, title: str) -> go.Figure:
    """A panel for each method: the weights' components, and the errors where there are any."""
    drawn = make_subplots(1, len(results), subplot_titles=list(results) if len(results) > 1 else None, horizontal_spacing=0.08)
    for column, curves in enumerate(results.values(), 1):
        weights = curves["weights"]
        # Components 1 to 6 differ by the path's chance alone: one name and colour for all.
        for place in range(8):
            name, colour = (
                ("w<sub>1</sub> to w<sub>6</sub>", "#0072b2") if place < 6 else (f"w<sub>{place + 1}</sub>", colour_of("", place - 5))
            )
            show = column == 1 and place >= 5
            line = {"color": colour, "width": 1.3}
            drawn.add_scatter(y=weights[:, place], name=name, legendgroup=name, showlegend=show, line=line, row=1, col=column)
        for error, colour in (("√VE", "#222222"), ("√PBE", "#e69f00")):
            if error in curves:
                line = {"color": colour, "width": 2.5}
                drawn.add_scatter(y=curves[error], name=error, legendgroup=error, showlegend=column == 1, line=line, row=1, col=column)
        drawn.update_xaxes(title_text="steps" if column == 1 and len(results) > 1 else "sweeps", row=1, col=column)
    drawn.update_yaxes(title_text="components of the weights" + (" and errors" if "√VE" in curves else ""), row=1, col=1)
    return styled(drawn, title=title, width=1000 if len(results) > 1 else 760)


def draw_instability(results: Results) -> go.Figure:
    """TD at the left, dynamic programming at the right."""
    return draw_weights(results, "Figure 11.2: instability on Baird's counterexample")


def draw_correction(results: Results) -> go.Figure:
    """One path at the left, the expectation at the right."""
    return draw_weights(results, "Figure 11.5: TD with gradient correction (TDC) on Baird's counterexample")


def draw_emphasis(results: Results) -> go.Figure:
    """The expectation alone."""
    return draw_weights(results, "Figure 11.6: one-step emphatic TD in expectation on Baird's counterexample")


def tell_weights(results: Results) -> dict[str, float]:
    """Where the weights are at the end."""
    return {
        f"{name}, w{place + 1} at the end": float(curves["weights"][-1, place]) for name, curves in results.items() for place in (0, 6, 7)
    }


def tell_errors(results: Results) -> dict[str, float]:
    """Both errors at the end, and how far the weights got."""
    told = {
        f"{name}, {error} at the end": float(curves[error][-1])
        for name, curves in results.items()
        for error in curves
        if error != "weights"
    }
    return told | tell_weights(results)


EXHIBITS = (
    Exhibit(
        key="11.2",
        title="Instability on Baird's counterexample",
        shows="off-policy semi-gradient TD diverges, and so does dynamic programming with the same features",
        runs=1,
        compute=instability,
        draw=draw_instability,
        numbers=tell_weights,
        code=(semi_gradient_td, expected_semi_gradient),
    ),
    Exhibit(
        key="11.5",
        title="TD with gradient correction on Baird's counterexample",
        shows="TDC drives the projected Bellman error to zero, while the value error stays near 2",
        runs=1,
        compute=correction,
        draw=draw_correction,
        numbers=tell_errors,
        code=(gradient_correction, expected_gradient_correction),
    ),
    Exhibit(
        key="11.6",
        title="One-step emphatic TD in expectation on Baird's counterexample",
        shows="emphatic TD's expected weights swing at first and then reach the true values",
        runs=1,
        compute=emphasis,
        draw=draw_emphasis,
        numbers=tell_errors,
        code=(expected_emphatic_td,),
    ),
)
