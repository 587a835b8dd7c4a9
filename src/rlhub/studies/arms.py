"""The arms of studies: how much a size of study trains and measures, and which checkpoints are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlhub.core.errors import UserError
from rlhub.lens.tracing import Corruption, Restored
from rlhub.studies.names import CONTROL

SizeName = Literal["tiny", "small", "full"]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much a study does.

    Attributes:
        model: what it begins from.
        seeds: runs of each arm.
        arms: the fields of each arm's system, and of what comes before the arms; the control has GRPO's.
        longer: how the warm-up before the arms changes where it teaches too little, again and again.
        keep: steps of an arm at which the model is kept, beside the last.
        new_tokens: longest completion when questions are asked.
        untouched: questions of other kinds that are asked.
        pairs: pairs of prompts that circuits are found on.
        patched: of these, pairs for activation patching and tracing.
        corruptions: how causal tracing corrupts the subject.
        restored: what causal tracing restores.
        draws: noise draws of causal tracing.
    """

    model: str
    seeds: int
    arms: Mapping[str, Mapping[str, Any]]
    keep: Mapping[str, tuple[int, ...]]
    new_tokens: int
    untouched: int
    pairs: int
    patched: int
    corruptions: tuple[Corruption, ...]
    restored: tuple[Restored, ...]
    draws: int
    longer: Sequence[Mapping[str, Any]] = ()


def arms(signals: Sequence[str], *, known: Sequence[str], control: bool) -> tuple[str, ...]:
    """The arms asked for, the control last.

    Args:
        signals: what was asked for.
        known: what there is.
        control: whether the control comes, too, if it wasn't asked for.

    Raises:
        UserError: a signal that there is not, or none at all.
    """
    unknown = [signal for signal in signals if signal not in (*known, CONTROL)]
    if unknown:
        raise UserError(f"there is no signal {unknown[0]!r}: choose from {', '.join(known)}; the random-reward control comes by itself")
    if not signals:
        raise UserError(f"a study needs at least one signal: choose from {', '.join(known)}")
    chosen = tuple(dict.fromkeys(signal for signal in signals if signal != CONTROL))
    return (*chosen, CONTROL) if control or CONTROL in signals else chosen


def kept_steps(arm: str, size: Size, last: int) -> tuple[int, ...]:
    """The steps of an arm whose model is kept; the last one always is."""
    return (*(step for step in size.keep.get(arm, ()) if step < last), last)
