"""Exact planning on arrays, as theory uses it (Agarwal, Jiang, Kakade & Sun, Ch. 1): transitions, rewards and a discount are given.

Policies are probabilities [states, actions]; values are [states] and action values [states, actions].
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from rlhub.foundations.small_mdps import check_mdp

Transitions = Float[np.ndarray, "states actions states"]
PerPair = Float[np.ndarray, "states actions"]
PerState = Float[np.ndarray, " states"]


def bellman(transitions: Transitions, rewards: PerPair, discount: float, values: PerState) -> PerPair:
    """One step of look-ahead: the reward and what comes next is worth."""
    return rewards + discount * transitions @ values


def greedy(action_values: PerPair) -> PerPair:
    """The policy that takes the best action, the first of equals."""
    return np.eye(action_values.shape[1])[action_values.argmax(1)]


def policy_values(transitions: Transitions, rewards: PerPair, discount: float, policy: PerPair) -> PerState:
    """What a policy is worth from each state, by its linear equations (I - gamma P) v = r."""
    moves, earned = (policy[:, None] @ transitions)[:, 0], (policy * rewards).sum(1)
    return np.linalg.solve(np.eye(len(earned)) - discount * moves, earned)


def visits(transitions: Transitions, discount: float, policy: PerPair, start: PerState) -> PerState:
    """The discounted share of time that a policy spends in each state, which sums to 1 (d^pi of AJKS, Sec. 1.5)."""
    moves = (policy[:, None] @ transitions)[:, 0]
    return (1 - discount) * np.linalg.solve(np.eye(len(start)) - discount * moves.T, start)


def value_iterates(transitions: Transitions, rewards: PerPair, discount: float, steps: int) -> Float[np.ndarray, "times states actions"]:
    """Action values after 0, 1, ... steps of value iteration from zero; each step shrinks the error by the discount (Sec. 1.3.1)."""
    check_mdp(transitions, rewards, discount)
    iterates = np.zeros((steps + 1, *rewards.shape))
    for step in range(steps):
        iterates[step + 1] = bellman(transitions, rewards, discount, iterates[step].max(1))
    return iterates


def policy_iterates(transitions: Transitions, rewards: PerPair, discount: float) -> Float[np.ndarray, "times states actions"]:
    """Action values of each policy of policy iteration, until the policy stays (Sec. 1.3.2).

    It begins with the policy that takes the worst immediate reward.
    """
    check_mdp(transitions, rewards, discount)
    policy, iterates = greedy(-rewards), []
    while True:
        values = policy_values(transitions, rewards, discount, policy)
        iterates.append(bellman(transitions, rewards, discount, values))
        # A better action must be better by more than rounding, or equals would be swapped for ever.
        if (iterates[-1].max(1) <= values + 1e-10 / (1 - discount)).all():
            return np.array(iterates)
        policy = greedy(iterates[-1])


def optimal_values(transitions: Transitions, rewards: PerPair, discount: float) -> PerPair:
    """Optimal action values, to rounding."""
    return policy_iterates(transitions, rewards, discount)[-1]


def linear_program(transitions: Transitions, rewards: PerPair, discount: float, start: PerState) -> tuple[PerState, PerPair]:
    """Optimal values by the primal linear program, and visits by its dual (Sec. 1.3.3).

    The smallest values that are no less than any action's look-ahead are the optimal ones; the prices of these constraints are how often
    an optimal policy takes each action.

    Args:
        transitions: of the MDP.
        rewards: of the MDP.
        discount: of the MDP.
        start: where it begins; every state needs some weight for its value to be found.
    """
    check_mdp(transitions, rewards, discount)
    states, actions = rewards.shape
    look_ahead = (discount * transitions - np.eye(states)[:, None]).reshape(-1, states)
    found = linprog((1 - discount) * start, A_ub=look_ahead, b_ub=-rewards.ravel(), bounds=(None, None), method="highs")
    return found.x, -found.ineqlin.marginals.reshape(states, actions)


def finite_horizon_values(
    transitions: Transitions, rewards: PerPair, horizon: int, policy: PerPair | None = None
) -> Float[np.ndarray, "stages states actions"]:
    """Action values with 'horizon' steps to go, then one fewer, of the best behaviour, or of a policy where one is given."""
    check_mdp(transitions, rewards)
    stages, values = np.empty((horizon, *rewards.shape)), np.zeros(len(rewards))
    for stage in reversed(range(horizon)):
        stages[stage] = bellman(transitions, rewards, 1.0, values)
        values = stages[stage].max(1) if policy is None else (policy * stages[stage]).sum(1)
    return stages
