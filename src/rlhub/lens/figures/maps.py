"""Heat maps: heads by layers, tokens by layers, before and after training and their difference."""

from collections.abc import Collection, Mapping, Sequence

import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from rlhub.core.style import DIVERGING, SEQUENTIAL, styled

Map = Float[Tensor, "rows columns"]


def heat_map(
    values: Map,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    unit: str,
    row_axis: str = "",
    column_axis: str = "",
    signed: bool = True,
    span: float | None = None,
) -> go.Figure:
    """One map; NaN cells stay empty.

    Args:
        values: what to colour.
        rows: the rows' labels, the first at the bottom.
        columns: the columns' labels.
        title: what is shown.
        unit: the colour bar's label.
        row_axis: what the rows are.
        column_axis: what the columns are.
        signed: diverging colours about 0 (blue positive, red negative); else from 0 up.
        span: the magnitude at the end of the colours; by default the largest.
    """
    figure = make_subplots(rows=1, cols=1)
    _add(figure, values, rows=rows, columns=columns, column=1, signed=signed, span=span, unit=unit, bar=1.01, share=1.0)
    _axes(figure, rows, columns, row_axis=row_axis, column_axis=column_axis, panels=1)
    width = min(1100, max(460, 190 + 34 * len(columns)))
    return styled(figure, title=title, width=width, height=_height(len(rows))).update_layout(margin_r=110)


def change_maps(
    maps: Mapping[str, Map],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    unit: str,
    row_axis: str = "",
    column_axis: str = "",
    base: str | None = None,
    shown: Collection[str] | None = None,
) -> go.Figure:
    """A base's map, another model's map on the same colours, and their difference on colours of its own.

    With more than two maps: each model's, then each difference, so that the row of differences can be read across runs.

    Args:
        maps: name -> map; the first is the base unless `base` names another.
        rows: the rows' labels, the first at the bottom.
        columns: the columns' labels.
        title: what is shown.
        unit: the colour bars' label.
        row_axis: what the rows are.
        column_axis: what the columns are.
        base: which map the differences are from.
        shown: those drawn beside the base, where that isn't all; colours reach as far as all maps need, so that figures compare.
    """
    base = next(iter(maps)) if base is None else base
    others = [name for name in (maps if shown is None else shown) if name != base]
    differences = {f"{name} minus {base}": maps[name] - maps[base] for name in others}
    pair = len(others) == 1
    panels = [base, *others] + (list(differences) if pair else [])
    lines, across = (1, 3) if pair else (2, 1 + len(others))
    # Over panels side by side a long title would run into the next one's.
    titles = panels if pair else [base, *others, "", *(f"{name}<br>minus {base}" for name in others)]
    figure = make_subplots(
        rows=lines,
        cols=across,
        subplot_titles=titles,
        shared_yaxes=True,
        horizontal_spacing=0.035,
        vertical_spacing=0.14 if lines == 2 else 0,
    )
    span, change = max(map(_largest, maps.values())), max(_largest(one - maps[base]) for one in maps.values())
    for place, name in enumerate([base, *others]):
        bar = place == len(others)
        spot = None if not bar else (0.645 if pair else 1.01)
        _add(figure, maps[name], rows=rows, columns=columns, column=place + 1, signed=True, span=span, unit=unit, bar=spot, share=1 / lines)
    for place, difference in enumerate(differences.values()):
        bar = place == len(differences) - 1
        _add(
            figure,
            difference,
            rows=rows,
            columns=columns,
            column=3 if pair else place + 2,
            line=lines,
            signed=True,
            span=change,
            unit=f"change in {unit}",
            bar=1.01 if bar else None,
            share=1 / lines,
        )
    _axes(figure, rows, columns, row_axis=row_axis, column_axis=column_axis, panels=across, lines=lines)
    if pair:
        # Room for the first two maps' colour bar between them and the difference.
        for place, (low, high) in enumerate([(0.0, 0.3), (0.33, 0.63), (0.76, 1.0)], start=1):
            figure.update_xaxes(domain=(low, high), row=1, col=place)
        for note, centre in zip(figure.layout.annotations[:3], (0.15, 0.48, 0.88), strict=True):
            note.x = centre
    width = min(1500, max(900, 160 + across * max(210, 16 * len(columns))))
    return styled(figure, title=title, width=width, height=lines * _height(len(rows)) - 140 * (lines - 1)).update_layout(
        margin_r=110, margin_t=84
    )


def head_map(values: Float[Tensor, "layers heads"], *, title: str, unit: str, signed: bool = True) -> go.Figure:
    """A number for each attention head: layers upwards, heads across."""
    rows, columns = _numbered(values)
    return heat_map(values, rows=rows, columns=columns, title=title, unit=unit, row_axis="layer", column_axis="head", signed=signed)


def head_change_maps(
    maps: Mapping[str, Float[Tensor, "layers heads"]],
    *,
    title: str,
    unit: str,
    base: str | None = None,
    shown: Collection[str] | None = None,
) -> go.Figure:
    """A number for each attention head, before, after and the difference."""
    rows, columns = _numbered(next(iter(maps.values())))
    return change_maps(
        maps, rows=rows, columns=columns, title=title, unit=unit, row_axis="layer", column_axis="head", base=base, shown=shown
    )


def token_map(
    values: Float[Tensor, "layers positions"], labels: Sequence[str], *, title: str, unit: str, layers: Sequence[str] | None = None
) -> go.Figure:
    """A number for each layer and token position: layers upwards, tokens across.

    Args:
        values: layer by position.
        labels: the tokens, or what the positions are.
        title: what is shown.
        unit: the colour bar's label.
        layers: the rows' labels; by default 0, 1, ...
    """
    rows, _ = _numbered(values)
    return heat_map(
        values, rows=layers or rows, columns=readable(labels), title=title, unit=unit, row_axis="layer", column_axis="token position"
    )


def token_change_maps(
    maps: Mapping[str, Float[Tensor, "layers positions"]],
    labels: Sequence[str],
    *,
    title: str,
    unit: str,
    layers: Sequence[str] | None = None,
    base: str | None = None,
    shown: Collection[str] | None = None,
) -> go.Figure:
    """A number for each layer and token position, before, after and the difference."""
    rows, _ = _numbered(next(iter(maps.values())))
    return change_maps(
        maps,
        rows=layers or rows,
        columns=readable(labels),
        title=title,
        unit=unit,
        row_axis="layer",
        column_axis="token position",
        base=base,
        shown=shown,
    )


def readable(labels: Sequence[str]) -> list[str]:
    """Tokens as axis labels: spaces and line ends shown, repeats told apart by their position (an axis merges equal labels)."""
    shown = [label.replace("\n", "↵").replace("\t", "⇥").strip(" ") or "␣" for label in labels]
    return [label if shown.count(label) == 1 else f"{label} ({place})" for place, label in enumerate(shown)]


def _add(
    figure: go.Figure,
    values: Map,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    column: int,
    signed: bool,
    span: float | None,
    unit: str,
    bar: float | None,
    share: float,
    line: int = 1,
) -> None:
    span = (_largest(values) if span is None else span) or 1.0
    lines = round(1 / share)
    figure.add_trace(
        go.Heatmap(
            z=values.detach().float().cpu().numpy(),
            x=list(range(len(columns))),
            y=list(range(len(rows))),
            customdata=[[f"{row}, {label}" for label in columns] for row in rows],
            hovertemplate="%{customdata}: %{z:.4g} " + unit + "<extra></extra>",
            colorscale=DIVERGING if signed else SEQUENTIAL,
            zmin=-span if signed else 0,
            zmax=span,
            showscale=bar is not None,
            xgap=1,
            ygap=1,
            colorbar={
                "title": {"text": unit, "side": "right", "font_size": 13},
                "thickness": 12,
                "x": bar,
                "len": share,
                "y": 1 - (line - 0.5) / lines,
                "tickfont_size": 12,
            },
        ),
        row=line,
        col=column,
    )


def _axes(
    figure: go.Figure, rows: Sequence[str], columns: Sequence[str], *, row_axis: str, column_axis: str, panels: int, lines: int = 1
) -> None:
    step = max(1, -(-len(rows) // 16))
    every = max(1, -(-len(columns) // 18))
    words = max((len(label) for label in columns), default=0) > 4
    figure.update_xaxes(
        tickvals=list(range(0, len(columns), every)),
        ticktext=list(columns)[::every],
        title_text=column_axis,
        tickangle=-45 if words else 0,
        showgrid=False,
        zeroline=False,
        title_standoff=8,
    )
    figure.update_yaxes(tickvals=list(range(0, len(rows), step)), ticktext=list(rows)[::step], showgrid=False, zeroline=False)
    for line in range(1, lines + 1):
        figure.update_yaxes(title_text=row_axis, row=line, col=1 if line == 1 else 2)
    if lines == 2:
        figure.update_xaxes(title_text="", showticklabels=False, row=1)
        figure.update_xaxes(title_text=column_axis, showticklabels=True, row=1, col=1)
        figure.update_yaxes(showticklabels=True, row=2, col=2)


def _numbered(values: Map) -> tuple[list[str], list[str]]:
    return [str(row) for row in range(values.shape[0])], [str(column) for column in range(values.shape[1])]


def _largest(values: Map) -> float:
    return float(values.detach().nan_to_num().abs().max())


def _height(rows: int) -> int:
    return min(760, max(320, 170 + 16 * rows))
