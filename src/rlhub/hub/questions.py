"""Core questions on disk: which studies there are, how they stand and what came out. Nothing here loads torch."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlhub.core.errors import UserError
from rlhub.core.files import read_json
from rlhub.core.folder import is_run
from rlhub.core.records import last_metrics, living, status_of
from rlhub.hub.commands.study import STUDIES
from rlhub.hub.options import near
from rlhub.studies.names import CONTROL, NAMES
from rlhub.studies.report.markdown import CONDUCT, INTERVALS, PAGE

Status = Literal["running", "unfinished", "finished", "damaged"]
VERDICTS = {"agrees": "supported", "disagrees": "contradicted", "can't tell at this scale": "open", "not tested": "untested"}
"""What pages call a verdict."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A study in a line.

    Attributes:
        key: its folder's name, which addresses hold.
        name: its title; the folder's name while there is no report.
        question: what is asked.
        study: which study it is ("recall"); empty where that is damaged.
        status: running; unfinished: the same command goes on; finished: its report is there; damaged.
        reason: what is damaged, or how to go on; empty otherwise.
        arms: what its arms are called, the control among them.
        seeds: runs of each arm.
        when: when it was begun, in seconds since 1970; None where that is damaged.
        report: whether a report is there, perhaps of an earlier execution.
        done: runs that are finished.
        runs: runs that it has in the end.
    """

    key: str
    name: str
    question: str
    study: str
    status: Status
    reason: str = ""
    arms: tuple[str, ...] = ()
    seeds: int = 0
    when: float | None = None
    report: bool = False
    done: int = 0
    runs: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A study with all that its report says.

    Attributes:
        about: the study in a line.
        folder: where it lies.
        asked: its settings.
        runs: each with its key (its folder within the runs folder), name, arm, seed, status, step, and once there is a report seconds and
            thousands of sampled or imitated tokens.
        page: what the report says (see `rlhub.studies.report.shown`), each verdict with the `mark` that pages show; None without a report.
    """

    about: Question
    folder: Path
    asked: dict[str, Any]
    runs: tuple[dict[str, Any], ...]
    page: dict[str, Any] | None


def questions(runs: Path) -> list[Question]:
    """All studies in a runs folder, the newest first; damaged ones are among them and say so."""
    found = [one_line(path.parent) for path in sorted(runs.glob("*/study.json")) if not path.parent.name.startswith(".")]
    return sorted(found, key=lambda each: -(each.when or 0.0))


def find_question(name: str, runs: Path) -> Path:
    """The folder of the study of that name.

    Raises:
        UserError: there is none.
    """
    known = [path.parent.name for path in runs.glob("*/study.json")]
    if name not in known:
        raise UserError(f"there is no study {name!r} in {runs}{near(name, known)}: `rlhub questions` lists them")
    return runs / name


def question(folder: Path) -> Answer:
    """A study with its claims, arms, costs, runs and what there is to draw.

    Raises:
        UserError: study.json or the report is damaged.
    """
    about = one_line(folder)
    if about.status == "damaged":
        raise UserError(about.reason)
    page = page_of(folder) if (folder / PAGE).is_file() else None
    return Answer(about=about, folder=folder, asked=read_json(folder / "study.json")["asked"], runs=tuple(runs_of(folder, page)), page=page)


def figure(folder: Path, key: str) -> str:
    """One figure as Plotly's JSON.

    Raises:
        UserError: the report has no such figure, or its file is damaged.
    """
    return data_of(folder, "figures", key)


def circuit(folder: Path, key: str) -> str:
    """A run's circuit beside the base's as JSON (see `rlhub.lens.figures.circuit_view`).

    Raises:
        UserError: the report has no such circuit, or its file is damaged.
    """
    return data_of(folder, "circuits", key)


def data_of(folder: Path, kind: str, key: str) -> str:
    """A file that the report names; no other name is ever looked for on the disk."""
    page = page_of(folder)
    if key not in [each["key"] for each in page[kind]]:
        raise UserError(f"{folder.name} has no {key!r} among its {kind}")
    return json.dumps(read_json(inside(folder, folder / kind / f"{key}.json")))


def inside(folder: Path, path: Path) -> Path:
    """A file of a study, if it really lies in its folder.

    Raises:
        UserError: a link leads to it from elsewhere; what is outside must not be shown.
    """
    if not path.resolve().is_relative_to(folder.parent.resolve() / folder.name):
        raise UserError(f"{path} is a link out of its study's folder, and such links are not followed: put the file itself there")
    return path


def one_line(folder: Path) -> Question:
    """A study in a line, also where it is damaged."""
    try:
        return readable(folder)
    except (UserError, KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        reason = str(error) if isinstance(error, UserError) else f"{folder / 'study.json'} is damaged ({error!r}): restore it from a copy"
        return Question(key=folder.name, name=folder.name, question="", study="", status="damaged", reason=reason)


def readable(folder: Path) -> Question:
    """A study in a line."""
    told = read_json(folder / "study.json")
    asked, executions, study = told["asked"], told["executions"], str(told["study"])
    arms = tuple(dict.fromkeys([*asked["signals"], *([CONTROL] if asked["control"] else [])]))
    page = page_of(folder) if (folder / PAGE).is_file() else None
    reported = page is not None or (folder / "report.json").is_file()
    status: Status = "unfinished"
    reason = f"`rlhub resume {folder.name}` goes on with it"
    if page is not None and page["executions"] >= len(executions):
        status, reason = "finished", ""
    elif executions and "pid" in executions[-1] and living(executions[-1]["pid"], executions[-1]["pid_started"]) is not None:
        status, reason = "running", ""
    elif page is None and reported:
        reason = f"its report is an older release's: `rlhub study {study} --report-only --name {folder.name}` writes it anew"
    done = sum(run["status"] == "finished" for run in runs_of(folder, None))
    return Question(
        key=folder.name,
        name=page["title"] if page else folder.name,
        question=page["question"] if page else STUDIES.get(study, ""),
        study=study,
        status=status,
        reason=reason,
        arms=tuple(NAMES.get(arm, arm) for arm in arms),
        seeds=int(asked["seeds"]),
        when=float(told["created"]),
        report=reported,
        done=done,
        runs=len(arms) * int(asked["seeds"]),
    )


def page_of(folder: Path) -> dict[str, Any]:
    """What a study's report says.

    Raises:
        UserError: there is no report, or it is damaged.
    """
    if not (folder / PAGE).is_file():
        raise UserError(f"{folder} has no report yet that can be shown: `rlhub questions {folder.name}` says how it stands")
    page = read_json(inside(folder, folder / PAGE))
    try:
        for verdict in page["verdicts"]:
            verdict["mark"] = VERDICTS[verdict["verdict"]]
        if missing := NEEDED - page.keys():
            raise KeyError(", ".join(sorted(missing)))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{folder / PAGE} is damaged ({error!r}): `rlhub study STUDY --report-only --name {folder.name}` writes it anew"
        ) from error
    return page | {"intervals": INTERVALS, "conduct_note": CONDUCT}


NEEDED = {
    "title",
    "question",
    "executions",
    "findings",
    "method",
    "arms",
    "cost",
    "behaviour",
    "conduct",
    "claims",
    "verdicts",
    "nulls",
} | {
    "lacking",
    "limits",
    "reproduce",
    "figures",
    "circuits",
    "runs",
}


def runs_of(folder: Path, page: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The runs of a study's arms, in the order of arms and seeds, as their folders say."""
    costs = {run["key"]: run for run in page["runs"]} if page else {}
    places = [path for path in folder.glob("*-seed*") if is_run(path) and path.name.rpartition("-seed")[2].isdecimal()]
    order = list(NAMES)
    for path in sorted(places, key=lambda path: (rank(path.name.rpartition("-seed")[0], order), int(path.name.rpartition("-seed")[2]))):
        arm, _, seed = path.name.rpartition("-seed")
        try:
            status, step = status_of(path), last_metrics(path).get("step", 0)
        except (UserError, KeyError, TypeError, IndexError):
            status, step = "damaged", 0
        cost = costs.get(path.name, {})
        yield {
            "key": f"{folder.name}/{path.name}",
            "name": path.name,
            "arm": NAMES.get(arm, arm),
            "seed": int(seed),
            "status": status,
            "step": step,
            "seconds": cost.get("seconds"),
            "tokens": cost.get("tokens"),
        }


def rank(arm: str, order: list[str]) -> int:
    """Where an arm stands among all."""
    return order.index(arm) if arm in order else len(order)
