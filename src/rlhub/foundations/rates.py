"""Rates: a measured quantity beside its bound, drawn in panels, and the slope that log axes show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from rlhub.core.style import band, colour_of, styled


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a panel.

    Attributes:
        name: in the legend.
        x: places.
        y: heights.
        bound: a promise rather than a measurement, drawn dashed.
        colour: its place in the palette; by default the next.
        spread: half the width of the shade around it.
        marks: mark each point, where there are few.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    bound: bool = False
    colour: int | None = None
    spread: np.ndarray | None = None
    marks: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Curves over shared axes.

    Attributes:
        x_title: name and unit.
        y_title: name and unit.
        curves: what is drawn.
        log_x: whether equal factors are equally far apart.
        log_y: the same upwards.
        title: above it.
    """

    x_title: str
    y_title: str
    curves: Sequence[Curve]
    log_x: bool = True
    log_y: bool = True
    title: str = ""


def slope(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"]) -> float:
    """The exponent p of y ~ x^p, by least squares on log axes."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def drawn_panels(title: str, panels: Sequence[Panel]) -> go.Figure:
    """Panels side by side, measured quantities solid and bounds dashed, each with its own legend below."""
    from plotly.subplots import make_subplots

    columns = len(panels)
    gap = 0.14 if columns > 1 else 0
    drawn = make_subplots(1, columns, horizontal_spacing=gap, subplot_titles=[panel.title for panel in panels])
    lines = max(len(panel.curves) for panel in panels)
    height = 480 + 22 * lines
    for column, panel in enumerate(panels, 1):
        legend = "legend" if column == 1 else f"legend{column}"
        for place, curve in enumerate(panel.curves):
            colour = colour_of("", place if curve.colour is None else curve.colour)
            if curve.spread is not None:
                shade = band(curve.name, list(curve.x), list(curve.y - curve.spread), list(curve.y + curve.spread), colour)
                drawn.add_trace(shade.update(legend=legend, legendgroup=f"{legend} {place}"), row=1, col=column)
            line = {"color": colour, "width": 1.5 if curve.bound else 2, "dash": "dash" if curve.bound else "solid"}
            trace = go.Scatter(
                x=curve.x, y=curve.y, name=curve.name, legendgroup=f"{legend} {place}", legend=legend, line=line,
                mode="lines+markers" if curve.marks else "lines",
            )  # fmt: skip
            drawn.add_trace(trace, row=1, col=column)
        for axis, text, log in (("xaxis", panel.x_title, panel.log_x), ("yaxis", panel.y_title, panel.log_y)):
            # Numbers are told at powers of ten only: the digits between them crowd a narrow panel.
            shown = {"type": "log", "dtick": 1, "exponentformat": "power"} if log else {}
            drawn.layout[axis + ("" if column == 1 else str(column))].update(title_text=text, **shown)
        left = (column - 1) * (1 + gap) / columns
        drawn.update_layout({legend: {"x": left, "xanchor": "left", "y": -70 / 380, "yanchor": "top", "tracegroupgap": 0}})
    styled(drawn, title=title, width=480 * columns + 120, height=height)
    drawn.update_xaxes(zeroline=False)
    drawn.update_layout(margin={"t": 90 if any(panel.title for panel in panels) else 64, "b": 90 + 22 * lines})
    return drawn
