"""``rlhub study STUDY``: a core question, trained, measured and reported; the same command again goes on where it was."""

import dataclasses
import json
import os
import sys
import webbrowser
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.progress import clock, use_plain_lines
from rlhub.hub.options import listing_as_json, near, parse

STUDIES = {
    "recall": "what does each training signal do to the circuits that recall facts?",
    "signals": "every training signal on one model and one task: answers, conduct, distance, circuits and cost",
}


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """The study's folder, and how it is shown.

    Attributes:
        name: the study's name; by default its own and its size. The same name and settings go on where they were.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        report_only: only write the report again, from the measurements that are there.
        to: where --report-only writes; by default into the study's folder.
        workers: processes that train and measure at once; more than one pays on a GPU or with many cores.
        json: print the result as JSON.
        plain: print progress as lines instead of live bars.
        open: show the report in the browser, where there is a screen.
    """

    name: str | None = None
    runs: str | None = None
    report_only: bool = False
    to: str | None = None
    workers: int = 1
    json: bool = False
    plain: bool = False
    open: bool = False


def run(arguments: list[str]) -> int:
    """Carry out the study named first, with the options that follow; without one, list the studies."""
    if not arguments or arguments[0].startswith("-"):
        return list_studies(arguments)
    name, rest = arguments[0], arguments[1:]
    if name not in STUDIES:
        raise UserError(f"there is no study {name!r}{near(name, list(STUDIES))}: choose one of {', '.join(STUDIES)}")
    from rlhub.studies.study import run_study

    both = dataclasses.make_dataclass("Options", [("study", study_named(name)), ("run", StudyOptions)])
    chosen: Any = parse(both, rest, prog=f"rlhub study {name}", description=STUDIES[name])
    options: StudyOptions = chosen.run
    use_plain_lines(options.plain)
    try:
        folder = run_study(
            chosen.study,
            runs=options.runs,
            name=options.name,
            report_only=options.report_only,
            to=options.to,
            workers=options.workers,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the study was interrupted; the same command goes on where it was") from None
    told = tell(folder, as_json=options.json)
    if options.open and has_screen():
        webbrowser.open((folder / "report.html").resolve().as_uri())
    return told


def study_named(name: str) -> Any:
    """The study's dataclass."""
    from rlhub.studies.recall import Recall
    from rlhub.studies.signals import Signals

    return {"recall": Recall, "signals": Signals}[name]


def has_screen() -> bool:
    """Whether a person sits before this terminal with a desktop around it."""
    desktop = sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return desktop and sys.stdout.isatty()


def resume(folder: Path) -> Path:
    """Go on with the study in a folder, with the settings it was begun with."""
    from rlhub.core.files import read_json
    from rlhub.studies.study import run_study

    told = read_json(folder / "study.json")
    study = study_named(told["study"])(**told["asked"] | {"signals": tuple(told["asked"]["signals"])})
    return run_study(study, runs=folder.parent, name=folder.name)


def tell(folder: Path, *, as_json: bool) -> int:
    """Print what came out."""
    told = summary(folder)
    sys.stdout.write((json.dumps(told) if as_json else sentences(told)) + "\n")
    return 0


def summary(folder: Path) -> dict[str, Any]:
    """What came out, and where the report is."""
    report = json.loads((folder / "report.json").read_text())
    measured = report["measured"]
    return {
        "study": report["study"],
        "folder": str(folder),
        "report": str((folder / "report.html").resolve()),
        "accuracy": {
            name: round(measured[subject]["behaviour"]["train"]["value"], 4) for name, subject in {"base": "base", **report["last"]}.items()
        },
        "claims": {claim["key"]: claim["verdict"] for claim in report["claims"]},
        "lacking": report["lacking"],
        "seconds": sum(run["seconds"] for run in report["runs"].values()),
    }


def sentences(told: dict[str, Any]) -> str:
    """The same for a person."""
    accuracy = ", ".join(f"{name} {100 * value:.0f}%" for name, value in told["accuracy"].items())
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in Counter(told["claims"].values()).items())
    lacking = "".join(f"\nnote: {sentence}" for sentence in told["lacking"])
    return (
        f"right answers to what was trained: {accuracy}\n"
        f"claims of the literature: {verdicts}{lacking}\n"
        f"training took {clock(told['seconds'])}\n"
        f"open the report: {told['report']}"
    )


def list_studies(arguments: list[str]) -> int:
    """Say which studies there are."""
    if listing_as_json("rlhub study", "study", arguments):
        text = json.dumps([{"name": name, "question": question} for name, question in STUDIES.items()])
    else:
        lines = "\n".join(f"  {name:8}  {question}" for name, question in STUDIES.items())
        text = f"usage: rlhub study STUDY [options]\n\n{lines}\n\n`rlhub study recall --help` shows a study's options."
    sys.stdout.write(text + "\n")
    return 0
