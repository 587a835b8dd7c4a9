"""Maximum entropy inverse reinforcement learning (Ziebart et al. 2008; Agarwal, Jiang, Kakade & Sun, "Imitation Learning").

Rewards are linear in features, and of all behaviours with the expert's summed features the most random is looked for. Its dual is to find
the rewards under which softly optimal behaviour has those features, and is convex.
"""

import numpy as np
from jaxtyping import Float

from rlhub.core.errors import UserError

Transitions = Float[np.ndarray, "states actions states"]
Features = Float[np.ndarray, "states actions dimensions"]
Policy = Float[np.ndarray, "horizon states actions"]


def soft_policy(transitions: Transitions, rewards: Float[np.ndarray, "states actions"], horizon: int) -> tuple[Policy, np.ndarray]:
    """The policy with the best sum of rewards and entropy, and its value from each state: value iteration with a soft maximum."""
    policy, values = np.empty((horizon, *rewards.shape)), np.zeros(len(rewards))
    for stage in reversed(range(horizon)):
        action_values = rewards + transitions @ values
        largest = action_values.max(1)
        values = largest + np.log(np.exp(action_values - largest[:, None]).sum(1))
        policy[stage] = np.exp(action_values - values[:, None])
    return policy, values


def expected_features(
    transitions: Transitions, features: Features, policy: Policy, start: Float[np.ndarray, " states"]
) -> Float[np.ndarray, " dimensions"]:
    """The features that a policy sums up in an episode on average."""
    total, here = np.zeros(features.shape[-1]), start
    for decided in policy:
        taken = here[:, None] * decided
        total += np.einsum("sa,sad->d", taken, features)
        here = np.einsum("sa,sat->t", taken, transitions)
    return total


def demonstrated_features(
    transitions: Transitions, features: Features, policy: Policy, start: Float[np.ndarray, " states"], episodes: int, seed: int
) -> Float[np.ndarray, " dimensions"]:
    """The same, averaged over episodes that are drawn.

    Raises:
        UserError: there are none.
    """
    if episodes < 1:
        raise UserError(f"can't learn from {episodes} demonstrations; give at least 1")
    generator = np.random.default_rng(seed)
    states, total = generator.choice(len(start), episodes, p=start), np.zeros(features.shape[-1])
    for decided in policy:
        actions = (generator.random((episodes, 1)) > decided[states].cumsum(1)[:, :-1]).sum(1)
        total += features[states, actions].sum(0)
        states = (generator.random((episodes, 1)) > transitions[states, actions].cumsum(1)[:, :-1]).sum(1)
    return total / episodes


def dual(
    transitions: Transitions,
    features: Features,
    weights: Float[np.ndarray, " dimensions"],
    target: Float[np.ndarray, " dimensions"],
    start: Float[np.ndarray, " states"],
    horizon: int,
) -> tuple[float, Float[np.ndarray, " dimensions"]]:
    """The dual objective, soft value less weights . target, and its gradient: the features of the soft policy less the target."""
    policy, values = soft_policy(transitions, features @ weights, horizon)
    return float(start @ values - weights @ target), expected_features(transitions, features, policy, start) - target


def match_features(
    transitions: Transitions,
    features: Features,
    target: Float[np.ndarray, " dimensions"],
    start: Float[np.ndarray, " states"],
    *,
    horizon: int,
    step_size: float,
    steps: int,
) -> tuple[Float[np.ndarray, " times"], Float[np.ndarray, " dimensions"]]:
    """Gradient descent on the dual from zero weights: the objective before each step, and the last weights."""
    weights, objectives = np.zeros(features.shape[-1]), np.empty(steps)
    for step in range(steps):
        objectives[step], gradient = dual(transitions, features, weights, target, start, horizon)
        weights = weights - step_size * gradient
    return objectives, weights
