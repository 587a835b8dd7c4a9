"""Exploring a tabular MDP of finite horizon: UCB-VI and posterior sampling (AJKS, "Exploration in Tabular MDPs").

AJKS is Agarwal, Jiang, Kakade & Sun, "Reinforcement Learning: Theory and Algorithms". The MDP is the same at all stages of an episode,
rewards are known, and what is learned are the transitions. Each episode plans with the counts so far and acts greedily.
"""

import numpy as np
from jaxtyping import Float

from rlhub.foundations.compiled import compiled

HOEFFDING, BERNSTEIN, POSTERIOR = 0, 1, 2
"""Ways to explore."""


@compiled
def plan_with_bonus(
    model: Float[np.ndarray, "states actions states"],
    rewards: Float[np.ndarray, "states actions"],
    counts: Float[np.ndarray, "states actions"],
    horizon: int,
    log_term: float,
    way: int,
) -> tuple[Float[np.ndarray, "horizon states actions"], Float[np.ndarray, "stages states"]]:
    """Optimistic values: value iteration with a bonus for what was seldom tried (AJKS; Azar, Osband & Munos 2017, Alg. 1-4).

    Args:
        model: estimated transitions.
        rewards: of the MDP.
        counts: how often each pair was tried.
        horizon: steps of an episode.
        log_term: ln(S A H K / delta), of the union over all that could go wrong.
        way: HOEFFDING takes the width H sqrt(2 L / n); BERNSTEIN sqrt(2 Var L / n) + 2 H L / n with the variance of the next value
            under the model, which is small where the next value is nearly sure; POSTERIOR takes none.

    Returns:
        Action values of each stage, and values of each, with zeros after the last.
    """
    states, actions = rewards.shape
    action_values, values = np.zeros((horizon, states, actions)), np.zeros((horizon + 1, states))
    for stage in range(horizon - 1, -1, -1):
        most = horizon - stage
        for state in range(states):
            for action in range(actions):
                tried = max(counts[state, action], 1.0)
                mean, square = 0.0, 0.0
                for reached in range(states):
                    mean += model[state, action, reached] * values[stage + 1, reached]
                    square += model[state, action, reached] * values[stage + 1, reached] ** 2
                bonus = 0.0
                if way == HOEFFDING:
                    bonus = horizon * np.sqrt(2 * log_term / tried)
                elif way == BERNSTEIN:
                    bonus = np.sqrt(2 * max(square - mean**2, 0.0) * log_term / tried) + 2 * horizon * log_term / tried
                # No more can be earned in the steps that are left, as rewards are at most 1.
                action_values[stage, state, action] = min(rewards[state, action] + mean + bonus, most)
            values[stage, state] = action_values[stage, state].max()
    return action_values, values


@compiled
def worth(
    transitions: Float[np.ndarray, "states actions states"],
    rewards: Float[np.ndarray, "states actions"],
    action_values: Float[np.ndarray, "horizon states actions"],
    start: int,
    epsilon: float = 0.0,
) -> float:
    """What acting epsilon-greedily on these values earns in an episode of the true MDP."""
    horizon, states, actions = action_values.shape
    values, after = np.zeros(states), np.zeros(states)
    for stage in range(horizon - 1, -1, -1):
        for state in range(states):
            greedy = action_values[stage, state].argmax()
            values[state] = 0.0
            for action in range(actions):
                chance = epsilon / actions + (1 - epsilon if action == greedy else 0.0)
                if chance == 0:
                    continue
                earned = rewards[state, action]
                for reached in range(states):
                    earned += transitions[state, action, reached] * after[reached]
                values[state] += chance * earned
        after[:] = values
    return after[start]


@compiled
def explore(
    transitions: Float[np.ndarray, "states actions states"],
    rewards: Float[np.ndarray, "states actions"],
    episodes: int,
    *,
    horizon: int,
    way: int,
    failure: float,
    start: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """UCB-VI, or posterior sampling (PSRL: Osband, Russo & Van Roy 2013, Alg. 1), for some episodes.

    Posterior sampling plans for transitions drawn from their posterior: Dirichlet, from a prior count of 1 for every next state.
    Plans are made anew when an episode's counts have grown by a hundredth since the last plan, which saves nearly all planning later on.

    Args:
        transitions: the true ones.
        rewards: the true ones, known to the learner.
        episodes: how many are played (K).
        horizon: steps of each (H).
        way: HOEFFDING, BERNSTEIN or POSTERIOR.
        failure: probability (delta) that confidence may fail.
        start: where each episode begins.
        seed: of all randomness.

    Returns:
        The regret of each episode's policy, and how much more than the best policy's worth the plan promised; both [episodes].
    """
    states, actions = rewards.shape
    np.random.seed(seed)
    counts, seen, cumulated = np.zeros((states, actions)), np.zeros((states, actions, states)), np.empty((states, actions, states))
    for state in range(states):
        for action in range(actions):
            cumulated[state, action] = np.cumsum(transitions[state, action])
    log_term = np.log(states * actions * horizon * episodes / failure)
    best = plan_with_bonus(transitions, rewards, counts, horizon, 0.0, POSTERIOR)[1][0, start]
    model = np.empty((states, actions, states))
    regret, promise = np.empty(episodes), np.empty(episodes)
    planned_at = -1.0
    for episode in range(episodes):
        if way == POSTERIOR or episode * 0.99 >= planned_at:
            planned_at = episode
            for state in range(states):
                for action in range(actions):
                    for reached in range(states):
                        if way == POSTERIOR:
                            model[state, action, reached] = np.random.standard_gamma(seen[state, action, reached] + 1)
                        else:
                            model[state, action, reached] = seen[state, action, reached] if counts[state, action] > 0 else 1.0
                    model[state, action] /= model[state, action].sum()
            action_values, values = plan_with_bonus(model, rewards, counts, horizon, log_term, way)
            earned = worth(transitions, rewards, action_values, start)
        regret[episode], promise[episode] = best - earned, values[0, start] - best
        state = start
        for stage in range(horizon):
            action = action_values[stage, state].argmax()
            reached = min(np.searchsorted(cumulated[state, action], np.random.random(), side="right"), states - 1)
            counts[state, action] += 1
            seen[state, action, reached] += 1
            state = reached
    return regret, promise
