"""A study's report as one page that holds everything it needs and opens offline."""

from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from rlhub.core.style import CONFIG
from rlhub.studies.report import tables
from rlhub.studies.report.figures import Drawn
from rlhub.studies.report.markdown import CONDUCT, INTERVALS
from rlhub.studies.report.words import words_of

Report = dict[str, Any]


def page(report: Report, figures: list[Drawn]) -> str:
    """The whole page; plotly.js lies in it once."""
    place = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(place), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    sections = [
        {
            "name": name,
            "figures": [{"key": drawn.key, "caption": drawn.caption, "html": Markup(html(drawn))} for drawn in group],  # noqa: S704
        }
        for name, group in groupby(figures, key=lambda drawn: drawn.section)
    ]
    return environment.get_template("report.html.jinja").render(
        report=report,
        tables=tables,
        words=words_of(report),
        sections=sections,
        intervals=INTERVALS,
        conduct=CONDUCT,
        details=tables.details,
        plotly=Markup(get_plotlyjs()),  # noqa: S704
    )


def html(drawn: Drawn) -> str:
    """One figure's part of the page."""
    return drawn.figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{drawn.key}", config=CONFIG)
