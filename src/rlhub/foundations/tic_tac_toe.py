"""Tic-tac-toe learned by playing oneself: values of positions after a move (Sutton & Barto 2018, Sec. 1.5 and 6.8).

A position is a number in base 3 with a digit a cell, row after row: 0 is empty, 1 the first player's, 2 the second's. Its value is for the
player who has just moved: 1 for three in a row, 1/2 for a draw, 0 for a loss. Section 1.5 counts a draw as a loss, which is right against
an imperfect player; who plays oneself would then have no reason to block.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, Int

from rlhub.foundations.bandits import random_argmax
from rlhub.foundations.compiled import compiled

POSITIONS = 3**9
DRAW = 0.5
LINES = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]])


@compiled
def wins(board: Int[np.ndarray, "9"], player: int) -> bool:
    """Whether a player has three in a row."""
    won = False
    for line in LINES:
        won = won or (board[line[0]] == player and board[line[1]] == player and board[line[2]] == player)
    return won


@compiled
def first_values() -> Float[np.ndarray, " positions"]:
    """Values before any game: 1 where a player has won, 1/2 elsewhere."""
    values = np.full(POSITIONS, DRAW)
    board = np.empty(9, dtype=np.int64)
    for position in range(POSITIONS):
        for cell in range(9):
            board[cell] = position // 3**cell % 3
        if wins(board, 1) or wins(board, 2):
            values[position] = 1
    return values


@compiled
def best_cell(board: Int[np.ndarray, "9"], position: int, player: int, values: Float[np.ndarray, " positions"]) -> int:
    """The empty cell that leads to the position of the highest value, ties broken evenly."""
    worth = np.full(9, -np.inf)
    for cell in range(9):
        if board[cell] == 0:
            worth[cell] = values[position + player * 3**cell]
    return random_argmax(worth)


@compiled
def any_cell(board: Int[np.ndarray, "9"]) -> int:
    """An empty cell, all equally likely."""
    cell = np.random.randint(9)
    while board[cell] != 0:
        cell = np.random.randint(9)
    return cell


@compiled
def self_play(marks: Int[np.ndarray, " marks"], step_size: float, epsilon: float, seed: int) -> Float[np.ndarray, "marks positions"]:
    """Both players learn from each other by TD(0) on the positions after their moves (Sec. 1.5).

    Args:
        marks: after how many games values are kept, in order.
        step_size: how far a value moves towards the next one (alpha).
        epsilon: share of exploring moves; from these nothing is learned.
        seed: of all randomness.
    """
    np.random.seed(seed)
    values = first_values()
    kept = np.empty((len(marks), POSITIONS))
    game = 0
    for place in range(len(marks)):
        while game < marks[place]:
            board, last, position = np.zeros(9, dtype=np.int64), np.full(3, -1), 0
            for turn in range(9):
                player, other = turn % 2 + 1, (turn + 1) % 2 + 1
                explores = np.random.random() < epsilon
                cell = any_cell(board) if explores else best_cell(board, position, player, values)
                board[cell] = player
                position += player * 3**cell
                if not explores and last[player] >= 0:
                    values[last[player]] += step_size * (values[position] - values[last[player]])
                last[player] = position
                if wins(board, player):
                    values[last[other]] += step_size * (0 - values[last[other]])
                    break
                if turn == 8:
                    values[last[other]] += step_size * (DRAW - values[last[other]])
            game += 1
        kept[place] = values
    return kept


@compiled
def match(first: Float[np.ndarray, " positions"], second: Float[np.ndarray, " positions"], games: int, seed: int) -> tuple[float, float]:
    """The shares of games that two greedy players win, each by its own values; equal values make a player that moves at random."""
    np.random.seed(seed)
    won = np.zeros(3)
    for _ in range(games):
        board, position = np.zeros(9, dtype=np.int64), 0
        for turn in range(9):
            player = turn % 2 + 1
            cell = best_cell(board, position, player, first if player == 1 else second)
            board[cell] = player
            position += player * 3**cell
            if wins(board, player):
                won[player] += 1
                break
    return won[1] / games, won[2] / games


def perfect_values() -> Float[np.ndarray, " positions"]:
    """What positions are worth where both play perfectly from there on, by looking at all games (minimax)."""
    values = np.full(POSITIONS, DRAW)

    @cache
    def worth(position: int, player: int) -> float:
        board = np.array([position // 3**cell % 3 for cell in range(9)])
        if wins(board, player):
            values[position] = 1.0
        elif (board > 0).all():
            values[position] = DRAW
        else:
            other = 3 - player
            values[position] = 1 - max(worth(position + other * 3 ** int(cell), other) for cell in np.flatnonzero(board == 0))
        return float(values[position])

    for cell in range(9):
        worth(3**cell, 1)
    return values
