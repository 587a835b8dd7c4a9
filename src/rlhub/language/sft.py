"""Supervised fine-tuning: the model is shown answers and made to give each of their tokens more probability.

L = - (1 / tokens of the step) sum over answers' tokens of log p(y_t | x, y_<t), the end token included; the prompt's tokens are never
targets.
"""

import time
from dataclasses import dataclass

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.logprobs import Scored
from rlhub.language.losses import negative_log_likelihood
from rlhub.language.model import Policy, Precision, encode, encode_completion, load_policy
from rlhub.language.rows import Group
from rlhub.language.task import Example, load_task
from rlhub.language.update import MICRO_TOKENS, Schedule, Terms, optimise, scheduled


@dataclass(frozen=True, kw_only=True)
class SFT:
    """Supervised fine-tuning on a task's answers.

    Attributes:
        model: alias, hub id, folder or run of the starting model.
        task: where prompts and answers come from: facts:RELATION, reasoning-gym:NAME, PATH.jsonl or datasets:NAME; options follow a
            question mark, as in `data.jsonl?prompt=question&answer=reply` (docs/training.md).
        steps: optimisation steps.
        batch: examples in one step; they are packed, so their lengths may differ freely.
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
    batch: int = 32
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
        check_fields(self, at_least={1: "steps batch micro_tokens", 0: amounts})

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

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            groups = [answered(policy, example) for example in task.sample(self.batch, step=step, seed=run.seed)]
            tokens = sum(len(answer) for group in groups for answer in group.completions)
            metrics = optimise(
                policy,
                groups,
                imitation,
                normaliser=float(max(tokens, 1)),
                learning_rate=scheduled(step, steps=self.steps, peak=self.learning_rate, warmup=self.warmup, schedule=self.schedule),
                max_norm=self.max_norm,
                micro_tokens=self.micro_tokens,
            )
            metrics["entropy"] /= max(tokens, 1)
            run.log(step, **metrics, length=tokens / len(groups), tokens_per_second=tokens / (time.perf_counter() - started))


def imitation(scored: Scored) -> Terms:
    """The negative log-likelihood of a micro-batch."""
    return Terms(loss=negative_log_likelihood(scored.logprobs, scored.mask), sums={"entropy": scored.entropy.sum()})


def answered(policy: Policy, example: Example) -> Group:
    """An example's prompt with its answer, the end token after it.

    Raises:
        UserError: the example has no answer.
    """
    if example.answer is None:
        raise UserError(f"the task's example {str(example.prompt)[:60]!r} has no answer to imitate; SFT needs a task with answers")
    return Group(prompt=encode(policy.tokenizer, example.prompt), completions=[response(policy, example.answer)])


def response(policy: Policy, text: str) -> list[int]:
    """A response's tokens with the token that ends it."""
    end = policy.tokenizer.eos_token_id
    return encode_completion(policy.tokenizer, text) + ([end] if end is not None else list(policy.end_ids[:1]))
