"""The look that all figures share, and writing them to files.

Blue is positive and red negative throughout, on ColorBrewer's RdBu scale, which people who don't tell red from green can read; runs have
fixed colours from Okabe and Ito's palette. Titles say what is shown and axes in which unit. Figures are plotly objects: they open as pages
without any further program, and only pictures (`write_images`) need kaleido and a Chrome or Chromium.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from rlhub.core.errors import UserError
from rlhub.core.files import writing

Number = int | float

_NO_BROWSER = "writing pictures of figures needs Chrome or Chromium on this machine: install it (on Debian: apt-get install chromium)"

POSITIVE, NEGATIVE, NEUTRAL, INK, GRID = "#2166ac", "#b2182b", "#f7f7f7", "#222222", "#e5e5e5"
DIVERGING = (
    (0.0, "#67001f"),
    (0.1, NEGATIVE),
    (0.25, "#d6604d"),
    (0.4, "#fddbc7"),
    (0.5, NEUTRAL),
    (0.6, "#d1e5f0"),
    (0.75, "#4393c3"),
    (0.9, POSITIVE),
    (1.0, "#053061"),
)
SEQUENTIAL = ((0.0, NEUTRAL), (0.25, "#d1e5f0"), (0.5, "#92c5de"), (0.75, "#4393c3"), (1.0, "#053061"))
CONFIG = {"displaylogo": False, "showSendToCloud": False}
"""How figures behave on a page: no logo, and no button that sends them to a server."""
FONT = "Inter, Helvetica, Arial, 'DejaVu Sans', sans-serif"

_RUNS = {
    "random": "#cc79a7",
    "control": "#cc79a7",
    "sft": "#d55e00",
    "dpo": "#009e73",
    "grpo": "#0072b2",
    "ppo": "#e69f00",
    "rloo": "#56b4e9",
    "process": "#6a3d9a",
    "r1": "#882255",
    "constitutional": "#8c6d31",
    "base": "#555555",
}
_OTHERS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222", "#8c6d31", "#6a3d9a")


def colour_of(run: str, index: int) -> str:
    """A run's colour: its signal's own where its name tells it ("grpo seed 1" is blue everywhere), else the index-th of the palette."""
    words = re.findall("[a-z]+1?", run.lower())
    # "grpo-random" is the control, so that word is looked for first.
    for name, colour in _RUNS.items():
        if name in words:
            return colour
    return _OTHERS[index % len(_OTHERS)]


def symbol_of(index: int) -> str:
    """The index-th run's marker, for readers and printers without colour."""
    return ("circle", "square", "diamond", "triangle-up", "x", "star", "triangle-down", "cross", "hexagon")[index % 9]


def transparent(colour: str, opacity: float) -> str:
    """A #rrggbb colour with an opacity in [0, 1], as CSS writes it."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def band(name: str, x: Sequence[Number], low: Sequence[Number], high: Sequence[Number], colour: str) -> go.Scatter:
    """The shade between two curves over the same x, that a click on `name` in the legend hides with its line."""
    return go.Scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        mode="lines",
        fill="toself",
        fillcolor=transparent(colour, 0.16),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
    )


def styled(figure: go.Figure, *, title: str, width: int = 900, height: int = 520) -> go.Figure:
    """The figure with the shared font, margins, grid and title, at least as wide as its title; returned for chaining."""
    widest = max(len(line) for line in title.split("<br>") if "<sup>" not in line)
    figure.update_layout(
        title={"text": title, "x": 0.01, "xanchor": "left", "yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 20}},
        title_font_size=17,
        font={"family": FONT, "size": 14, "color": INK},
        width=max(width, 40 + 9 * widest),
        height=height,
        margin={"l": 76, "r": 30, "t": 64 + 22 * title.count("<br>"), "b": 62},
        plot_bgcolor="white",
        paper_bgcolor="white",
        legend={"bgcolor": "rgba(255,255,255,0.8)", "font_size": 13},
        hoverlabel={"font_family": FONT, "font_size": 13},
    )
    figure.update_xaxes(gridcolor=GRID, zerolinecolor="#bbbbbb", linecolor="#888888", ticks="outside", automargin=True)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor="#bbbbbb", linecolor="#888888", ticks="outside", automargin=True)
    return figure


def write_html(figure: go.Figure, path: Path, *, shared: bool = False) -> Path:
    """Write a page that opens offline.

    Args:
        figure: what to show.
        path: of the page.
        shared: read plotly.js, which has 4 MB, from plotly.min.js beside the page, written if it isn't there, instead of holding it.
    """
    figure.write_html(path, include_plotlyjs="directory" if shared else True, full_html=True, config=CONFIG | {"responsive": False})
    return path


def figure_path(file: str) -> Path:
    """A file that `write_figure` can write, asked for before anything is computed.

    Raises:
        UserError: its ending is none of .html, .png, .svg and .pdf.
    """
    if Path(file).suffix not in (".html", ".png", ".svg", ".pdf"):
        raise UserError(f"can't draw into {file}: give a file that ends in .html, .png, .svg or .pdf")
    return Path(file)


def write_figure(figure: go.Figure, path: Path) -> Path:
    """Write a figure as its file's ending says: a page (.html) or a picture (.png, .svg, .pdf).

    Raises:
        UserError: the file can't be written, or what pictures need is missing.
    """
    with writing("the figure", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_html(figure, path) if path.suffix == ".html" else write_image(figure, path)


def write_image(figure: go.Figure, path: Path, *, scale: float = 2.0) -> Path:
    """Write one figure as a picture; see `write_images`."""
    write_images({path: figure}, scale=scale)
    return path


def write_images(figures: Mapping[Path, go.Figure], *, scale: float = 2.0) -> None:
    """Write figures as pictures in the format that each path's suffix names (.png, .svg, .pdf), starting the browser once for all.

    Args:
        figures: where to write -> what.
        scale: pixels per unit of the figure's size, for PNG.

    Raises:
        UserError: kaleido or a Chrome/Chromium is missing; the sentence says how to get it.
    """
    if not figures:
        return
    check_images()
    try:
        plotly.io.write_images(
            fig=list(figures.values()),
            file=list(figures),
            scale=scale,
            width=[figure.layout.width for figure in figures.values()],
            height=[figure.layout.height for figure in figures.values()],
        )
    except RuntimeError as error:
        if "chrome" not in str(error).lower():
            raise
        raise UserError(_NO_BROWSER) from error


def check_images() -> None:
    """Refuse before anything is computed what `write_images` could not draw.

    Raises:
        UserError: kaleido or a Chrome/Chromium is missing; the sentence says how to get it.
    """
    try:
        import kaleido  # noqa: F401 (plotly looks for it; asked for here so that its absence is said in one sentence)
        from choreographer.browsers.chromium import Chromium
    except ImportError as missing:
        raise UserError("writing pictures of figures needs kaleido: pip install 'rlhub[figures]'") from missing
    if not os.environ.get("BROWSER_PATH") and Chromium.find_browser(skip_local=False) is None:
        raise UserError(_NO_BROWSER)
