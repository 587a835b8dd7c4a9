"""Tile coding: which tiles points fall into, and how it generalises."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.tiles import tile_coding, tile_count, tile_features


def test_each_grid_has_one_active_tile_and_numbers_of_its_own():
    coding = tile_coding([-1.0, 0.0], [1.0, 5.0], tiles=4, tilings=8)
    points = np.random.default_rng(0).uniform([-1, 0], [1, 5], (50, 2))
    table = tile_features(coding, points)
    assert tile_count(coding) == 8 * 5 * 5 == table.shape[1]
    assert np.array_equal(table.sum(1), np.full(50, 8.0))
    assert {tuple(sorted(set(np.flatnonzero(row) // 25))) for row in table} == {tuple(range(8))}


def test_points_share_tiles_in_proportion_to_their_nearness():
    # with n tilings a line is cut every 1/n of a tile, so points j cuts apart share n - j tiles
    coding = tile_coding([0.0], [5.0], tiles=5, tilings=10)
    table = tile_features(coding, 2.05 + np.arange(13)[:, None] / 10)
    assert np.array_equal(table @ table[0], np.maximum(10 - np.arange(13), 0))


def test_offsets_are_asymmetric():
    coding = tile_coding([0.0, 0.0], [1.0, 1.0], tiles=2, tilings=4)
    assert np.array_equal(coding.offsets, np.array([[0, 0], [1, 3], [2, 2], [3, 1]]) / 4)


def test_points_outside_count_as_on_the_edge():
    coding = tile_coding([0.0], [1.0], tiles=3, tilings=1)
    inside, outside = tile_features(coding, np.array([[0.0], [1.0]])), tile_features(coding, np.array([[-7.0], [9.0]]))
    assert np.array_equal(inside, outside)


@pytest.mark.parametrize(("low", "high", "tiles", "tilings"), [([0.0], [0.0], 2, 2), ([0.0], [1.0, 2.0], 2, 2), ([0.0], [1.0], 0, 2)])
def test_a_box_without_inside_or_tiles_is_refused(low, high, tiles, tilings):
    with pytest.raises(UserError, match="tile_coding got"):
        tile_coding(low, high, tiles=tiles, tilings=tilings)
