"""Curves and points with intervals: faithfulness against size, accuracy against KL, similarity by layer, values beside their nulls."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from rlhub.core.style import INK, Number, band, colour_of, styled, symbol_of
from rlhub.lens.compare import Comparison

Interval = tuple[Number, Number]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a figure.

    Attributes:
        x: places along the axis, ascending.
        y: values there.
        intervals: each value's low and high end, or empty where there are none.
        x_intervals: the same for x, for points that are uncertain both ways.
        labels: what to show beside a point when the pointer is on it, for example the step.
    """

    x: Sequence[Number]
    y: Sequence[Number]
    intervals: Sequence[Interval] = ()
    x_intervals: Sequence[Interval] = ()
    labels: Sequence[str] = ()


def faithfulness_figure(
    curves: Mapping[str, Curve],
    *,
    title: str = "Faithfulness of the circuit against its size",
    edges: int | None = None,
    unit: str = "faithfulness",
    banded: Collection[str] | None = None,
) -> go.Figure:
    """Faithfulness of circuits of growing size; x is the fraction of all edges, on a logarithmic axis.

    Args:
        curves: run -> its curve; bands are the intervals over prompts.
        title: what is shown.
        edges: how many edges the graph has, told on the axis.
        unit: what is measured.
        banded: the runs whose bands are drawn, as many bands hide each other; by default all.
    """
    figure = go.Figure()
    for index, (name, curve) in enumerate(curves.items()):
        _line(figure, name, curve, colour_of(name, index), banded=banded is None or name in banded)
    _level(figure, 1.0, "whole model")
    _level(figure, 0.0, "all edges corrupted")
    ticks = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
    figure.update_xaxes(
        type="log",
        tickvals=ticks,
        ticktext=[f"{100 * tick:g}%" for tick in ticks],
        title_text="edges in the circuit" + (f" (of {edges:,})" if edges else ", share of all"),
    )
    figure.update_yaxes(title_text=unit)
    return styled(figure, title=title)


def accuracy_against_kl_figure(
    curves: Mapping[str, Curve],
    *,
    title: str = "Accuracy reached at each distance from the base",
    x_unit: str,
    y_unit: str,
    kinds: Mapping[str, str] | None = None,
) -> go.Figure:
    """Each run's path: every checkpoint a point, joined in the order of training, with intervals both ways.

    Args:
        curves: run -> its path; `labels` name the checkpoints.
        title: what is shown.
        x_unit: what lies across, with its unit, for example "forward KL(base || policy), nats per token".
        y_unit: what lies upwards, with its unit.
        kinds: run -> what it is one of, for example its signal: runs of a kind look alike and share a place in the legend; by default
            each is a kind of its own.
    """
    figure = go.Figure()
    order: list[str] = []
    for name, curve in curves.items():
        kind = name if kinds is None else kinds[name]
        first = kind not in order
        order += [kind] if first else []
        index = order.index(kind)
        colour = colour_of(kind, index)
        figure.add_trace(
            go.Scatter(
                x=list(curve.x),
                y=list(curve.y),
                name=kind,
                legendgroup=kind,
                showlegend=first,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"size": 9, "symbol": symbol_of(index), "line": {"color": "white", "width": 1}},
                error_x=bars(curve.x, curve.x_intervals, colour),
                error_y=bars(curve.y, curve.intervals, colour),
                text=list(curve.labels) or None,
                hovertemplate=f"<b>{name}</b> %{{text}}<br>x %{{x:.4g}}, y %{{y:.4g}}<extra></extra>",
            )
        )
    figure.update_xaxes(title_text=x_unit)
    figure.update_yaxes(title_text=y_unit)
    return styled(figure, title=title)


def similarity_figure(
    curves: Mapping[str, Curve],
    *,
    null: Curve | None = None,
    title: str = "Similarity of representations to the base, layer by layer",
    unit: str = "debiased linear CKA",
    places: Sequence[str] = (),
    banded: Collection[str] | None = None,
) -> go.Figure:
    """CKA at each layer for each run, over the band that the null gives.

    Args:
        curves: run -> CKA by layer with its intervals.
        null: the null's means and intervals by layer, for example of two seeds.
        title: what is shown.
        unit: what is measured.
        places: names of the places along x; by default the layers' numbers.
        banded: as in `faithfulness_figure`.
    """
    figure = go.Figure()
    if null is not None:
        _line(figure, "null", null, "#888888", dash="dot")
    for index, (name, curve) in enumerate(curves.items()):
        _line(figure, name, curve, colour_of(name, index), banded=banded is None or name in banded)
    last = max((value for curve in curves.values() for value in curve.x), default=0)
    figure.update_xaxes(title_text="layer", tick0=0, dtick=max(1, -(-int(last) // 15)))
    if places:
        every = max(1, -(-len(places) // 16))
        figure.update_xaxes(tickvals=list(range(0, len(places), every)), ticktext=list(places)[::every])
    figure.update_yaxes(title_text=unit)
    return styled(figure, title=title)


def null_figure(comparisons: Mapping[str, Comparison], *, title: str, unit: str) -> go.Figure:
    """Values with their intervals, each beside the interval of its null (grey): what a verdict is read from.

    Args:
        comparisons: what was compared -> the value beside its null; the first at the top.
        title: what is shown.
        unit: what is measured.
    """
    figure = go.Figure()
    names = list(comparisons)
    shown = {"null": False}
    for index, (name, comparison) in enumerate(comparisons.items()):
        if not math.isnan(comparison.null_interval[0]):
            low, high = comparison.null_interval
            figure.add_trace(
                go.Bar(
                    x=[high - low],
                    base=[low],
                    y=[name],
                    orientation="h",
                    width=0.55,
                    marker={"color": "#d0d0d0"},
                    name="null, 95%",
                    legendgroup="null",
                    showlegend=not shown["null"],
                    hovertemplate=f"null of {name}: {low:.4g} to {high:.4g}<br>{comparison.null_count} values<extra></extra>",
                )
            )
            shown["null"] = True
        figure.add_trace(
            go.Scatter(
                x=[comparison.value],
                y=[name],
                mode="markers",
                marker={"size": 11, "color": colour_of(name, index), "symbol": "circle"},
                error_x=bars([comparison.value], [comparison.interval] if comparison.interval else [], colour_of(name, index)),
                showlegend=False,
                hovertemplate=f"{name}: %{{x:.4g}}<br>{comparison.side} its null<extra></extra>",
            )
        )
    figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker={"size": 11, "color": INK}, name="value, 95%"))
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)
    figure.update_xaxes(title_text=unit)
    return styled(figure, title=title, height=190 + 42 * len(names)).update_layout(barmode="overlay")


def _line(figure: go.Figure, name: str, curve: Curve, colour: str, *, dash: str = "solid", banded: bool = True) -> None:
    if banded and len(curve.intervals):
        low, high = zip(*curve.intervals, strict=True)
        figure.add_trace(band(name, curve.x, low, high, colour))
    figure.add_trace(
        go.Scatter(
            x=list(curve.x),
            y=list(curve.y),
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": dash},
            marker={"size": 6},
            text=list(curve.labels) or None,
            hovertemplate=f"<b>{name}</b> %{{x:.4g}}: %{{y:.4g}}<extra></extra>",
        )
    )


def bars(values: Sequence[Number], intervals: Sequence[Interval], colour: str) -> dict[str, object] | None:
    """Each value's interval as plotly's error bars; None where there are none."""
    if not len(intervals):
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - value) for value, (_, high) in zip(values, intervals, strict=True)],
        "arrayminus": [max(0.0, value - low) for value, (low, _) in zip(values, intervals, strict=True)],
        "color": colour,
        "thickness": 1.4,
        "width": 4,
    }


def _level(figure: go.Figure, y: float, text: str) -> None:
    figure.add_hline(
        y=y,
        line={"color": INK, "width": 1, "dash": "dot"},
        annotation_text=text,
        annotation_position="top left",
        annotation_font_size=12,
    )
