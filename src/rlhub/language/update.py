"""One optimisation step: micro-batches of packed groups, one sum, one normaliser, one change of the parameters."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor
from transformers import PreTrainedModel

from rlhub.core.errors import UserError
from rlhub.language.logprobs import Scored, score
from rlhub.language.model import Policy, load_model
from rlhub.language.rows import Group, micro_batches

Schedule = Literal["constant", "linear", "cosine"]
MICRO_TOKENS = 768


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a loss says about a micro-batch.

    Attributes:
        loss: the sum over the micro-batch, not yet divided by the step's normaliser; carries gradients.
        sums: numbers that add up over micro-batches, for metrics.
    """

    loss: Float[Tensor, ""]
    sums: dict[str, Num[Tensor, ""]] = field(default_factory=dict)


Objective = Callable[..., Terms]
Reader = Callable[[Any, Sequence[Group]], Any]
"""From a model and groups to what it says of them, with a `mask` of the completions' tokens."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Groups, and what else belongs to each of their completions.

    Attributes:
        groups: prompts with as many completions each.
        columns: by name, first axis [completions, ...] in the groups' order.
    """

    groups: list[Group]
    columns: dict[str, Tensor]

    def select(self, rows: Int[Tensor, " chosen"]) -> "Batch":
        """The same for some of the groups."""
        shape = (len(self.groups), -1)
        return Batch(
            groups=[self.groups[row] for row in rows.tolist()],
            columns={name: column.unflatten(0, shape)[rows].flatten(0, 1) for name, column in self.columns.items()},
        )

    def only(self, *names: str) -> "Batch":
        """The same with some of the columns."""
        return Batch(groups=self.groups, columns={name: self.columns[name] for name in names})


def optimise(
    policy: Policy,
    groups: Sequence[Group],
    objective: Objective,
    *,
    normaliser: float | int,
    columns: dict[str, Tensor] | None = None,
    temperature: float = 1.0,
    learning_rate: float,
    max_norm: float = 1.0,
    micro_tokens: int = MICRO_TOKENS,
    read: Reader | None = None,
) -> dict[str, float]:
    """Change the policy's parameters once.

    Args:
        policy: what is trained.
        groups: the step's prompts and completions, all of them.
        objective: called for each micro-batch as `objective(scored, **columns)` with the micro-batch's rows of `columns`.
        normaliser: what the sum of the whole step is divided by.
        columns: what else belongs to each completion, first axis [completions, ...] in the groups' order.
        temperature: what the completions were sampled at.
        learning_rate: AdamW's step size in this step.
        max_norm: the gradient is scaled down to this norm (0: never).
        micro_tokens: most tokens computed at a time; changes memory and speed, never the result.
        read: what the objective is given of a model and a micro-batch; by default the log-probs (`score`).

    Returns:
        `loss`, `gradient_norm` (before clipping), `learning_rate` and the sums over all micro-batches.
    """
    policy.optimizer.zero_grad(set_to_none=True)
    totals: dict[str, Tensor] = {"loss": torch.zeros((), dtype=torch.float64)}
    # One autocast around all micro-batches rounds each weight once, not once for each of them.
    with policy.autocast():
        for part, rows in _parts(groups, micro_tokens):
            scored = score(policy.model, part, temperature=temperature) if read is None else read(policy.model, part)
            with torch.autocast(policy.device.type, enabled=False):
                terms = objective(scored, **{name: _rows(column, rows, scored) for name, column in (columns or {}).items()})
                (terms.loss / normaliser).backward()
            for name, value in {"loss": terms.loss / normaliser, **terms.sums}.items():
                totals[name] = totals.get(name, torch.zeros((), dtype=torch.float64)) + value.detach().double().cpu()
    for parameter in policy.trainable:
        # A step that nothing is learnt from still moves along the optimiser's momentum, as it would with the same groups computed.
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    norm = torch.nn.utils.clip_grad_norm_(policy.trainable, max_norm or math.inf)
    for settings in policy.optimizer.param_groups:
        settings["lr"] = learning_rate
    # A step that a NaN would spoil is not taken; the run sees the loss and stops with the last good parameters.
    if math.isfinite(norm) and math.isfinite(totals["loss"]):
        policy.optimizer.step()
    else:
        totals["loss"] = torch.tensor(math.nan)
    policy.optimizer.zero_grad(set_to_none=True)
    return {name: float(total) for name, total in totals.items()} | {"gradient_norm": float(norm), "learning_rate": learning_rate}


@torch.no_grad()
def score_all(
    policy: Policy, groups: Sequence[Group], *, model: Any = None, temperature: float = 1.0, micro_tokens: int = MICRO_TOKENS
) -> Scored:
    """Log-probs of a whole step's completions without gradient, on the CPU, under the policy or under `model` (a reference)."""
    parts = []
    with policy.autocast():
        for part, _ in _parts(groups, micro_tokens):
            parts.append(score(policy.model if model is None else model, part, temperature=temperature))
    longest = max(part.mask.shape[1] for part in parts)
    return Scored(
        logprobs=torch.cat([_widen(part.logprobs, longest) for part in parts]),
        entropy=torch.cat([_widen(part.entropy, longest) for part in parts]),
        mask=torch.cat([_widen(part.mask, longest) for part in parts]),
    )


def load_reference(policy: Policy, name: str) -> PreTrainedModel | None:
    """The starting model, frozen, to compare with; None where adapters are trained, whose base is that model."""
    return None if policy.lora else load_model(name)[0].requires_grad_(False)


def reference_logprobs(
    policy: Policy,
    reference: PreTrainedModel | None,
    groups: Sequence[Group],
    *,
    temperature: float = 1.0,
    micro_tokens: int = MICRO_TOKENS,
) -> Float[Tensor, "completions tokens"]:
    """Log-probs under the starting model: a model of its own, or the policy without its adapters."""
    with policy.base() if reference is None else nullcontext():
        return score_all(policy, groups, model=reference, temperature=temperature, micro_tokens=micro_tokens).logprobs


def scheduled(step: int, *, steps: int, peak: float, warmup: int = 0, schedule: Schedule = "constant") -> float:
    """The learning rate at a step counted from 1: a linear rise over `warmup` steps, then constant, or falling to 0 after `steps`."""
    if step <= warmup:
        return peak * step / warmup
    done = (step - 1 - warmup) / max(steps - warmup, 1)
    match schedule:
        case "constant":
            return peak
        case "linear":
            return peak * (1 - done)
        case "cosine":
            return peak * (1 + math.cos(math.pi * done)) / 2
    raise UserError(f"the schedule {schedule!r} is unknown; it is one of constant, linear, cosine")


def _parts(groups: Sequence[Group], tokens: int) -> list[tuple[list[Group], slice]]:
    """Micro-batches, each with the rows of its completions among all completions of the step."""
    parts, start = [], 0
    for indices in micro_batches(groups, tokens):
        part = [groups[index] for index in indices]
        count = sum(len(group.completions) for group in part)
        if count:
            parts.append((part, slice(start, start + count)))
        start += count
    return parts


def _rows(column: Tensor, rows: slice, scored: Any) -> Tensor:
    """A column's part for one micro-batch; what belongs to tokens is cut to the micro-batch's longest completion."""
    part = column[rows].to(scored.mask.device)
    return part if part.ndim == 1 else part[:, : scored.mask.shape[1]]


def _widen(x: Float[Tensor, "completions tokens"] | Bool[Tensor, "completions tokens"], longest: int) -> Tensor:
    return torch.nn.functional.pad(x, (0, longest - x.shape[1])).cpu()
