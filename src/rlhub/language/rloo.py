"""REINFORCE leave-one-out (Ahmadian et al. 2024, arXiv:2402.14740; Kool et al. 2019).

An answer is one action. Its reward is its score less what it cost in divergence from the starting model, its baseline the mean reward of
the other answers to its prompt: no value model, and no clip while there is one update a roll-out.
"""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.advantages import leave_one_out
from rlhub.language.judged import describe
from rlhub.language.logprobs import Scored
from rlhub.language.optimisation import pace
from rlhub.language.sampling import Sampling
from rlhub.language.update import Batch, Terms, load_reference


@dataclass(frozen=True, kw_only=True)
class RLOO(Sampling):
    """REINFORCE with the other answers to a prompt as baseline.

    Attributes:
        group: answers per prompt (k), at least 2.
        kl: coefficient of the divergence from the starting model in the reward (beta); 0 does without that model.
        clip: how far from 1 an answer's ratio counts, where there are several updates.
    """

    prompts: int = 8
    group: int = 4
    kl: float = 0.05
    clip: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={2: "group", 0: "kl"}, above={0: "clip"})

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = self.rewarded_task(run)
        policy = self.policy()
        reference = load_reference(policy, self.model) if self.kl else None

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            rollout, scores, measures = self.sample(policy, task, run, step)
            before = self.scored(policy, rollout)
            divergence = torch.zeros(scores.shape)
            if self.kl:
                divergence = self.divergence(policy, reference, rollout, before).sum(1).view_as(scores)
            advantages = leave_one_out(scores - self.kl * divergence, rollout.lengths > 0)
            batch = Batch(groups=rollout.groups, columns={"old": before.logprobs, "advantages": advantages.flatten()})
            for part in self.shares(batch, run, step):
                answers = float(len(part.columns["advantages"]))
                metrics = self.change(
                    policy,
                    part.groups,
                    self.objective,
                    step=step,
                    normaliser=answers,
                    columns=part.columns,
                    temperature=self.temperature,
                )
                metrics |= {"entropy": metrics["entropy"] / max(metrics.pop("tokens"), 1.0), "clipped": metrics["clipped"] / answers}
            run.log(
                step, **metrics, **measures, **describe(rollout, scores), kl=divergence.mean(), **pace(int(rollout.mask.sum()), started)
            )

    def objective(self, scored: Scored, *, old: Float[Tensor, "completions tokens"], advantages: Float[Tensor, " completions"]) -> Terms:
        """- min(rho A, clip(rho, 1 - clip, 1 + clip) A) with rho = pi(y) / pi_old(y), the whole answer's.

        Args:
            scored: the answers under the policy being trained.
            old: log-probs under the policy that sampled.
            advantages: each answer's.
        """
        ratio = ((scored.logprobs - old) * scored.mask).sum(1).exp()
        losses = -torch.minimum(ratio * advantages, ratio.clamp(1 - self.clip, 1 + self.clip) * advantages)
        sums = {
            "tokens": scored.mask.sum(),
            "entropy": (scored.entropy * scored.mask).sum(),
            "clipped": ((ratio.detach() - 1).abs() > self.clip).sum(),
        }
        return Terms(loss=losses.sum(), sums=sums)
