"""How every study goes: one base, arms that each train it by another signal, several seeds, and the same measurements of all of them.

A study is a frozen dataclass that says what is asked; here it is trained, measured and reported. Whatever was done before is not done
again: runs resume, and each measurement lies in a file of its own.
"""

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlhub.core.errors import UserError
from rlhub.core.files import check_room, write_text, writing
from rlhub.core.folder import checked_name, is_run, runs_folder
from rlhub.core.progress import Progress, progress
from rlhub.core.run import Run
from rlhub.core.training import execute, train
from rlhub.studies.arms import Size, SizeName, arms, kept_steps
from rlhub.studies.circuits import overlap_at
from rlhub.studies.gathering import MEASURED
from rlhub.studies.instruments import overlap
from rlhub.studies.matching import common_target, match
from rlhub.studies.measuring import Measuring, Subject, accuracies
from rlhub.studies.names import CONTROL
from rlhub.studies.report.build import write_report
from rlhub.studies.store import Store
from rlhub.studies.workers import Workers

TRAINING, CIRCUIT, INSIDE = 10, 3, 4
"""How many times as long as measuring one checkpoint's behaviour these take, about: training a run, a circuit, looking inside otherwise."""
MATCHED = 2
"""Checkpoints of a run whose circuits are measured, about."""


@dataclass(frozen=True, kw_only=True)
class Study(ABC):
    """What studies ask alike.

    Attributes:
        signals: the arms.
        seeds: runs of each arm; by default the size's (full: 3, else 1).
        model: alias, hub id, folder or run of the model; by default the size's (tiny: the tiny model, else SmolLM2-135M-Instruct).
        control: whether an arm is trained by GRPO on a random reward.
        size: how long it trains and how much it measures: tiny (a minute or two), small (some minutes, or hours where all signals are
            trained), full (hours, or days).
    """

    signals: tuple[str, ...]
    seeds: int | None = None
    model: str | None = None
    control: bool = True
    size: SizeName = "full"

    kind: ClassVar[str]
    start: ClassVar[str] = "base"
    known: ClassVar[tuple[str, ...]]
    sizes: ClassVar[Mapping[str, Size]]

    def __post_init__(self) -> None:
        """Refuse what can't be studied."""
        if self.seeds is not None and self.seeds < 1:
            raise UserError(f"seeds is {self.seeds}; a study needs at least 1 seed of each arm, and 3 to say how much seeds differ")
        if self.size not in self.sizes:
            raise UserError(f"there is no size {self.size!r}; choose from {', '.join(self.sizes)}")
        arms(self.signals, known=self.known, control=self.control)

    @property
    def plan(self) -> Size:
        """How much is done."""
        return self.sizes[self.size]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms, the control last."""
        return arms(self.signals, known=self.known, control=self.control)

    @property
    def settings(self) -> dict[str, Any]:
        """All that was asked, with what the size fills in."""
        asked = dataclasses.asdict(self) | {"seeds": self.seeds or self.plan.seeds, "model": self.model or self.plan.model}
        return asked | {"signals": list(self.signals)}

    @property
    def name(self) -> str:
        """What its folder is called by default."""
        return f"{self.kind}-{self.size}"

    @abstractmethod
    def begin(self, store: Store, start: Subject, task: Progress) -> Measuring:
        """What all arms begin from, and how checkpoints are measured; what has to be trained for that is trained now.

        Args:
            store: the study's folder.
            start: the model that was asked for.
            task: its activity says what is done.
        """

    @abstractmethod
    def system(self, arm: str, measuring: Measuring) -> Any:
        """The system that trains an arm."""

    @abstractmethod
    def last_step(self, arm: str) -> int:
        """The step at which an arm ends."""

    def learns_task(self, arm: str) -> bool:
        """Whether an arm can be compared with others where they have come equally far in the task, not only equally far from the base."""
        return arm != CONTROL

    def check(self) -> None:  # noqa: B027  a study may have nothing to refuse
        """Refuse what can be seen to fail before anything is made."""

    def kept(self, arm: str) -> tuple[int, ...]:
        """The steps of an arm whose model is kept."""
        return kept_steps(arm, self.plan, self.last_step(arm))


def run_study(
    study: Study,
    *,
    runs: str | Path | None = None,
    name: str | None = None,
    report_only: bool = False,
    to: str | Path | None = None,
    pictures: bool | None = None,
    workers: int = 1,
) -> Path:
    """Train, measure and report; whatever was done before by a study of that name and these settings is not done again.

    Args:
        study: what is asked.
        runs: where runs live; by default RLHUB_RUNS, else ./runs.
        name: the study's folder there.
        report_only: only write the report again, from measurements that are there.
        to: where a report alone goes; by default into the study's folder.
        pictures: whether the Markdown gets its figures as images; by default where kaleido and a browser are there.
        workers: processes that train and measure at once.

    Returns:
        The folder with the report.

    Raises:
        UserError: what a person can mend, in one sentence.
    """
    folder = runs_folder(runs) / checked_name(name or study.name)
    if report_only and not (folder / "study.json").is_file():
        raise UserError(f"{folder} holds no study to report on: run it first, without --report-only")
    if to and not report_only:
        raise UserError("--to says where --report-only writes; a study that is carried out has its report in its own folder")
    if report_only:
        return write_report(folder, to=Path(to) if to else None, pictures=pictures).parent
    settings = study.settings
    start = Subject(study.start, settings["model"])
    names = [(arm, seed) for seed in range(settings["seeds"]) for arm in study.arms]
    checkpoints = sum(len(study.kept(arm)) for arm, _ in names)
    study.check()
    if not (folder / "study.json").is_file():
        # What can't be loaded or held is said before a folder is made; while a run is trained, two checkpoints hold its optimiser, too.
        check_room(folder, 4 * start.model.num_parameters() * (checkpoints + 2 * 2), f"the study {folder.name}")
    store = Store.open(folder, study.kind, settings)
    units = checkpoints + (TRAINING + MATCHED * CIRCUIT + INSIDE) * len(names) + CIRCUIT + INSIDE + 1
    with progress(f"study {folder.name}", units) as task:
        measuring = study.begin(store, start, task)
        together = Workers(study, measuring, workers)
        trained = train_arms(study, measuring, names, task, together)
        measure(study, measuring, trained, task, together)
        task.activity = "writing the report"
        write_report(folder, pictures=pictures)
    return folder


def train_arms(
    study: Study, measuring: Measuring, names: list[tuple[str, int]], task: Progress, workers: Workers | None = None
) -> dict[str, Run]:
    """Every run of every arm, trained to its end, by name."""
    store = measuring.store
    task.activity = "asking the base"
    if not measuring.preferences_file.is_file():
        with writing("the preferences", store.folder):
            write_preferences(measuring)
    task.inside = TRAINING
    runs = {f"{arm}-seed{seed}": (arm, seed) for arm, seed in names}
    left = {name: of for name, of in runs.items() if not finished(store.folder / name)}
    task.skip(TRAINING * (len(runs) - len(left)))
    if left:
        # Hours of training come before the first circuit is looked for: that there are no pairs to look with is said before them.
        task.activity = "choosing pairs of prompts"
        measuring.check()
    task.activity = "training " + (", seed ".join(map(str, next(iter(left.values())))) if left else "")
    for arm, seed in (workers or Workers(study, measuring)).each(train_arm, list(left.values())):
        task.advance(TRAINING)
        del left[f"{arm}-seed{seed}"]
        task.activity = "training " + (", seed ".join(map(str, next(iter(left.values())))) if left else "")
    task.inside = 1
    return {name: Run.open(store.folder / name) for name in runs}


def write_preferences(measuring: Measuring) -> None:
    """Better and worse answers as a file to train on."""
    write_text(measuring.preferences_file, "".join(json.dumps(row) + "\n" for row in measuring.preferences))


def finished(folder: Path) -> bool:
    """Whether a folder holds a run that has ended."""
    return is_run(folder) and Run.open(folder).status == "finished"


def train_arm(study: Study, measuring: Measuring, arm: str, seed: int) -> None:
    """Train one run of an arm to its end."""
    name, folder = f"{arm}-seed{seed}", measuring.store.folder
    if is_run(folder / name):
        # A run that was begun goes on with the settings it has, whatever a system's defaults are by now.
        execute(Run.open(folder / name))
    else:
        asked = study.system(arm, measuring)
        train(asked, seed=seed, runs=folder, name=name, keep=study.kept(arm))


def measure(study: Study, measuring: Measuring, trained: dict[str, Run], task: Progress, workers: Workers | None = None) -> None:
    """All measurements: behaviour of every checkpoint, circuits of the matched and last ones, the rest of the last ones."""
    store, workers = measuring.store, workers or Workers(study, measuring)

    def steps_on(units: int, what: str) -> None:
        task.advance(units)
        task.activity = what

    task.activity = "measuring the base"
    behaviour = {"base": measuring.behaviour(measuring.base)}
    measuring.circuit(measuring.base)
    steps_on(CIRCUIT, "looking inside the base")
    measuring.inside(measuring.base)
    steps_on(INSIDE, "measuring behaviour")
    every = {subject.name: subject.source for subject in subjects(study, trained)}
    for name, _ in workers.each(behave, list(every.items())):
        steps_on(1, f"behaviour of {name}")
    behaviour |= {name: measuring.behaviour(Subject(name, source)) for name, source in every.items()}
    matched = store.measured("study", "matched", lambda: matches(study, behaviour))
    store.measured("study", "graph", lambda: {"shape": dataclasses.asdict(measuring.graph), "edges": measuring.graph.edge_count})
    store.measured("study", "reference", lambda: measuring.reference_size)
    last = last_checkpoints(behaviour)
    wanted = {f"{found['run']}@{found['step']}" for table in matched.values() for found in table.values()} | set(last.values())
    task.total = (task.total or 0) + CIRCUIT * (len(wanted) - MATCHED * len(trained))
    looked = [(name, source, name in last.values()) for name, source in every.items() if name in wanted]
    for name, _, whole in workers.each(look_inside, looked):
        steps_on(CIRCUIT + INSIDE * whole, f"circuit of {name}")
    task.activity = "comparing seeds"
    compare_runs(
        measuring, {run: Subject(subject, trained[run].folder / "checkpoints" / subject.partition("@")[2]) for run, subject in last.items()}
    )
    store.measured("study", MEASURED, lambda: sorted(last.values()))
    task.advance(1)


def behave(_: Study, measuring: Measuring, name: str, source: str) -> None:
    """Measure what one checkpoint does."""
    measuring.behaviour(Subject(name, source))


def look_inside(_: Study, measuring: Measuring, name: str, source: str, whole: bool) -> None:
    """Measure one checkpoint's circuit and weights, and with `whole` all else that is measured inside."""
    subject = Subject(name, source)
    measuring.circuit(subject)
    measuring.weights(subject)
    if whole:
        measuring.inside(subject)


def subjects(study: Study, trained: dict[str, Run]) -> Iterator[Subject]:
    """Every kept checkpoint of every run, one at a time."""
    for name, run in trained.items():
        for step in study.kept(arm_of(name)):
            yield Subject(f"{name}@{step}", run.folder / "checkpoints" / str(step))


def last_checkpoints(behaviour: dict[str, Any]) -> dict[str, str]:
    """Each run's last checkpoint's name."""
    last: dict[str, str] = {}
    for name in behaviour:
        run, _, step = name.partition("@")
        if step and int(step) >= int(last.get(run, "@0").partition("@")[2]):
            last[run] = name
    return last


def matches(study: Study, behaviour: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The checkpoints at which runs are compared: nearest in accuracy on what is trained, and nearest in forward KL to the base."""
    arms = {"forward_kl": [arm for arm in study.arms if arm != CONTROL]}
    arms["train"] = [arm for arm in arms["forward_kl"] if study.learns_task(arm)]
    found = {}
    for number in ("train", "forward_kl"):
        runs = [run for run in last_checkpoints(behaviour) if arm_of(run) in arms[number]]
        curves = accuracies(behaviour, runs, number)
        found[number] = {run: dataclasses.asdict(one) for run, one in match(curves, common_target(curves, runs)).items()} if runs else {}
    return found


def arm_of(run: str) -> str:
    """The arm that a run belongs to."""
    return run.rpartition("-seed")[0]


def compare_runs(measuring: Measuring, last: dict[str, Subject]) -> None:
    """Seeds of one arm against each other, and GRPO against the control: which parameters both moved, how alike their circuits are."""
    names = list(last)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            if arm_of(one) != arm_of(other) and {arm_of(one), arm_of(other)} != {"grpo", CONTROL}:
                continue
            measuring.store.measured(
                "pairs",
                f"{one}~{other}",
                lambda one=one, other=other: {  # type: ignore[misc]
                    "moved": overlap(measuring.base.model, last[one].model, last[other].model),
                    "circuits": overlap_at(measuring.scores(last[one]).mean(0), measuring.scores(last[other]).mean(0), measuring.graph),
                },
            )
