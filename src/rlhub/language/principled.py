"""What the two stages of Constitutional AI that ask a judge have in common: principles, prompts, who answers and who judges."""

from dataclasses import dataclass
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.constitution import Constitution, load_constitution
from rlhub.language.judge import Judge, load_judge
from rlhub.language.model import Policy, load_policy
from rlhub.language.task import Task, load_task

ANSWERS = "judge.jsonl"


@dataclass(frozen=True, kw_only=True)
class Principled:
    """What making revisions and making preferences ask alike.

    Attributes:
        model: who answers: alias, hub id, folder or run.
        constitution: a TOML file of principles; by default the one that comes with rlhub.
        prompts: a task whose prompts are answered; by default the constitution's own.
        judge: who judges by the principles: by default the model; another one, or `http://HOST/v1#MODEL`.
        steps: batches of prompts.
        batch: prompts in one step.
        max_new_tokens: longest text, in tokens.
    """

    model: str = "smollm2"
    constitution: str = ""
    prompts: str = ""
    judge: str = ""
    steps: int = 8
    batch: int = 16
    max_new_tokens: int = 96

    def __post_init__(self) -> None:
        """Refuse what can't be made with."""
        check_fields(self, at_least={1: "steps batch max_new_tokens"})

    def begin(self, run: Run) -> tuple[Constitution, Task, Policy, Judge]:
        """The principles, the prompts, who answers and who judges."""
        principles = load_constitution(self.constitution)
        task = prompts_of(self.prompts, principles, run.seed)
        policy = load_policy(self.model, learning_rate=0.0)
        return principles, task, policy, load_judge(self.judge, record=run.folder / ANSWERS, policy=lambda: policy)


def prompts_of(prompts: str, principles: Constitution, seed: int) -> Task:
    """The task whose prompts are answered: the one that is named, or the constitution's own."""
    task = load_task(prompts, seed=seed) if prompts else principles.task(seed)
    if not task.splits["train"]:
        raise UserError("the constitution has no prompts of its own: give a task of prompts (--prompts)")
    return task


def messages_of(prompt: str | list[dict[str, str]]) -> list[dict[str, str]]:
    """A prompt as messages."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def mean(values: list[Any]) -> float:
    """Of numbers or truths."""
    return sum(map(float, values)) / max(len(values), 1)
