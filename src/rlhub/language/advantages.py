"""From rewards to advantages: how much better a completion was than its group."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Credit = Literal["sum", "min"]


def group_advantages(
    rewards: Float[Tensor, "prompts group"],
    counted: Bool[Tensor, "prompts group"] | None = None,
    *,
    scale: bool = True,
    epsilon: float = 1e-4,
) -> Float[Tensor, "prompts group"]:
    """Each completion's reward against its group.

    A_i = (r_i - mean(r)) / (std(r) + epsilon)        (Shao et al. 2024, arXiv:2402.03300, Sec. 4.1.2; std with Bessel's correction)
    A_i = r_i - mean(r)                               without `scale` (Liu et al. 2025, Dr. GRPO, arXiv:2503.20783)

    A group whose rewards are all the same gets exactly 0: rounding of its mean would otherwise be blown up by the division.

    Args:
        rewards: reward of each completion; NaN where no reward applies.
        counted: False for a completion without tokens: it takes no part in mean and std, and its advantage is 0. NaN rewards never count.
        scale: divide by the group's standard deviation.
        epsilon: keeps groups that are nearly tied from exploding.
    """
    counted = rewards.isfinite() if counted is None else counted & rewards.isfinite()
    # In float64 and from the group's first counted reward, so that a common offset costs no digits.
    offset = torch.where(counted, rewards, torch.inf).amin(-1, keepdim=True)
    values = torch.where(counted, rewards.double() - offset.double(), 0.0)
    number = counted.sum(-1, keepdim=True).clamp(min=1)
    centred = torch.where(counted, values - values.sum(-1, keepdim=True) / number, 0.0)
    if scale:
        std = (centred.square().sum(-1, keepdim=True) / (number - 1).clamp(min=1)).sqrt()
        centred = centred / (std + epsilon)
    return torch.where(tied(rewards, counted)[:, None], 0.0, centred).to(rewards.dtype)


def process_advantages(
    rewards: Sequence[Sequence[float]],
    ends: Sequence[Sequence[int]],
    *,
    group: int,
    tokens: int,
    credit: Credit = "sum",
    epsilon: float = 1e-4,
) -> Float[Tensor, "completions tokens"]:
    """Each token's advantage from the rewards of its own and all later steps, against those of the group's completions.

    sum: r~ = (r - mean(R)) / (std(R) + epsilon) over all steps of the group; A_t = sum of r~ over steps that end at t or later
    (Shao et al. 2024, arXiv:2402.03300, Sec. 4.1.3). min: V_k = the least reward of step k and those after it (Cheng et al. 2025, PURE,
    arXiv:2504.15275), and A_t = (V_k - mean(V)) / (std(V) + epsilon) for t in step k. PURE shows what sums lead to: a model learns to write
    whatever steps the judge rewards most, or as many as bring the largest sum, right or not.

    Args:
        rewards: of each completion's steps.
        ends: the number of tokens up to each step's end.
        group: completions per prompt.
        tokens: of the longest completion.
        credit: how steps' rewards make up a return.
        epsilon: keeps groups that are nearly tied from exploding.
    """
    advantages = torch.zeros(len(rewards), tokens)
    for start in range(0, len(rewards), group):
        rows = range(start, min(start + group, len(rewards)))
        worths = {row: list(rewards[row]) if credit == "sum" else least_to_come(rewards[row]) for row in rows}
        values = torch.tensor([worth for row in rows for worth in worths[row]], dtype=torch.float64)
        if len(values) < 2 or bool((values == values[0]).all()):
            continue
        mean, scale = values.mean(), values.std() + epsilon
        for row in rows:
            begin = 0
            for worth, end in zip(worths[row], ends[row], strict=True):
                advantages[row, begin:end] += float((worth - mean) / scale)
                begin = end if credit == "min" else 0
    return advantages


def least_to_come(rewards: Sequence[float]) -> list[float]:
    """The least of each number and all that follow it."""
    return list(accumulate(reversed(rewards), min))[::-1]


def leave_one_out(
    rewards: Float[Tensor, "prompts group"], counted: Bool[Tensor, "prompts group"] | None = None
) -> Float[Tensor, "prompts group"]:
    """A_i = r_i - mean of the group's other rewards (Kool et al. 2019; Ahmadian et al. 2024, RLOO, arXiv:2402.14740, Eq. 7).

    What does not depend on a completion itself takes nothing from its gradient's mean. Without another that counts the advantage is 0.

    Args:
        rewards: reward of each completion; NaN where no reward applies.
        counted: see `group_advantages`.
    """
    counted = rewards.isfinite() if counted is None else counted & rewards.isfinite()
    number = counted.sum(-1, keepdim=True)
    return group_advantages(rewards, counted, scale=False) * (number / (number - 1).clamp(min=1))


def tied(rewards: Float[Tensor, "prompts group"], counted: Bool[Tensor, "prompts group"] | None = None) -> Bool[Tensor, " prompts"]:
    """Groups that teach nothing: all their counted rewards are equal, or fewer than two count."""
    counted = rewards.isfinite() if counted is None else counted & rewards.isfinite()
    low = torch.where(counted, rewards, torch.inf).amin(-1)
    high = torch.where(counted, rewards, -torch.inf).amax(-1)
    return high <= low


def whitened(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"], *, centre: bool = True) -> Float[Tensor, "*shape"]:
    """Values with standard deviation 1 over the mask, and mean 0 unless that is kept; 0 off the mask.

    The variance is the population's (Ziegler et al. 2019, arXiv:1909.08593), over whatever is given: here a whole step. Their code,
    lm-human-preferences, whitens within its loss, once a minibatch.

    Args:
        x: values.
        mask: True where they count.
        centre: take the mean out.
    """
    count = mask.sum().clamp(min=1)
    mean = (x * mask).sum() / count
    variance = ((x - mean).square() * mask).sum() / count
    scaled = (x - mean) * torch.rsqrt(variance + 1e-8)
    return (scaled if centre else scaled + mean) * mask


def token_rewards(
    divergence: Float[Tensor, "completions tokens"],
    scores: Float[Tensor, " completions"],
    mask: Bool[Tensor, "completions tokens"],
    *,
    kl: float,
) -> Float[Tensor, "completions tokens"]:
    """r_t = - kl (log pi(y_t) - log pi_ref(y_t)), and the answer's score at its last token; answers without tokens have none.

    Args:
        divergence: log pi - log pi_ref of each token.
        scores: each answer's.
        mask: True at its tokens.
        kl: beta.
    """
    rewards = -kl * divergence * mask
    last = (mask.sum(1) - 1).clamp(min=0)
    return rewards.scatter_add(1, last[:, None], torch.where(mask.any(1), scores, 0.0)[:, None])
