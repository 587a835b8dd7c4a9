"""``rlhub systems [NAME]``: what can be trained, and everything there is to know of one system."""

import json
import sys
import textwrap
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from rlhub.core.progress import progress
from rlhub.hub.describing import describe
from rlhub.hub.options import parse
from rlhub.hub.systems import SYSTEMS

WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Systems:
    """What can be trained; with a system's name, its idea, its paper, its file, its settings, and what was measured of it.

    Attributes:
        name: a system's; without one, all are listed.
        code: with the text of its source file.
        json: print JSON.
    """

    name: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="[NAME]")]] = None
    code: bool = False
    json: bool = False


def run(arguments: list[str]) -> int:
    """List the systems, or show one."""
    options = parse(Systems, arguments, prog="rlhub systems")
    if options.name is None:
        width = max(len(entry.name) for entry in SYSTEMS) + 2
        lines = [f"  {entry.name:{width}}{entry.what}\n  {'':{width}}{entry.source}" for entry in SYSTEMS]
        text = json.dumps([entry._asdict() for entry in SYSTEMS]) if options.json else "\n".join(lines)
    else:
        with progress("looking into the systems"):
            told = describe(options.name)
        code = f"\n\n{told['code']}" if options.code else ""
        text = json.dumps(told) if options.json else sentences(told) + code
    sys.stdout.write(text + "\n")
    return 0


def sentences(told: dict[str, Any]) -> str:
    """One system's page, for a person."""
    lines = [f"{told['name']}: {told['what']}", f"paper  {told['source']}", f"file   {told['file'] or told['place']}", ""]
    if told["lacking"]:
        return "\n".join([*lines[:-1], f"its settings can't be shown here: {told['lacking']}"])
    lines += [told["about"], "", "settings"]
    for field in told["fields"]:
        what = ", ".join(map(str, field["choices"])) if field["choices"] else field["type"]
        default = "needed" if field["required"] else " ".join(map(str, field["default"])) if field["many"] else field["default"]
        lines.append(f"  --{field['name'].replace('_', '-')} {what} [{default}]")
        lines += _wrapped(field["doc"], "      ")
    for env, settings in told["tuned"].items():
        kept = ", ".join(f"{name} {value}" for name, value in settings.items() if name != "env")
        lines += ["", f"settings for {env}", *_wrapped(kept, "  ")]
    return "\n".join([*lines, *_measured(told["measured"])])


def _measured(told: dict[str, Any]) -> list[str]:
    if not any(told[name] for name in ("learning", "ablations", "speed")):
        return ["", f"measured results: none in {told['where']}"]
    lines = ["", "measured"] if told["learning"] else []
    for row in told["learning"]:
        beside = "" if row["reference"] is None else f"; reference {row['reference']:g} {row['source']}: {row['verdict']}"
        lines.append(
            f"  {row['env']:28}{row['value']:9.1f} [{row['interval'][0]:.1f}, {row['interval'][1]:.1f}] "
            f"IQM of {row['seeds']} seeds after {row['steps']:,} steps{beside}"
        )
    if told["ablations"]:
        lines += ["", f"measured without a part, in {told['ablations'][0]['env']}"]
        lines += [
            f"  {row['without']:62}{row['value']:9.1f} [{row['interval'][0]:.1f}, {row['interval'][1]:.1f}]" for row in told["ablations"]
        ]
    if told["speed"]:
        lines += ["", "speed, median seconds of the same work in one process"]
        lines += [
            f"  {row['measurement']:34}{row['side']:24}{row['seconds']:9.2f} s, {row['times_faster']:.2f} times as fast as {row['peer']}"
            for row in told["speed"]
        ]
    return [*lines, "", f"from {told['where']}"]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
