"""Dyna: learning from what happens and from what a learned model says would happen (Sutton & Barto 2018, Sec. 8.2-8.3).

The model is two tables, the state and the reward that last followed each action, as worlds here are deterministic.
"""

import numpy as np
from jaxtyping import Float, Int

from rlhub.core.errors import UserError
from rlhub.foundations.compiled import compiled
from rlhub.foundations.worlds import World, epsilon_greedy_action, step

ENDLESS = 2**62
"""A number of steps or episodes that is never reached."""


@compiled
def dyna_q(
    world: World,
    later: World,
    *,
    change: int,
    episodes: int,
    steps: int,
    planning: int,
    step_size: float,
    epsilon: float,
    discount: float,
    bonus: float,
    enough: int,
    seed: int,
) -> tuple[Float[np.ndarray, " steps"], Int[np.ndarray, " episodes"], Float[np.ndarray, "states actions"], int]:
    """Tabular Dyna-Q (Sec. 8.2, box) and, with a bonus, Dyna-Q+ (Sec. 8.3).

    Args:
        world: where to act; deterministic, see `check_deterministic`.
        later: what it becomes; the same world where nothing changes.
        change: after how many steps.
        episodes: after how many to stop, or
        steps: after how many; an episode may be under way.
        planning: updates from the model after each step (n); 0 is one-step Q-learning.
        step_size: alpha.
        epsilon: share of random actions.
        discount: gamma.
        bonus: kappa: planning adds kappa sqrt(tau) to the reward of an action not taken for tau steps, and considers actions never taken,
            which are thought to stay without reward. 0 is Dyna-Q.
        enough: stop once greedy actions lead to an end in so many moves; 0 for never.
        seed: of all randomness.

    Returns:
        The reward of each step, the length of each finished episode, the action values, and the state at the end.
    """
    np.random.seed(seed)
    states, actions = world.spread.shape
    values, model_rewards = np.zeros((states, actions)), np.zeros((states, actions))
    model_following = np.arange(states).repeat(actions).reshape(states, actions)
    taken_at, taken, many = np.full((states, actions), -1), np.empty((states, actions), dtype=np.int64), np.zeros(states, dtype=np.int64)
    seen, met = np.empty(states, dtype=np.int64), 0
    rewards, lengths, state, begun = [0.0], [0], world.start, 0
    while len(lengths) <= episodes and len(rewards) <= steps:
        time = len(rewards)
        now = world if time <= change else later
        action = epsilon_greedy_action(now, values, state, epsilon)
        following, reward = step(now, state, action)
        values[state, action] += step_size * (reward + discount * values[following].max() - values[state, action])
        model_following[state, action], model_rewards[state, action] = following, reward
        if many[state] == 0:
            seen[met], met = state, met + 1
        if taken_at[state, action] < 0:
            taken[state, many[state]] = action
            many[state] += 1
        taken_at[state, action] = time
        for _ in range(planning):
            one = seen[np.random.randint(met)]
            act = np.random.randint(now.choices[one]) if bonus > 0 else taken[one, np.random.randint(many[one])]
            tried = model_rewards[one, act] + bonus * np.sqrt(time - max(taken_at[one, act], 0))
            values[one, act] += step_size * (tried + discount * values[model_following[one, act]].max() - values[one, act])
        rewards.append(reward)
        state = following
        if now.ends[state]:
            lengths.append(time - begun)
            state, begun = now.start, time
        if enough > 0 and leads_to_an_end(now, values, enough):
            break
    return np.array(rewards[1:]), np.array(lengths[1:]), values, state


@compiled
def leads_to_an_end(world: World, values: Float[np.ndarray, "states actions"], moves: int) -> bool:
    """Whether greedy actions lead from the start to an end within so many moves; where all are worth the same, none is greedy."""
    state = world.start
    for _ in range(moves):
        best, differ = 0, False
        for action in range(1, world.choices[state]):
            differ = differ or values[state, action] != values[state, 0]
            if values[state, action] > values[state, best]:
                best = action
        state = world.following[state, best, 0]
        if not differ:
            return False
        if world.ends[state]:
            return True
    return False


def check_deterministic(world: World) -> None:
    """Refuse a world whose model can't be a table of what follows.

    Raises:
        UserError: an action has several outcomes or a reward has noise.
    """
    likely = world.chance > 0
    first = np.take_along_axis(world.following, likely.argmax(-1)[..., None], -1)
    if (likely & (world.following != first)).any() or (world.spread > 0).any():
        raise UserError("an action of this world has several outcomes; tables of what follows need a world in which each has one")
