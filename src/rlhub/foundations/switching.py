"""Decision processes whose dynamics switch at unknown times: Q-learning, and planning in a model of what was seen lately.

Episodes have a fixed horizon; rewards are known, transitions are learned. Regret is against the best policy of each episode's dynamics.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from rlhub.core.errors import UserError
from rlhub.foundations.compiled import compiled
from rlhub.foundations.exploration import POSTERIOR, plan_with_bonus, worth
from rlhub.foundations.mdp import MDP
from rlhub.foundations.worlds import drawn


@compiled
def best_worths(
    dynamics: Float[np.ndarray, "phases states actions states"], rewards: Float[np.ndarray, "states actions"], horizon: int, start: int
) -> Float[np.ndarray, " phases"]:
    """What the best policy earns in an episode of each phase."""
    best, untried = np.empty(len(dynamics)), np.zeros(rewards.shape)
    for phase in range(len(dynamics)):
        best[phase] = plan_with_bonus(dynamics[phase], rewards, untried, horizon, 0.0, POSTERIOR)[1][0, start]
    return best


@compiled
def windowed_posterior_sampling(
    dynamics: Float[np.ndarray, "phases states actions states"],
    rewards: Float[np.ndarray, "states actions"],
    phases: Int[np.ndarray, " episodes"],
    restarts: Bool[np.ndarray, " episodes"],
    *,
    window: int,
    horizon: int,
    start: int,
    seed: int,
    run: int,
) -> Float[np.ndarray, " episodes"]:
    """Posterior sampling that forgets: each episode plans for dynamics drawn from the posterior of its latest episodes.

    It is PSRL (Osband, Russo & Van Roy 2013, Alg. 1) with the window of SW-UCRL (Gajane, Ortner & Auer 2018, Alg. 1). Without restarts and
    with a window as long as all episodes it is plain PSRL.

    Args:
        dynamics: the true transitions of each phase.
        rewards: known to the learner.
        phases: which dynamics hold in each episode.
        restarts: before which episodes all is forgotten; at the true switches this is an oracle.
        window: how many of the latest episodes count.
        horizon: steps of an episode.
        start: where each begins.
        seed: of all randomness.
        run: which of the seed's runs.

    Returns:
        The regret of each episode's policy.
    """
    np.random.seed(seed * 1_000_003 + run)
    states, actions = rewards.shape
    best = best_worths(dynamics, rewards, horizon, start)
    seen, model, tried = np.zeros((states, actions, states)), np.empty((states, actions, states)), np.zeros((states, actions))
    # What the episodes of the window saw, to take it away again.
    lately = np.zeros((window, horizon, 3), dtype=np.int64)
    filled, regret = 0, np.empty(len(phases))
    for episode in range(len(phases)):
        if restarts[episode]:
            seen[:], filled = 0.0, 0
        place = episode % window
        if filled == window:
            for stage in range(horizon):
                state, action, reached = lately[place, stage]
                seen[state, action, reached] -= 1
            filled -= 1
        for state in range(states):
            for action in range(actions):
                for reached in range(states):
                    model[state, action, reached] = np.random.standard_gamma(seen[state, action, reached] + 1)
                model[state, action] /= model[state, action].sum()
        action_values, _ = plan_with_bonus(model, rewards, tried, horizon, 0.0, POSTERIOR)
        true = dynamics[phases[episode]]
        regret[episode] = best[phases[episode]] - worth(true, rewards, action_values, start)
        state = start
        for stage in range(horizon):
            action = action_values[stage, state].argmax()
            reached = drawn(true[state, action])
            seen[state, action, reached] += 1
            lately[place, stage, 0], lately[place, stage, 1], lately[place, stage, 2] = state, action, reached
            state = reached
        filled += 1
    return regret


@compiled
def switched_q_learning(
    dynamics: Float[np.ndarray, "phases states actions states"],
    rewards: Float[np.ndarray, "states actions"],
    phases: Int[np.ndarray, " episodes"],
    *,
    step_size: float,
    epsilon: float,
    horizon: int,
    start: int,
    seed: int,
    run: int,
) -> Float[np.ndarray, " episodes"]:
    """Q-learning with a value for each stage, begun at the most that can be earned; see `windowed_posterior_sampling`.

    Args:
        step_size: alpha; 0 takes 1/n, which comes to rest, where a constant keeps following.
        epsilon: share of random actions; the regret counts the greedy policy and what exploring costs.
    """
    np.random.seed(seed * 1_000_003 + run)
    states, actions = rewards.shape
    best = best_worths(dynamics, rewards, horizon, start)
    values, counts, regret = np.empty((horizon, states, actions)), np.zeros((horizon, states, actions)), np.empty(len(phases))
    for stage in range(horizon):
        values[stage] = horizon - stage
    for episode in range(len(phases)):
        true = dynamics[phases[episode]]
        regret[episode] = best[phases[episode]] - worth(true, rewards, values, start, epsilon)
        state = start
        for stage in range(horizon):
            action = np.random.randint(actions) if np.random.random() < epsilon else values[stage, state].argmax()
            reached = drawn(true[state, action])
            counts[stage, state, action] += 1
            alpha = step_size if step_size > 0 else 1 / counts[stage, state, action]
            ahead = values[stage + 1, reached].max() if stage + 1 < horizon else 0.0
            values[stage, state, action] += alpha * (rewards[state, action] + ahead - values[stage, state, action])
            state = reached
    return regret


def alternating(mdp: MDP, episodes: int, every: int) -> tuple[Float[np.ndarray, "2 states actions states"], Int[np.ndarray, " episodes"]]:
    """Dynamics in which the actions trade places every so many episodes, and which of the two holds in each episode.

    Raises:
        UserError: phases without an episode.
    """
    if every < 1 or episodes < 1:
        raise UserError(f"{episodes} episodes that switch every {every} can't be played; give at least 1 for both")
    return np.stack((mdp.transitions, np.ascontiguousarray(mdp.transitions[:, ::-1]))), np.arange(episodes) // every % 2
