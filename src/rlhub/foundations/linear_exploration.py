"""Exploring an MDP whose transitions and rewards are linear in features: LSVI-UCB (Agarwal, Jiang, Kakade & Sun)."""

import numpy as np
from jaxtyping import Float

from rlhub.core.errors import UserError
from rlhub.foundations.compiled import compiled
from rlhub.foundations.mdp import MDP
from rlhub.foundations.optimism import add_to_inverse

Features = Float[np.ndarray, "states actions dimensions"]


def linear_mdp(states: int, actions: int, dimensions: int, *, seed: int = 0) -> tuple[Features, MDP]:
    """A linear MDP: each pair is a mixture of a few prototypes, with a distribution of next states and a reward each.

    Args:
        states: how many.
        actions: how many.
        dimensions: prototypes.
        seed: of all draws.

    Returns:
        Features (the mixtures, of length up to 1) and the MDP, without a discount.

    Raises:
        UserError: a number is below 1.
    """
    if min(states, actions, dimensions) < 1:
        raise UserError(f"can't draw {states} states, {actions} actions and {dimensions} dimensions; give 1 or more of each")
    generator = np.random.default_rng(seed)
    features = generator.dirichlet(np.full(dimensions, 0.3), size=(states, actions))
    reached = generator.dirichlet(np.full(states, 0.3), size=dimensions)
    return features, MDP(transitions=features @ reached, rewards=features @ generator.random(dimensions), gamma=1.0)


@compiled
def lsvi_ucb(
    features: Features,
    transitions: Float[np.ndarray, "states actions states"],
    rewards: Float[np.ndarray, "states actions"],
    episodes: int,
    *,
    horizon: int,
    radius: float,
    start: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least-squares value iteration with upper confidence bounds (Jin, Yang, Wang & Jordan 2020, Alg. 1).

    Args:
        features: of each state and action, of length up to 1.
        transitions: the true ones.
        rewards: the true ones.
        episodes: how many are played (K).
        horizon: steps of each (H).
        radius: beta, by which the width sqrt(phi' inverse phi) is multiplied.
        start: where each episode begins.
        seed: of all randomness.

    Returns:
        What each episode's plan promised and what its policy is worth from the start, and the inverses at the end [horizon, d, d].
    """
    states, actions, dimensions = features.shape
    np.random.seed(seed)
    inverses = np.empty((horizon, dimensions, dimensions))
    for stage in range(horizon):
        inverses[stage] = np.eye(dimensions)
    # Regression targets change with each plan, but only through the next values: features summed by next state are enough.
    moved, earned = np.zeros((horizon, dimensions, states)), np.zeros((horizon, dimensions))
    promised, worths = np.empty(episodes), np.empty(episodes)
    chosen = np.empty((horizon, states), dtype=np.int64)
    for episode in range(episodes):
        values, worth = np.zeros(states), np.zeros(states)
        for stage in range(horizon - 1, -1, -1):
            weights = inverses[stage] @ (earned[stage] + moved[stage] @ values)
            after, earning = np.empty(states), np.empty(states)
            for state in range(states):
                best, action_of_best = -np.inf, 0
                for action in range(actions):
                    estimate, width = 0.0, 0.0
                    for one in range(dimensions):
                        estimate += features[state, action, one] * weights[one]
                        for other in range(dimensions):
                            width += features[state, action, one] * inverses[stage, one, other] * features[state, action, other]
                    value = min(estimate + radius * np.sqrt(width), horizon - stage)
                    if value > best:
                        best, action_of_best = value, action
                after[state], chosen[stage, state] = best, action_of_best
                earning[state] = rewards[state, action_of_best] + (transitions[state, action_of_best] * worth).sum()
            values, worth = after, earning
        promised[episode], worths[episode] = values[start], worth[start]
        state = start
        for stage in range(horizon):
            action, point, reached = chosen[stage, state], np.random.random(), 0
            left = point - transitions[state, action, 0]
            while left > 0 and reached < states - 1:
                reached += 1
                left -= transitions[state, action, reached]
            inverses[stage] = add_to_inverse(inverses[stage], features[state, action])
            for one in range(dimensions):
                moved[stage, one, reached] += features[state, action, one]
                earned[stage, one] += features[state, action, one] * rewards[state, action]
            state = reached
    return promised, worths, inverses
