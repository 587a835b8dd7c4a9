"""How sure a number is: robust means, bootstrap intervals, areas under curves."""

import math
from collections.abc import Callable
from statistics import NormalDist

import torch
from jaxtyping import Float, Int
from torch import Tensor

Statistic = Callable[[Float[Tensor, "... values"]], Float[Tensor, "..."]]


def mean(values: Float[Tensor, "... values"]) -> Float[Tensor, "..."]:
    """The mean over the last axis."""
    return values.mean(-1)


def interquartile_mean(values: Float[Tensor, "... values"]) -> Float[Tensor, "..."]:
    """The mean of the middle half over the last axis: robust as the median, efficient as the mean.

    A quarter of the values (rounded down) is left out at either end, as a 25% trimmed mean does
    (Agarwal et al. 2021, arXiv:2108.13264, Sec. 4.3).
    """
    count = values.shape[-1]
    cut = count // 4
    return values.sort(-1).values[..., cut : count - cut].mean(-1)


def bootstrap_interval(
    values: Float[Tensor, " values"],
    statistic: Statistic = mean,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """The percentile bootstrap interval of a statistic (Efron 1979).

    Args:
        values: independent measurements.
        statistic: reduces the last axis.
        resamples: how often the values are drawn anew, with replacement.
        level: the share of resampled statistics inside the interval.
        generator: where the draws come from.

    Returns:
        The lower and the upper end.
    """
    return stratified_bootstrap_interval(
        values[None],
        lambda samples: statistic(samples.flatten(-2)),
        resamples=resamples,
        level=level,
        generator=generator,
    )


def stratified_bootstrap_interval(
    values: Float[Tensor, "strata values"],
    statistic: Callable[[Float[Tensor, "resamples strata values"]], Float[Tensor, " resamples"]] | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """The percentile bootstrap interval when values are drawn anew within each stratum only (runs within tasks).

    The strata themselves are taken as given: the interval tells of the spread over seeds and not over the choice of tasks
    (Agarwal et al. 2021, arXiv:2108.13264, Sec. 4.1).

    Args:
        values: one row a stratum.
        statistic: reduces the two last axes; by default the interquartile mean of all values together.
        resamples: how often the values are drawn anew, with replacement.
        level: the share of resampled statistics inside the interval.
        generator: where the draws come from.

    Returns:
        The lower and the upper end.
    """
    if values.numel() == 0:
        raise ValueError("an interval needs at least one value")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    statistic = statistic or (lambda samples: interquartile_mean(samples.flatten(-2)))
    strata, count = values.shape
    values = values.double()
    statistics = []
    for chunk in torch.arange(resamples).split(max(1, 10_000_000 // values.numel())):
        drawn = torch.randint(count, (len(chunk), strata, count), generator=generator)
        statistics.append(statistic(_pick(values, drawn)))
    tail = (1 - level) / 2
    low, high = torch.cat(statistics).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def wilson_interval(share: float, count: int | float, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927, JASA 22): the shares p that lie within z standard errors of what was seen.

    (s + z^2 / 2n  -+  z sqrt(s (1 - s) / n + z^2 / 4n^2)) / (1 + z^2 / n). Unlike a bootstrap's it has a width where all or none were hits.

    Args:
        share: s, of the trials that were hits.
        count: n, independent trials.
        level: the share of such intervals that hold the true share.

    Returns:
        The lower and the upper end; 0 and 1 where there was no trial.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    if count <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return max((middle - reach) / whole, 0.0), min((middle + reach) / whole, 1.0)


def trapezoid(y: Float[Tensor, "... points"], x: Float[Tensor, " points"]) -> Float[Tensor, "..."]:
    """The area under the straight lines between the points, sum of (x[i+1] - x[i]) (y[i] + y[i+1]) / 2 over the last axis."""
    return torch.trapezoid(y, x, dim=-1)


def _pick(
    values: Float[Tensor, "strata values"], drawn: Int[Tensor, "resamples strata values"]
) -> Float[Tensor, "resamples strata values"]:
    return values.expand(len(drawn), -1, -1).gather(-1, drawn)
