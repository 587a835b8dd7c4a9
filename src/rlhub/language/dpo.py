"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290, Eq. 7), cDPO and IPO.

The policy is its own reward model: beta times a response's log-ratio to the starting model. Each pair's prompt is computed once for both
responses.
"""

import time
from contextlib import nullcontext
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.logprobs import Scored
from rlhub.language.losses import Preference, preference_loss
from rlhub.language.model import Policy, Precision, encode, load_policy
from rlhub.language.rows import Group
from rlhub.language.sft import response
from rlhub.language.task import load_task
from rlhub.language.update import MICRO_TOKENS, Schedule, Terms, load_reference, optimise, scheduled, score_all


@dataclass(frozen=True, kw_only=True)
class DPO:
    """Direct preference optimisation on a task's preference pairs.

    Attributes:
        model: alias, hub id, folder or run of the starting model, which is also the reference.
        task: where prompts, preferred and other responses come from: facts:RELATION, reasoning-gym:NAME, PATH.jsonl or datasets:NAME;
            options follow a question mark, as in `data.jsonl?prompt=question&answer=reply` (docs/training.md).
        steps: optimisation steps.
        batch: pairs in one step.
        beta: strength of the pull to the reference (IPO's tau).
        loss: sigmoid (DPO, and cDPO with label smoothing) or ipo.
        label_smoothing: probability that a preference is the wrong way round (cDPO).
        learning_rate: AdamW's step size.
        schedule: how the learning rate goes on after the warm-up: constant, or linear or cosine to 0.
        warmup: steps over which the learning rate rises from 0.
        weight_decay: AdamW's.
        max_norm: gradients are scaled down to this norm; 0 never.
        lora_rank: rank of LoRA adapters; 0 trains all weights.
        precision: fp32, bf16 (autocast, float32 master weights), or auto.
        micro_tokens: most tokens computed at a time; changes memory and speed only.
    """

    model: str = "smollm2"
    task: str = "facts:capitals"
    steps: int = 100
    batch: int = 16
    beta: float = 0.1
    loss: Preference = "sigmoid"
    label_smoothing: float = 0.0
    learning_rate: float = 1e-5
    schedule: Schedule = "constant"
    warmup: int = 0
    weight_decay: float = 0.0
    max_norm: float = 1.0
    lora_rank: int = 0
    precision: Precision = "auto"
    micro_tokens: int = MICRO_TOKENS

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        amounts = "learning_rate warmup weight_decay max_norm lora_rank"
        check_fields(self, at_least={1: "steps batch micro_tokens", 0: amounts}, above={0: "beta"})
        if not 0 <= self.label_smoothing < 0.5:
            raise UserError(f"label_smoothing is {self.label_smoothing}; it is the share of wrong preferences and must lie in [0, 0.5)")
        if self.label_smoothing and self.loss == "ipo":
            raise UserError("label_smoothing belongs to the sigmoid loss (cDPO); IPO has none, so set it to 0")

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = load_task(self.task, seed=run.seed)
        policy = load_policy(
            self.model,
            learning_rate=self.learning_rate,
            lora_rank=self.lora_rank,
            weight_decay=self.weight_decay,
            precision=self.precision,
        )
        reference = load_reference(policy, self.model)

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            examples = task.sample(self.batch, step=step, seed=run.seed)
            groups = [
                Group(prompt=encode(policy.tokenizer, example.prompt), completions=[response(policy, chosen), response(policy, rejected)])
                for example, chosen, rejected in zip(examples, *task.preference(examples, step=step), strict=True)
            ]
            metrics = optimise(
                policy,
                groups,
                self.objective,
                normaliser=float(len(groups)),
                columns={"reference": self.reference_logprobs(policy, reference, groups)},
                learning_rate=scheduled(step, steps=self.steps, peak=self.learning_rate, warmup=self.warmup, schedule=self.schedule),
                max_norm=self.max_norm,
                micro_tokens=self.micro_tokens,
            )
            means = {name: metrics.pop(name) / len(groups) for name in ("accuracy", "margin", "chosen_reward", "rejected_reward")}
            tokens = sum(len(completion) for group in groups for completion in group.completions)
            run.log(step, **metrics, **means, tokens_per_second=tokens / (time.perf_counter() - started))

    def reference_logprobs(
        self, policy: Policy, reference: PreTrainedModel | None, groups: list[Group]
    ) -> Float[Tensor, "completions tokens"]:
        """Log-probs under the starting model: a model of its own, or the policy without its adapters."""
        with policy.base() if reference is None else nullcontext():
            return score_all(policy, groups, model=reference, micro_tokens=self.micro_tokens).logprobs

    def objective(self, scored: Scored, *, reference: Float[Tensor, "completions tokens"]) -> Terms:
        """The losses of a micro-batch's pairs; completions alternate chosen, rejected.

        Args:
            scored: the responses under the policy.
            reference: log-probs of their tokens under the starting model.
        """
        ratios = log_ratios(scored.logprobs, reference, scored.mask, mean=self.loss == "ipo")
        chosen, rejected = ratios.unflatten(0, (-1, 2)).unbind(1)
        losses = preference_loss(chosen, rejected, beta=self.beta, label_smoothing=self.label_smoothing, kind=self.loss)
        margin = self.beta * (chosen - rejected).detach()
        sums = {
            "accuracy": (margin > 0).sum(),
            "margin": margin.sum(),
            "chosen_reward": self.beta * chosen.detach().sum(),
            "rejected_reward": self.beta * rejected.detach().sum(),
        }
        return Terms(loss=losses.sum(), sums=sums)


def log_ratios(
    logprobs: Float[Tensor, "completions tokens"],
    reference: Float[Tensor, "completions tokens"],
    mask: Bool[Tensor, "completions tokens"],
    *,
    mean: bool,
) -> Float[Tensor, " completions"]:
    """log pi(y) - log pi_ref(y) of each response, the end token included: summed over its tokens, or averaged."""
    total = ((logprobs - reference) * mask).sum(1)
    return total / mask.sum(1).clamp(min=1) if mean else total
