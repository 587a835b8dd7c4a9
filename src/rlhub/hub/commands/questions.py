"""``rlhub questions [STUDY]``: the core questions that were studied, how they stand, and what came out."""

import dataclasses
import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhub.core.folder import runs_folder
from rlhub.core.progress import clock
from rlhub.hub.options import parse
from rlhub.hub.questions import Answer, Question, find_question, question, questions
from rlhub.hub.summary import age

COLOURS = {"finished": "green", "running": "cyan", "unfinished": "yellow", "damaged": "red"}
MARKS = {"supported": "green", "contradicted": "red", "open": "yellow", "untested": "dim"}


@dataclass(frozen=True, kw_only=True)
class Questions:
    """The core questions that were studied; with a study's name, what came out of that one.

    Attributes:
        study: a study's name; without one, all studies are listed.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print JSON.
    """

    study: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="[STUDY]")]] = None
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False


def run(arguments: list[str]) -> int:
    """List the studies, or show one."""
    options = parse(Questions, arguments, prog="rlhub questions")
    root = runs_folder(options.runs)
    if options.study is not None:
        answer = question(find_question(options.study, root))
        if options.json:
            sys.stdout.write(json.dumps(dataclasses.asdict(answer) | {"folder": str(answer.folder)}) + "\n")
        else:
            show(answer)
        return 0
    found = questions(root)
    if options.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(each) for each in found]) + "\n")
    elif found:
        console().print(listing(found))
    else:
        sys.stdout.write(f"no studies in {root} yet; `rlhub study` lists the questions that can be asked\n")
    return 0


def listing(found: list[Question]) -> Table:
    """One study a row."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("study", "asks", "state", "arms", "seeds", "runs", "age"):
        table.add_column(name, overflow="fold")
    for each in found:
        state = f"[{COLOURS[each.status]}]{each.status}[/]" + (f"\n{escape(each.reason)}" if each.reason else "")
        done = f"{each.done}/{each.runs}" if each.runs else ""
        table.add_row(escape(each.key), escape(each.name), state, escape(", ".join(each.arms)), str(each.seeds or ""), done, age(each.when))
    return table


def show(answer: Answer) -> None:
    """One study for a person."""
    about, page, out = answer.about, answer.page, console()
    out.print(f"[bold]{escape(about.name)}[/]  [dim]{escape(str(answer.folder))}[/]\n{escape(about.question)}\n")
    out.print(
        f"[{COLOURS[about.status]}]{about.status}[/]: {about.done} of {about.runs} runs"
        + (f"; {escape(about.reason)}" if about.reason else "")
    )
    if page is not None:
        for sentence in page["findings"]:
            out.print(f"- {escape(sentence)}")
        out.print()
        out.print(claims(page))
    runs = rows(
        [["run", "state", "step", "trained for"], *([run["name"], run["status"], str(run["step"]), cost(run)] for run in answer.runs)]
    )
    out.print()
    out.print(runs)
    if (answer.folder / "report.html").is_file():
        out.print(f"\nopen the report: {(answer.folder / 'report.html').resolve()}", soft_wrap=True)


def claims(page: dict[str, Any]) -> Table:
    """The claims with their numbers and verdicts."""
    head, *told = page["claims"]
    table = rows([[head[0], *head[3:6], "verdict"]])
    for row, verdict in zip(told, page["verdicts"], strict=True):
        shown = f"[{MARKS[verdict['mark']]}]{escape(verdict['verdict'])}[/]"
        table.add_row(escape(row[0]), *(escape(cell) for cell in row[3:6]), shown)
    return table


def rows(cells: list[list[str]]) -> Table:
    """Cells as a table, the first row its head."""
    table = Table(*cells[0], box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for row in cells[1:]:
        table.add_row(*map(escape, row))
    return table


def cost(run: dict[str, Any]) -> str:
    """How long a run trained, where the report tells it."""
    return clock(run["seconds"]) if run["seconds"] is not None else ""


def console() -> Console:
    """A console as wide as the terminal, or wide enough for everything where the text goes elsewhere."""
    return Console() if sys.stdout.isatty() else Console(width=200)
