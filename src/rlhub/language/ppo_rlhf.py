"""PPO on a reward model (Ouyang et al. 2022, InstructGPT, arXiv:2203.02155, Sec. 3.5; Stiennon et al. 2020; Ziegler et al. 2019).

A token is an action. Each token's reward is what it cost in divergence from the starting model; the reward model's score comes on top at
the token that ends the answer. A second model, begun from the reward model, learns what is still to come, or a second head on the policy
does; generalised advantages make of both what each token was worth.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from rlhub.core.errors import UserError
from rlhub.core.returns import clipped_value_error, generalised_advantages
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.advantages import token_rewards, whitened
from rlhub.language.judged import describe
from rlhub.language.logprobs import Scored, causal_model
from rlhub.language.losses import policy_loss
from rlhub.language.model import Policy
from rlhub.language.optimisation import pace
from rlhub.language.rollout import Rollout
from rlhub.language.rows import Group
from rlhub.language.sampling import Sampling
from rlhub.language.scorer import Critic, Outputs, Scorer, head_of, load_scorer, read_head
from rlhub.language.sft import answered
from rlhub.language.shared_trunk import TwoHeaded, Valued
from rlhub.language.steering import Steering
from rlhub.language.task import Task, load_task
from rlhub.language.update import Batch, Terms, load_reference


@dataclass(frozen=True, kw_only=True)
class PPORLHF(Sampling):
    """PPO with a value model, on a reward model's scores and the divergence from the starting model.

    Attributes:
        reward_model: run of the reward model; without one the task's own reward counts, or `reward`.
        kl: coefficient of the divergence in the reward (beta).
        kl_target: divergence in nats an answer that the coefficient is steered to; 0 leaves it as it is.
        kl_horizon: answers over which the steering takes hold.
        unended_score: score of an answer that reached the longest length without ending, in place of its own.
        discount: gamma.
        decay: lambda of the advantages.
        whiten_rewards: bring rewards to standard deviation 1 in each step, their mean kept.
        clip: how far from 1 the ratio counts.
        value_clip: how far a value may move from what it was in the roll-out; 0 as far as it likes.
        value_model: separate (a model of its own, begun from the reward model) or shared (a second head on the policy, trained with it by
            one loss, as lm-human-preferences does).
        value_weight: what the values' loss counts in that one loss.
        value_learning_rate: AdamW's step size for a separate value model; by default the policy's.
        pretraining: a task with answers, whose imitation is mixed into each update (PPO-ptx); none by default.
        pretraining_weight: its loss's coefficient (gamma of PPO-ptx); above 0 where anything is imitated.
    """

    reward_model: str = ""
    prompts: int = 64
    group: int = 1
    kl: float = 0.05
    kl_target: float = 0.0
    kl_horizon: int = 10_000
    unended_score: float = -1.0
    discount: float = 1.0
    decay: float = 0.95
    whiten_rewards: bool = False
    clip: float = 0.2
    value_clip: float = 0.2
    value_model: Literal["separate", "shared"] = "separate"
    value_weight: float = 0.1
    value_learning_rate: float | None = None
    epochs: int = 4
    minibatches: int = 4
    pretraining: str = ""
    pretraining_weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        amounts = "kl kl_target discount decay value_clip value_weight pretraining_weight value_learning_rate"
        check_fields(self, at_least={1: "kl_horizon", 0: amounts}, above={0: "clip"})
        if self.pretraining and self.pretraining_weight == 0:
            raise UserError("pretraining_weight is 0; with pretraining it must be above 0 (to imitate nothing, leave pretraining out)")
        if self.pretraining and self.temperature != 1:
            raise UserError(f"temperature is {self.temperature}; what is imitated beside (pretraining) needs it to be 1")
        if self.reward_model and self.reward != "task":
            raise UserError("give reward_model or reward, not both: an answer has one score")
        if self.value_model == "shared" and self.value_learning_rate is not None:
            raise UserError("a shared value model moves with the policy: value_learning_rate is for value_model separate")

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = self.rewarded_task(run, f"reward-model:{self.reward_model}" if self.reward_model else self.reward)
        pretraining = load_task(self.pretraining, seed=run.seed) if self.pretraining else None
        policy: Policy = TwoHeaded(self.policy()) if self.value_model == "shared" else self.policy()
        reference = load_reference(policy, self.model)
        critic: Scorer | TwoHeaded = policy if isinstance(policy, TwoHeaded) else self.critic(run)
        steering = Steering(self.kl, target=self.kl_target, horizon=self.kl_horizon)
        beside: dict[str, Any] = {"critic": Critic(critic)} if isinstance(critic, Scorer) else {}

        for step in run.resume(self.steps, policy=policy, steering=steering, **beside):
            started = time.perf_counter()
            rollout, scores, measures = self.sample(policy, task, run, step)
            batch, divergence = self.batch(policy, reference, critic, rollout, scores, kl=steering.coefficient)
            for number, part in enumerate(self.shares(batch, run, step)):
                metrics = self.update(policy, critic, part, step, shown=self.shown(policy, pretraining, run, step, number))
            told = {"kl": divergence, "kl_coefficient": steering.coefficient, **pace(int(rollout.mask.sum()), started)}
            steering.observe(divergence, answers=self.prompts * self.group)
            run.log(step, **metrics, **measures, **describe(rollout, scores), **told)

    def critic(self, run: Run) -> Scorer:
        """The value model: the reward model, or the starting model with a head that says 0 until it has learnt more.

        A head drawn at random would begin as noise in every advantage.
        """
        critic = load_scorer(
            self.reward_model or self.model,
            fresh=not self.reward_model,
            learning_rate=self.learning_rate if self.value_learning_rate is None else self.value_learning_rate,
            lora_rank=self.lora_rank,
            weight_decay=self.weight_decay,
            precision=self.precision,
            seed=run.seed,
        )
        if not self.reward_model:
            for parameter in head_of(causal_model(critic.model)).parameters():
                torch.nn.init.zeros_(parameter)
        return critic

    def batch(
        self,
        policy: Policy,
        reference: PreTrainedModel | None,
        critic: Scorer | TwoHeaded,
        rollout: Rollout,
        scores: Float[Tensor, "prompts group"],
        *,
        kl: float,
    ) -> tuple[Batch, float]:
        """All that the updates on one roll-out need, and its mean divergence from the starting model, in nats an answer."""
        before = self.scored(policy, rollout)
        mask = before.mask
        values = self.values_of(critic, rollout.groups)
        divergence = self.divergence(policy, reference, rollout, before)
        ended = torch.where(rollout.ended, scores, self.unended_score).flatten()
        # An answer without a score teaches nothing: no advantage, and the value that it had.
        scored = mask & ended.isfinite()[:, None]
        rewards = token_rewards(divergence, ended.nan_to_num(0.0), mask, kl=kl)
        if self.whiten_rewards:
            rewards = whitened(rewards, scored, centre=False)
        advantages = self.advantages(rewards, values, scored)
        columns = {
            "old": before.logprobs,
            "advantages": whitened(advantages, scored),
            "values": values,
            "returns": (advantages + values) * mask,
        }
        return Batch(groups=rollout.groups, columns=columns), float(divergence.sum(1).mean())

    def advantages(
        self,
        rewards: Float[Tensor, "completions tokens"],
        values: Float[Tensor, "completions tokens"],
        mask: Bool[Tensor, "completions tokens"],
    ) -> Float[Tensor, "completions tokens"]:
        """Generalised advantages along each answer, which ends with its last token, of its own accord or not."""
        last = mask & ~torch.nn.functional.pad(mask[:, 1:], (0, 1))
        advantages = generalised_advantages(
            (rewards * mask).t(),
            torch.nn.functional.pad(values * mask, (0, 1)).t(),
            last.t(),
            torch.zeros_like(last).t(),
            discount=self.discount,
            decay=self.decay,
        )
        return advantages.t() * mask

    @torch.no_grad()
    def values_of(self, critic: Scorer | TwoHeaded, groups: list[Group]) -> Float[Tensor, "completions tokens"]:
        """The value before each token."""
        if isinstance(critic, TwoHeaded):
            return critic.values(groups, micro_tokens=self.micro_tokens)
        return critic.scaled(critic.read_all(groups, micro_tokens=self.micro_tokens).values[:, :-1, 0])

    def shown(self, policy: Policy, pretraining: Task | None, run: Run, step: int, number: int) -> list[Group]:
        """The answers that are imitated in one update, as many as it has answers of its own; none without PPO-ptx."""
        if pretraining is None:
            return []
        count = -(-self.prompts * self.group // self.minibatches)
        updates = self.epochs * self.minibatches
        examples = pretraining.sample(count, step=(step - 1) * updates + number + 1, seed=run.seed)
        return [answered(policy, example) for example in examples]

    def update(self, policy: Policy, critic: Scorer | TwoHeaded, batch: Batch, step: int, *, shown: list[Group]) -> dict[str, float]:
        """One step of the policy and one of the value model on a share of the answers, or one of both where they are one model."""
        tokens = float(sum(len(completion) for group in batch.groups for completion in group.completions))
        taught = float(max(sum(len(completion) for group in shown for completion in group.completions), 1))
        weight = self.pretraining_weight * tokens / taught
        settings: dict[str, Any] = {"step": step, "normaliser": max(tokens, 1.0)}
        if isinstance(critic, TwoHeaded):
            mixed = with_imitation(batch, shown, weight=weight)
            read = partial(critic.read, temperature=self.temperature)
            told = self.change(critic, mixed.groups, self.joint_objective, columns=mixed.columns, read=read, **settings)
            fitted = {"value_loss": told.pop("value_loss") / settings["normaliser"]}
        else:
            mixed = with_imitation(batch.only("old", "advantages"), shown, weight=weight)
            told = self.change(policy, mixed.groups, self.objective, columns=mixed.columns, temperature=self.temperature, **settings)
            valued = batch.only("values", "returns")
            rate = self.learning_rate if self.value_learning_rate is None else self.value_learning_rate
            objective = partial(self.value_objective, scaled=critic.scaled)
            found = self.change(critic, valued.groups, objective, columns=valued.columns, read=read_head, peak=rate, **settings)
            fitted = {"value_loss": found["loss"], "value_gradient_norm": found["gradient_norm"]}
        means = {name: told.pop(name) / settings["normaliser"] for name in ("entropy", "clipped", "approximate_kl")}
        return {**told, **means, **fitted}

    def objective(
        self,
        scored: Scored,
        *,
        old: Float[Tensor, "completions tokens"],
        advantages: Float[Tensor, "completions tokens"],
        imitation: Float[Tensor, " completions"],
    ) -> Terms:
        """The clipped surrogate of the answers' tokens, and the log-likelihood of those that are imitated.

        Args:
            scored: the answers under the policy being trained, and after them what is imitated.
            old: log-probs under the policy that sampled.
            advantages: each token's.
            imitation: what the negative log-likelihood of each counts; 0 for the answers.
        """
        imitated = imitation[:, None] > 0
        sampled = scored.mask & ~imitated
        surrogate = policy_loss(scored.logprobs, old, advantages, sampled, clip_low=self.clip, clip_high=self.clip)
        likelihood = -(scored.logprobs * scored.mask * imitation[:, None])
        log_ratio = ((scored.logprobs - old) * sampled).detach()
        sums = {
            "entropy": (scored.entropy * sampled).sum(),
            "clipped": (log_ratio.expm1().abs() > self.clip).sum(),
            "approximate_kl": (log_ratio.expm1() - log_ratio).sum(),
        }
        return Terms(loss=surrogate.sum() + likelihood.sum(), sums=sums)

    def value_objective(
        self,
        outputs: Outputs,
        *,
        values: Float[Tensor, "completions tokens"],
        returns: Float[Tensor, "completions tokens"],
        scaled: Callable[[Tensor], Tensor] = torch.clone,
    ) -> Terms:
        """Half the squared error of the values, or of values held near what they were, whichever is larger.

        Args:
            outputs: what the value model says along the answers.
            values: what it said in the roll-out.
            returns: what came.
            scaled: brings what its head says to the rewards' scale.
        """
        errors = clipped_value_error(scaled(outputs.values[:, :-1, 0]), values, returns, clip=self.value_clip)
        return Terms(loss=0.5 * (errors * outputs.mask).sum())

    def joint_objective(
        self,
        valued: Valued,
        *,
        values: Float[Tensor, "completions tokens"],
        returns: Float[Tensor, "completions tokens"],
        imitation: Float[Tensor, " completions"],
        **columns: Tensor,
    ) -> Terms:
        """The policy's objective plus `value_weight` times the values', where both are read from one trunk.

        Args:
            valued: the answers, and what is imitated, under the policy being trained.
            values: what its value head said in the roll-out.
            returns: what came.
            imitation: as of `objective`; what is imitated has no values to learn.
            columns: the policy's other ones.
        """
        acted = self.objective(valued, imitation=imitation, **columns)
        sampled = valued.mask & (imitation[:, None] == 0)
        fitted = 0.5 * (clipped_value_error(valued.values, values, returns, clip=self.value_clip) * sampled).sum()
        return Terms(loss=acted.loss + self.value_weight * fitted, sums={**acted.sums, "value_loss": fitted})


def with_imitation(batch: Batch, shown: list[Group], *, weight: float) -> Batch:
    """A batch with answers to imitate behind it.

    The sum over both is divided by the batch's tokens, so the weight makes of the imitated answers' sum a mean over their own.

    Args:
        batch: the answers that were sampled.
        shown: those that are imitated.
        weight: what the negative log-likelihood of their tokens counts.
    """
    longest = max((len(group.completions[0]) for group in shown), default=0)
    columns = {"imitation": torch.cat([torch.zeros(len(batch.columns["old"])), torch.full((len(shown),), weight)])}
    for name, column in batch.columns.items():
        columns[name] = torch.nn.functional.pad(column, (0, max(longest - column.shape[1], 0), 0, len(shown)))
    return Batch(groups=[*batch.groups, *shown], columns=columns)
