"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306, Eq. 8).

Learns from single answers that are marked desirable or undesirable. Each is weighed against a reference point, the policy's divergence from
the starting model, estimated on answers that belong to other prompts; it is a constant in the loss, and one for the whole step.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.logprobs import Scored
from rlhub.language.model import Policy, encode
from rlhub.language.optimisation import FineTuning, pace
from rlhub.language.preference_losses import kto_loss, log_ratios
from rlhub.language.rows import Group
from rlhub.language.sft import response
from rlhub.language.task import Example, Task, load_task
from rlhub.language.update import Terms, load_reference, reference_logprobs, score_all


@dataclass(frozen=True, kw_only=True)
class KTO(FineTuning):
    """Kahneman-Tversky optimisation on answers that are marked good or bad.

    A row is one answer: columns `completion` (text, or messages of which the last is the answer) and `label` (true where it is desirable).
    A task of pairs gives each pair's answers in turns.

    Attributes:
        batch: answers in one step, at least 2.
        beta: strength of the pull to the reference.
        desirable_weight: weight of desirable answers' losses; where they are few, more.
        undesirable_weight: weight of the others'.
    """

    batch: int = 32
    beta: float = 0.1
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={2: "batch", 0: "desirable_weight undesirable_weight"}, above={0: "beta"})

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = load_task(self.task, seed=run.seed)
        policy = self.policy()
        reference = load_reference(policy, self.model)

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            groups, desirable = judged(policy, task, task.sample(self.batch, step=step, seed=run.seed), step=step)
            point = self.reference_point(policy, reference, groups)
            columns = {
                "reference": reference_logprobs(policy, reference, groups, micro_tokens=self.micro_tokens),
                "desirable": desirable,
                "point": point.expand(len(groups)),
            }
            metrics = self.change(policy, groups, self.objective, step=step, normaliser=float(len(groups)), columns=columns)
            counts = {"desirable": float(desirable.sum()), "undesirable": float((~desirable).sum())}
            means = {f"{name}_reward": metrics.pop(f"{name}_reward") / max(count, 1.0) for name, count in counts.items()}
            tokens = sum(len(group.completions[0]) for group in groups)
            run.log(step, **metrics, **means, kl=point, **pace(tokens, started))

    def reference_point(self, policy: Policy, reference: PreTrainedModel | None, groups: list[Group]) -> Float[Tensor, ""]:
        """z0 = max(0, mean r(y')) over answers y' to the prompt before in the step (Sec. 4.1)."""
        before = [groups[-1], *groups[:-1]]
        crossed = [Group(prompt=group.prompt, completions=other.completions) for group, other in zip(groups, before, strict=True)]
        scored = score_all(policy, crossed, micro_tokens=self.micro_tokens)
        compared = reference_logprobs(policy, reference, crossed, micro_tokens=self.micro_tokens)
        return log_ratios(scored.logprobs, compared, scored.mask, mean=False).mean().clamp(min=0)

    def objective(
        self,
        scored: Scored,
        *,
        reference: Float[Tensor, "completions tokens"],
        desirable: Bool[Tensor, " completions"],
        point: Float[Tensor, " completions"],
    ) -> Terms:
        """The losses of a micro-batch's answers.

        Args:
            scored: the answers under the policy.
            reference: log-probs of their tokens under the starting model.
            desirable: which are to be given more often.
            point: the step's reference point, for each.
        """
        ratios = log_ratios(scored.logprobs, reference, scored.mask, mean=False)
        weights = {"desirable_weight": self.desirable_weight, "undesirable_weight": self.undesirable_weight}
        losses = kto_loss(ratios, desirable, point[0], beta=self.beta, **weights)
        rewards = self.beta * ratios.detach()
        sums = {"desirable_reward": (rewards * desirable).sum(), "undesirable_reward": (rewards * ~desirable).sum()}
        return Terms(loss=losses.sum(), sums=sums)


def judged(policy: Policy, task: Task, examples: Sequence[Example], *, step: int) -> tuple[list[Group], Bool[Tensor, " answers"]]:
    """Each example's prompt with one answer, and whether that is desirable.

    Raises:
        UserError: a row has a completion without a label, or the other way round.
    """
    answers: list[str] = []
    labels: list[bool] = []
    for place, example in enumerate(examples):
        completion, label = example.columns.get("completion"), example.columns.get("label")
        if completion is None and label is None:
            chosen, rejected = task.preference([example], step=step)
            answers.append((chosen if place % 2 == 0 else rejected)[0])
            labels.append(place % 2 == 0)
        elif isinstance(completion, str) and isinstance(label, bool):
            answers.append(completion)
            labels.append(label)
        else:
            raise UserError(
                f"the task {task.name} has a row whose completion is {completion!r:.60} and whose label is {label!r}; "
                "an answer that is marked has text or messages for its completion and true or false for its label"
            )
    groups = [
        Group(prompt=encode(policy.tokenizer, example.prompt), completions=[response(policy, answer, to=example.prompt)])
        for example, answer in zip(examples, answers, strict=True)
    ]
    return groups, torch.tensor(labels)
