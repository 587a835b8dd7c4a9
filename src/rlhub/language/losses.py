"""Losses of post-training as sums: what a whole optimisation step divides them by is counted before its first backward pass.

A loss maps the log-probs of a micro-batch's completions to a sum over them; `policy_normaliser` says what the sum over the whole step is
divided by. Because the divisor never depends on a micro-batch, cutting a step into micro-batches changes neither loss nor gradient.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Aggregation = Literal["grpo", "dr_grpo", "dapo", "gspo", "cispo"]
Estimator = Literal["k1", "k2", "k3"]


def negative_log_likelihood(logprobs: Float[Tensor, "completions tokens"], mask: Bool[Tensor, "completions tokens"]) -> Float[Tensor, ""]:
    """- sum over completion tokens of log p(y_t | x, y_<t); divided by the step's completion tokens it is the mean cross-entropy."""
    return -(logprobs * mask).sum()


def policy_loss(
    logprobs: Float[Tensor, "completions tokens"],
    old: Float[Tensor, "completions tokens"],
    advantages: Float[Tensor, " completions"] | Float[Tensor, "completions tokens"],
    mask: Bool[Tensor, "completions tokens"],
    *,
    aggregation: Aggregation = "grpo",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Float[Tensor, "completions tokens"]:
    """The clipped surrogate, token by token, to be weighted by `token_weights` and summed.

    rho_t = pi(y_t) / pi_old(y_t)
    grpo, dr_grpo, dapo:  - min(rho_t A, clip(rho_t, 1 - low, 1 + high) A)       (Schulman et al. 2017, arXiv:1707.06347, Eq. 7, with the
                                                                                  decoupled clip of DAPO, arXiv:2503.14476, Eq. 8)
    gspo:   the same with the sequence's s = exp(mean_t log rho_t) for rho_t     (Zheng et al. 2025, arXiv:2507.18071, Eq. 5 and 7)
    cispo:  - stop_gradient(min(rho_t, high)) A log pi(y_t)                      (MiniMax-M1, arXiv:2506.13585, Eq. 4: caps the weight)

    Args:
        logprobs: log-probs under the policy being trained.
        old: log-probs under the policy that sampled.
        advantages: each completion's, or each token's.
        mask: True at completion tokens.
        aggregation: which method; see above.
        clip_low: how far below 1 the ratio counts.
        clip_high: how far above 1 the ratio counts; for cispo the cap itself.
    """
    weight = advantages if advantages.ndim == 2 else advantages[:, None]
    log_ratio = log_importance(logprobs, old, mask, aggregation)
    ratio = log_ratio.exp()
    if aggregation == "cispo":
        return -(ratio.clamp(max=clip_high).detach() * weight * logprobs) * mask
    surrogate = torch.minimum(ratio * weight, ratio.clamp(1 - clip_low, 1 + clip_high) * weight)
    return -surrogate.expand_as(logprobs) * mask


def log_importance(
    logprobs: Float[Tensor, "completions tokens"],
    old: Float[Tensor, "completions tokens"],
    mask: Bool[Tensor, "completions tokens"],
    aggregation: Aggregation,
) -> Float[Tensor, "completions tokens_or_one"]:
    """Log of the importance ratio: per token, or for gspo per completion (its tokens' mean)."""
    log_ratio = (logprobs - old) * mask
    if aggregation == "gspo":
        return log_ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return log_ratio


def token_weights(mask: Bool[Tensor, "completions tokens"], aggregation: Aggregation) -> Float[Tensor, "completions tokens"]:
    """How much each token's loss weighs in the sum: 1 / |y| where a completion counts as one (grpo, gspo), else 1; 0 off the mask."""
    weights = mask.float()
    return weights / weights.sum(1, keepdim=True).clamp(min=1) if aggregation in ("grpo", "gspo") else weights


def policy_normaliser(lengths: Float[Tensor, " completions"], aggregation: Aggregation, max_new_tokens: int) -> float:
    """What the whole step's sum is divided by.

    grpo, gspo: number of completions (mean over completions of their token means);  dr_grpo: completions * max_new_tokens;
    dapo, cispo: completion tokens.

    Args:
        lengths: how many tokens of each completion of the step count.
        aggregation: which method.
        max_new_tokens: longest completion allowed.
    """
    if aggregation in ("grpo", "gspo"):
        return float(max(len(lengths), 1))
    if aggregation == "dr_grpo":
        return float(max(len(lengths), 1) * max_new_tokens)
    return max(float(lengths.sum()), 1.0)


def kl_estimate(
    logprobs: Float[Tensor, "completions tokens"], reference: Float[Tensor, "completions tokens"], kind: Estimator
) -> Float[Tensor, "completions tokens"]:
    """Estimates of KL(pi || pi_ref) from tokens sampled from pi (Schulman 2020, "Approximating KL divergence").

    With r = log pi_ref(y_t) - log pi(y_t):  k1 = - r;  k2 = r^2 / 2;  k3 = exp(r) - r - 1.

    k1 and k3 are unbiased as values. As losses their gradients are another matter: k1's is zero in expectation, k2's is that of the KL,
    k3's is neither. Nothing is clamped, as a clamp would silence the gradient just where the policies differ most.
    """
    gap = reference - logprobs
    if kind == "k1":
        return -gap
    return gap.square() / 2 if kind == "k2" else torch.expm1(gap) - gap
