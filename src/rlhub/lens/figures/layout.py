"""Where a circuit's nodes and edges lie on a page: rows by depth, few crossings, long edges bent past the nodes between."""

import math

from rlhub.lens.nodes import Node


def layout(nodes: dict[str, Node], edges: list[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Rows by depth, empty ones closed up; within a row, nodes by the mean place of their neighbours, a few times up and down."""
    depths = sorted({_depth(node) for node in nodes.values()})
    rows: list[list[str]] = [[name for name, node in nodes.items() if _depth(node) == depth] for depth in depths]
    for row in rows:
        row.sort(key=lambda name: nodes[name].index)
    neighbours: dict[str, list[str]] = {name: [] for name in nodes}
    for low, high in edges:
        neighbours[low].append(high)
        neighbours[high].append(low)
    x = {name: _spread(order, len(row), number) for number, row in enumerate(rows) for order, name in enumerate(row)}
    for _ in range(6):
        for number, row in enumerate(rows):
            row.sort(key=lambda name: sum(x[other] for other in neighbours[name]) / max(1, len(neighbours[name])))
            x |= {name: _spread(order, len(row), number) for order, name in enumerate(row)}
    return {name: (x[name], float(number)) for number, row in enumerate(rows) for name in row}


def _spread(order: int, count: int, row: int) -> float:
    """Places across a row; rows of one or two nodes step aside from row to row, so that edges do not run through nodes."""
    if count == 1:
        return 0.5 + 0.22 * math.sin(2.4 * row) * (row > 0)
    inset = 0.18 if count == 2 else 0.5 / (count + 1)
    shift = 0.06 * math.sin(2.4 * row)
    return min(1.0, max(0.0, inset + (1 - 2 * inset) * order / (count - 1) + shift))


def _depth(node: Node) -> float:
    if node.layer is None:
        return -1.0 if node.kind == "input" else math.inf
    return node.layer + {"key/value head": 0.0, "head": 0.3, "mlp": 0.6}[node.kind]


def bend(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """The control point of an edge's curve: edges over many rows bend outwards, past the nodes between."""
    (x0, y0), (x1, y1) = start, end
    span = max(0.0, y1 - y0 - 1)
    side = 1 if (x0 + x1) / 2 >= 0.5 else -1
    return (x0 + x1) / 2 + side * min(0.42, 0.05 * span), (y0 + y1) / 2


def curve(start: tuple[float, float], end: tuple[float, float], *, points: int = 24) -> tuple[list[float], list[float]]:
    """A quadratic Bezier curve that bends as `bend` says."""
    (x0, y0), (x1, y1), middle = start, end, bend(start, end)
    steps = [step / (points - 1) for step in range(points)]
    x = [(1 - t) ** 2 * x0 + 2 * t * (1 - t) * middle[0] + t**2 * x1 for t in steps]
    y = [(1 - t) ** 2 * y0 + 2 * t * (1 - t) * middle[1] + t**2 * y1 for t in steps]
    return x, y
