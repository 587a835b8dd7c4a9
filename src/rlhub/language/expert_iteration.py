"""Expert iteration (Anthony et al. 2017, arXiv:1705.08439; Zelikman et al. 2022, STaR, arXiv:2203.14465): imitate one's own best answers.

In each round the policy answers many prompts several times, the answers whose reward is high enough are kept, each once, and imitated for a
number of steps. One round is rejection sampling with fine-tuning. (DeepSeek-R1's third stage, arXiv:2501.12948, Sec. 2.3.3, fine-tunes the
base anew instead, and on other answers beside: that is `r1.py`.)
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.progress import progress
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.judged import describe, rewards_of
from rlhub.language.model import Policy
from rlhub.language.optimisation import pace
from rlhub.language.rollout import Rollout, generate
from rlhub.language.rows import Group
from rlhub.language.sampling import Sampling
from rlhub.language.sft import imitation
from rlhub.language.task import Task


@dataclass(frozen=True, kw_only=True)
class ExpertIteration(Sampling):
    """Rounds of sampling, keeping what is good, and imitating it.

    Attributes:
        rounds: how many.
        steps: optimisation steps in each round.
        prompts: prompts in each round.
        group: answers per prompt.
        at_once: prompts that are answered at once, which bounds the memory that a round's answers take.
        least: reward from which on an answer is kept.
        batch: prompts in one step, each with all its answers that were kept.
    """

    rounds: int = 4
    steps: int = 100
    prompts: int = 512
    group: int = 8
    at_once: int = 512
    least: float = 1.0
    batch: int = 64

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "rounds batch at_once"})
        if self.epochs != 1 or self.minibatches != 1:
            raise UserError("expert iteration goes through its answers in --steps steps of --batch; leave epochs and minibatches at 1")

    @property
    def all_steps(self) -> int:
        """Optimisation steps of all rounds."""
        return self.rounds * self.steps

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = self.rewarded_task(run)
        policy = self.policy()
        kept = Kept()

        for step in run.resume(self.all_steps, policy=policy, kept=kept):
            started = time.perf_counter()
            turn, within = divmod(step - 1, self.steps)
            told: dict[str, float | Tensor] = {}
            if within == 0:
                rollout, rewards, measures = self.sample(policy, task, run, turn + 1)
                kept.take(rollout, rewards, least=self.least)
                told = {**measures, **describe(rollout, rewards), "kept": kept.answers, "kept_length": kept.length}
                if not kept.groups:
                    raise UserError(
                        f"none of {rewards.numel()} answers of round {turn + 1} has a reward of {self.least:g}, so there is nothing to do: "
                        "lower --least, sample more (--prompts, --group), or begin from a model that knows more of the task"
                    )
            groups = kept.batch(self.batch, step=within + 1, generator=run.generator("order", turn))
            tokens = sum(len(answer) for group in groups for answer in group.completions)
            # The rate falls within each round, as the answers that are imitated change with it.
            metrics = self.change(policy, groups, imitation, step=within + 1, normaliser=float(max(tokens, 1)))
            metrics["entropy"] /= max(tokens, 1)
            run.log(step, **metrics, **told, round=turn + 1, **pace(tokens, started))

    def sample(self, policy: Policy, task: Task, run: Run, step: int) -> tuple[Rollout, Float[Tensor, "prompts group"], dict[str, float]]:
        """A round's answers, so many prompts at once, their rewards, and the means of what the task measures of them."""
        examples, draws = task.sample(self.prompts, step=step, seed=run.seed), run.generator("rollout", step)
        parts = []
        with progress(f"answers of round {step}", len(examples)) as told:
            for first in range(0, len(examples), self.at_once):
                asked = examples[first : first + self.at_once]
                parts.append(generate(policy, asked, generator=draws, **self.drawn))
                told.advance(len(asked))
        rollout = Rollout.join(parts)
        return rollout, *rewards_of(task, rollout, step=step, seed=run.seed)


class Kept:
    """The answers that a round imitates; part of the checkpoint, as the policy that gave them is gone.

    Attributes:
        groups: prompts with the answers that are kept of each; what has none is left out.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.groups: list[Group] = []

    def take(self, rollout: Rollout, rewards: Float[Tensor, "prompts group"], *, least: float) -> None:
        """Keep a roll-out's answers of high reward that ended by themselves, each once, in place of those before."""
        good = (rewards >= least) & rollout.ended
        self.groups = []
        for group, chosen in zip(rollout.groups, good.tolist(), strict=True):
            answers = dict.fromkeys(tuple(answer) for answer, keep in zip(group.completions, chosen, strict=True) if keep)
            if answers:
                # A question may be many times as long as an answer, and is computed once for all of its own.
                self.groups.append(Group(prompt=group.prompt, completions=list(map(list, answers))))

    def batch(self, count: int, *, step: int, generator: torch.Generator) -> list[Group]:
        """The prompts of one step of a round with their answers: epoch after epoch, each in another order."""
        order: list[int] = []
        first = (step - 1) * count
        while len(order) < first + count:
            order += torch.randperm(len(self.groups), generator=generator).tolist()
        return [self.groups[index] for index in order[first : first + count]]

    @property
    def answers(self) -> int:
        """How many."""
        return sum(len(group.completions) for group in self.groups)

    @property
    def length(self) -> float:
        """Mean tokens of an answer."""
        return sum(len(answer) for group in self.groups for answer in group.completions) / max(self.answers, 1)

    def state_dict(self) -> dict[str, Any]:
        """The prompts' and the answers' tokens."""
        return {"prompts": [group.prompt for group in self.groups], "answers": [group.completions for group in self.groups]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.groups = [
            Group(prompt=prompt, completions=answers) for prompt, answers in zip(state["prompts"], state["answers"], strict=True)
        ]
