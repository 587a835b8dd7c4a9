"""A circuit drawn as a graph: read it upwards, from the embedding to the logits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from jaxtyping import Bool, Float
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.style import INK, NEGATIVE, POSITIVE, styled, transparent
from rlhub.lens.figures.layout import curve, layout
from rlhub.lens.nodes import node_of, readers

_DASH = {"q": "solid", "k": "dash", "v": "dot", "": "solid"}
_FILL = {"input": "#fff3cd", "logits": "#fff3cd", "mlp": "#e3e3e3", "head": "#ffffff", "key/value head": "#ffffff"}
PRUNED_TO = (8, 15, 30, 60)
KEPT, GAINED, LOST = "#9a9a9a", "#0072b2", "#d55e00"

Place = tuple[int, int]
"""An edge's source and destination, by number."""


@dataclass(frozen=True, kw_only=True)
class _Edge:
    source: str
    target: str
    reads: str
    width: float
    colour: str
    dash: str
    group: str
    text: str


def circuit_figure(
    sources: Sequence[str],
    destinations: Sequence[str],
    scores: Float[Tensor, "sources destinations"],
    *,
    mask: Bool[Tensor, "sources destinations"],
    title: str,
    unit: str,
    edges: int = 40,
    slider: bool = False,
) -> go.Figure:
    """A circuit's strongest edges, layer above layer: width tells the magnitude (by its root), blue raises the metric, red lowers it.

    Args:
        sources: names as in `Graph.sources`.
        destinations: names as in `Graph.destinations`.
        scores: what each edge is worth.
        mask: the circuit's edges.
        title: what is shown.
        unit: the scores' unit, for the text under the pointer.
        edges: how many to draw at most; the title says if there are more.
        slider: add a slider that prunes the drawing to fewer edges, for pages.

    Raises:
        UserError: the circuit has no edges.
    """
    chosen = _strongest(sources, destinations, scores, mask, edges)
    largest = max(abs(score) for _, _, score in chosen) or 1.0
    drawn = []
    for source, destination, score in chosen:
        share = abs(score) / largest
        drawn.append(
            _edge(
                sources[source],
                destinations[destination],
                share=share,
                colour=transparent(POSITIVE if score >= 0 else NEGATIVE, 0.4 + 0.5 * share),
                group="raises the metric" if score >= 0 else "lowers the metric",
                text=f": {score:.4g} {unit}",
            )
        )
    total = int(mask.sum())
    note = f"{len(chosen)} of the strongest of {total:,} edges" if total > len(chosen) else f"all {total} edges"
    key = {"raises the metric": POSITIVE, "lowers the metric": NEGATIVE}
    note += "; read upwards; width is the root of the magnitude"
    figure = _draw(drawn, sources, destinations, title=f"{title}<br><sup>{note}</sup>", key=key)
    if slider:
        texts = {(source, destination): edge.text for (source, destination, _), edge in zip(chosen, drawn, strict=True)}
        stages = [set(texts.values())]
        for size in (size for size in PRUNED_TO[::-1] if size < len(chosen)):
            fewer = {texts[place[:2]] for place in _strongest(sources, destinations, scores, mask, size)}
            # With very few edges no path may be whole, and what is left would be loose ends.
            if fewer < stages[0] and _reach(fewer):
                stages.insert(0, fewer)
        _add_slider(figure, stages)
    return figure


def circuit_change_figure(
    sources: Sequence[str],
    destinations: Sequence[str],
    before: Float[Tensor, "sources destinations"],
    after: Float[Tensor, "sources destinations"],
    *,
    before_mask: Bool[Tensor, "sources destinations"],
    after_mask: Bool[Tensor, "sources destinations"],
    title: str,
    unit: str,
    edges: int = 40,
) -> go.Figure:
    """Two circuits laid over each other: edges in both are grey, gained ones blue, lost ones orange and thin-dashed.

    Args:
        sources: names as in `Graph.sources`.
        destinations: names as in `Graph.destinations`.
        before: what each edge is worth in the first model.
        after: and in the second.
        before_mask: the first circuit's edges.
        after_mask: the second's.
        title: what is shown.
        unit: the scores' unit.
        edges: how many to draw at most: half of them the strongest in both, the others the strongest gained and lost.

    Raises:
        UserError: neither circuit has edges.
    """
    stronger = before.abs().where(before_mask, 0).maximum(after.abs().where(after_mask, 0))
    groups = {"in both": before_mask & after_mask, "gained": after_mask & ~before_mask, "lost": before_mask & ~after_mask}
    if not any(mask.any() for mask in groups.values()):
        raise UserError("neither circuit has edges to draw: choose a larger size or a lower threshold")
    # What changed is seldom among the strongest of all, so each group has its share of what is drawn.
    chosen = {
        "in both": _strongest(sources, destinations, stronger, groups["in both"], edges // 2) if groups["in both"].any() else [],
        "gained": _by_strength(stronger, groups["gained"])[: edges // 4],
        "lost": _by_strength(stronger, groups["lost"])[: edges // 4],
    }
    largest = max(score for places in chosen.values() for _, _, score in places) or 1.0
    drawn = [
        _edge(
            sources[source],
            destinations[destination],
            share=score / largest,
            colour=transparent({"in both": KEPT, "gained": GAINED, "lost": LOST}[group], 0.5 if group == "in both" else 0.85),
            dash="dash" if group == "lost" else "solid",
            group=group,
            text=f", {group}: {before[source, destination]:.4g} before, {after[source, destination]:.4g} after, {unit}",
        )
        for group, places in chosen.items()
        for source, destination, score in places
    ]
    counts = ", ".join(f"{int(mask.sum())} edges {group}" for group, mask in groups.items())
    counts += "; drawn: the strongest " + ", ".join(f"{len(places)} {group}" for group, places in chosen.items())
    key = {"in both": KEPT, "gained": GAINED, "lost": LOST}
    return _draw(drawn, sources, destinations, title=f"{title}<br><sup>{counts}</sup>", key=key)


def _edge(source: str, destination: str, *, share: float, colour: str, group: str, text: str, dash: str = "") -> _Edge:
    """An edge to draw: `share` of the strongest gives its width, and what it reads its dash unless one is given."""
    end = node_of(destination)
    return _Edge(
        source=source,
        target=end.name,
        reads=end.reads,
        width=0.8 + 6.2 * share**0.5,
        colour=colour,
        dash=dash or _DASH[end.reads],
        group=group,
        text=f"{source} → {destination}{text}",
    )


def _strongest(
    sources: Sequence[str],
    destinations: Sequence[str],
    scores: Float[Tensor, "sources destinations"],
    mask: Bool[Tensor, "sources destinations"],
    edges: int,
) -> list[tuple[int, int, float]]:
    """The strongest edges that together lie on whole paths from the input to the logits; simply the strongest where none do."""
    by_strength = _by_strength(scores, mask)
    if not by_strength:
        raise UserError("the circuit has no edges to draw: choose a larger size or a lower threshold")
    places = [(source, destination) for source, destination, _ in by_strength]
    read_by = {place: readers(destinations[place], sources, destinations) for _, place in places[: 4 * edges]}
    best: list[Place] = []
    for count in range(min(edges, len(places)), min(4 * edges, len(places)) + 1):
        joined = on_paths(sources, read_by, places[:count])
        if len(best) < len(joined) <= edges:
            best = joined
    return [(source, destination, float(scores[source, destination])) for source, destination in best or places[:edges]]


def _by_strength(scores: Float[Tensor, "sources destinations"], mask: Bool[Tensor, "sources destinations"]) -> list[tuple[int, int, float]]:
    """A mask's edges with their scores, strongest first."""
    found = [(source, destination, float(scores[source, destination])) for source, destination in mask.nonzero().tolist()]
    return sorted(found, key=lambda edge: -abs(edge[2]))


def on_paths(sources: Sequence[str], read_by: Mapping[int, Sequence[str]], places: Sequence[Place]) -> list[Place]:
    """The edges left once those out of nodes that nothing reaches and into nodes that reach nothing are gone, again and again."""
    while True:
        reached = {"input"} | {name for _, destination in places for name in read_by[destination]}
        leading = {"logits"} | {sources[source] for source, _ in places}
        kept = [place for place in places if sources[place[0]] in reached and leading.intersection(read_by[place[1]])]
        if len(kept) == len(places):
            return kept
        places = kept


def _reach(stage: set[str]) -> bool:
    return any(text.startswith("input ") for text in stage) and any("→ logits:" in text for text in stage)


def _add_slider(figure: go.Figure, stages: list[set[str]]) -> None:
    """A slider whose stages show some of the edges (by their texts), and the nodes at their ends."""
    nodes = [note.text.removeprefix("<b>").removesuffix("</b>") for note in figure.layout.annotations]
    steps = []
    for shown in stages:
        ends = {end for trace in figure.data if trace.text and trace.text[0] in shown for end in trace.meta}
        edges = [trace.meta is None or (trace.text[0] in shown if trace.text else ends.issuperset(trace.meta)) for trace in figure.data]
        there = {f"annotations[{place}].visible": name in ends for place, name in enumerate(nodes)}
        steps.append({"method": "update", "label": str(len(shown)), "args": [{"visible": edges}, there]})
    look = {"active": len(steps) - 1, "currentvalue": {"prefix": "edges drawn: "}, "len": 0.45, "x": 0, "y": 0, "pad": {"t": 14}}
    figure.update_layout(sliders=[{"steps": steps, **look}], height=figure.layout.height + 90, margin_b=130)


def _draw(edges: list[_Edge], sources: Sequence[str], destinations: Sequence[str], *, title: str, key: dict[str, str]) -> go.Figure:
    nodes = {node.name: node for edge in edges for node in (node_of(edge.source), node_of(edge.target))}
    feeds = [
        (name, head)
        for name, node in nodes.items()
        if node.kind == "key/value head"
        for head in readers(f"{name}<k>", sources, destinations)
        if head in nodes
    ]
    place = layout(nodes, [(edge.source, edge.target) for edge in edges] + feeds)
    figure = go.Figure()
    for low, high in feeds:
        (x0, y0), (x1, y1) = place[low], place[high]
        figure.add_trace(
            go.Scatter(
                x=[x0, x1],
                y=[y0, y1],
                mode="lines",
                line={"color": "#bbbbbb", "width": 1},
                meta=[low, high],
                hoverinfo="skip",
                showlegend=False,
            )
        )
    for edge in sorted(edges, key=lambda edge: edge.width):
        x, y = curve(place[edge.source], place[edge.target])
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                line={"color": edge.colour, "width": edge.width, "dash": edge.dash},
                text=[edge.text] * len(x),
                meta=[edge.source, edge.target],
                hovertemplate="%{text}<extra></extra>",
                showlegend=False,
            )
        )
    for name, colour in key.items():
        if any(edge.group == name for edge in edges):
            figure.add_trace(_key(name, colour, "dash" if name == "lost" else "solid"))
    if "lost" not in key:
        for letter, word in (("q", "into a query"), ("k", "into a key"), ("v", "into a value")):
            if any(edge.reads == letter for edge in edges):
                figure.add_trace(_key(word, "#555555", _DASH[letter]))
    for name, node in nodes.items():
        x0, y0 = place[name]
        figure.add_annotation(
            x=x0,
            y=y0,
            text=f"<b>{name}</b>" if node.layer is None else name,
            showarrow=False,
            font={"size": 12, "color": INK if node.kind != "key/value head" else "#666666"},
            bgcolor=_FILL[node.kind],
            bordercolor="#777777" if node.kind != "key/value head" else "#cccccc",
            borderwidth=1,
            borderpad=3,
        )
    rows = 1 + max(y for _, y in place.values())
    figure.update_xaxes(visible=False, range=[-0.07, 1.07])
    figure.update_yaxes(visible=False, range=[-0.6, rows - 0.4])
    return styled(figure, title=title, width=1000, height=int(min(1400, 150 + 40 * rows)))


def _key(name: str, colour: str, dash: str) -> go.Scatter:
    line = {"color": colour, "width": 4 if dash == "solid" else 2, "dash": dash}
    return go.Scatter(x=[None], y=[None], mode="lines", name=name, line=line)
