"""Learning a guess from a guess: TD(0), Sarsa, Q-learning, Expected Sarsa and double learning (Sutton & Barto 2018, chapter 6)."""

import numpy as np
from jaxtyping import Float, Int

from rlhub.core.errors import UserError
from rlhub.foundations.bandits import random_argmax
from rlhub.foundations.compiled import compiled, each_run
from rlhub.foundations.worlds import World, drawn, epsilon_greedy_action, explored, largest_and_mean, moved, step

SARSA, Q_LEARNING, EXPECTED_SARSA = range(3)
TOGETHER = 64


@compiled
def td_prediction(
    world: World,
    policy: Float[np.ndarray, "states actions"],
    first: Float[np.ndarray, " states"],
    *,
    runs: int,
    episodes: int,
    step_size: float,
    discount: float,
    seed: int,
) -> Float[np.ndarray, "runs episodes states"]:
    """Tabular TD(0) (Sec. 6.1, box): the values of a policy after each episode.

    Args:
        world: where the policy acts.
        policy: probability of each action in each state.
        first: the values begun with; 0 for states that end an episode.
        runs: independent repetitions.
        episodes: of each run.
        step_size: alpha.
        discount: gamma.
        seed: of all randomness.
    """
    history = np.empty((runs, episodes, len(first)))
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        values = first.copy()
        for episode in range(episodes):
            state = world.start
            while not world.ends[state]:
                following, reward = step(world, state, drawn(policy[state]))
                values[state] += step_size * (reward + discount * values[following] - values[state])
                state = following
            history[run, episode] = values
    return history


@compiled
def monte_carlo_prediction(
    world: World,
    policy: Float[np.ndarray, "states actions"],
    first: Float[np.ndarray, " states"],
    *,
    runs: int,
    episodes: int,
    step_size: float,
    discount: float,
    seed: int,
) -> Float[np.ndarray, "runs episodes states"]:
    """Constant-alpha, every-visit Monte Carlo (Eq. 6.1): a policy's values after each episode; for its arguments see `td_prediction`."""
    history = np.empty((runs, episodes, len(first)))
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        values = first.copy()
        for episode in range(episodes):
            states, _, returns = play(world, policy, discount)
            for time in range(len(returns)):
                values[states[time]] += step_size * (returns[time] - values[states[time]])
            history[run, episode] = values
    return history


@compiled
def play(
    world: World, policy: Float[np.ndarray, "states actions"], discount: float
) -> tuple[Int[np.ndarray, " steps_and_end"], Float[np.ndarray, " steps"], Float[np.ndarray, " steps"]]:
    """One episode: its states with the end, the reward that followed each, and the return."""
    states, rewards = [world.start], [0.0]
    while not world.ends[states[-1]]:
        following, reward = step(world, states[-1], drawn(policy[states[-1]]))
        states.append(following)
        rewards.append(reward)
    rewarded = np.array(rewards[1:])
    returns = rewarded.copy()
    for time in range(len(returns) - 2, -1, -1):
        returns[time] += discount * returns[time + 1]
    return np.array(states), rewarded, returns


@compiled
def experience(
    world: World, policy: Float[np.ndarray, "states actions"], *, runs: int, episodes: int, discount: float, seed: int
) -> tuple[
    Float[np.ndarray, "runs episodes states states"], Float[np.ndarray, "runs episodes states"], Float[np.ndarray, "runs episodes states"]
]:
    """What a batch holds after each episode: how often each state followed each, and the sums of its rewards and of its returns."""
    size = len(world.ends)
    moves, rewards, returns = np.zeros((runs, episodes, size, size)), np.zeros((runs, episodes, size)), np.zeros((runs, episodes, size))
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        for episode in range(episodes):
            if episode > 0:
                moves[run, episode], rewards[run, episode] = moves[run, episode - 1], rewards[run, episode - 1]
                returns[run, episode] = returns[run, episode - 1]
            states, rewarded, returned = play(world, policy, discount)
            for time in range(len(returned)):
                moves[run, episode, states[time], states[time + 1]] += 1
                rewards[run, episode, states[time]] += rewarded[time]
                returns[run, episode, states[time]] += returned[time]
    return moves, rewards, returns


def batch_td(
    moves: Float[np.ndarray, "*batch states states"],
    rewards: Float[np.ndarray, "*batch states"],
    first: Float[np.ndarray, " states"],
    *,
    discount: float,
) -> Float[np.ndarray, "*batch states"]:
    """What TD(0) comes to when it goes through a batch again and again: the values of the likeliest model (Sec. 6.3).

    Args:
        moves: how often each state followed each.
        rewards: the sum of the rewards after each state.
        first: the values of states that the batch doesn't hold.
        discount: gamma.

    Raises:
        UserError: a discount outside [0, 1].
    """
    if not 0 <= discount <= 1:
        raise UserError(f"the discount is {discount}; give one from 0 to 1")
    visits = moves.sum(-1)
    seen = np.maximum(visits, 1)
    targets = np.where(visits > 0, rewards / seen, first)
    return np.linalg.solve(np.eye(len(first)) - discount * moves / seen[..., None], targets[..., None])[..., 0]


def batch_monte_carlo(
    moves: Float[np.ndarray, "*batch states states"], returns: Float[np.ndarray, "*batch states"], first: Float[np.ndarray, " states"]
) -> Float[np.ndarray, "*batch states"]:
    """What constant-alpha Monte Carlo comes to on a batch: each state's mean return, the least squares on what was seen (Sec. 6.3)."""
    visits = moves.sum(-1)
    return np.where(visits > 0, returns / np.maximum(visits, 1), first)


@compiled
def td_control_run(
    world: World, episodes: int, backup: int, step_size: float, epsilon: float, discount: float, seed: int, run: int
) -> tuple[Float[np.ndarray, " episodes"], Int[np.ndarray, " episodes"], Float[np.ndarray, "states actions"]]:
    """One learner's episodes; see `td_control`."""
    np.random.seed(seed * 1_000_003 + run)
    after, chance, rewards, spread, ends, choices = world.following, world.chance, world.rewards, world.spread, world.ends, world.choices
    values = np.zeros(spread.shape)
    returns, lengths = np.zeros(episodes), np.zeros(episodes, dtype=np.int64)
    for episode in range(episodes):
        state = world.start
        action = explored(values, state, choices[state], epsilon)
        while not ends[state]:
            following, reward = moved(after, chance, rewards, spread, state, action)
            if backup == SARSA:
                next_action = explored(values, following, choices[following], epsilon)
                worth = values[following, next_action]
            else:
                best, mean = largest_and_mean(values, following, choices[following])
                worth = best if backup == Q_LEARNING else (1 - epsilon) * best + epsilon * mean
            values[state, action] += step_size * (reward + discount * worth - values[state, action])
            # Sarsa takes the action that its target held; the others choose with the values as they are now.
            action = next_action if backup == SARSA else explored(values, following, choices[following], epsilon)
            returns[episode] += reward
            lengths[episode] += 1
            state = following
    return returns, lengths, values


def td_control(
    world: World, *, backup: int, runs: int, episodes: int, step_size: float, epsilon: float, discount: float, seed: int
) -> tuple[Float[np.ndarray, "runs episodes"], Int[np.ndarray, "runs episodes"], Float[np.ndarray, "runs states actions"]]:
    """Sarsa, Q-learning or Expected Sarsa with epsilon-greedy behaviour (Sec. 6.4-6.6, boxes).

    Args:
        world: where to act.
        backup: SARSA, Q_LEARNING or EXPECTED_SARSA: the value of the next state that an update takes.
        runs: independent learners, each with action values that begin at 0.
        episodes: of each.
        step_size: alpha.
        epsilon: share of random actions.
        discount: gamma.
        seed: of all randomness.

    Returns:
        The undiscounted sum of rewards and the number of steps of each episode, and the action values at the end.
    """
    # A run of some hundred episodes takes less time than Python needs to start it, so that each thread is given several.
    together = max(1, min(TOGETHER, runs // 8))
    some = each_run(
        lambda part: td_control_runs(
            world, episodes, backup, step_size, epsilon, discount, seed, part * together, min(together, runs - part * together)
        ),
        -(-runs // together),
    )
    returns, lengths, values = (np.concatenate(part) for part in zip(*some, strict=True))
    return returns, lengths, values


@compiled
def td_control_runs(
    world: World, episodes: int, backup: int, step_size: float, epsilon: float, discount: float, seed: int, first: int, runs: int
) -> tuple[Float[np.ndarray, "runs episodes"], Int[np.ndarray, "runs episodes"], Float[np.ndarray, "runs states actions"]]:
    """Several learners one after another; see `td_control`."""
    returns, lengths = np.zeros((runs, episodes)), np.zeros((runs, episodes), dtype=np.int64)
    values = np.zeros((runs, *world.spread.shape))
    for run in range(runs):
        returns[run], lengths[run], values[run] = td_control_run(world, episodes, backup, step_size, epsilon, discount, seed, first + run)
    return returns, lengths, values


@compiled
def double_q_learning_run(
    world: World, episodes: int, step_size: float, epsilon: float, discount: float, seed: int, run: int
) -> tuple[Float[np.ndarray, " episodes"], Int[np.ndarray, " episodes"], Float[np.ndarray, "states actions"]]:
    """One learner's episodes; see `double_q_learning`."""
    np.random.seed(seed * 1_000_003 + run)
    states, actions = world.spread.shape
    tables, both = np.zeros((2, states, actions)), np.zeros((states, actions))
    returns, lengths = np.zeros(episodes), np.zeros(episodes, dtype=np.int64)
    for episode in range(episodes):
        state = world.start
        while not world.ends[state]:
            action = epsilon_greedy_action(world, both, state, epsilon)
            following, reward = step(world, state, action)
            learner = np.random.randint(2)
            best = random_argmax(tables[learner, following, : world.choices[following]])
            target = reward + discount * tables[1 - learner, following, best]
            tables[learner, state, action] += step_size * (target - tables[learner, state, action])
            both[state, action] = tables[0, state, action] + tables[1, state, action]
            returns[episode] += reward
            lengths[episode] += 1
            state = following
    return returns, lengths, both / 2


def double_q_learning(
    world: World, *, runs: int, episodes: int, step_size: float, epsilon: float, discount: float, seed: int
) -> tuple[Float[np.ndarray, "runs episodes"], Int[np.ndarray, "runs episodes"], Float[np.ndarray, "runs states actions"]]:
    """Double Q-learning (Sec. 6.7, box): one table picks the best next action and the other says what it is worth.

    Arguments and what is returned are `td_control`'s; the values are the mean of the two tables.
    """
    each = each_run(lambda run: double_q_learning_run(world, episodes, step_size, epsilon, discount, seed, run), runs)
    returns, lengths, values = (np.stack(part) for part in zip(*each, strict=True))
    return returns, lengths, values
