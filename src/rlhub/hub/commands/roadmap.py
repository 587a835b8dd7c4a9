"""``rlhub roadmap``: what to read and build, phase by phase, and which of its marks have been reached."""

import json
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from rlhub.core.errors import UserError
from rlhub.hub.marks import GALLERIES, evidence, standing
from rlhub.hub.options import near, parse
from rlhub.hub.roadmap import roadmap

WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Roadmap:
    """What to read and build, phase by phase, and which of its marks have been reached by the runs, studies and figures that are here.

    Attributes:
        phase: only this phase, with why each of its items is on the road; without one, all in short.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        book: the folder of figures that `rlhub book` has computed.
        theory: the folder of experiments that `rlhub theory` has computed.
        json: print JSON.
    """

    phase: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="[PHASE]")]] = None
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    book: Annotated[str, tyro.conf.arg(metavar="FOLDER")] = str(GALLERIES["book"])
    theory: Annotated[str, tyro.conf.arg(metavar="FOLDER")] = str(GALLERIES["theory"])
    json: bool = False


def run(arguments: list[str]) -> int:
    """Print the roadmap."""
    options = parse(Roadmap, arguments, prog="rlhub roadmap")
    phases = roadmap()
    if options.phase is not None:
        known = [phase.key for phase in phases]
        phases = tuple(phase for phase in phases if phase.key == options.phase)
        if not phases:
            raise UserError(f"the roadmap has no phase {options.phase!r}{near(options.phase, known)}: choose one of {', '.join(known)}")
    found = evidence(options.runs, galleries={"book": Path(options.book), "theory": Path(options.theory)})
    told = standing(found, phases)
    sys.stdout.write((json.dumps(told) if options.json else sentences(told, whole=options.phase is not None)) + "\n")
    return 0


def sentences(told: dict[str, Any], *, whole: bool) -> str:
    """The roadmap for a person.

    Args:
        told: as `standing` tells it.
        whole: with why each item is there, and where it can be read.
    """
    lines: list[str] = []
    for phase in told["phases"]:
        lines += [phase["title"], *_wrapped(phase["what"], "  "), ""]
        for item in phase["items"]:
            lines += _item(item, whole=whole)
        lines.append("")
    lines.append(f"{told['reached']} of {told['marks']} marks reached")
    if not whole:
        keys = ", ".join(phase["key"] for phase in told["phases"])
        lines.append(f"`rlhub roadmap PHASE` says why each item is on the road: {keys}")
    return "\n".join(lines)


def _item(item: dict[str, Any], *, whole: bool) -> list[str]:
    made = ", ".join(part for part in (item["authors"], str(item["year"] or "")) if part)
    lines = _wrapped(item["title"] + (f" ({made})" if made else ""), "  ")
    if whole:
        lines += _wrapped(item["why"], "      ") + ([f"      {item['link']}"] if item["link"] else [])
    here = [
        f"rlhub {command} {', '.join(item[name])}"
        for name, command in (("systems", "train"), ("figures", "book figure"), ("theory", "theory"), ("studies", "study"))
        if item[name]
    ]
    lines += _wrapped("; ".join(here), "      ") if whole and here else []
    if item["next"]:
        lines += _wrapped(f"not built: {item['next']}", "      ")
    for mark in item["marks"]:
        lines += _wrapped(mark["text"], "          ", first=f"      [{'x' if mark['reached'] else ' '}] ")
        if mark["reached"]:
            lines += _wrapped(how(mark["reached"]), "          ")
    return lines + ([""] if whole else [])


def how(reached: dict[str, Any]) -> str:
    """How a mark was reached, in a line."""
    parts = [reached["folder"]]
    if reached["step"] is not None:
        parts.append(f"step {reached['step']:,}")
    if reached["value"] is not None:
        parts.append(f"{reached['value']:.4g}")
    if reached["when"] is not None:
        parts.append(time.strftime("%Y-%m-%d %H:%M", time.localtime(reached["when"])))
    return ", ".join(parts)


def _wrapped(text: str, indent: str, *, first: str | None = None) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent if first is None else first, subsequent_indent=indent, break_on_hyphens=False)
