"""What a figure shows, in words, for those who can't see it: made from the figure's own data."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

Figure = dict[str, Any]
KINDS = {"heatmap": "heat map", "scatter": "chart", "bar": "bar chart"}
SERIES = 8
"""More series than this are counted, not told one by one."""


def alternative(figure: Figure) -> str:
    """A sentence or two: the title, the axes, and where each series begins and ends.

    Args:
        figure: a Plotly figure as JSON.
    """
    layout, traces = figure["layout"], figure["data"]
    parts = [plain(layout.get("title", {}).get("text", ""))]
    kinds = Counter(KINDS.get(trace.get("type", "scatter"), "chart") for trace in traces)
    if kinds["heat map"]:
        names = [plain(note["text"].replace("<br>", " ")) for note in layout.get("annotations", []) if note.get("text")]
        number = kinds["heat map"]
        parts.append(f"{number} heat map{'s' if number > 1 else ''}" + (f": {', '.join(names)}" if names else ""))
        return ". ".join(part for part in parts if part) + "."
    axes = [axis_of(layout, letter) for letter in "yx"]
    if any(axes):
        parts.append(" against ".join(axis for axis in axes if axis))
    told = list(series(traces))
    if told and len(told) <= SERIES:
        parts.append("; ".join(told))
    elif told:
        parts.append(f"{len(told)} series")
    elif not any(axes):
        parts.append(drawing(figure))
    return ". ".join(part for part in parts if part) + "."


def axis_of(layout: dict[str, Any], letter: str) -> str:
    """What an axis says."""
    return plain((layout.get(f"{letter}axis") or {}).get("title", {}).get("text", ""))


def series(traces: list[dict[str, Any]]) -> Iterator[str]:
    """Each named series with its ends."""
    for trace in traces:
        values = [value for value in numbers(trace.get("y")) if value is not None]
        if not trace.get("name") or not values:
            continue
        ends = f"{values[0]:.3g}" if len(values) == 1 else f"from {values[0]:.3g} to {values[-1]:.3g}"
        yield f"{plain(trace['name'])} {ends}"


def numbers(values: Any) -> list[float | None]:
    """A trace's values where they are numbers; nothing for names of categories."""
    if not isinstance(values, list | tuple) or any(isinstance(value, str) for value in values):
        return []
    return [value if isinstance(value, int | float) else None for value in values]


def drawing(figure: Figure) -> str:
    """A graph of nodes, which are written on it: how many."""
    nodes = sum(bool(note.get("text")) for note in figure["layout"].get("annotations", []))
    return f"A graph of {nodes} nodes, from the input up to the logits" if nodes > 1 else ""


def plain(text: str) -> str:
    """A title or label without its marks; what stands in small print after the title follows a colon."""
    return " ".join(re.sub(r"<[^>]+>", "", text.replace("<br>", ": ", 1).replace("<br>", " ")).split())
