"""Losses that learn from preferences: each maps what a policy gives to answers to one loss a pair, or a loss an answer.

r(y) = log pi(y|x) - log pi_ref(y|x) and mean(y) = log pi(y|x) / |y|; the end token is one of an answer's tokens.
"""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from jaxtyping import Bool, Float
from torch import Tensor

Preference = Literal["sigmoid", "robust", "ipo"]


def log_ratios(
    logprobs: Float[Tensor, "completions tokens"],
    reference: Float[Tensor, "completions tokens"],
    mask: Bool[Tensor, "completions tokens"],
    *,
    mean: bool,
) -> Float[Tensor, " completions"]:
    """log pi(y) - log pi_ref(y) of each answer, the end token included: summed over its tokens, or averaged."""
    total = ((logprobs - reference) * mask).sum(1)
    return total / mask.sum(1).clamp(min=1) if mean else total


def preference_loss(
    chosen: Float[Tensor, " pairs"],
    rejected: Float[Tensor, " pairs"],
    *,
    beta: float,
    label_smoothing: float = 0.0,
    kind: Preference = "sigmoid",
) -> Float[Tensor, " pairs"]:
    """The loss of each preference pair.

    sigmoid: - (1 - e) log sigmoid(beta h) - e log sigmoid(- beta h)     (Rafailov et al. 2023, arXiv:2305.18290, Eq. 7; with e > 0 cDPO:
                                                                          Mitchell 2023, "A note on DPO with noisy preferences")
    robust:  (- (1 - e) log sigmoid(beta h) + e log sigmoid(- beta h)) / (1 - 2 e)
                                                                         (Chowdhury et al. 2024, arXiv:2403.00409, Eq. 12: its mean over
                                                                          labels, wrong with probability e, is the loss of the right ones)
    ipo:     (h - 1 / (2 beta))^2                                        (Azar et al. 2023, arXiv:2310.12036, Eq. 17)

    with h = r(chosen) - r(rejected).

    Args:
        chosen: r of the preferred answer: for sigmoid and robust summed over its tokens, for IPO averaged over them, as TRL has it from the
            paper's authors.
        rejected: the same of the other answer.
        beta: strength of the pull to the reference (IPO's tau).
        label_smoothing: e, the probability that a preference is the wrong way round, below 1/2.
        kind: which loss.
    """
    margin = chosen - rejected
    if kind == "ipo":
        return (margin - 1 / (2 * beta)).square()
    straight, swapped = -F.logsigmoid(beta * margin), -F.logsigmoid(-beta * margin)
    if kind == "robust":
        return ((1 - label_smoothing) * straight - label_smoothing * swapped) / (1 - 2 * label_smoothing)
    return (1 - label_smoothing) * straight + label_smoothing * swapped


def simpo_loss(
    chosen: Float[Tensor, " pairs"], rejected: Float[Tensor, " pairs"], *, beta: float, margin: float, label_smoothing: float = 0.0
) -> Float[Tensor, " pairs"]:
    """- log sigmoid(beta (mean(chosen) - mean(rejected)) - margin): no reference (Meng et al. 2024, SimPO, arXiv:2405.14734, Eq. 6).

    Args:
        chosen: mean log-prob of the preferred answer's tokens.
        rejected: the same of the other answer.
        beta: scale of the difference.
        margin: gamma, by how much it should be positive.
        label_smoothing: the probability that a preference is the wrong way round.
    """
    lead = beta * (chosen - rejected) - margin
    return -(1 - label_smoothing) * F.logsigmoid(lead) - label_smoothing * F.logsigmoid(-lead)


def orpo_loss(chosen: Float[Tensor, " pairs"], rejected: Float[Tensor, " pairs"]) -> Float[Tensor, " pairs"]:
    """- log sigmoid(log odds(chosen) - log odds(rejected)) with odds = p / (1 - p), p = exp(mean log-prob).

    The part of ORPO beside the negative log-likelihood of the preferred answer (Hong et al. 2024, arXiv:2403.07691, Eq. 7).

    Args:
        chosen: mean log-prob of the preferred answer's tokens.
        rejected: the same of the other answer.
    """
    return -F.logsigmoid((chosen - rejected) - (log_complement(chosen) - log_complement(rejected)))


def log_complement(logprobs: Float[Tensor, " *shape"]) -> Float[Tensor, " *shape"]:
    """log(1 - exp(x)) for x < 0, exact near both ends (Maechler 2012, "Accurately computing log(1 - exp(-|a|))").

    An answer that is certain has no odds; as if its log-prob were just below 0, so that loss and gradient stay finite.
    """
    below = logprobs.clamp(max=-1e-7)
    return torch.where(below > -0.6931, torch.log(-torch.expm1(below)), torch.log1p(-below.exp()))


def kto_loss(
    ratios: Float[Tensor, " answers"],
    desirable: Bool[Tensor, " answers"],
    reference_point: Float[Tensor, ""],
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Float[Tensor, " answers"]:
    """w (1 - sigmoid(+- beta (r(y) - z0))), plus for desirable answers (Ethayarajh et al. 2024, KTO, arXiv:2402.01306, Eq. 8).

    Args:
        ratios: r of each answer, summed over its tokens.
        desirable: whether it is to be given more often.
        reference_point: z0, the policy's KL to the reference, estimated on answers to other prompts; a constant that is never negative.
        beta: strength of the pull to the reference.
        desirable_weight: w of desirable answers.
        undesirable_weight: w of the others.
    """
    gain = torch.where(desirable, ratios - reference_point, reference_point - ratios)
    weight = torch.where(desirable, desirable_weight, undesirable_weight)
    return weight * torch.sigmoid(-beta * gain)
