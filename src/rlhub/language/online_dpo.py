"""Online DPO (Guo et al. 2024, arXiv:2402.04792, Algorithm 1): preferences between answers that the policy gives now.

Each prompt gets several answers; the one with the highest reward is preferred to the one with the lowest, and DPO's loss is taken on that
pair. A prompt whose answers are tied teaches nothing.
"""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.advantages import tied
from rlhub.language.dpo import DPO
from rlhub.language.judged import describe
from rlhub.language.optimisation import pace
from rlhub.language.pairs import check_smoothing, per_pair
from rlhub.language.rollout import Rollout
from rlhub.language.rows import Group
from rlhub.language.sampling import Sampling
from rlhub.language.task import Task
from rlhub.language.update import load_reference, reference_logprobs


@dataclass(frozen=True, kw_only=True)
class OnlineDPO(Sampling):
    """DPO on the best and the worst of the answers that the policy gives to a prompt.

    Attributes:
        prompts: prompts in one step.
        group: answers per prompt, at least 2.
        beta: strength of the pull to the reference.
        label_smoothing: probability that a preference is the wrong way round.
    """

    prompts: int = 16
    group: int = 2
    beta: float = 0.1
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={2: "group"}, above={0: "beta"})
        check_smoothing(self.label_smoothing)
        if self.epochs != 1 or self.minibatches != 1:
            raise UserError("online DPO goes through its answers once, in one update; leave epochs and minibatches at 1")

    def train(self, run: Run) -> None:
        """Train in a run."""
        task: Task = self.rewarded_task(run)
        policy = self.policy()
        reference = load_reference(policy, self.model)
        objective = DPO(beta=self.beta, label_smoothing=self.label_smoothing).objective

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            rollout, scores, measures = self.sample(policy, task, run, step)
            groups = best_and_worst(rollout, scores)
            columns = {"reference": reference_logprobs(policy, reference, groups, **self.scoring)} if groups else {}
            metrics = self.change(
                policy,
                groups,
                objective,
                step=step,
                normaliser=float(max(len(groups), 1)),
                columns=columns,
                temperature=self.temperature,
            )
            means = per_pair(metrics, groups) if groups else metrics
            run.log(step, **means, **measures, **describe(rollout, scores), pairs=len(groups), **pace(int(rollout.mask.sum()), started))


def best_and_worst(rollout: Rollout, scores: Float[Tensor, "prompts group"]) -> list[Group]:
    """Each prompt with its best and its worst answer, where their rewards differ; answers without reward or tokens don't count."""
    counted: Bool[Tensor, "prompts group"] = scores.isfinite() & (rollout.lengths > 0)
    best: Int[Tensor, " prompts"] = torch.where(counted, scores, -torch.inf).argmax(-1)
    worst: Int[Tensor, " prompts"] = torch.where(counted, scores, torch.inf).argmin(-1)
    return [
        Group(prompt=group.prompt, completions=[group.completions[one], group.completions[other]])
        for group, one, other, same in zip(rollout.groups, best.tolist(), worst.tolist(), tied(scores, counted).tolist(), strict=True)
        if not same
    ]
