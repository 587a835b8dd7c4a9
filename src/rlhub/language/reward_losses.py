"""Losses that teach a model to score answers."""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from jaxtyping import Float
from torch import Tensor

Ties = Literal["drop", "half"]


def bradley_terry_loss(
    better: Float[Tensor, " pairs"],
    worse: Float[Tensor, " pairs"],
    *,
    margin: Float[Tensor, " pairs"] | float = 0.0,
    centring: float = 0.0,
    sure: float = 1.0,
) -> Float[Tensor, " pairs"]:
    """- p log sigmoid(d) - (1 - p) log sigmoid(-d) + c (r_w + r_l)^2 with d = r_w - r_l - m.

    The first part is the Bradley-Terry model's (Ouyang et al. 2022, InstructGPT, arXiv:2203.02155, Eq. 1), with a margin where raters said
    by how much an answer is better (Touvron et al. 2023, Llama 2, arXiv:2307.09288, Eq. 2); the second keeps scores near 0, which the first
    leaves open (Eisenstein et al. 2023, arXiv:2312.09244, Sec. 5). A judge that isn't sure gives p (Bai et al. 2022, arXiv:2212.08073,
    Sec. 4.1).

    Args:
        better: score of the preferred answer.
        worse: score of the other.
        margin: m.
        centring: c.
        sure: p, with which the preferred answer is the better one.
    """
    lead = better - worse - margin
    return -sure * F.logsigmoid(lead) - (1 - sure) * F.logsigmoid(-lead) + centring * (better + worse).square()


def ranking_loss(
    scores: Float[Tensor, " answers"],
    ranks: Float[Tensor, " answers"],
    *,
    ties: Ties = "drop",
    margin: float = 0.0,
    centring: float = 0.0,
    sure: float = 1.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The mean Bradley-Terry loss over all pairs of one prompt's answers, and the share of the pairs that the scores order rightly.

    A prompt's K answers are one batch element: each answer is computed once for its K - 1 pairs, and the sum over pairs is divided by their
    number, K (K - 1) / 2 where none is tied (InstructGPT, Eq. 1). Without a pair both are NaN.

    Args:
        scores: what the model gives.
        ranks: how good the answers are; more is better.
        ties: what becomes of two answers of one rank: left out, as InstructGPT does, or each counted as the better one half of the time.
        margin: of the loss, times the difference in ranks.
        centring: of the loss.
        sure: of the loss.
    """
    first, second = torch.triu_indices(len(scores), len(scores), offset=1, device=scores.device)
    lead = ranks[first] - ranks[second]
    ordered = lead != 0
    better, worse = torch.where(lead > 0, first, second)[ordered], torch.where(lead > 0, second, first)[ordered]
    losses = bradley_terry_loss(scores[better], scores[worse], margin=margin * lead[ordered].abs(), centring=centring, sure=sure).sum()
    right = rightly_ordered(scores[better] - scores[worse]).sum()
    count = ordered.sum()
    if ties == "half":
        one, other = scores[first[~ordered]], scores[second[~ordered]]
        both = bradley_terry_loss(one, other, centring=centring) + bradley_terry_loss(other, one, centring=centring)
        losses, count = losses + both.sum() / 2, count + len(one)
    return losses / count, (right / ordered.sum()).detach()


def rightly_ordered(margins: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """1 where the better answer has the higher score, 0 where it has the lower, one half where both have the same.

    Args:
        margins: score of the better answer minus that of the worse.
    """
    return (margins > 0).float() + 0.5 * (margins == 0).float()


def calibration(margins: Float[Tensor, " pairs"], *, bins: int = 10) -> tuple[Float[Tensor, "bins 3"], float]:
    """How often the answer that a score calls better with probability p is the better one, and the expected calibration error.

    Args:
        margins: score of the better answer minus that of the worse.
        bins: equal parts of [1/2, 1], the probability of the answer that the score prefers.

    Returns:
        For each bin the mean probability, the share that is right, and the number of pairs (NaN, NaN and 0 where there is none); and
        sum over bins of (pairs in it / pairs) |share right - mean probability| (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599).
    """
    chances, right = torch.sigmoid(margins.abs()), rightly_ordered(margins)
    place = ((chances - 0.5) * 2 * bins).long().clamp(max=bins - 1)
    rows = []
    for each in range(bins):
        inside = place == each
        count = float(inside.sum())
        rows.append([float(chances[inside].mean()), float(right[inside].mean()), count] if count else [float("nan"), float("nan"), 0.0])
    table = torch.tensor(rows)
    filled = table[:, 2] > 0
    gaps = (table[filled, 0] - table[filled, 1]).abs() * table[filled, 2]
    return table, float(gaps.sum() / max(len(margins), 1))
