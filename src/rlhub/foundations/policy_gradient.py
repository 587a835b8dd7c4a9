"""Policy gradient methods with linear action preferences (Sutton & Barto 2018, chapter 13), on small deterministic problems.

A problem is two tables, of the state that follows each action (-1 where the episode ends) and of its reward; a policy is the softmax of
preferences, `features[state, action] @ weights`. Episodes begin in state 0.
"""

import numpy as np
from jaxtyping import Float, Int

from rlhub.foundations.compiled import compiled
from rlhub.foundations.mdp import MDP
from rlhub.foundations.mdp import policy_values as mdp_values


def short_corridor() -> tuple[Int[np.ndarray, "3 2"], Float[np.ndarray, "3 2"], Float[np.ndarray, "3 2 2"]]:
    """The corridor of Example 13.1: what follows left and right, rewards of -1, and features that don't tell states apart.

    In the second state the actions are switched.
    """
    features = np.zeros((3, 2, 2))
    features[:, 0, 1] = features[:, 1, 0] = 1
    return np.array([[0, 1], [2, 0], [1, -1]]), np.full((3, 2), -1.0), features


def policy_values(
    follows: Int[np.ndarray, "states actions"], rewards: Float[np.ndarray, "states actions"], policy: Float[np.ndarray, "states actions"]
) -> Float[np.ndarray, " states"]:
    """The undiscounted values of a policy, whose probabilities are given, in closed form.

    Raises:
        UserError: the probabilities don't sum to 1, or under the policy an episode may never end.
    """
    # The end becomes one more state, the last, which is what -1 finds.
    states, actions = follows.shape
    ended = np.pad(follows, ((0, 1), (0, 0)), constant_values=-1)
    mdp = MDP(transitions=np.eye(states + 1)[ended], rewards=np.pad(rewards, ((0, 1), (0, 0))), gamma=1.0)
    return mdp_values(mdp, np.vstack([policy, np.full(actions, 1 / actions)]))[:states]


@compiled
def softmax_policy(
    features: Float[np.ndarray, "actions features"], weights: Float[np.ndarray, " features"]
) -> Float[np.ndarray, " actions"]:
    """The probabilities of a state's actions (eq. 13.2)."""
    preferences = np.zeros(len(features))
    for action in range(len(features)):
        preferences[action] = (features[action] * weights).sum()
    likely = np.exp(preferences - preferences.max())
    return likely / likely.sum()


@compiled
def draw_action(policy: Float[np.ndarray, " actions"]) -> int:
    """An action with its probability."""
    left = np.random.random()
    for action in range(len(policy) - 1):
        left -= policy[action]
        if left < 0:
            return action
    return len(policy) - 1


@compiled
def eligibility(
    features: Float[np.ndarray, "actions features"], policy: Float[np.ndarray, " actions"], action: int
) -> Float[np.ndarray, " features"]:
    """The gradient of the logarithm of an action's probability (eq. 13.9)."""
    gradient = features[action].copy()
    for other in range(len(policy)):
        gradient -= policy[other] * features[other]
    return gradient


@compiled
def reinforce(
    follows: Int[np.ndarray, "states actions"],
    rewards: Float[np.ndarray, "states actions"],
    features: Float[np.ndarray, "states actions features"],
    first: Float[np.ndarray, " features"],
    episodes: int,
    step_size: float,
    baseline_step_size: float,
    gamma: float,
    limit: int,
    seed: int,
    run: int,
    at_once: bool = False,
) -> tuple[Float[np.ndarray, " episodes"], Float[np.ndarray, " features"]]:
    """REINFORCE with a baseline (boxes of Sec. 13.3 and 13.4); with a baseline step size of 0 there is none.

    The baseline is one number for all states, as suits states that can't be told apart.

    Args:
        follows: the state after each action; -1 ends the episode.
        rewards: of each state and action.
        features: of each state and action.
        first: the policy's first weights.
        episodes: how many to learn from.
        step_size: alpha of the policy.
        baseline_step_size: alpha of the baseline.
        gamma: discount.
        limit: steps after which an episode is cut, as a policy may become one that never ends it.
        seed: of all randomness.
        run: which of the seed's runs.
        at_once: take all of an episode's gradients at the weights that acted in it, as the policy gradient theorem has them, and move by
            their sum. The boxes move after each step, so that later gradients are taken at weights that never acted.

    Returns:
        Each episode's return, and the policy's last weights.
    """
    np.random.seed(seed * 1_000_003 + run)
    weights, baseline, returns = first.copy(), 0.0, np.zeros(episodes)
    states, actions = np.empty(limit, dtype=np.int64), np.empty(limit, dtype=np.int64)
    for episode in range(episodes):
        state, steps = 0, 0
        while state >= 0 and steps < limit:
            states[steps], actions[steps] = state, draw_action(softmax_policy(features[state], weights))
            state = follows[state, actions[steps]]
            steps += 1
        following = 0.0
        to_go = np.empty(steps)
        for time in range(steps - 1, -1, -1):
            following = rewards[states[time], actions[time]] + gamma * following
            to_go[time] = following
        returns[episode] = following
        acted = weights.copy()
        for time in range(steps):
            here, error = features[states[time]], to_go[time] - baseline
            baseline += baseline_step_size * error
            policy = softmax_policy(here, acted if at_once else weights)
            weights += step_size * gamma**time * error * eligibility(here, policy, actions[time])
    return returns, weights


@compiled
def one_step_actor_critic(
    follows: Int[np.ndarray, "states actions"],
    rewards: Float[np.ndarray, "states actions"],
    features: Float[np.ndarray, "states actions features"],
    critic_features: Float[np.ndarray, "states critic"],
    first: Float[np.ndarray, " features"],
    episodes: int,
    step_size: float,
    critic_step_size: float,
    gamma: float,
    limit: int,
    seed: int,
    run: int,
) -> tuple[Float[np.ndarray, " episodes"], Float[np.ndarray, " features"], Float[np.ndarray, " critic"]]:
    """One-step actor-critic (box of Sec. 13.5); see `reinforce` for the other arguments.

    Args:
        critic_features: of each state, for its value.
        critic_step_size: alpha of the critic.

    Returns:
        Each episode's undiscounted return, and the actor's and the critic's last weights.
    """
    np.random.seed(seed * 1_000_003 + run)
    weights, critic, returns = first.copy(), np.zeros(critic_features.shape[1]), np.zeros(episodes)
    for episode in range(episodes):
        state, discount = 0, 1.0
        for _ in range(limit):
            policy = softmax_policy(features[state], weights)
            action = draw_action(policy)
            following, reward = follows[state, action], rewards[state, action]
            value_next = (critic_features[following] * critic).sum() if following >= 0 else 0.0
            error = reward + gamma * value_next - (critic_features[state] * critic).sum()
            critic += critic_step_size * error * critic_features[state]
            weights += step_size * discount * error * eligibility(features[state], policy, action)
            returns[episode] += reward
            discount *= gamma
            state = following
            if state < 0:
                break
    return returns, weights, critic
