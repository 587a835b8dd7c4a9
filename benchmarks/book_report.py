"""Computes every figure of the book and every experiment on a bound, and writes docs/book.md and docs/theory.md with their pictures.

    python benchmarks/book_report.py            # both; book or theory for one
    python benchmarks/book_report.py --page     # only the pages, from what was computed before
    python benchmarks/book_report.py --check    # whether the pages show what is in benchmarks/results/foundations/

Numbers and seconds go to benchmarks/results/foundations/.
"""

import inspect
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from harness import RESULTS, machine

from rlhub.core.progress import progress, use_plain_lines
from rlhub.core.style import write_images
from rlhub.foundations.exhibit import Exhibit, exhibits

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {
    "book": (
        "rlhub.foundations.figures",
        "Sutton & Barto's figures",
        "The figures and examples of *Reinforcement Learning: An Introduction* (2nd edition), computed with the book's settings by "
        "`rlhub book all`; `rlhub book figure 6.4` computes one, and takes its own `--runs` and `--seed`.",
    ),
    "theory": (
        "rlhub.foundations.theory",
        "Theory, measured",
        "What *Reinforcement Learning: Theory and Algorithms* (Agarwal, Jiang, Kakade & Sun) promises beside what algorithms do, by "
        "`rlhub theory all`; `rlhub theory NAME --help` shows an experiment's options. Solid lines are measured, with two standard errors "
        "over runs as a shade; dashes are bounds; slopes are fitted on log axes, over the last tenfold where curves bend.",
    ),
}


def computed(name: str) -> dict[str, Any]:
    """Every exhibit's numbers and seconds, its picture written into docs/."""
    there = exhibits(PAGES[name][0])
    rows, figures = [], {}
    with progress(name, len(there)) as task:
        for exhibit in there.values():
            task.activity = exhibit.key
            began = time.perf_counter()
            results = exhibit.compute()
            seconds = time.perf_counter() - began
            rows.append({"key": exhibit.key, "seconds": round(seconds, 2), "numbers": exhibit.numbers(results)})
            figures[DOCS / name / f"{slug(exhibit.key)}.png"] = exhibit.draw(results)
            task.advance()
    (DOCS / name).mkdir(parents=True, exist_ok=True)
    write_images(figures, scale=1.0)
    return {"exhibits": rows, **machine()}


def page(name: str, found: dict[str, Any]) -> str:
    """The whole page."""
    package, title, about = PAGES[name]
    there = exhibits(package)
    rows = [row for row in found["exhibits"] if row["key"] in there]
    total = sum(row["seconds"] for row in rows)
    lines = [
        f"# {title}",
        "",
        f"{about} Written by `python benchmarks/book_report.py {name}` from `benchmarks/results/foundations/{name}.json`: {len(rows)} in "
        f"{total:.0f} s on {found['machine']['cores']} cores ({found['machine']['cpu']}), some of it compilation.",
        "",
        " ".join(f"[{row['key']}](#{anchor(there[row['key']])})" for row in rows),
        "",
    ]
    for row in rows:
        lines += section(name, there[row["key"]], row)
    return "\n".join(lines)


def section(name: str, exhibit: Exhibit, row: dict[str, Any]) -> list[str]:
    """One exhibit: its picture, what it shows, its numbers, and the lines that made it."""
    numbers = [f"| {what} | {value:.6g} |" for what, value in row["numbers"].items()]
    code = [source for function in exhibit.code for source in ("```python", lines_of(function), "```", "")]
    return [
        f"## {heading(exhibit)}",
        "",
        f"![{exhibit.title}]({name}/{slug(exhibit.key)}.png)",
        "",
        f"{exhibit.shows[:1].upper()}{exhibit.shows[1:]}. {exhibit.runs:,} run{'s' * (exhibit.runs != 1)}, {row['seconds']:.1f} s.",
        "",
        *(["| | |", "|---|---|", *numbers, ""] if numbers else []),
        *(["<details><summary>The lines</summary>", "", *code, "</details>", ""] if code else []),
    ]


def lines_of(function: Any) -> str:
    """A function's source, without its decorator."""
    source = inspect.getsource(inspect.unwrap(getattr(function, "py_func", function)))
    return re.sub(r"^@.*\n", "", source).rstrip()


def heading(exhibit: Exhibit) -> str:
    """What an exhibit's section is called."""
    key = exhibit.key
    return f"{key[:1].upper() + key[1:] if ' ' in key else key}: {exhibit.title}"


def anchor(exhibit: Exhibit) -> str:
    """Where a section's heading leads, as GitHub names it."""
    return re.sub(r"[^\w\- ]", "", heading(exhibit).lower()).replace(" ", "-")


def slug(key: str) -> str:
    """A key as a file's name."""
    return key.replace(" ", "-")


if __name__ == "__main__":
    use_plain_lines(True)
    words = sys.argv[1:]
    stale = []
    measured = [name for name in PAGES if (RESULTS / "foundations" / f"{name}.json").exists()]
    for name in [word for word in words if word in PAGES] or ([*PAGES] if len(words) == 0 else measured):
        path, place = RESULTS / "foundations" / f"{name}.json", DOCS / f"{name}.md"
        if "--check" in words:
            stale += [] if place.exists() and place.read_text() == page(name, json.loads(path.read_text())) else [name]
            continue
        found = json.loads(path.read_text()) if "--page" in words else computed(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
        place.write_text(page(name, found))
    if stale:
        sys.exit(f"docs/{stale[0]}.md is older than its JSON: run python benchmarks/book_report.py --page")
