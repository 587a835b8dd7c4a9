"""PPO on a reward model (Ouyang et al. 2022, InstructGPT, arXiv:2203.02155, Sec. 3.5; Stiennon et al. 2020; Ziegler et al. 2019).

A token is an action. Each token's reward is what it cost in divergence from the starting model; the reward model's score comes on top at
the token that ends the answer. A second model, begun from the reward model, learns what is still to come, and generalised advantages make
of both what each token was worth.
"""

import time
from dataclasses import dataclass

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
from rlhub.language.logprobs import Scored
from rlhub.language.losses import policy_loss
from rlhub.language.model import Policy
from rlhub.language.rollout import Rollout
from rlhub.language.rows import Group
from rlhub.language.sampling import Sampling
from rlhub.language.scorer import Critic, Outputs, Scorer, load_scorer, read_head
from rlhub.language.sft import answered
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
        value_learning_rate: AdamW's step size for the value model; by default the policy's.
        pretraining: a task with answers, whose imitation is mixed into each update (PPO-ptx); none by default.
        pretraining_weight: its loss's coefficient (gamma of PPO-ptx).
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
    value_learning_rate: float | None = None
    epochs: int = 4
    minibatches: int = 4
    pretraining: str = ""
    pretraining_weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        amounts = "kl kl_target discount decay value_clip pretraining_weight value_learning_rate"
        check_fields(self, at_least={1: "kl_horizon", 0: amounts}, above={0: "clip"})
        if self.pretraining and self.temperature != 1:
            raise UserError(f"temperature is {self.temperature}; what is imitated beside (pretraining) needs it to be 1")
        if self.reward_model and self.reward != "task":
            raise UserError("give reward_model or reward, not both: an answer has one score")

    def train(self, run: Run) -> None:
        """Train in a run."""
        reward = f"reward-model:{self.reward_model}" if self.reward_model else self.reward
        task = load_task(self.task, seed=run.seed, reward=reward)
        pretraining = load_task(self.pretraining, seed=run.seed) if self.pretraining else None
        policy = self.policy()
        reference = load_reference(policy, self.model)
        critic = self.critic(run)
        steering = Steering(self.kl, target=self.kl_target, horizon=self.kl_horizon)

        for step in run.resume(self.steps, policy=policy, critic=Critic(critic), steering=steering):
            started = time.perf_counter()
            rollout, scores, measures = self.sample(policy, task, run, step)
            batch, divergence = self.batch(policy, reference, critic, rollout, scores, kl=steering.coefficient)
            for number, part in enumerate(self.shares(batch, run, step)):
                metrics = self.update(policy, critic, part, step, shown=self.shown(policy, pretraining, run, step, number))
            steering.observe(divergence, answers=self.prompts * self.group)
            rate = float(rollout.mask.sum()) / (time.perf_counter() - started)
            told = {"kl": divergence, "kl_coefficient": steering.coefficient, "tokens_per_second": rate}
            run.log(step, **metrics, **measures, **describe(rollout, scores), **told)

    def critic(self, run: Run) -> Scorer:
        """The value model: the reward model, or the starting model with a fresh head."""
        return load_scorer(
            self.reward_model or self.model,
            fresh=not self.reward_model,
            learning_rate=self.learning_rate if self.value_learning_rate is None else self.value_learning_rate,
            lora_rank=self.lora_rank,
            weight_decay=self.weight_decay,
            precision=self.precision,
            seed=run.seed,
        )

    def batch(
        self,
        policy: Policy,
        reference: PreTrainedModel | None,
        critic: Scorer,
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
        rewards = token_rewards(divergence, ended.nan_to_num(0.0), mask, kl=kl)
        if self.whiten_rewards:
            rewards = whitened(rewards, mask, centre=False)
        advantages = self.advantages(rewards, values, mask)
        columns = {
            "old": before.logprobs,
            "advantages": whitened(advantages, mask),
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
    def values_of(self, critic: Scorer, groups: list[Group]) -> Float[Tensor, "completions tokens"]:
        """The value before each token."""
        return critic.read_all(groups, micro_tokens=self.micro_tokens).values[:, :-1, 0]

    def shown(self, policy: Policy, pretraining: Task | None, run: Run, step: int, number: int) -> list[Group]:
        """The answers that are imitated in one update, as many as it has answers of its own; none without PPO-ptx."""
        if pretraining is None:
            return []
        count = -(-self.prompts * self.group // self.minibatches)
        updates = self.epochs * self.minibatches
        examples = pretraining.sample(count, step=(step - 1) * updates + number + 1, seed=run.seed)
        return [answered(policy, example) for example in examples]

    def update(self, policy: Policy, critic: Scorer, batch: Batch, step: int, *, shown: list[Group]) -> dict[str, float]:
        """One step of the policy and one of the value model on a share of the answers."""
        tokens = float(sum(len(completion) for group in batch.groups for completion in group.completions))
        taught = float(max(sum(len(completion) for group in shown for completion in group.completions), 1))
        normaliser = max(tokens, 1.0)
        mixed = with_imitation(batch, shown, weight=self.pretraining_weight * tokens / taught)
        told = self.change(
            policy, mixed.groups, self.objective, step=step, normaliser=normaliser, columns=mixed.columns, temperature=self.temperature
        )
        columns = {name: batch.columns[name] for name in ("values", "returns")}
        rate = self.learning_rate if self.value_learning_rate is None else self.value_learning_rate
        fitted = self.change(
            critic, batch.groups, self.value_objective, step=step, normaliser=normaliser, columns=columns, read=read_head, peak=rate
        )
        means = {name: told.pop(name) / max(tokens, 1.0) for name in ("entropy", "clipped", "approximate_kl")}
        return {**told, **means, "value_loss": fitted["loss"], "value_gradient_norm": fitted["gradient_norm"]}

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
        self, outputs: Outputs, *, values: Float[Tensor, "completions tokens"], returns: Float[Tensor, "completions tokens"]
    ) -> Terms:
        """Half the squared error of the values, or of values held near what they were, whichever is larger.

        Args:
            outputs: what the value model says along the answers.
            values: what it said in the roll-out.
            returns: what came.
        """
        errors = clipped_value_error(outputs.values[:, :-1, 0], values, returns, clip=self.value_clip)
        return Terms(loss=0.5 * (errors * outputs.mask).sum())


class Steering:
    """The divergence's coefficient, steered so that the divergence comes to a target (Ziegler et al. 2019, arXiv:1909.08593, Sec. 2.2).

    e = clip(KL / target - 1, -0.2, 0.2);  beta <- beta (1 + e * answers / horizon)

    Attributes:
        coefficient: beta.
    """

    def __init__(self, coefficient: float, *, target: float, horizon: int) -> None:
        """Begin with a coefficient; a target of 0 leaves it so."""
        self.coefficient = coefficient
        self._target, self._horizon = target, horizon

    def observe(self, divergence: float, *, answers: int) -> None:
        """Take a step's mean divergence, in nats an answer, into account."""
        if self._target:
            error = min(max(divergence / self._target - 1, -0.2), 0.2)
            self.coefficient *= 1 + error * answers / self._horizon

    def state_dict(self) -> dict[str, float]:
        """The coefficient."""
        return {"coefficient": self.coefficient}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restore it."""
        self.coefficient = state["coefficient"]


def with_imitation(batch: Batch, shown: list[Group], *, weight: float) -> Batch:
    """What the policy's objective takes of a batch, with answers to imitate behind it.

    The sum over both is divided by the batch's tokens, so the weight makes of the imitated answers' sum a mean over their own.

    Args:
        batch: the answers that were sampled.
        shown: those that are imitated.
        weight: what the negative log-likelihood of their tokens counts.
    """
    longest = max((len(group.completions[0]) for group in shown), default=0)
    columns = {"imitation": torch.cat([torch.zeros(len(batch.columns["old"])), torch.full((len(shown),), weight)])}
    for name in ("old", "advantages"):
        column = batch.columns[name]
        columns[name] = torch.nn.functional.pad(column, (0, max(longest - column.shape[1], 0), 0, len(shown)))
    return Batch(groups=[*batch.groups, *shown], columns=columns)
