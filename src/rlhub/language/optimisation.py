"""What every system that trains a language model asks alike: how its parameters are changed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rlhub.core.system import check_fields
from rlhub.language.model import Policy, Precision, load_policy
from rlhub.language.rows import Group
from rlhub.language.update import MICRO_TOKENS, Objective, Reader, Schedule, optimise, scheduled


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How parameters are changed.

    Attributes:
        steps: optimisation steps; where completions are sampled, roll-outs, each followed by its updates.
        learning_rate: AdamW's step size.
        schedule: how the learning rate goes on after the warm-up: constant, or linear or cosine to 0.
        warmup: steps over which the learning rate rises from 0.
        weight_decay: AdamW's.
        max_norm: gradients are scaled down to this norm; 0 never.
        lora_rank: rank of LoRA adapters; 0 trains all weights.
        precision: fp32, bf16 (autocast, float32 master weights), or auto: bf16 where the device computes it fast, unless the model was
            last trained in fp32 because that was asked for.
        micro_tokens: most tokens computed at a time; changes memory and speed only.
    """

    steps: int = 100
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
        check_fields(self, at_least={1: "steps micro_tokens", 0: "learning_rate warmup weight_decay max_norm lora_rank"})

    def change(
        self,
        policy: Policy,
        groups: Sequence[Group],
        objective: Objective,
        *,
        step: int,
        normaliser: float,
        columns: dict[str, Tensor] | None = None,
        temperature: float = 1.0,
        read: Reader | None = None,
        peak: float | None = None,
    ) -> dict[str, float]:
        """One optimisation step at this step's learning rate, whose peak may be another; arguments and result as of `optimise`."""
        return optimise(
            policy,
            groups,
            objective,
            normaliser=normaliser,
            columns=columns,
            temperature=temperature,
            learning_rate=scheduled(
                step, steps=self.steps, peak=self.learning_rate if peak is None else peak, warmup=self.warmup, schedule=self.schedule
            ),
            max_norm=self.max_norm,
            micro_tokens=self.micro_tokens,
            read=read,
        )


@dataclass(frozen=True, kw_only=True)
class FineTuning(Optimisation):
    """Which model is trained on what.

    Attributes:
        model: alias, hub id, folder or run of the starting model.
        task: where prompts, answers and rewards come from: facts:RELATION, reasoning-gym:NAME, PATH.jsonl or datasets:NAME; options
            follow a question mark, as in `data.jsonl?prompt=question&answer=reply` (docs/training.md). A command takes it as --data, too.
    """

    model: str = "smollm2"
    task: str = "facts:capitals"

    def policy(self) -> Policy:
        """The starting model with its optimiser."""
        return load_policy(
            self.model,
            learning_rate=self.learning_rate,
            lora_rank=self.lora_rank,
            weight_decay=self.weight_decay,
            precision=self.precision,
        )


def pace(tokens: int, since: float) -> dict[str, float]:
    """What a step's line in the log says of its completions' tokens.

    Args:
        tokens: how many there were, sampled or imitated.
        since: what `time.perf_counter()` said when the step began.
    """
    return {"tokens": float(tokens), "tokens_per_second": tokens / (time.perf_counter() - since)}
