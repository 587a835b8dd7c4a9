"""Markdown with equations, and source code, as HTML."""

import re
from functools import cache, lru_cache
from typing import Any

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer, TextLexer

SCROLLED = '<div class="table" tabindex="0" role="region" aria-label="Table">'


@lru_cache(maxsize=64)
def markdown(text: str, *, picture: str = "") -> str:
    """Markdown as HTML, its LaTeX as MathML, which browsers draw without a script; markup of its own is shown and not obeyed.

    Links to files beside it become plain words, as a page of the site has no such neighbours.

    Args:
        text: the Markdown.
        picture: the address of the picture beside it; without one, there is none.
    """
    tokens = _parser().parse(text)
    for token in tokens:
        if token.type == "inline":
            token.children = _without_neighbours(token.children or [], picture)
    html = str(_parser().renderer.render(tokens, _parser().options, {}))
    # Tables wider than a telephone are scrolled, also with the keyboard.
    return html.replace("<table>", '<div class="table" tabindex="0" role="region" aria-label="Table"><table>').replace(
        "</table>", "</table></div>"
    )


@lru_cache(maxsize=64)
def python(source: str) -> str:
    """Python source as HTML, with classes for its colours and a link target at each line."""
    formatter = HtmlFormatter(cssclass="code", linenos="inline", lineanchors="line", anchorlinenos=True, nobackground=True)
    return str(highlight(source, PythonLexer(), formatter))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": _highlight}).enable("table")
    return parser.use(dollarmath_plugin, renderer=_mathematics, allow_space=False, double_inline=True)


def _mathematics(latex: str, options: dict[str, Any]) -> str:
    try:
        return str(convert(latex.replace(r"\vert", "|"), display="block" if options.get("display_mode") else "inline"))
    except Exception:  # whatever it can't read is shown as it was written
        return f"<code>{_escaped(latex)}</code>"


def _highlight(source: str, language: str, _: str) -> str:
    lexer = PythonLexer() if language == "python" else TextLexer()
    return str(highlight(source, lexer, HtmlFormatter(nowrap=True)))


def _without_neighbours(children: list[Any], picture: str) -> list[Any]:
    kept, inside = [], False
    for child in children:
        if child.type == "link_open":
            inside = not re.match(r"(https?:|#)", str(child.attrs.get("href", "")))
        elif child.type == "image":
            if not picture:
                continue
            child.attrs["src"] = picture
        if inside and child.type in ("link_open", "link_close"):
            inside = child.type == "link_open"
            continue
        kept.append(child)
    return kept


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
