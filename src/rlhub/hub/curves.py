"""Curves as a page draws them: thinned without losing a spike, smoothed, and many seeds as one line with its interval."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

WIDTH = 800
RESAMPLES = 400


def thinned(values: Float[np.ndarray, " points"], *, width: int = WIDTH) -> Int[np.ndarray, " kept"]:
    """Which points to draw so that a curve looks the same on so many columns of pixels.

    The points are parted into `width` runs of equal length, and of each its lowest and its highest stay, so that no spike is lost, which
    would be if every n-th point was taken; the first and the last point stay too.

    Args:
        values: of the points in order; NaN where there is none.
        width: columns.

    Returns:
        The places of what is kept, in order; all of them where there are no more than four a column.
    """
    count = len(values)
    if count <= 4 * width:
        return np.arange(count)
    edges = np.linspace(0, count, width + 1).astype(int)
    part = np.repeat(np.arange(width), np.diff(edges))
    held = np.nan_to_num(values, nan=0.0)
    # Sorted by part and then by value: a part's lowest is its first and its highest its last.
    order = np.lexsort((held, part))
    places = np.concatenate([order[edges[:-1]], order[edges[1:] - 1], [0, count - 1]])
    return np.unique(places)


def smoothed(values: Float[np.ndarray, "points seeds"], smoothing: float) -> Float[np.ndarray, "points seeds"]:
    """An exponential mean that starts at the first value without bias: m_t = sum_k s^(t-k) x_k / sum_k s^(t-k).

    Args:
        values: a column for each seed; NaN is passed over.
        smoothing: s in [0, 1); 0 leaves values as they are.
    """
    if smoothing <= 0 or not len(values):
        return values
    there = np.isfinite(values)
    held = np.where(there, values, 0.0)
    out = np.empty_like(values)
    total, weight = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for place in range(len(values)):
        total = smoothing * total + held[place]
        weight = smoothing * weight + there[place]
        out[place] = np.where(weight > 0, total / np.maximum(weight, 1e-300), np.nan)
    return out


def curve(
    steps: Float[np.ndarray, " points"], values: Float[np.ndarray, "points seeds"], *, width: int = WIDTH, smoothing: float = 0.0
) -> list[dict[str, Any]]:
    """Each seed's curve as JSON: its steps and values, thinned."""
    told = []
    for column in smoothed(values, smoothing).T:
        kept = thinned(column, width=width)
        told.append({"steps": _numbers(steps[kept]), "values": _numbers(column[kept])})
    return told


def on_grid(
    steps: Float[np.ndarray, " points"], values: Float[np.ndarray, "points seeds"], grid: Float[np.ndarray, " cells"]
) -> Float[np.ndarray, "cells seeds"]:
    """The mean of each seed's values in the stretch of steps that ends at each point of a grid; NaN where it has none."""
    cell = np.searchsorted(grid, steps)
    inside = cell < len(grid)
    out = np.full((len(grid), values.shape[1]), np.nan)
    for seed in range(values.shape[1]):
        good = inside & np.isfinite(values[:, seed])
        sums = np.bincount(cell[good], weights=values[good, seed], minlength=len(grid))
        counts = np.bincount(cell[good], minlength=len(grid))
        out[:, seed] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return out


def middle(values: Float[np.ndarray, "... seeds"]) -> Float[np.ndarray, "..."]:
    """The interquartile mean over the last axis, a quarter (rounded down) left out at either end (Agarwal et al. 2021, Sec. 4.3)."""
    count = values.shape[-1]
    cut = count // 4
    return np.sort(values, -1)[..., cut : count - cut].mean(-1)


def interval(values: Float[np.ndarray, "cells seeds"], *, level: float = 0.95, seed: int = 0) -> Float[np.ndarray, "2 cells"]:
    """The percentile bootstrap interval of `middle` at each point of a curve; all points share the draws of seeds."""
    seeds = values.shape[1]
    drawn = np.random.default_rng(seed).integers(seeds, size=(RESAMPLES, seeds))
    statistics = np.stack([middle(values[:, pick]) for pick in drawn])
    tail = (1 - level) / 2
    return np.quantile(statistics, [tail, 1 - tail], axis=0)


def together(
    seeds: list[tuple[Float[np.ndarray, " _"], Float[np.ndarray, "_ _"]]], *, cells: int = 200, smoothing: float = 0.0
) -> dict[str, Any]:
    """Several seeds' curves as one: their interquartile mean and its 95% interval where all of them have values.

    Args:
        seeds: steps and values of each run; a run may itself have several seeds.
        cells: points of the grid on which they are compared.
        smoothing: as in `smoothed`, on the grid.

    Returns:
        As JSON: steps, values, low and high, and how many seeds there are.
    """
    ends = [steps[-1] for steps, _ in seeds if len(steps)]
    if not ends or len(ends) < len(seeds):
        return {"steps": [], "values": [], "low": [], "high": [], "seeds": len(seeds)}
    # Beyond the shortest run there are fewer seeds, and a line that drops one there would jump.
    last = min(ends)
    cells = max(1, min([cells, *(len(steps) for steps, _ in seeds)]))
    grid = np.linspace(last / cells, last, cells)
    table = smoothed(np.concatenate([on_grid(steps, values, grid) for steps, values in seeds], axis=1), smoothing)
    whole = np.isfinite(table).all(1)
    table, grid = table[whole], grid[whole]
    low, high = interval(table) if table.shape[1] > 1 else (middle(table), middle(table))
    told = {"steps": grid, "values": middle(table), "low": low, "high": high}
    return {name: _numbers(column) for name, column in told.items()} | {"seeds": int(table.shape[1])}


def _numbers(column: Float[np.ndarray, " points"]) -> list[float | None]:
    """Numbers as JSON has them: no NaN."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in column]
