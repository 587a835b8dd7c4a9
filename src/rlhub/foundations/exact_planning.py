"""Exact planning as theory uses it: sums without an end, and of finite horizon (Agarwal, Jiang, Kakade & Sun, Ch. 1).

Sections are those of the draft of January 2022. All stands on the MDPs and the dynamic programming of `mdp`, and keeps every step, as what
is looked at is how fast errors shrink.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from rlhub.foundations.mdp import MDP, Policy, action_values, check_discount, policy_iteration, policy_values, under_policy

ActionValues = Float[np.ndarray, "states actions"]
PerState = Float[np.ndarray, " states"]


def greedy(worth: ActionValues) -> Policy:
    """The policy that takes the best action, the first of equals."""
    return np.eye(worth.shape[1])[worth.argmax(1)]


def visits(mdp: MDP, policy: Policy, start: PerState) -> PerState:
    """The discounted share of time that a policy spends in each state, which sums to 1 (d^pi of AJKS, Sec. 1.5)."""
    check_discount(mdp.gamma)
    chain, _ = under_policy(mdp, policy)
    return (1 - mdp.gamma) * np.linalg.solve(np.eye(len(start)) - mdp.gamma * chain.T, start)


def value_iterates(mdp: MDP, steps: int) -> Float[np.ndarray, "times states actions"]:
    """Action values after 0, 1, ... steps of value iteration from zero; each step shrinks the error by the discount (Sec. 1.3.1).

    All pairs are backed up at once from the step before, unlike the book's sweeps in place: that is the contraction that theory speaks of.
    """
    check_discount(mdp.gamma)
    iterates = np.zeros((steps + 1, *mdp.rewards.shape))
    for step in range(steps):
        iterates[step + 1] = action_values(mdp, iterates[step].max(1))
    return iterates


def policy_iterates(mdp: MDP) -> Float[np.ndarray, "times states actions"]:
    """Action values of each policy of policy iteration, until the policy stays (Sec. 1.3.2).

    It begins with the policy that takes the worst immediate reward.
    """
    check_discount(mdp.gamma)
    worst = np.where(mdp.possible, -mdp.rewards, -np.inf).argmax(1)
    return np.array([action_values(mdp, values) for _, values in policy_iteration(mdp, worst, evaluate=policy_values, tolerance=1e-10)])


def optimal_values(mdp: MDP) -> ActionValues:
    """Optimal action values, to rounding."""
    return policy_iterates(mdp)[-1]


def linear_program(mdp: MDP, start: PerState) -> tuple[PerState, ActionValues]:
    """Optimal values by the primal linear program, and visits by its dual (Sec. 1.3.4).

    The smallest values that are no less than any action's look-ahead are the optimal ones; the prices of these constraints are how often
    an optimal policy takes each action.

    Args:
        mdp: the problem.
        start: where it begins; every state needs some weight for its value to be found.
    """
    check_discount(mdp.gamma)
    look_ahead = mdp.gamma * mdp.transitions - np.eye(len(start))[:, None]
    there, taken = mdp.possible, np.zeros(mdp.rewards.shape)
    found = linprog((1 - mdp.gamma) * start, A_ub=look_ahead[there], b_ub=-mdp.rewards[there], bounds=(None, None), method="highs")
    taken[there] = -found.ineqlin.marginals
    return found.x, taken


def finite_horizon_values(mdp: MDP, horizon: int, policy: Policy | None = None) -> Float[np.ndarray, "stages states actions"]:
    """Action values with 'horizon' steps to go, then one fewer, of the best behaviour, or of a policy where one is given."""
    stages, values = np.empty((horizon, *mdp.rewards.shape)), np.zeros(len(mdp.rewards))
    for stage in reversed(range(horizon)):
        stages[stage] = action_values(mdp, values)
        values = stages[stage].max(1) if policy is None else (policy * np.where(mdp.possible, stages[stage], 0)).sum(1)
    return stages
