"""REINFORCE++ (Hu et al. 2025, arXiv:2501.03262): PPO's clip and its reward a token, without a value model.

A token's advantage is what is still to come, brought to one scale over the whole step and not within a group, so that an easy prompt whose
answers are all right is not blown up. With several answers a prompt their mean is taken out first (REINFORCE++-baseline); the divergence
stays in the reward then, too, and gets no loss of its own.
"""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.advantages import group_advantages, token_rewards, whitened
from rlhub.language.judged import describe
from rlhub.language.logprobs import Scored
from rlhub.language.losses import policy_loss
from rlhub.language.optimisation import pace
from rlhub.language.sampling import Sampling
from rlhub.language.update import Batch, Terms, load_reference


@dataclass(frozen=True, kw_only=True)
class ReinforcePlusPlus(Sampling):
    """REINFORCE with a divergence in each token's reward and advantages on the whole step's scale.

    Attributes:
        group: answers per prompt; from 2 on their mean is the baseline.
        kl: coefficient of the divergence from the starting model in the reward (beta); 0 does without that model.
        clip: how far from 1 a token's ratio counts.
    """

    prompts: int = 32
    group: int = 1
    kl: float = 0.01
    clip: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={0: "kl"}, above={0: "clip"})

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = self.rewarded_task(run)
        policy = self.policy()
        reference = load_reference(policy, self.model) if self.kl else None

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            rollout, scores, measures = self.sample(policy, task, run, step)
            before = self.scored(policy, rollout)
            divergence = torch.zeros_like(before.logprobs)
            if self.kl:
                divergence = self.divergence(policy, reference, rollout, before)
            advantages = self.advantages(scores, divergence, before.mask)
            batch = Batch(groups=rollout.groups, columns={"old": before.logprobs, "advantages": advantages})
            for part in self.shares(batch, run, step):
                tokens = float(max(sum(len(answer) for group in part.groups for answer in group.completions), 1))
                metrics = self.change(
                    policy,
                    part.groups,
                    self.objective,
                    step=step,
                    normaliser=tokens,
                    columns=part.columns,
                    temperature=self.temperature,
                )
                metrics |= {name: metrics[name] / tokens for name in ("entropy", "clipped")}
            run.log(
                step,
                **metrics,
                **measures,
                **describe(rollout, scores),
                kl=divergence.sum(1).mean(),
                **pace(int(rollout.mask.sum()), started),
            )

    def advantages(
        self,
        scores: Float[Tensor, "prompts group"],
        divergence: Float[Tensor, "completions tokens"],
        mask: Bool[Tensor, "completions tokens"],
    ) -> Float[Tensor, "completions tokens"]:
        """A_t = score - beta sum_(i >= t) KL_i, less the group's mean score where there is a group; whitened over all tokens (Eq. 7-9).

        Args:
            scores: each answer's.
            divergence: log pi - log pi_ref of each token.
            mask: True at tokens.
        """
        lengths = mask.sum(1).view_as(scores)
        worth = group_advantages(scores, lengths > 0, scale=False) if self.group > 1 else scores.nan_to_num(0.0)
        rewards = token_rewards(divergence, worth.flatten(), mask, kl=self.kl)
        # An answer without a score teaches nothing.
        return whitened(rewards.flip(1).cumsum(1).flip(1), mask & scores.isfinite().flatten()[:, None])

    def objective(
        self, scored: Scored, *, old: Float[Tensor, "completions tokens"], advantages: Float[Tensor, "completions tokens"]
    ) -> Terms:
        """PPO's clipped surrogate, token by token.

        Args:
            scored: the answers under the policy being trained.
            old: log-probs under the policy that sampled.
            advantages: each token's.
        """
        losses = policy_loss(scored.logprobs, old, advantages, scored.mask, clip_low=self.clip, clip_high=self.clip)
        log_ratio = ((scored.logprobs - old) * scored.mask).detach()
        sums = {"entropy": (scored.entropy * scored.mask).sum(), "clipped": (log_ratio.expm1().abs() > self.clip).sum()}
        return Terms(loss=losses.sum(), sums=sums)
