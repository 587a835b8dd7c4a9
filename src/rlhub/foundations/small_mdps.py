"""Small Markov decision processes to try theory on, with rewards in [0, 1].

Without a discount, which is the default, they are for episodes of a finite horizon.
"""

import numpy as np

from rlhub.core.errors import UserError
from rlhub.foundations.mdp import MDP


def river_swim(states: int = 6, *, gamma: float = 1.0) -> MDP:
    """Swimming against a river for a large reward, or resting on the near bank for a tiny one (Strehl & Littman 2008).

    Action 0 floats down and always succeeds; action 1 swims up and seldom does. Only someone who swims many times without a reward finds
    out that it pays.

    Args:
        states: places along the river.
        gamma: the discount.

    Raises:
        UserError: there are fewer than 3.
    """
    if states < 3:
        raise UserError(f"a river of {states} states has no middle; give at least 3")
    transitions, rewards = np.zeros((states, 2, states)), np.zeros((states, 2))
    for state in range(states):
        transitions[state, 0, max(state - 1, 0)] = 1.0
    for state in range(1, states - 1):
        transitions[state, 1, state - 1 : state + 2] = 0.05, 0.6, 0.35
    transitions[0, 1, :2] = 0.4, 0.6
    transitions[-1, 1, -2:] = 0.4, 0.6
    rewards[0, 0], rewards[-1, 1] = 0.005, 1.0
    return MDP(transitions=transitions, rewards=rewards, gamma=gamma)


def chain(states: int = 6, actions: int = 4, *, gamma: float = 1.0) -> MDP:
    """A corridor: action 0 goes on, every other one goes back, and only going on at the end is rewarded (Agarwal et al. 2021, Fig. 2).

    Args:
        states: length of the corridor; the end is kept by action 0.
        actions: all of them, so that a random walk is pushed back.
        gamma: the discount.

    Raises:
        UserError: there are fewer than 2 states or actions.
    """
    if states < 2 or actions < 2:
        raise UserError(f"a chain of {states} states and {actions} actions has no choice to make; give at least 2 of each")
    transitions, rewards = np.zeros((states, actions, states)), np.zeros((states, actions))
    for state in range(states):
        transitions[state, 0, min(state + 1, states - 1)] = 1.0
        transitions[state, 1:, max(state - 1, 0)] = 1.0
    rewards[-1, 0] = 1.0
    return MDP(transitions=transitions, rewards=rewards, gamma=gamma)


def random_mdp(states: int = 10, actions: int = 3, *, seed: int = 0, successors: int | None = None, gamma: float = 1.0) -> MDP:
    """Transitions drawn evenly from all distributions over some states, and rewards evenly from [0, 1] (a Garnet problem).

    Args:
        states: how many.
        actions: how many.
        seed: of all draws.
        successors: how many states each pair can lead to; by default all.
        gamma: the discount.

    Raises:
        UserError: a number is below 1, or there are more successors than states.
    """
    reached = states if successors is None else successors
    if states < 1 or actions < 1 or not 1 <= reached <= states:
        raise UserError(f"can't draw {states} states, {actions} actions and {reached} successors; give 1 or more, successors up to states")
    generator = np.random.default_rng(seed)
    transitions = np.zeros((states, actions, states))
    for state in range(states):
        for action in range(actions):
            places = generator.choice(states, reached, replace=False)
            transitions[state, action, places] = generator.dirichlet(np.ones(reached))
    return MDP(transitions=transitions, rewards=generator.random((states, actions)), gamma=gamma)


MAKERS = {"riverswim": river_swim, "chain": chain, "random": random_mdp}
"""What `env` names."""


def small_mdp(env: str) -> MDP:
    """The small MDP of that name.

    Raises:
        UserError: there is none.
    """
    if env not in MAKERS:
        raise UserError(f"there is no small MDP {env!r}; env is one of {', '.join(MAKERS)}")
    return MAKERS[env]()
