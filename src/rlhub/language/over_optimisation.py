"""How far a reward model can be trusted: what answers are really worth (gold) against how hard its own score (proxy) was pushed.

Gao, Schulman & Hilton 2022 (arXiv:2210.10760) measure the push as d = sqrt(KL(policy || starting model)), and find that the gold reward
first rises and then falls along two simple curves: one for best-of-n, one for reinforcement learning.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Push = Literal["best-of-n", "rl"]


def best_of_n_kl(n: int) -> float:
    """KL(best of n || policy) = log n - (n - 1) / n, in nats an answer (Stiennon et al. 2020, arXiv:2009.01325, App. G.3).

    It is exact where no two answers have the same score, and an upper bound where some have (Beirami et al. 2024, arXiv:2401.01879).

    Args:
        n: answers that are drawn, of which the one with the highest score is taken.
    """
    return math.log(n) - (n - 1) / n


def best_of_n(
    scores: Float[Tensor, "*prompts samples"], values: Float[Tensor, "*prompts samples"], sizes: Sequence[int]
) -> Float[Tensor, "*prompts sizes"]:
    """What the answer with the highest score among n is worth on average, without bias, for every n up to the number of samples N.

    The mean over all C(N, n) choices of n samples: with samples in ascending order of their scores,
    sum_i C(i - 1, n - 1) / C(N, n) value_i (Nakano et al. 2021, WebGPT, arXiv:2112.09332, App. I). Of answers with the same score each is
    taken equally often.

    Args:
        scores: what is chosen by.
        values: what the chosen answer is worth: the gold reward, or the scores themselves.
        sizes: n, from 1 to N.

    Raises:
        ValueError: an n lies outside 1 to N.
    """
    count = scores.shape[-1]
    if not all(1 <= size <= count for size in sizes):
        raise ValueError(f"sizes are {list(sizes)}; with {count} samples the best of 1 to {count} can be told")
    same = (scores[..., :, None] == scores[..., None, :]).double()
    shared = (same @ values.double()[..., None])[..., 0] / same.sum(-1)
    ascending = shared.gather(-1, scores.argsort(-1))
    place = torch.arange(1, count + 1, dtype=torch.float64)
    rows = []
    for size in sizes:
        ways = log_choose(place - 1, size - 1) - log_choose(torch.tensor(float(count), dtype=torch.float64), size)
        rows.append(torch.where(place >= size, ways.exp(), 0.0))
    return (ascending @ torch.stack(rows, -1)).to(values.dtype)


def log_choose(n: Float[Tensor, "*numbers"], k: int) -> Float[Tensor, "*numbers"]:
    """log C(n, k); meaningless where n < k."""
    return torch.lgamma(n + 1) - math.lgamma(k + 1) - torch.lgamma((n - k).clamp(min=0) + 1)


@dataclass(frozen=True, kw_only=True)
class Law:
    """The gold reward, 0 for the starting model, at a distance d = sqrt(KL) (Gao et al. 2022, arXiv:2210.10760, Eq. 1).

    best-of-n: R(d) = d (alpha - beta d);  rl: R(d) = d (alpha - beta log d)

    Attributes:
        push: which of the two.
        alpha: how fast it rises at first.
        beta: how fast that is used up.
    """

    push: Push
    alpha: float
    beta: float

    @classmethod
    def fit(cls, push: Push, distances: Float[Tensor, " points"], rewards: Float[Tensor, " points"]) -> "Law":
        """The law with the least squared error; it is linear in alpha and beta.

        Args:
            push: which law.
            distances: d.
            rewards: the gold reward there, less the starting model's.

        Raises:
            ValueError: fewer than two distances are above 0.
        """
        far = distances > 0
        if int(far.sum()) < 2:
            raise ValueError("a law has two numbers, so its fit needs two distances above 0")
        away = distances[far].double()
        columns = torch.stack([away, -away * cls._used_up(push, away)], 1)
        alpha, beta = torch.linalg.lstsq(columns, rewards[far].double()[:, None]).solution[:, 0].tolist()
        return cls(push=push, alpha=alpha, beta=beta)

    def __call__(self, distances: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        """The gold reward at some distances."""
        used_up = self._used_up(self.push, distances.clamp(min=torch.finfo(distances.dtype).tiny))
        return distances * (self.alpha - self.beta * used_up)

    @property
    def peak(self) -> float:
        """The distance from which on the gold reward falls; infinite where it never does, 0 where it falls from the start."""
        if self.beta == 0 or (self.beta < 0 and self.push == "best-of-n"):
            return math.inf if self.alpha >= 0 else 0.0
        if self.beta < 0:
            return 0.0  # the slope alpha - beta (1 + log d) is without bound below as d comes to 0
        if self.push == "best-of-n":
            return max(self.alpha / (2 * self.beta), 0.0)
        try:
            return math.exp(self.alpha / self.beta - 1)
        except OverflowError:
            return math.inf

    @staticmethod
    def _used_up(push: Push, distances: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        return distances if push == "best-of-n" else distances.log()
