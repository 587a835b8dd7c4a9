"""Pages from templates, and how numbers, times and sizes are written on them."""

import json
import time
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from rlhub.core.files import in_words
from rlhub.core.progress import clock
from rlhub.hub.summary import age

STATIC = Path(__file__).parent / "static"
SECTIONS = (("/", "Roadmap"), ("/systems", "Systems"), ("/questions", "Questions"), ("/runs", "Runs"))


def number(value: Any) -> str:
    """A number in a table: four digits that count, with commas between thousands."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}".replace("e+0", "e+").replace("e-0", "e-")


def short(count: int | None) -> str:
    """A count in a narrow column: 1.28M."""
    if count is None:
        return ""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if abs(count) >= size:
            return f"{count / (1000 if unit == 'k' else size):.3g}{unit}"
    return f"{count:,}"


def setting(value: Any) -> str:
    """A setting's value as a person writes it."""
    if isinstance(value, list | tuple):
        return " ".join(setting(each) for each in value) or "none"
    return "none" if value is None else str(value)


def ticked(text: str) -> Markup:
    """Plain words whose `quoted` parts are code."""
    parts = text.split("`")
    shown = [
        escape(part) if place % 2 == 0 or place == len(parts) - 1 else Markup("<code>{}</code>").format(part)
        for place, part in enumerate(parts)
    ]
    return Markup("").join(shown)


def moment(seconds: float | None) -> str:
    """A time of day."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rlhub.hub.web", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": number,
        "short": short,
        "ticked": ticked,
        "setting": setting,
        "moment": moment,
        "age": age,
        "clock": clock,
        "in_words": in_words,
        "as_json": json.dumps,
    }
    environment.globals |= {"sections": SECTIONS, "version": _version()}
    return environment


def _version() -> str:
    """What addresses of static files carry, so that a browser doesn't keep an older release's."""
    return str(max(int(path.stat().st_mtime) for path in STATIC.rglob("*") if path.is_file()))


_TEMPLATES = _environment()


def page(request: Request, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any) -> HTMLResponse:
    """A page, or a part of one that htmx asked for."""
    known = {"path": request.url.path, "forgery": request.scope.get("state", {}).get("forgery", "")}
    text = _TEMPLATES.get_template(f"{template}.html.jinja").render(**known, **values)
    return HTMLResponse(text, status_code=status, headers={"cache-control": "no-store", "vary": "HX-Request"} | (headers or {}))
