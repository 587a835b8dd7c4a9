"""What does each training signal of the roadmap do to one model, inside and out?

One base: the model after a short imitation of worked answers to a task. Then an arm for each signal, all of them from that base: imitation,
preferences, PPO, RLOO, GRPO, process rewards, R1's stages, Constitutional AI (which never sees the task), and GRPO on a coin. Behaviour
(right answers, facts that were known before, refusals, honesty), distance from the base, circuits with their nulls, and what each cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rlhub.core.errors import UserError
from rlhub.core.progress import Progress
from rlhub.core.system import check_fields
from rlhub.core.training import train
from rlhub.language.constitution import load_constitution
from rlhub.language.constitutional import Constitutional
from rlhub.language.dpo import DPO
from rlhub.language.grpo import GRPO
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.process_reward import ProcessReward
from rlhub.language.r1 import R1
from rlhub.language.rloo import RLOO
from rlhub.language.rule_rewards import has_form
from rlhub.language.scorer import StepScorer, load_scorer
from rlhub.language.sft import SFT
from rlhub.studies.arms import Size
from rlhub.studies.measuring import Measuring, Subject
from rlhub.studies.names import CONTROL
from rlhub.studies.searching import searched
from rlhub.studies.signals_sizes import ASKED, ROOM, SEARCHED, SIZES, TASK, with_room
from rlhub.studies.store import Store
from rlhub.studies.study import TRAINING, Study
from rlhub.studies.task_question import TaskQuestion
from rlhub.studies.warming import WARM_UP, warmed

TASKS = {
    "one_digit_sum": "reasoning-gym:chain_sum?think=true&min_terms=2&max_terms=2&min_digits=1&max_digits=1",
    "chain_sum": "reasoning-gym:chain_sum?think=true&min_terms=2&max_terms=2&min_digits=1&max_digits=2",
    "spell_backward": "reasoning-gym:spell_backward?think=true&min_word_len=3&max_word_len=5",
    "number_sorting": "reasoning-gym:number_sorting?think=true&min_numbers=3&max_numbers=4&min_decimals=0&max_decimals=0",
}
"""Tasks by short names: those that a model of 135M parameters can learn in minutes, and one for the tiny model."""
SIGNALS = ("sft", "dpo", "ppo", "rloo", "grpo", "process", "r1", "constitutional")
ANSWERS, WIDTH = 8, 4
"""Answers to one question that are chosen among, and continuations of each beam."""
JUDGE = "process-reward"


@dataclass(frozen=True, kw_only=True)
class Signals(Study):
    """The study of all signals on one model.

    Attributes:
        signals: the arms: sft, dpo, ppo, rloo, grpo, process, r1, constitutional.
        task: chain_sum, spell_backward, number_sorting, one_digit_sum, or any task with answers and a test split (docs/training.md). Where
            answers hold no thought in tags, r1 is rewarded for right ones alone, and an answer is one step to process. By default the
            size's (tiny: one_digit_sum, else chain_sum).
        constitution: a TOML file of principles; by default the one that comes with rlhub.
        max_new_tokens: the task's longest answer, in tokens; by default as many as the task's worked answers need (chain_sum: 40,
            spell_backward: 48, number_sorting: 160), or the size's. Constitutional AI's texts have the size's.
    """

    signals: tuple[str, ...] = SIGNALS
    task: str | None = None
    constitution: str = ""
    max_new_tokens: int | None = None

    kind: ClassVar[str] = "signals"
    start: ClassVar[str] = "start"
    known: ClassVar[tuple[str, ...]] = SIGNALS
    sizes: ClassVar[Mapping[str, Size]] = SIZES

    def __post_init__(self) -> None:
        """Refuse what can't be studied."""
        super().__post_init__()
        check_fields(self, at_least={1: "max_new_tokens"})

    def begin(self, store: Store, start: Subject, task: Progress) -> Measuring:
        """The base, which imitates worked answers for a while, and a judge of steps, where an arm needs one."""
        fields = self.plan.arms
        first = [WARM_UP, *([JUDGE] if self.judged else [])]
        task.total = (task.total or 0) + TRAINING * len(first)
        task.inside = TRAINING
        task.activity = "warming up"
        warm_ups = [{**fields[WARM_UP], **more} for more in ({}, *self.plan.longer)]
        warm = warmed(store, str(start.source), self.spec, warm_ups, new_tokens=self.plan.new_tokens)
        task.advance(TRAINING)
        if JUDGE in first:
            task.activity = "training a judge of steps"
            train(ProcessReward(model=str(warm.folder), task=self.spec, **fields[JUDGE]), runs=store.folder, name=JUDGE)
            task.advance(TRAINING)
        task.inside = 1
        measuring = Measuring(store, Subject("base", warm.folder), self.question, self.plan)
        task.activity = f"measuring {start.name}"
        store.measured(start.name, "answers", lambda: measuring.answers(start))
        if JUDGE in first:
            task.activity = "searching with the judge"
            store.measured("study", "search", lambda: self.searched(measuring))
        return measuring

    def searched(self, measuring: Measuring) -> dict[str, Any]:
        """What the base reaches with more tokens and the judge of steps."""
        heldout = measuring.question.splits["heldout"]
        return searched(
            measuring.base.policy,
            load_scorer(str(measuring.store.folder / JUDGE), kind=StepScorer, fresh=False),
            heldout.task,
            heldout.examples[: SEARCHED[self.size]],
            answers=ANSWERS,
            width=WIDTH,
            max_new_tokens=heldout.new_tokens,
        )

    @property
    def judged(self) -> bool:
        """Whether a judge of steps is trained."""
        return "process" in self.arms

    @property
    def spec(self) -> str:
        """The task's whole name."""
        return TASKS.get(self.settings["task"], self.settings["task"])

    @property
    def name(self) -> str:
        """What its folder is called by default."""
        task = self.settings["task"]
        return f"signals-{task.replace('_', '-')}-{self.size}" if task in TASKS else super().name

    @property
    def settings(self) -> dict[str, Any]:
        """All that was asked, with what the size fills in."""
        return super().settings | {"task": self.task or TASK[self.size], "max_new_tokens": self.room}

    @property
    def room(self) -> int:
        """The longest answer's tokens."""
        return self.max_new_tokens or ROOM.get(self.task or TASK[self.size], self.sizes[self.size].new_tokens)

    @property
    def plan(self) -> Size:
        """How much is done, with room for the task's answers."""
        return with_room(super().plan, self.room)

    @property
    def question(self) -> TaskQuestion:
        """What is asked."""
        principles = load_constitution(self.constitution)
        asked = ASKED[self.size]
        return TaskQuestion(self.spec, asked=asked, untouched=self.plan.untouched, new_tokens=self.plan.new_tokens, constitution=principles)

    def system(self, arm: str, measuring: Measuring) -> Any:
        """The system that trains an arm; rewards are for right answers alone, since a part of the credit misleads small groups."""
        fields: dict[str, Any] = {"model": measuring.base.source, **self.plan.arms["grpo" if arm == CONTROL else arm]}
        match arm:
            case "sft":
                return SFT(task=self.spec, **fields)
            case "dpo":
                return DPO(task=str(measuring.preferences_file), **fields)
            case "ppo":
                return PPORLHF(task=self.spec, reward="right", **fields)
            case "rloo":
                return RLOO(task=self.spec, reward="right", **fields)
            case "process":
                return GRPO(task=self.spec, reward="right", process_reward=str(measuring.store.folder / JUDGE), **fields)
            case "r1":
                worked = measuring.question.task.split("train")[0].answer or ""
                return R1(task=self.spec, reward="" if has_form(worked) else "right", **fields)
            case "constitutional":
                return Constitutional(constitution=self.constitution, **fields)
        return GRPO(task=self.spec, reward="random" if arm == CONTROL else "right", **fields)

    def last_step(self, arm: str) -> int:
        """The step at which an arm ends; of those that go through stages, the last stage's number."""
        match arm:
            case "r1":
                return len(R1(**self.plan.arms["r1"]).stages())
            case "constitutional":
                return Constitutional.stages
        return int(self.plan.arms["grpo" if arm == CONTROL else arm]["steps"])

    def learns_task(self, arm: str) -> bool:
        """Constitutional AI never sees the task."""
        return arm not in (CONTROL, "constitutional")

    def check(self) -> None:
        """Refuse a task or a constitution that can't be asked about."""
        if not self.question.conduct and "constitutional" in self.arms:
            raise UserError("the constitution has no prompts for tests: give each kind at least 4, or leave out the signal constitutional")
