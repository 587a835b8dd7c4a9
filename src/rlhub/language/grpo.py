"""Group relative policy optimisation (Shao et al. 2024, DeepSeekMath, arXiv:2402.03300, Algorithm 1), with the variants that came after it.

Each prompt gets G completions; a completion's advantage is its reward against its group's, so that no value model is needed. The variants
differ in what a token's loss is divided by, in the clip, and in the ratio: `grpo`, `dr_grpo` (Liu et al. 2025, arXiv:2503.20783), `dapo`
(Yu et al. 2025, arXiv:2503.14476), `gspo` (Zheng et al. 2025, arXiv:2507.18071), `cispo` (MiniMax 2025, arXiv:2506.13585); `losses.py`
has their equations.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.seeding import derive
from rlhub.core.system import check_fields
from rlhub.language.advantages import Credit, group_advantages, process_advantages, tied
from rlhub.language.judged import describe, rewards_of
from rlhub.language.logprobs import Scored
from rlhub.language.losses import (
    Aggregation,
    Estimator,
    kl_estimate,
    log_importance,
    policy_loss,
    policy_normaliser,
    token_weights,
)
from rlhub.language.model import Policy, encode
from rlhub.language.optimisation import pace
from rlhub.language.process_reward import chances
from rlhub.language.reference import Reference
from rlhub.language.rollout import Rollout, generate
from rlhub.language.sampling import Sampling
from rlhub.language.scorer import Scorer, StepScorer, load_scorer
from rlhub.language.steps import cut, step_ends
from rlhub.language.task import Task
from rlhub.language.update import Batch, Terms, reference_logprobs

CLIPS = {"grpo": (0.2, 0.2), "dr_grpo": (0.2, 0.2), "dapo": (0.2, 0.28), "gspo": (3e-4, 4e-4), "cispo": (0.0, 5.0)}
"""Each method's clip (low, high) where none is given: its paper's."""


@dataclass(frozen=True, kw_only=True)
class GRPO(Sampling):
    """Group relative policy optimisation.

    Attributes:
        aggregation: grpo, dr_grpo, dapo, gspo or cispo.
        scale_rewards: divide advantages by the group's standard deviation; by default all do but dr_grpo.
        clip_low: how far below 1 the ratio counts; by default the method's paper's.
        clip_high: how far above 1 the ratio counts (for cispo the cap); by default the method's paper's.
        kl: coefficient of the KL to the reference, the starting model at first; 0 does without one.
        reference_every: steps after which the reference becomes the policy as it is, again and again (DeepSeek-R1, arXiv:2501.12948:
            400); 0 never.
        kl_estimator: k1, k2 or k3.
        kl_correction: multiply the KL's estimate by the importance ratio, through which gradients flow (DeepSeek-V3.2, arXiv:2512.02556):
            k3's gradient is then that of the KL, where without it it is not. TRL does so too; DeepSeekMath did not.
        dynamic_sampling: most times that prompts are drawn again to replace groups with equal rewards (DAPO, Sec. 3.2); 0 keeps them.
        process_reward: run of a process reward model, whose judgements of steps then give each token its advantage, in place of the
            completion's reward (DeepSeekMath, Sec. 4.1.3); the reward is still logged.
        credit: what the process reward's judgements make up: the sum of the steps to come (DeepSeekMath), or the least of them, with which
            more steps gain nothing (Cheng et al. 2025, PURE, arXiv:2504.15275).
        outcome: what a completion's own advantage, from its reward, counts beside the judge's at each of its tokens. A judge that is
            followed alone is soon outwitted (PURE mixes in rewards that can be verified for that).
        mask_truncated: completions that reached the longest length take no part in the loss (DAPO, Sec. 3.4).
    """

    aggregation: Aggregation = "grpo"
    scale_rewards: bool | None = None
    clip_low: float | None = None
    clip_high: float | None = None
    kl: float = 0.0
    reference_every: int = 0
    kl_estimator: Estimator = "k3"
    kl_correction: bool = True
    dynamic_sampling: int = 0
    process_reward: str = ""
    credit: Credit = "sum"
    outcome: float = 0.0
    mask_truncated: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={0: "kl clip_low clip_high dynamic_sampling reference_every outcome"})
        if self.reference_every and not self.kl:
            raise UserError(f"reference_every is {self.reference_every}, but without kl there is no reference: give kl, or leave it at 0")
        if self.outcome and not self.process_reward:
            raise UserError(f"outcome is {self.outcome}, but without process_reward nothing else counts: give a judge, or leave it at 0")
        if self.group < 2:
            raise UserError(f"group is {self.group}; a completion is compared with its siblings, so it needs at least 2 per prompt")

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = self.rewarded_task(run)
        policy = self.policy()
        reference = Reference(policy, self.model) if self.kl else None
        changing: dict[str, Any] = {"reference": reference} if self.reference_every else {}
        judge = load_scorer(self.process_reward, kind=StepScorer, fresh=False) if self.process_reward else None

        for step in run.resume(self.steps, policy=policy, **changing):
            started = time.perf_counter()
            rollout, rewards, measures = self.collect(run, step, task, policy)
            advantages = group_advantages(rewards, rollout.lengths > 0, scale=self.scales)
            if judge is not None:
                steps, judged = self.by_steps(policy, judge, rollout)
                advantages, measures = steps + self.outcome * advantages[..., None] * rollout.mask, measures | {"judged": judged}
            batch = self.batch(policy, reference, rollout, advantages)
            for part in self.shares(batch, run, step):
                metrics = self.update(policy, part, step)
            if reference and self.reference_every and step % self.reference_every == 0:
                reference.reset(policy)
            run.log(step, **metrics, **measures, **describe(rollout, rewards), **pace(int(rollout.mask.sum()), started))

    def collect(self, run: Run, step: int, task: Task, policy: Policy) -> tuple[Rollout, Float[Tensor, "prompts group"], dict[str, float]]:
        """Completions, their rewards, and what the task measures of the first ones.

        With dynamic sampling, prompts whose group is tied give way to others until none is or the tries are used up.
        """
        kept: list[tuple[Rollout, Float[Tensor, "prompts group"]]] = []
        measures: dict[str, float] = {}
        missing = self.prompts
        for attempt in range(self.dynamic_sampling + 1):
            seed = run.seed if attempt == 0 else derive(run.seed, "resample", attempt)
            examples = task.sample(self.prompts, step=step, seed=seed)[:missing]
            rollout = generate(policy, examples, generator=run.generator(f"rollout {attempt}", step), **self.drawn)
            rewards, measured = rewards_of(task, rollout, step=step, seed=seed)
            measures = measures or measured
            last = attempt == self.dynamic_sampling
            chosen = torch.ones(missing, dtype=torch.bool) if last else ~tied(rewards, rollout.lengths > 0)
            kept.append((rollout.select(chosen), rewards[chosen]))
            missing -= int(chosen.sum())
            if not missing:
                break
        return Rollout.join([rollout for rollout, _ in kept]), torch.cat([rewards for _, rewards in kept]), measures

    def by_steps(self, policy: Policy, judge: Scorer, rollout: Rollout) -> tuple[Float[Tensor, "prompts group tokens"], float]:
        """Each token's advantage from the probability that its own and all later steps are right; and what the judge thinks of the answers.

        That is the mean of each answer's least probable step. Where it rises while right answers don't, the judge is being pleased.
        """
        texts = [text for texts in rollout.texts for text in texts]
        prompts = [encode(judge.tokenizer, example.prompt) for example in rollout.examples for _ in range(self.group)]
        solutions = [(prompt, cut(text)) for prompt, text in zip(prompts, texts, strict=True)]
        rewards = chances(judge, solutions, ended=rollout.ended.flatten().tolist())
        ends = [step_ends(policy.tokenizer, answer) for group in rollout.groups for answer in group.completions]
        advantages = process_advantages(rewards, ends, group=self.group, tokens=rollout.mask.shape[-1], credit=self.credit)
        least = [min(given) for given in rewards if given]
        return advantages.view_as(rollout.mask) * rollout.mask, sum(least) / max(len(least), 1)

    def batch(
        self,
        policy: Policy,
        reference: Reference | None,
        rollout: Rollout,
        advantages: Float[Tensor, "prompts group"] | Float[Tensor, "prompts group tokens"],
    ) -> Batch:
        """All that the updates on one roll-out need, completion by completion."""
        counted = rollout.mask & rollout.ended[..., None] if self.mask_truncated else rollout.mask
        columns = {"advantages": advantages.flatten(0, 1), "counted": counted.flatten(0, 1)}
        if self.epochs * self.minibatches > 1:
            columns["old"] = self.scored(policy, rollout).logprobs
        if reference:
            columns["reference"] = reference_logprobs(policy, reference.model, rollout.groups, **self.scoring)
        return Batch(groups=rollout.groups, columns=columns)

    def update(self, policy: Policy, batch: Batch, step: int) -> dict[str, float]:
        """One optimisation step, and its metrics per token."""
        counted = batch.columns["counted"]
        normaliser = policy_normaliser(counted.sum(1).float(), self.aggregation, self.max_new_tokens)
        # Without a KL term a group without advantages adds exactly 0 to loss and gradient, so it isn't computed; the normaliser counts it.
        moves = batch.columns["advantages"].flatten(1).any(1) if batch.columns["advantages"].ndim == 2 else batch.columns["advantages"] != 0
        teaches = (moves & counted.any(1)).unflatten(0, (len(batch.groups), -1)).any(1)
        part = batch if self.kl else batch.select(teaches.nonzero()[:, 0])
        metrics = self.change(
            policy,
            part.groups,
            self.objective,
            step=step,
            normaliser=normaliser,
            columns=part.columns,
            temperature=self.temperature,
        )
        tokens = max(metrics.pop("tokens", 0.0), 1.0)
        return {name: value / tokens if name in ("entropy", "kl", "clip_low", "clip_high") else value for name, value in metrics.items()}

    def objective(
        self,
        scored: Scored,
        *,
        advantages: Float[Tensor, " completions"] | Float[Tensor, "completions tokens"],
        counted: Bool[Tensor, "completions tokens"],
        old: Float[Tensor, "completions tokens"] | None = None,
        reference: Float[Tensor, "completions tokens"] | None = None,
    ) -> Terms:
        """J = sum_i sum_t w_it (surrogate_it - kl * KL_it), as a loss.

        Args:
            scored: the completions under the policy being trained.
            advantages: each completion's, or each token's.
            counted: the tokens that count.
            old: log-probs under the policy that sampled; None where that is this very policy, whose own are then taken as constants.
            reference: log-probs under the reference, where there is a KL term.
        """
        logprobs, mask = scored.logprobs, scored.mask & counted
        old = logprobs.detach() if old is None else old
        low, high = self.clips
        losses = policy_loss(logprobs, old, advantages, mask, aggregation=self.aggregation, clip_low=low, clip_high=high)
        ratio = log_importance(logprobs.detach(), old, mask, self.aggregation).exp().expand_as(logprobs)
        weights = advantages if advantages.ndim == 2 else advantages[:, None]
        up, down = weights > 0, weights < 0
        sums = {
            "tokens": mask.sum(),
            "entropy": (scored.entropy * mask).sum(),
            "clip_high": ((ratio > (high if self.aggregation == "cispo" else 1 + high)) & up & mask).sum(),
        }
        if self.aggregation != "cispo":
            sums["clip_low"] = ((ratio < 1 - low) & down & mask).sum()
        if reference is not None:
            divergence = kl_estimate(logprobs, reference, self.kl_estimator) * mask
            weight = log_importance(logprobs, old, mask, self.aggregation).exp() if self.kl_correction else 1.0
            losses = losses + self.kl * weight * divergence
            sums["kl"] = divergence.sum()
        return Terms(loss=(losses * token_weights(mask, self.aggregation)).sum(), sums=sums)

    @property
    def scales(self) -> bool:
        """Whether advantages are divided by the group's standard deviation."""
        return self.aggregation != "dr_grpo" if self.scale_rewards is None else self.scale_rewards

    @property
    def clips(self) -> tuple[float, float]:
        """How far below and above 1 the ratio counts."""
        low, high = CLIPS[self.aggregation]
        return low if self.clip_low is None else self.clip_low, high if self.clip_high is None else self.clip_high
