"""Tile coding: a point of a bounded box as the tiles that it falls into, one in each of several shifted grids (Sutton & Barto, Sec. 9.5.4).

Bounds are known beforehand, so every tile has a number of its own and nothing needs hashing. A coding is a tuple of arrays, which compiled
loops take as it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rlhub.core.errors import UserError
from rlhub.foundations.compiled import compiled


class TileCoding(NamedTuple):
    """Several grids over one box, each shifted by its own part of a tile.

    Attributes:
        low: [dimensions] the box's lower corner.
        per_unit: [dimensions] tiles to a unit of length.
        tiles: [dimensions] tiles along each side of a grid; one more than cover the box, as a shifted grid sticks out.
        offsets: [tilings, dimensions] how far each grid is shifted, in tiles, below 1.
    """

    low: np.ndarray
    per_unit: np.ndarray
    tiles: np.ndarray
    offsets: np.ndarray


def tile_coding(low: Sequence[float], high: Sequence[float], *, tiles: int, tilings: int) -> TileCoding:
    """A coding of the box between two corners with asymmetric offsets.

    The grid of number t is shifted by t * (1, 3, 5, ...) / tilings of a tile, modulo one tile: equal shifts in all dimensions would make
    generalisation stretch along the diagonal (Sec. 9.5.4; Miller & Glanz 1996).

    Args:
        low: the lower corner.
        high: the upper corner.
        tiles: tiles that cover the box along each side.
        tilings: grids.

    Raises:
        UserError: a corner isn't below the other in every dimension, or there is no tile or tiling.
    """
    bottom, top = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if bottom.ndim != 1 or bottom.shape != top.shape or not np.all(bottom < top):
        raise UserError(
            f"tile_coding got corners {bottom.tolist()} and {top.tolist()}: give as many numbers for both, each low below its high"
        )
    if tiles < 1 or tilings < 1:
        raise UserError(f"tile_coding got {tiles} tiles and {tilings} tilings: give at least 1 of each")
    displacement = 2 * np.arange(len(bottom)) + 1
    offsets = np.arange(tilings)[:, None] * displacement % tilings / tilings
    return TileCoding(bottom, tiles / (top - bottom), np.full(len(bottom), tiles + 1), offsets)


def tile_count(coding: TileCoding) -> int:
    """How many tiles there are in all grids together: the number of binary features."""
    return int(len(coding.offsets) * np.prod(coding.tiles))


@compiled(inlined=True)
def active_tiles(coding: TileCoding, point: Float[np.ndarray, " dimensions"], into: Int[np.ndarray, " tilings"]) -> None:
    """Write the number of the tile that a point falls into, grid by grid; a point outside the box counts as on its edge."""
    tilings, dimensions = coding.offsets.shape
    for tiling in range(tilings):
        index = tiling
        for side in range(dimensions):
            place = int(np.floor((point[side] - coding.low[side]) * coding.per_unit[side] + coding.offsets[tiling, side]))
            index = index * coding.tiles[side] + min(max(place, 0), coding.tiles[side] - 1)
        into[tiling] = index


def tile_features(coding: TileCoding, points: Float[np.ndarray, "points dimensions"]) -> Float[np.ndarray, "points features"]:
    """The binary features of many points as a table, for problems whose states can be listed."""
    table, found = np.zeros((len(points), tile_count(coding))), np.empty(len(coding.offsets), dtype=np.int64)
    for row, point in enumerate(points):
        active_tiles(coding, point, found)
        table[row, found] = 1
    return table
