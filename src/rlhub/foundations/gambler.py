"""The gambler's problem (Sutton & Barto 2018, example 4.3): bets on a coin until the capital is 0 or the goal."""

import numpy as np

from rlhub.core.errors import UserError
from rlhub.foundations.mdp import MDP


def gamblers_problem(*, heads: float = 0.4, goal: int = 100) -> MDP:
    """A state for each capital 0, ..., goal, an action for each stake 0, ..., goal / 2; reaching the goal earns 1.

    Stakes run from 1 to what is there or missing. The book allows 0, too, which is as good as any other stake and leads nowhere.

    Raises:
        UserError: the coin's probability is outside [0, 1], or the goal is below 2.
    """
    if not 0 <= heads <= 1:
        raise UserError(f"heads is {heads:g}; give the coin's probability, between 0 and 1")
    if goal < 2:
        raise UserError(f"the goal is {goal}; give a capital of at least 2")
    stakes = goal // 2 + 1
    transitions, rewards = np.zeros((goal + 1, stakes, goal + 1)), np.zeros((goal + 1, stakes))
    allowed = np.zeros((goal + 1, stakes), dtype=np.bool_)
    for capital in range(goal + 1):
        for stake in range(stakes):
            possible = 1 <= stake <= min(capital, goal - capital)
            allowed[capital, stake] = possible or (capital in (0, goal) and stake == 0)
            transitions[capital, stake, capital + stake * possible] += heads
            transitions[capital, stake, capital - stake * possible] += 1 - heads
            rewards[capital, stake] = heads * (possible and capital + stake == goal)
    return MDP(transitions=transitions, rewards=rewards, gamma=1.0, allowed=allowed)
