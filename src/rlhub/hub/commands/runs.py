"""``rlhub runs [RUN]``: what has run, and how it ended."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhub.core.errors import UserError
from rlhub.core.files import in_words, read_json
from rlhub.core.folder import find_run, handle, list_runs, runs_folder
from rlhub.core.progress import clock, metrics_line
from rlhub.hub.options import near, parse
from rlhub.hub.summary import COLOURS, age, summary


@dataclass(frozen=True, kw_only=True)
class Runs:
    """What has run, and how it ended; with a run's name, everything about that one.

    Attributes:
        run: a run's name or folder; without one, all runs are listed.
        find: list only runs with these words in their name, system, model or task.
        system: list only runs of this system's class, as PPO.
        task: list only runs in this task or environment.
        status: list only runs that stand so, as running.
        sort: list by started, name, system, task, status, step, bytes, or metric:NAME for a metric's newest value.
        order: which way.
        limit: list at most so many.
        plot: draw the run's curves into this file (.html, .png, .svg or .pdf): return, or accuracy, length and words of second thoughts
            over all its stages.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print JSON.
    """

    run: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="[RUN]")]] = None
    find: str = ""
    system: str = ""
    task: str = ""
    status: str = ""
    sort: str | None = None
    order: Literal["ascending", "descending"] = "ascending"
    limit: int | None = None
    plot: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False


def run(arguments: list[str]) -> int:
    """List the runs, or show one."""
    options = parse(Runs, arguments, prog="rlhub runs")
    if options.run is not None:
        return _show(run_named(options.run, options.runs), plot=options.plot, as_json=options.json)
    if options.plot is not None:
        raise UserError("--plot draws one run's curves: `rlhub runs RUN --plot FILE`")
    told = []
    for folder in _chosen(options):
        try:
            told.append(summary(folder))
        except UserError as error:  # one damaged folder must not hide the others
            sys.stderr.write(f"rlhub: {error}\n")
    if options.json:
        sys.stdout.write(json.dumps(told) + "\n")
    elif told:
        _console().print(_table(told, runs_folder(options.runs)))
    else:
        sys.stdout.write(f"no runs in {runs_folder(options.runs)} yet; `rlhub train` lists what can be trained\n")
    return 0


def _chosen(options: Runs) -> list[Path]:
    """The folders of the runs to list: all in the order they began, or what a search finds."""
    asked = {name: getattr(options, name) for name in ("system", "task", "status", "order")}
    if options.sort is None and options.limit is None and not (options.find or options.system or options.task or options.status):
        return list_runs(options.runs)
    if options.limit is not None and options.limit < 1:
        raise UserError(f"limit is {options.limit}; list at least 1 run")
    from rlhub.hub.catalogue import Catalogue, Wanted

    catalogue = Catalogue(runs_folder(options.runs).absolute())
    catalogue.refresh()
    wanted = Wanted(**asked, text=options.find, sort=options.sort or "started", limit=options.limit or 1_000_000)
    return [Path(row["folder"]) for row in catalogue.find(wanted).rows]


def run_named(spec: str, runs: str | None) -> Path:
    """The run that a person means, also where they name one of its checkpoints.

    Raises:
        UserError: there is none.
    """
    folder = find_run(spec, runs)
    if folder is None:
        names = [path.name for path in list_runs(runs)]
        raise UserError(f"there is no run {spec!r} in {runs_folder(runs)}{near(spec, names)}: `rlhub runs` lists them")
    return folder.parents[1] if folder.parent.name == "checkpoints" else folder


def _table(told: list[dict[str, Any]], root: Path) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name, justify in (("run", "left"), ("system", "left"), ("model", "left"), ("task", "left"), ("seed", "right"), ("step", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for name in ("ended", "last metrics", "age", "size"):
        table.add_column(name, overflow="fold")
    for each in told:
        folder = Path(each["folder"])
        place = folder.relative_to(root) if folder.is_relative_to(root) else folder
        table.add_row(
            escape(str(place)),
            each["system"].rpartition(":")[2],
            escape(str(each["model"] or "")),
            escape(str(each["task"] or "")),
            str(each["seed"]),
            f"{each['step']}/{each['steps'] or '?'}",
            f"[{COLOURS.get(each['status'], 'white')}]{each['status']}[/]",
            escape(metrics_line(each["metrics"], limit=3)),
            age(each["started"]),
            in_words(each["bytes"]),
        )
    return table


def _show(folder: Path, *, plot: str | None, as_json: bool) -> int:
    told = summary(folder)
    if plot is not None:
        from rlhub.core.style import figure_path, write_figure
        from rlhub.hub.curve_figure import curves_figure

        path = figure_path(plot)
        told["plot"] = str(write_figure(curves_figure(folder), path))
    config, record = read_json(folder / "config.json"), read_json(folder / "provenance.json")
    if as_json:
        sys.stdout.write(json.dumps(told | {"config": config, "executions": record["executions"]}) + "\n")
        return 0
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    state = f"[{COLOURS.get(told['status'], 'white')}]{told['status']}[/], step {told['step']} of {told['steps'] or '?'}"
    table.add_row("run", f"{escape(told['name'])}  [dim]{escape(told['folder'])}[/]")
    table.add_row("state", state + (f"\n{escape(told['reason'])}" if told["reason"] else ""))
    table.add_row("system", f"{escape(config['system'])}, seed {config['seed']}")
    table.add_row("", escape("\n".join(f"{name} = {value!r}" for name, value in config["fields"].items())))
    table.add_row("last metrics", escape(metrics_line(told["metrics"])))
    table.add_row("checkpoints", ", ".join(map(str, told["checkpoints"])) or "none yet")
    table.add_row("size", in_words(told["bytes"]))
    for execution in record["executions"]:
        table.add_row("executed", escape(_execution(execution)))
    if plot is not None:
        table.add_row("curves", escape(told["plot"]))
    if told["status"] not in ("finished", "running", "diverged"):
        table.add_row("go on", f"rlhub resume {escape(handle(folder))}")
    _console().print(table)
    return 0


def _console() -> Console:
    """A console as wide as the terminal, or wide enough for everything where the text goes elsewhere."""
    return Console() if sys.stdout.isatty() else Console(width=200)


def _execution(execution: dict[str, Any]) -> str:
    commit = execution["commit"]
    code = f"commit {commit['id'][:12]}{' with changes' if commit['dirty'] else ''}" if commit else "no commit"
    versions = ", ".join(f"{name} {version}" for name, version in execution["versions"].items() if version)
    machine = execution["machine"]
    took = f" for {clock(execution['ended'] - execution['started'])}" if "ended" in execution else ""
    return (
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(execution['started']))}{took}, from step {execution['resumed_from']}: "
        f"{execution['status']}\n{execution['command']}\n{code}; {versions}\n"
        f"{machine['cpu']}, {machine['cores']} cores, {in_words(machine['memory'])}, {execution['threads']} torch threads"
    )
