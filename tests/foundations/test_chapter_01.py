"""Chapter 1: tic-tac-toe, its known facts and what self-play learns."""

import numpy as np
import pytest

from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.tic_tac_toe import best_cell, first_values, match, perfect_values, wins

FIGURES = exhibits("rlhub.foundations.figures")


@pytest.mark.parametrize(
    ("cells", "won"), [((0, 1, 2), True), ((2, 4, 6), True), ((1, 4, 7), True), ((0, 1, 3), False), ((2, 3, 4), False)]
)
def test_three_in_a_row_win(cells, won):
    board = np.zeros(9, dtype=np.int64)
    board[list(cells)] = 2
    assert wins(board, 2) is won
    assert not wins(board, 1)


def test_perfect_players_always_draw_and_random_ones_win_as_often_as_is_known():
    perfect, random = perfect_values(), np.zeros(3**9)
    assert match(perfect, perfect, 500, 0) == (0.0, 0.0)
    assert perfect[[3**cell for cell in range(9)]].tolist() == [0.5] * 9  # every opening draws
    first, second = match(random, random, 20_000, 0)
    assert first == pytest.approx(0.585, abs=0.015)  # 58.5%, 28.8% and 12.7% draws
    assert second == pytest.approx(0.288, abs=0.015)


def test_a_greedy_player_takes_the_win_and_a_perfect_one_blocks():
    board = np.array([1, 1, 0, 2, 0, 0, 2, 0, 0])
    position = int((board * 3 ** np.arange(9)).sum())
    assert best_cell(board, position, 1, first_values()) == 2
    board = np.array([1, 1, 0, 0, 2, 0, 0, 0, 0])
    position = int((board * 3 ** np.arange(9)).sum())
    assert best_cell(board, position, 2, perfect_values()) == 2


def test_self_play_learns_not_to_lose():
    results = FIGURES["tic-tac-toe"].compute(runs=3, seed=1, games=20_000)
    numbers = FIGURES["tic-tac-toe"].numbers(results)
    for seat in ("first", "second"):
        begun, ended = (numbers[f"lost to a perfect player {when}, moving {seat}"] for when in ("at the beginning", "at the end"))
        assert begun > 0.5
        assert ended < 0.1
        assert numbers[f"won against a random player at the end, moving {seat}"] > 0.75
    assert len(FIGURES["tic-tac-toe"].draw(results).data) == 8
