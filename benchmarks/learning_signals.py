"""Does every signal teach a language model? Right answers to held-out questions before and after, and what a guided search finds.

    python benchmarks/learning_signals.py                        # all tasks that have no JSON yet; goes on after a kill
    python benchmarks/learning_signals.py chain_sum --workers 4  # one task; several processes at once pay on a GPU
    python benchmarks/signals_report.py                          # the page and its figures, from the JSON

Every arm of `rlhub study signals` but Constitutional AI, which never sees the task, begins from one base: SmolLM2-135M-Instruct after a
short imitation of worked answers. What a judge of steps finds among many answers of the base stands beside, by the tokens that it takes. On
a GPU (`--size full`) each step learns from twice as many answers, and there are more steps.
"""

import argparse
import dataclasses
import json
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from harness import RESULTS, machine

from rlhub.core.files import read_json
from rlhub.core.progress import progress, use_plain_lines
from rlhub.language.grpo import GRPO
from rlhub.language.rollout import generate
from rlhub.language.scorer import StepScorer, load_scorer
from rlhub.studies.arms import Size, SizeName
from rlhub.studies.gathering import run_of
from rlhub.studies.measuring import Measuring, Subject
from rlhub.studies.question import Asked
from rlhub.studies.searching import searched
from rlhub.studies.signals import JUDGE, SIGNALS, TASKS, Signals
from rlhub.studies.signals_sizes import SIZES, few_steps, with_room
from rlhub.studies.store import Store
from rlhub.studies.study import train_arm, write_preferences
from rlhub.studies.task_question import TaskQuestion
from rlhub.studies.warming import WARM_UP
from rlhub.studies.workers import Workers

OUTPUT = RESULTS / "signals"
RUNS = Path(__file__).parent / "runs" / "signals"
ARMS = ("sft", "dpo", "ppo", "rloo", "grpo", "r1")
LONGER, FORMED = "longer", "formed"
"""Two more arms: GRPO with several times as many steps, and the same rewarded for the form, too."""
SEARCHED, ANSWERS, SHOWN = 100, 16, 3


@dataclass(frozen=True, kw_only=True)
class Much:
    """How much is done for a task on two cores.

    Attributes:
        steps: of what samples.
        prompts: in each of them, with 8 answers each.
        heldout: questions that are asked.
        signals: the arms; GRPO with a judge of steps takes half as long again as GRPO, and one task shows what it does.
        longer: steps of GRPO for longer, where that is an arm, and of the same rewarded for the form.
    """

    steps: int = 12
    prompts: int = 8
    heldout: int = 200
    signals: tuple[str, ...] = ARMS
    longer: int = 48


MUCH = {
    "chain_sum": Much(signals=(*ARMS[:-1], "process", ARMS[-1], LONGER, FORMED)),
    "spell_backward": Much(),
    # Four times the tokens of the others.
    "number_sorting": Much(steps=8, prompts=4, heldout=100),
}


@dataclass(frozen=True, kw_only=True)
class Learning(Signals):
    """The study's arms, of which only answers are asked; there is a judge of steps whatever the arms."""

    signals: tuple[str, ...] = ARMS
    control: bool = False

    known: ClassVar[tuple[str, ...]] = (*SIGNALS, LONGER, FORMED)

    @property
    def plan(self) -> Size:
        """How much is trained: on a GPU more."""
        much = MUCH[self.settings["task"]]
        steps, prompts = (20, 16) if self.size == "full" else (much.steps, much.prompts)
        arms = few_steps(steps=steps, prompts=prompts)
        arms |= {arm: arms["grpo"] | {"steps": much.longer} for arm in (LONGER, FORMED) if arm in self.signals}
        return with_room(dataclasses.replace(SIZES["small"], arms=arms), self.room)

    def system(self, arm: str, measuring: Measuring) -> Any:
        """The system that trains an arm."""
        if arm == FORMED:
            # Who is paid for right answers alone unlearns to end them.
            return GRPO(model=str(measuring.base.source), task=self.spec, reward="right+0.2*format", **self.plan.arms[arm])
        return super().system(arm, measuring)

    @property
    def judged(self) -> bool:
        """Search needs it."""
        return True

    @property
    def question(self) -> TaskQuestion:
        """What is asked: on two cores as much as on a GPU, and nothing about conduct."""
        asked = MUCH[self.settings["task"]].heldout
        return TaskQuestion(self.spec, asked=asked, untouched=self.plan.untouched, new_tokens=self.plan.new_tokens)

    def answered(self, measuring: Measuring, subject: Subject) -> dict[str, Any]:
        """Right answers to held-out questions, the likeliest and those that are drawn, and to questions of another kind."""
        splits = measuring.question.splits
        told = {split: measuring.right(subject, splits[split]) for split in ("heldout", "untouched")}
        return told | {"drawn": measuring.right(subject, splits["heldout"], drawn=True)}

    def searched(self, measuring: Measuring) -> dict[str, Any]:
        """What the base reaches with more tokens and the judge of steps, without beams."""
        heldout = measuring.question.splits["heldout"]
        judge = load_scorer(str(measuring.store.folder / JUDGE), kind=StepScorer, fresh=False)
        asked = heldout.examples[:SEARCHED]
        return searched(measuring.base.policy, judge, heldout.task, asked, answers=ANSWERS, width=0, max_new_tokens=heldout.new_tokens)


def said(subject: Subject, asked: Asked) -> list[dict[str, str]]:
    """The likeliest answers to the first questions, as they are."""
    examples = asked.examples[:SHOWN]
    texts = generate(subject.policy, examples, max_new_tokens=asked.new_tokens, temperature=0.0).texts
    return [
        {"asked": example.columns["entry"]["question"], "right": example.columns["solution"], "says": answers[0]}
        for example, answers in zip(examples, texts, strict=True)
    ]


def taught(study: Learning, measuring: Measuring, arm: str, seed: int) -> None:
    """Train one run and ask it; a run that fails leaves its reason, and the others go on."""
    name = f"{arm}-seed{seed}"
    failed = measuring.store.folder / f"{name}.failed"
    try:
        train_arm(study, measuring, arm, seed)
        folder = measuring.store.folder / name / "checkpoints" / str(study.last_step(arm))
        reached, heldout = Subject(name, folder), measuring.question.splits["heldout"]
        measuring.store.measured(f"{name}@last", "answers", lambda: study.answered(measuring, reached))
        measuring.store.measured(f"{name}@last", "said", lambda: said(reached, heldout))
        failed.unlink(missing_ok=True)
    except Exception:
        failed.write_text(traceback.format_exc())


def measured(study: Learning, workers: int) -> dict[str, Any]:
    """All arms and seeds of one task."""
    task = study.settings["task"]
    folder = RUNS / f"{task}-{study.size}"
    store = Store.open(folder, study.kind, study.settings)
    start = Subject(study.start, study.settings["model"])
    runs = [(arm, seed) for seed in range(study.settings["seeds"]) for arm in study.arms]
    with progress(f"{task}, {study.size}", len(runs)) as told:
        measuring = study.begin(store, start, told)
        told.activity = "asking the base, and for wrong answers"
        store.measured("base", "answers", lambda: study.answered(measuring, measuring.base))
        store.measured("base", "said", lambda: said(measuring.base, measuring.question.splits["heldout"]))
        write_preferences(measuring)
        for arm, seed in Workers(study, measuring, workers).each(taught, runs):
            told.advance()
            told.activity = f"{arm}, seed {seed} is done"
    return gathered(study, store)


def gathered(study: Learning, store: Store) -> dict[str, Any]:
    """What the folder of a task holds, as JSON."""
    place = store.folder / "measurements"
    warmed = read_json(place / "study" / "warmed.json")
    answers = {name: read_json(place / name / "answers.json") for name in ("start", "base")}
    found = []
    for folder in sorted(place.glob("*@last")):
        arm, _, seed = folder.name.partition("@")[0].rpartition("-seed")
        told = run_of(store.folder / f"{arm}-seed{seed}") | {"said": read_json(folder / "said.json")}
        found.append({"arm": arm, "seed": int(seed), "answers": shares(read_json(folder / "answers.json")), **told})
    failed = {path.stem: path.read_text().strip().splitlines()[-1] for path in sorted(store.folder.glob("*.failed"))}
    return {
        "asked": study.settings,
        "plan": dict(study.plan.arms),
        "prompt": TASKS.get(study.settings["task"], study.settings["task"]),
        **{name: shares(value) for name, value in answers.items()},
        "said": read_json(place / "base" / "said.json"),
        "runs": found,
        "failed": failed,
        "search": read_json(place / "study" / "search.json"),
        "warmed": warmed,
        "before": {JUDGE: run_of(store.folder / JUDGE), WARM_UP: run_of(store.folder / warmed["runs"][-1])},
        **machine(),
    }


def shares(answers: dict[str, Any]) -> dict[str, Any]:
    """Right answers, with each single outcome as a digit."""
    return {split: told | {"each": "".join(map(str, told["each"]))} for split, told in answers.items()}


def complete(result: dict[str, Any], study: Learning) -> bool:
    """Whether a task's JSON holds every run that is asked for, trained as it is asked for; what failed is tried again."""
    runs, asked, plan = study.settings["seeds"] * len(study.arms), study.settings, dict(study.plan.arms)
    return (result["asked"], result["plan"]) == tuple(json.loads(json.dumps([asked, plan]))) and len(result["runs"]) == runs


def sentence(result: dict[str, Any]) -> str:
    """A line for whoever waits."""
    by_arm: dict[str, list[float]] = {}
    for run in result["runs"]:
        by_arm.setdefault(run["arm"], []).append(run["answers"]["heldout"]["value"])
    told = ", ".join(f"{arm} {' '.join(f'{100 * value:.0f}%' for value in values)}" for arm, values in by_arm.items())
    return f"{result['asked']['task']}: base {100 * result['base']['heldout']['value']:.0f}%, {told}"


if __name__ == "__main__":
    use_plain_lines(True)
    words = argparse.ArgumentParser()
    words.add_argument("tasks", nargs="*", default=list(MUCH), choices=list(MUCH))
    words.add_argument("--workers", type=int, default=1)
    words.add_argument("--size", choices=["small", "full"], default="full" if torch.cuda.is_available() else "small")
    words.add_argument("--model", default="smollm2")
    words.add_argument("--seeds", type=int, default=3)
    words.add_argument("--gather", action="store_true", help="only write what there is by now")
    asked = words.parse_args()
    for task in asked.tasks:
        size: SizeName = asked.size
        study = Learning(signals=MUCH[task].signals, task=task, size=size, model=asked.model, seeds=asked.seeds)
        path = OUTPUT / f"{task}-{size}.json"
        if not asked.gather and path.exists() and complete(read_json(path), study):
            continue
        if asked.gather:
            store = Store(RUNS / f"{task}-{size}")
            result = gathered(study, store)
        else:
            result = measured(study, asked.workers)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(sentence(result), flush=True)
