"""The small gridworlds of Sutton & Barto (2018), chapters 3 and 4, as MDPs; states are cells, row after row."""

import numpy as np

from rlhub.foundations.mdp import MDP

MOVES = ((-1, 0), (1, 0), (0, 1), (0, -1))
"""North, south, east, west."""
ARROWS = ("↑", "↓", "→", "←")


def leaping_gridworld(*, gamma: float = 0.9) -> MDP:
    """Example 3.5's 5 x 5 grid: off the edge costs 1; all moves from A and B leap to A' (+10) and B' (+5)."""
    leaps = {(0, 1): ((4, 1), 10.0), (0, 3): ((2, 3), 5.0)}
    transitions, rewards = np.zeros((25, 4, 25)), np.zeros((25, 4))
    for row in range(5):
        for column in range(5):
            for action, (down, right) in enumerate(MOVES):
                there, reward = (row + down, column + right), 0.0
                if (row, column) in leaps:
                    there, reward = leaps[row, column]
                elif not (0 <= there[0] < 5 and 0 <= there[1] < 5):
                    there, reward = (row, column), -1.0
                transitions[5 * row + column, action, 5 * there[0] + there[1]] = 1
                rewards[5 * row + column, action] = reward
    return MDP(transitions=transitions, rewards=rewards, gamma=gamma)


def corner_gridworld() -> MDP:
    """Example 4.1's 4 x 4 grid: every move costs 1 until one of two corners is reached; there is no discount."""
    transitions, rewards = np.zeros((16, 4, 16)), np.full((16, 4), -1.0)
    for row in range(4):
        for column in range(4):
            for action, (down, right) in enumerate(MOVES):
                there = 4 * min(max(row + down, 0), 3) + min(max(column + right, 0), 3)
                transitions[4 * row + column, action, there] = 1
    for corner in (0, 15):
        transitions[corner], rewards[corner] = 0, 0
        transitions[corner, :, corner] = 1
    return MDP(transitions=transitions, rewards=rewards, gamma=1.0)
