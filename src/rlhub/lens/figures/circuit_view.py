"""A circuit before and after training as data that a page draws: pruned by a slider, before, after or the difference."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlhub.lens.figures.circuit import Place, on_paths
from rlhub.lens.figures.layout import bend, layout
from rlhub.lens.nodes import node_of, readers


def circuit_view(
    sources: Sequence[str], destinations: Sequence[str], before: Mapping[Place, float], after: Mapping[Place, float]
) -> dict[str, Any]:
    """Two circuits over the same nodes, as JSON.

    Args:
        sources: names as in `Graph.sources`.
        destinations: names as in `Graph.destinations`.
        before: what each edge of the first circuit is worth; all of them on paths from the input to the logits.
        after: the same of the second.

    Returns:
        nodes: each with its name, kind and place: `x` across in [0, 1], `y` the row, upwards.
        rows: how many rows there are.
        feeds: pairs of nodes' numbers, from a key/value head to the query heads that share it.
        edges: each with the numbers of its nodes (`from`, `to`), what it `reads` (q, k, v or nothing), the control point of its curve
            (`bend`), and for `before` and `after` its `score` and its `size`: the edge is in the circuits of at least so many edges.
            None where the circuit lacks it.
        sizes: for both, how many edges the circuits have that pruning can leave, rising.
    """
    read_by = {destination: readers(destinations[destination], sources, destinations) for _, destination in {**before, **after}}
    entered = {side: sizes_of(sources, read_by, circuit) for side, circuit in (("before", before), ("after", after))}
    scores = {"before": before, "after": after}
    places = list({**entered["before"], **entered["after"]})
    ends = [(sources[source], node_of(destinations[destination]).name) for source, destination in places]
    nodes = {name: node_of(name) for pair in ends for name in pair}
    feeds = [
        (name, head)
        for name, node in nodes.items()
        if node.kind == "key/value head"
        for head in readers(f"{name}<k>", sources, destinations)
        if head in nodes
    ]
    lies = layout(nodes, ends + feeds)
    number = {name: place for place, name in enumerate(nodes)}
    edges = []
    for place, (low, high) in zip(places, ends, strict=True):
        edge: dict[str, Any] = {
            "from": number[low],
            "to": number[high],
            "reads": node_of(destinations[place[1]]).reads,
            "bend": rounded(bend(lies[low], lies[high])),
        }
        for side, sizes in entered.items():
            edge[side] = {"score": scores[side][place], "size": sizes[place]} if place in sizes else None
        edges.append(edge)
    return {
        "nodes": [{"name": name, "kind": node.kind, **dict(zip("xy", rounded(lies[name]), strict=True))} for name, node in nodes.items()],
        "rows": 1 + int(max((y for _, y in lies.values()), default=0)),
        "feeds": [[number[low], number[high]] for low, high in feeds],
        "edges": edges,
        "sizes": {side: sorted(set(sizes.values())) for side, sizes in entered.items()},
    }


def sizes_of(sources: Sequence[str], read_by: Mapping[int, Sequence[str]], circuit: Mapping[Place, float]) -> dict[Place, int]:
    """For each edge, the size of the smallest circuit that it is in, when the weakest edges go first, and with them those left loose.

    These are the circuits that faithfulness is measured on: the strongest edges of all, without those on no path from input to logits.
    """
    sizes: dict[Place, int] = {}
    weakest = sorted(circuit, key=lambda place: abs(circuit[place]))
    kept = on_paths(sources, read_by, list(circuit))
    for place in weakest:
        if place not in kept:
            continue
        left = on_paths(sources, read_by, [other for other in kept if other != place])
        sizes |= dict.fromkeys(set(kept) - set(left), len(kept))
        kept = left
    return dict(sorted(sizes.items()))


def rounded(place: tuple[float, float]) -> list[float]:
    """A place on the page, as exact as an eye."""
    return [round(value, 4) for value in place]
