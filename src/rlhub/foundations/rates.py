"""Rates: a measured quantity beside its bound, drawn in panels, and the slope that log axes show."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
        points: draw points alone, where another curve lies below.
        dash: how a bound is dashed, where there is more than one.
        predicted: the slope on log axes that theory says, for the legend, where the fitted one stands beside it.
        fitted: from which x to which the slope is fitted.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    bound: bool = False
    colour: int | None = None
    spread: np.ndarray | None = None
    marks: bool = False
    points: bool = False
    dash: str = "dash"
    predicted: str = ""
    fitted: tuple[float, float] = (0.0, np.inf)

    @property
    def label(self) -> str:
        """The name, and the slopes that were fitted and predicted."""
        if not self.predicted:
            return self.name
        there = (self.x >= self.fitted[0]) & (self.x <= self.fitted[1])
        return f"{self.name}: slope {slope(self.x[there], self.y[there]):.2f}, theory {self.predicted}"


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


def interval(measured: Float[np.ndarray, "*runs points"]) -> Float[np.ndarray, " points"]:
    """Two standard errors of the mean over runs, cut so that no shade reaches zero, which has no place on a log axis."""
    runs = len(measured)
    error = measured.std(0, ddof=1) / np.sqrt(runs) if runs > 1 else np.zeros(measured.shape[1])
    return np.minimum(2 * error, 0.9 * np.abs(measured.mean(0)))


def typeset(text: str) -> str:
    """Formulas with the signs for minus and times instead of - and x."""
    return re.sub(r"(?<!\w)-(?=[ \d])", "\N{MINUS SIGN}", text).replace(" x ", " \N{MULTIPLICATION SIGN} ")


def marks_of(there: Float[np.ndarray, " points"]) -> dict[str, Any]:
    """Where a log axis is marked: at powers of ten, or at 1, 2 and 5 times them, in whole numbers, where there are few powers."""
    low, high = np.log10(there.min()), np.log10(there.max())
    if high - low >= 2:
        return {"dtick": int(np.ceil((high - low) / 9)), "exponentformat": "power"}
    places = [round(part * 10.0**power, 12) for power in range(int(np.floor(low)), int(np.ceil(high)) + 1) for part in (1, 2, 5)]
    return {"tickvals": places, "ticktext": [f"{place:,.0f}" if place >= 1 else f"{place:g}" for place in places]}


def drawn_panels(title: str, panels: Sequence[Panel]) -> go.Figure:
    """Panels side by side, measured quantities solid and bounds dashed, each with its own legend below."""
    from plotly.subplots import make_subplots

    columns = len(panels)
    gap = 0.14 if columns > 1 else 0
    drawn = make_subplots(1, columns, horizontal_spacing=gap, subplot_titles=[typeset(panel.title) for panel in panels])
    lines = max(len(panel.curves) for panel in panels)
    height = 480 + 22 * lines
    for column, panel in enumerate(panels, 1):
        legend = "legend" if column == 1 else f"legend{column}"
        for place, curve in enumerate(panel.curves):
            colour = colour_of("", place if curve.colour is None else curve.colour)
            if curve.spread is not None:
                shade = band(curve.name, list(curve.x), list(curve.y - curve.spread), list(curve.y + curve.spread), colour)
                drawn.add_trace(shade.update(legend=legend, legendgroup=f"{legend} {place}"), row=1, col=column)
            line = {"color": colour, "width": 1.5 if curve.bound else 2, "dash": curve.dash if curve.bound else "solid"}
            trace = go.Scatter(
                x=curve.x, y=curve.y, name=typeset(curve.label), legendgroup=f"{legend} {place}", legend=legend, line=line,
                mode="markers" if curve.points else "lines+markers" if curve.marks else "lines",
            )  # fmt: skip
            drawn.add_trace(trace, row=1, col=column)
        for axis, text, log in (("x", panel.x_title, panel.log_x), ("y", panel.y_title, panel.log_y)):
            there = np.concatenate([getattr(curve, axis) for curve in panel.curves])
            shown = {"type": "log", **marks_of(there)} if log else {}
            drawn.layout[f"{axis}axis{'' if column == 1 else column}"].update(title_text=text, **shown)
        left = (column - 1) * (1 + gap) / columns
        drawn.update_layout({legend: {"x": left, "xanchor": "left", "y": -70 / 380, "yanchor": "top", "tracegroupgap": 0, "font_size": 13}})
    styled(drawn, title=title, width=480 * columns + 120, height=height)
    drawn.update_xaxes(zeroline=False)
    drawn.update_layout(margin={"t": 90 if any(panel.title for panel in panels) else 64, "b": 90 + 22 * lines})
    return drawn
