"""The arms of a study: which systems are trained, how long, and which checkpoints are kept, for each size of study."""

from dataclasses import dataclass
from typing import Any, Literal

from rlhub.core.errors import UserError
from rlhub.language.dpo import DPO
from rlhub.language.grpo import GRPO
from rlhub.language.sft import SFT
from rlhub.lens.tracing import Corruption, Restored

SizeName = Literal["tiny", "small", "full"]
SIGNALS = ("sft", "dpo", "grpo")
CONTROL = "random"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much a study does.

    Attributes:
        model: the base.
        seeds: runs of each arm.
        sft: the arm's fields.
        dpo: the arm's fields.
        grpo: the arm's fields; the control has the same.
        keep: steps of each arm at which the model is kept.
        new_tokens: longest completion when facts are asked for.
        untouched: facts of other relations that are asked for.
        pairs: pairs of prompts that circuits are found on.
        patched: of these, pairs for activation patching and tracing.
        corruptions: how causal tracing corrupts the subject.
        restored: what causal tracing restores.
        draws: noise draws of causal tracing.
    """

    model: str
    seeds: int
    sft: dict[str, Any]
    dpo: dict[str, Any]
    grpo: dict[str, Any]
    keep: dict[str, tuple[int, ...]]
    new_tokens: int
    untouched: int
    pairs: int
    patched: int
    corruptions: tuple[Corruption, ...]
    restored: tuple[Restored, ...]
    draws: int


SIZES: dict[str, Size] = {
    "tiny": Size(
        model="tiny",
        seeds=1,
        sft={"steps": 12, "batch": 32, "learning_rate": 3e-4},
        dpo={"steps": 12, "batch": 32, "learning_rate": 3e-4},
        grpo={"steps": 12, "prompts": 32, "group": 8, "max_new_tokens": 3, "learning_rate": 3e-4},
        keep={"sft": (2, 6), "dpo": (2, 6), "grpo": (2, 6), "random": (6,)},
        new_tokens=4,
        untouched=60,
        pairs=24,
        patched=12,
        corruptions=("noise", "replacement"),
        restored=("mlp", "attention"),
        draws=3,
    ),
    "small": Size(
        model="smollm2",
        seeds=1,
        sft={"steps": 14, "batch": 32, "learning_rate": 1e-5},
        dpo={"steps": 10, "batch": 16, "learning_rate": 1e-5},
        grpo={"steps": 8, "prompts": 32, "group": 8, "max_new_tokens": 6, "learning_rate": 1e-5, "warmup": 2},
        keep={"sft": (10,), "dpo": (), "grpo": (), "random": ()},
        new_tokens=6,
        untouched=60,
        pairs=24,
        patched=6,
        corruptions=("replacement",),
        restored=("mlp",),
        draws=1,
    ),
    "full": Size(
        model="smollm2",
        seeds=3,
        sft={"steps": 16, "batch": 32, "learning_rate": 1e-5},
        dpo={"steps": 12, "batch": 32, "learning_rate": 1e-5},
        # Many prompts, few and small steps: under AdamW a random reward's noise makes steps as large as a signal's, and they add up.
        grpo={"steps": 14, "prompts": 46, "group": 8, "max_new_tokens": 6, "learning_rate": 5e-6, "warmup": 2},
        keep={"sft": (4, 6, 8, 11, 13), "dpo": (4, 8, 10), "grpo": (5, 8, 11), "random": (7,)},
        new_tokens=6,
        untouched=120,
        pairs=32,
        patched=12,
        corruptions=("replacement",),
        restored=("mlp", "attention"),
        draws=1,
    ),
}


def arms(signals: tuple[str, ...], *, control: bool) -> tuple[str, ...]:
    """The arms asked for, the control last.

    Raises:
        UserError: a signal that there is not, or none at all.
    """
    unknown = [signal for signal in signals if signal not in (*SIGNALS, CONTROL)]
    if unknown:
        raise UserError(f"there is no signal {unknown[0]!r}: choose from {', '.join(SIGNALS)}; the random-reward control comes by itself")
    if not signals:
        raise UserError(f"a study needs at least one signal: choose from {', '.join(SIGNALS)}")
    chosen = tuple(dict.fromkeys(signal for signal in signals if signal != CONTROL))
    return (*chosen, CONTROL) if control or CONTROL in signals else chosen


def system(arm: str, size: Size, *, model: str, task: str, preferences: str) -> SFT | DPO | GRPO:
    """The system that trains an arm.

    Args:
        arm: sft, dpo, grpo or random.
        size: how much it trains.
        model: the base.
        task: the facts.
        preferences: a task with a better and a worse answer to the same facts.
    """
    if arm == "sft":
        return SFT(model=model, task=task, **size.sft)
    if arm == "dpo":
        return DPO(model=model, task=preferences, **size.dpo)
    return GRPO(model=model, task=task, reward="random" if arm == CONTROL else "task", **size.grpo)


def keep(arm: str, size: Size) -> tuple[int, ...]:
    """The steps of an arm whose model is kept; the last one always is."""
    steps = {"sft": size.sft, "dpo": size.dpo}.get(arm, size.grpo)["steps"]
    return (*(step for step in size.keep[arm] if step < steps), steps)
