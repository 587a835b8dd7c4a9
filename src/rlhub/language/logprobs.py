"""Log-probs of completion tokens under a model: the packed way where the model allows it, row by row where not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhub.language.hidden import Laid, check_room, follows_layouts, lay, together
from rlhub.language.rows import Group, Row, completion_mask

CHUNK = 512
"""Tokens whose logits over the whole vocabulary are formed at a time."""
KEPT = 1 << 26
"""Most logits (of 4 bytes) that a forward pass keeps so that the backward pass needn't form them again."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a model says about the completions of a batch of groups, in the groups' order.

    Attributes:
        logprobs: log-prob of each completion token, in nats, 0 beyond a completion's end; carries gradients.
        entropy: entropy of the distribution each token was drawn from, in nats; carries none.
        mask: True at a completion's tokens.
    """

    logprobs: Float[Tensor, "completions tokens"]
    entropy: Float[Tensor, "completions tokens"]
    mask: Bool[Tensor, "completions tokens"]


def causal_model(model: nn.Module) -> PreTrainedModel:
    """The transformers model itself, within whatever peft has wrapped around it."""
    wrapped: Any = model
    return wrapped.get_base_model() if hasattr(model, "get_base_model") else wrapped


def score(model: nn.Module, groups: Sequence[Group], *, temperature: float = 1.0) -> Scored:
    """Log-probs of every completion token given its prompt and the tokens before it.

    Args:
        model: a causal language model, possibly with adapters.
        groups: prompts and completions.
        temperature: logits are divided by it first, so that the log-probs are those of the distribution that was sampled from.
    """
    inner = causal_model(model)
    if not shares_prompts(inner):
        return score_separately(inner, groups, temperature=temperature)
    return _score_together(inner, groups, temperature)


def _score_together(model: PreTrainedModel, groups: Sequence[Group], temperature: float) -> Scored:
    return score_states(model, *together(model, groups), temperature=temperature)


def score_states(model: PreTrainedModel, hidden: Float[Tensor, "targets width"], placed: Row | Laid, *, temperature: float) -> Scored:
    """Log-probs of completion tokens from the states that predict them.

    Args:
        model: whose states they are; its head is a linear layer.
        hidden: the states, as `together` or `apart` gives them ...
        placed: ... with where they belong.
        temperature: logits are divided by it.
    """
    logprobs, entropy = chosen_logprobs(hidden, Unembedding.of(model), placed.targets, temperature)
    return _in_rows(logprobs, entropy, placed.lengths)


def score_separately(model: PreTrainedModel, groups: Sequence[Group], *, temperature: float = 1.0, padding_side: str = "right") -> Scored:
    """The same numbers with each completion in a row of its own: for models whose layers cannot follow a layout."""
    check_room(model, groups)
    laid = lay(groups, model.device, padding_side=padding_side)
    logits = model(input_ids=laid.ids, attention_mask=laid.mask, position_ids=laid.positions, use_cache=False).logits
    logprobs = F.log_softmax(logits[laid.rows, laid.columns].float() / temperature, -1)
    entropy = -(logprobs.detach().exp() * logprobs.detach()).sum(-1)
    return _in_rows(logprobs.gather(1, laid.targets[:, None])[:, 0], entropy, laid.lengths)


def _in_rows(logprobs: Float[Tensor, " targets"], entropy: Float[Tensor, " targets"], lengths: Int[Tensor, " completions"]) -> Scored:
    mask = completion_mask(lengths)
    empty = torch.zeros(mask.shape, device=logprobs.device)
    return Scored(logprobs=empty.masked_scatter(mask, logprobs), entropy=empty.masked_scatter(mask, entropy), mask=mask)


def shares_prompts(model: PreTrainedModel) -> bool:
    """Whether this model can score completions that share their prompt in one row."""
    return isinstance(model.get_output_embeddings(), nn.Linear) and follows_layouts(model)


@dataclass(frozen=True, kw_only=True)
class Unembedding:
    """The last linear map of a language model, from the final hidden state h to logits.

    logits = cap * tanh(scale * (W h + b) / cap), without the tanh where the family has no cap.
    """

    weight: Float[Tensor, "vocabulary width"]
    bias: Float[Tensor, " vocabulary"] | None
    scale: float
    cap: float | None

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Unembedding":
        """Read it from a transformers model whose head is a linear layer."""
        head: Any = model.get_output_embeddings()
        config = model.config.get_text_config()
        scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
        return cls(weight=head.weight, bias=head.bias, scale=float(scale), cap=getattr(config, "final_logit_softcapping", None))

    def logits(self, hidden: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens vocabulary"]:
        """Logits in float32."""
        return self.scaled(F.linear(hidden, self.weight, self.bias))

    def scaled(self, products: Float[Tensor, "tokens vocabulary"]) -> Float[Tensor, "tokens vocabulary"]:
        """Logits in float32 from W h + b."""
        logits = products.float()
        if self.scale != 1:
            logits = logits * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


def chosen_logprobs(
    hidden: Float[Tensor, "targets width"], unembedding: Unembedding, targets: Int[Tensor, " targets"], temperature: float = 1.0
) -> tuple[Float[Tensor, " targets"], Float[Tensor, " targets"]]:
    """Log-probs of the target tokens and the entropies of their distributions, never holding more than a chunk of logits.

    log p(y) = z_y - log sum_v exp(z_v) with z = logits / T; its gradient by z is onehot(y) - p.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    weight, bias = unembedding.weight.to(dtype), None if unembedding.bias is None else unembedding.bias.to(dtype)
    cap = None if unembedding.cap is None else unembedding.cap / temperature
    with torch.autocast(kind, enabled=False):
        return _ChosenLogProbs.apply(hidden.to(dtype), weight, bias, targets, unembedding.scale / temperature, cap)


class _ChosenLogProbs(torch.autograd.Function):
    """Forms the logits z of a chunk of tokens at a time; keeps exp(z - max z) for the way back if that is little, else forms them again."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, scale: float, cap: float | None) -> Any:
        logprobs = torch.empty(len(targets), device=hidden.device)
        entropy, highest, totals = (torch.empty_like(logprobs) for _ in range(3))
        keep = any(ctx.needs_input_grad) and cap is None and len(targets) * len(weight) <= KEPT
        ctx.kept = [] if keep else None
        for start in range(0, len(targets), CHUNK):
            part = slice(start, start + CHUNK)
            logits = _logits(hidden[part], weight, bias, scale, cap)
            highest[part] = logits.amax(-1)
            weights = (logits - highest[part, None]).exp_()
            totals[part] = weights.sum(-1)
            norm = highest[part] + totals[part].log()
            logprobs[part] = logits.gather(1, targets[part, None])[:, 0] - norm
            # H = log Z - sum_v p_v z_v
            entropy[part] = norm - torch.linalg.vecdot(weights, logits) / totals[part]
            if ctx.kept is not None:
                ctx.kept.append(weights)
        ctx.save_for_backward(hidden, weight, bias, targets, highest, totals)
        ctx.scale, ctx.cap = scale, cap
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        hidden, weight, bias, targets, highest, totals = ctx.saved_tensors
        upstream = gradients[0]
        kept, ctx.kept = ctx.kept, None  # they are overwritten below
        hidden_grad = torch.empty_like(hidden)
        weight_grad = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        bias_grad = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and ctx.needs_input_grad[2] else None
        for start in range(0, len(targets), CHUNK):
            part = slice(start, start + CHUNK)
            slope = None
            if kept:
                grad = kept.pop(0)
            else:
                logits = _logits(hidden[part], weight, bias, ctx.scale, ctx.cap)
                slope = None if ctx.cap is None else 1 - (logits / ctx.cap) ** 2
                grad = logits.sub_(highest[part, None]).exp_()
            # d log p(y) / d z = onehot(y) - p
            grad.mul_((-ctx.scale * upstream[part] / totals[part])[:, None])
            grad.scatter_add_(1, targets[part, None], ctx.scale * upstream[part, None])
            grad = (grad if slope is None else grad.mul_(slope)).to(hidden.dtype)
            hidden_grad[part] = grad @ weight
            if weight_grad is not None and grad.dtype == weight_grad.dtype:
                weight_grad.addmm_(grad.t(), hidden[part])
            elif weight_grad is not None:
                weight_grad += grad.t() @ hidden[part]
            if bias_grad is not None:
                bias_grad += grad.sum(0)
        return (
            hidden_grad,
            None if weight_grad is None else weight_grad.to(weight.dtype),
            None if bias_grad is None else bias_grad.to(weight.dtype),
            None,
            None,
            None,
        )


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, cap: float | None) -> Tensor:
    logits = F.linear(hidden, weight, bias).float()
    logits = logits if scale == 1 else logits.mul_(scale)
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)
