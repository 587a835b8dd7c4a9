"""What does each training signal do to the circuits that recall facts?

One base; an arm for each signal (SFT, DPO, GRPO) and one for GRPO with a random reward, the control; several seeds of each. Checkpoints
along the way, so that arms are compared where they recall equally many facts and where they have moved equally far from the base, not only
at the end. Each comparison comes with its null: seed against seed, the base against itself on resampled prompts, the random reward.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rlhub.core.progress import Progress
from rlhub.language.dpo import DPO
from rlhub.language.grpo import GRPO
from rlhub.language.sft import SFT
from rlhub.studies.arms import Size
from rlhub.studies.facts_question import FactsQuestion
from rlhub.studies.measuring import Measuring, Subject
from rlhub.studies.names import CONTROL
from rlhub.studies.store import Store
from rlhub.studies.study import Study

SIZES: dict[str, Size] = {
    "tiny": Size(
        model="tiny",
        seeds=1,
        arms={
            "sft": {"steps": 12, "batch": 32, "learning_rate": 3e-4},
            "dpo": {"steps": 12, "batch": 32, "learning_rate": 3e-4},
            "grpo": {"steps": 12, "prompts": 32, "group": 8, "max_new_tokens": 3, "learning_rate": 3e-4},
        },
        keep={"sft": (2, 6), "dpo": (2, 6), "grpo": (2, 6), "random": (6,)},
        new_tokens=4,
        untouched=60,
        pairs=24,
        patched=12,
        corruptions=("noise", "replacement"),
        restored=("mlp", "attention"),
        draws=3,
    ),
    "small": Size(
        model="smollm2",
        seeds=1,
        arms={
            "sft": {"steps": 14, "batch": 32, "learning_rate": 1e-5},
            "dpo": {"steps": 10, "batch": 16, "learning_rate": 1e-5},
            "grpo": {"steps": 8, "prompts": 32, "group": 8, "max_new_tokens": 6, "learning_rate": 1e-5, "warmup": 2},
        },
        keep={"sft": (10,), "dpo": (), "grpo": (), "random": ()},
        new_tokens=6,
        untouched=60,
        pairs=24,
        patched=6,
        corruptions=("replacement",),
        restored=("mlp",),
        draws=1,
    ),
    "full": Size(
        model="smollm2",
        seeds=3,
        arms={
            "sft": {"steps": 16, "batch": 32, "learning_rate": 1e-5},
            "dpo": {"steps": 12, "batch": 32, "learning_rate": 1e-5},
            # Many prompts, few and small steps: under AdamW a random reward's noise makes steps as large as a signal's, and they add up.
            "grpo": {"steps": 14, "prompts": 46, "group": 8, "max_new_tokens": 6, "learning_rate": 5e-6, "warmup": 2},
        },
        keep={"sft": (4, 6, 8, 11, 13), "dpo": (4, 8, 10), "grpo": (5, 8, 11), "random": (7,)},
        new_tokens=6,
        untouched=120,
        pairs=32,
        patched=12,
        corruptions=("replacement",),
        restored=("mlp", "attention"),
        draws=1,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Recall(Study):
    """The study of recalling facts.

    Attributes:
        signals: the arms: sft, dpo, grpo.
        relation: the facts that are trained: capitals, currencies, languages or symbols.
    """

    signals: tuple[str, ...] = ("sft", "dpo", "grpo")
    relation: str = "capitals"

    kind: ClassVar[str] = "recall"
    known: ClassVar[tuple[str, ...]] = ("sft", "dpo", "grpo")
    sizes: ClassVar[Mapping[str, Size]] = SIZES

    def begin(self, store: Store, start: Subject, task: Progress) -> Measuring:
        """The model as it is, asked for facts."""
        return Measuring(store, start, self.question, self.plan)

    @property
    def question(self) -> FactsQuestion:
        """The facts that are asked for."""
        return FactsQuestion(self.relation, untouched=self.plan.untouched, new_tokens=self.plan.new_tokens)

    def system(self, arm: str, measuring: Measuring) -> SFT | DPO | GRPO:
        """The system that trains an arm."""
        model, task = measuring.base.source, measuring.question.task.name
        match arm:
            case "sft":
                return SFT(model=model, task=task, **self.plan.arms["sft"])
            case "dpo":
                return DPO(model=model, task=str(measuring.preferences_file), **self.plan.arms["dpo"])
        return GRPO(model=model, task=task, reward="random" if arm == CONTROL else "task", **self.plan.arms["grpo"])

    def last_step(self, arm: str) -> int:
        """The step at which an arm ends."""
        return int(self.plan.arms["grpo" if arm == CONTROL else arm]["steps"])

    def check(self) -> None:
        """Refuse a relation that there is not."""
        _ = self.question
