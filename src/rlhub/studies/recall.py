"""What does each training signal do to the circuits that recall facts?

One base; an arm for each signal (SFT, DPO, GRPO) and one for GRPO with a random reward, the control; several seeds of each. Checkpoints
along the way, so that arms are compared where they recall equally many facts and where they have moved equally far from the base, not only
at the end. Each comparison comes with its null: seed against seed, the base against itself on resampled prompts, the random reward.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.files import check_room, writing
from rlhub.core.folder import checked_name, is_run, runs_folder
from rlhub.core.progress import Progress, progress
from rlhub.core.run import Run
from rlhub.core.training import execute, train
from rlhub.language.task import load_task
from rlhub.studies.arms import CONTROL, SIGNALS, SIZES, Size, SizeName, arms, keep, system
from rlhub.studies.instruments import overlap
from rlhub.studies.matching import Match, common_target, match
from rlhub.studies.measuring import Measuring, Subject, accuracies
from rlhub.studies.report.build import write_report
from rlhub.studies.store import Store

TRAINING, CIRCUIT, INSIDE = 10, 3, 4
"""How many times as long as measuring one checkpoint's behaviour these take, about: training a run, a circuit, looking inside otherwise."""
MATCHED = 2
"""Checkpoints of a run whose circuits are measured, about."""


@dataclass(frozen=True, kw_only=True)
class Recall:
    """The study of recalling facts.

    Attributes:
        signals: the arms: sft, dpo, grpo.
        seeds: runs of each arm; by default the size's (full: 3, else 1).
        model: the base: alias, hub id, folder or run; by default the size's (tiny: the tiny model, else SmolLM2-135M-Instruct).
        relation: the facts that are trained: capitals, currencies, languages or symbols.
        control: whether an arm is trained by GRPO on a random reward.
        size: how long it trains and how much it measures: tiny (seconds), small (minutes), full (up to an hour on two cores).
    """

    signals: tuple[str, ...] = SIGNALS
    seeds: int | None = None
    model: str | None = None
    relation: str = "capitals"
    control: bool = True
    size: SizeName = "full"

    def __post_init__(self) -> None:
        """Refuse what can't be studied."""
        if self.seeds is not None and self.seeds < 1:
            raise UserError(f"seeds is {self.seeds}; a study needs at least 1 seed of each arm, and 3 to say how much seeds differ")
        if self.size not in SIZES:
            raise UserError(f"there is no size {self.size!r}; choose from {', '.join(SIZES)}")
        arms(self.signals, control=self.control)

    @property
    def settings(self) -> dict[str, Any]:
        """All that was asked, with what the size fills in."""
        plan = SIZES[self.size]
        asked = dataclasses.asdict(self) | {"seeds": self.seeds or plan.seeds, "model": self.model or plan.model}
        return asked | {"signals": list(self.signals)}

    @property
    def name(self) -> str:
        """What its folder is called by default."""
        return f"recall-{self.size}"


def run_study(
    study: Recall,
    *,
    runs: str | Path | None = None,
    name: str | None = None,
    report_only: bool = False,
    to: str | Path | None = None,
    pictures: bool | None = None,
) -> Path:
    """Train, measure and report; whatever was done before by a study of that name and these settings is not done again.

    Args:
        study: what is asked.
        runs: where runs live; by default RLHUB_RUNS, else ./runs.
        name: the study's folder there.
        report_only: only write the report again, from measurements that are there.
        to: where a report alone goes; by default into the study's folder.
        pictures: whether the Markdown gets its figures as images; by default where kaleido and a browser are there.

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
    plan = SIZES[study.size]
    task = load_task(f"facts:{study.relation}")
    base = Subject("base", settings["model"])
    names = [(arm, seed) for seed in range(settings["seeds"]) for arm in arms(study.signals, control=study.control)]
    checkpoints = sum(len(keep(arm, plan)) for arm, _ in names)
    if not (folder / "study.json").is_file():
        # What can't be loaded or held is said before a folder is made; while a run is trained, two checkpoints hold its optimiser, too.
        check_room(folder, 4 * base.model.num_parameters() * (checkpoints + 2 * 2), f"the study {folder.name}")
    store = Store.open(folder, "recall", settings)
    measuring = Measuring(store, base, study.relation, task, plan)
    units = checkpoints + (TRAINING + MATCHED * CIRCUIT + INSIDE) * len(names) + CIRCUIT + INSIDE + 1
    with progress(f"study {folder.name}", units) as task_progress:
        trained = train_arms(measuring, names, task_progress)
        measure(measuring, trained, task_progress)
        task_progress.activity = "writing the report"
        write_report(folder, pictures=pictures)
    return folder


def train_arms(measuring: Measuring, names: list[tuple[str, int]], task: Progress) -> dict[str, Run]:
    """Every run of every arm, trained to its end, by name."""
    store, plan = measuring.store, measuring.size
    file = store.folder / "preferences.jsonl"
    task.activity = "asking the base"
    if not file.is_file():
        with writing("the preferences", store.folder):
            file.write_text("".join(json.dumps(row) + "\n" for row in measuring.preferences))
    trained = {}
    task.inside = TRAINING
    for arm, seed in names:
        task.activity = f"training {arm}, seed {seed}"
        asked = system(arm, plan, model=measuring.base.source, task=f"facts:{measuring.relation}", preferences=str(file))
        name = f"{arm}-seed{seed}"
        begun = store.folder / name
        if is_run(begun):
            # A run that was begun goes on with the settings it has, whatever a system's defaults are by now.
            run = Run.open(begun)
            if run.status == "finished":
                trained[name] = run
                task.skip(TRAINING)
                continue
            trained[name] = execute(run)
        else:
            trained[name] = train(asked, seed=seed, runs=store.folder, name=name, checkpoint_every=10**6, keep=keep(arm, plan))
        task.advance(TRAINING)
    task.inside = 1
    return trained


def measure(measuring: Measuring, trained: dict[str, Run], task: Progress) -> None:
    """All measurements: behaviour of every checkpoint, circuits of the matched and last ones, the rest of the last ones."""
    store = measuring.store

    def steps_on(units: int, what: str) -> None:
        task.advance(units)
        task.activity = what

    task.activity = "measuring the base"
    behaviour = {"base": measuring.behaviour(measuring.base)}
    measuring.circuit(measuring.base)
    steps_on(CIRCUIT, "looking inside the base")
    measuring.inside(measuring.base)
    steps_on(INSIDE, "measuring behaviour")
    for subject in subjects(measuring, trained):
        behaviour[subject.name] = measuring.behaviour(subject)
        steps_on(1, f"behaviour of {subject.name}")
    matched = store.measured("study", "matched", lambda: matches(behaviour))
    store.measured("study", "graph", lambda: {"shape": dataclasses.asdict(measuring.graph), "edges": measuring.graph.edge_count})
    store.measured("study", "reference", lambda: measuring.reference_size)
    last = last_checkpoints(behaviour)
    wanted = {f"{found['run']}@{found['step']}" for table in matched.values() for found in table.values()} | set(last.values())
    task.total = (task.total or 0) + CIRCUIT * (len(wanted) - MATCHED * len(trained))
    for subject in subjects(measuring, trained):
        if subject.name not in wanted:
            continue
        task.activity = f"circuits of {subject.name}"
        measuring.circuit(subject)
        measuring.weights(subject)
        task.advance(CIRCUIT)
        if subject.name in last.values():
            task.activity = f"looking inside {subject.name}"
            measuring.inside(subject)
            task.advance(INSIDE)
    task.activity = "comparing seeds"
    compare_runs(
        measuring, {run: Subject(subject, trained[run].folder / "checkpoints" / subject.partition("@")[2]) for run, subject in last.items()}
    )
    task.advance(1)


def subjects(measuring: Measuring, trained: dict[str, Run]) -> Iterator[Subject]:
    """Every kept checkpoint of every run, one at a time."""
    for name, run in trained.items():
        for step in keep(name.partition("-seed")[0], measuring.size):
            yield Subject(f"{name}@{step}", run.folder / "checkpoints" / str(step))


def last_checkpoints(behaviour: dict[str, Any]) -> dict[str, str]:
    """Each run's last checkpoint's name."""
    last: dict[str, str] = {}
    for name in behaviour:
        run, _, step = name.partition("@")
        if step and int(step) >= int(last.get(run, "@0").partition("@")[2]):
            last[run] = name
    return last


def matches(behaviour: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The checkpoints at which runs are compared: nearest in accuracy on trained facts, and nearest in forward KL to the base."""
    runs = [run for run in last_checkpoints(behaviour) if not run.startswith(CONTROL)]
    found = {}
    for number in ("train", "forward_kl"):
        curves = accuracies(behaviour, runs, number)
        found[number] = {run: dataclasses.asdict(one) for run, one in match(curves, common_target(curves, runs)).items()}
    return found


def arm_of(run: str) -> str:
    """The arm that a run belongs to."""
    return run.rpartition("-seed")[0]


def compare_runs(measuring: Measuring, last: dict[str, Subject]) -> None:
    """Seeds of one arm against each other, and GRPO against the control: which parameters both moved, how alike their circuits are."""
    from rlhub.studies.circuits import overlap_at

    names = list(last)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            pair = f"{one}~{other}"
            if arm_of(one) != arm_of(other) and {arm_of(one), arm_of(other)} != {"grpo", CONTROL}:
                continue
            measuring.store.measured(
                "pairs",
                pair,
                lambda one=one, other=other: {  # type: ignore[misc]
                    "moved": overlap(measuring.base.model, last[one].model, last[other].model),
                    "circuits": overlap_at(measuring.scores(last[one]).mean(0), measuring.scores(last[other]).mean(0), measuring.graph),
                },
            )


__all__ = ["Match", "Recall", "Size", "run_study"]
