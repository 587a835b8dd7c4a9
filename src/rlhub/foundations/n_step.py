"""Learning from n steps at a time: n-step Sarsa, Expected Sarsa, tree backup and Q(sigma), on and off policy (Sutton & Barto, Ch. 7)."""

import numpy as np
from jaxtyping import Float, Int

from rlhub.core.errors import UserError
from rlhub.foundations.compiled import compiled
from rlhub.foundations.linear_prediction import value_of
from rlhub.foundations.temporal_difference import play
from rlhub.foundations.worlds import World, drawn, step

N_STEP_SARSA, N_STEP_EXPECTED_SARSA, TREE_BACKUP, Q_SIGMA = range(4)


@compiled
def sarsa_return(
    values: Float[np.ndarray, "states actions"],
    target: Float[np.ndarray, "states actions"],
    states: Int[np.ndarray, " times"],
    actions: Int[np.ndarray, " times"],
    rewards: Float[np.ndarray, " times"],
    time: int,
    horizon: int,
    last: int,
    discount: float,
    expected: bool,
) -> float:
    """The n-step return of Sarsa (Eq. 7.4) or, with the expected value of the last state, of Expected Sarsa (Eq. 7.7).

    Args:
        values: of each state and action.
        target: probabilities of the policy that is learned about.
        states: of the episode, by time.
        actions: taken in each.
        rewards: received on arriving in each.
        time: whose return it is.
        horizon: time + n, or the episode's end if that comes first.
        last: when the episode ends.
        discount: gamma.
        expected: whether the last state counts with what the policy expects rather than with the action taken.
    """
    total, weight = 0.0, 1.0
    for later in range(time + 1, horizon + 1):
        total += weight * rewards[later]
        weight *= discount
    if horizon == last:
        return total
    state = states[horizon]
    return total + weight * (value_of(target[state], values[state]) if expected else values[state, actions[horizon]])


@compiled
def tree_backup_return(
    values: Float[np.ndarray, "states actions"],
    target: Float[np.ndarray, "states actions"],
    states: Int[np.ndarray, " times"],
    actions: Int[np.ndarray, " times"],
    rewards: Float[np.ndarray, " times"],
    time: int,
    horizon: int,
    last: int,
    discount: float,
) -> float:
    """The n-step tree-backup return (Eq. 7.15-7.16): actions not taken count with their values, and the path with its probability."""
    total = rewards[last] if horizon == last else rewards[horizon] + discount * value_of(target[states[horizon]], values[states[horizon]])
    for later in range(horizon - 1, time, -1):
        state, action = states[later], actions[later]
        aside = value_of(target[state], values[state]) - target[state, action] * values[state, action]
        total = rewards[later] + discount * (aside + target[state, action] * total)
    return total


@compiled
def q_sigma_return(
    values: Float[np.ndarray, "states actions"],
    target: Float[np.ndarray, "states actions"],
    behaviour: Float[np.ndarray, "states actions"],
    states: Int[np.ndarray, " times"],
    actions: Int[np.ndarray, " times"],
    rewards: Float[np.ndarray, " times"],
    time: int,
    horizon: int,
    last: int,
    discount: float,
    sigma: float,
) -> float:
    """The n-step return of Q(sigma) (Eq. 7.17): between sampling, sigma = 1, and the expectation of tree backup, sigma = 0."""
    total = rewards[last] if horizon == last else values[states[horizon], actions[horizon]]
    for later in range(horizon - 1 if horizon == last else horizon, time, -1):
        state, action = states[later], actions[later]
        ratio = target[state, action] / behaviour[state, action]
        followed = sigma * ratio + (1 - sigma) * target[state, action]
        total = rewards[later] + discount * (followed * (total - values[state, action]) + value_of(target[state], values[state]))
    return total


@compiled
def importance_ratio(
    target: Float[np.ndarray, "states actions"],
    behaviour: Float[np.ndarray, "states actions"],
    states: Int[np.ndarray, " times"],
    actions: Int[np.ndarray, " times"],
    begin: int,
    end: int,
) -> float:
    """How much likelier the actions from one time to another, both counted, are under the target than as they were taken (Eq. 7.10)."""
    ratio = 1.0
    for time in range(begin, end + 1):
        ratio *= target[states[time], actions[time]] / behaviour[states[time], actions[time]]
    return ratio


@compiled
def make_greedy(policy: Float[np.ndarray, " actions"], values: Float[np.ndarray, " actions"], choices: int, epsilon: float) -> None:
    """Write a state's epsilon-greedy probabilities; actions of equal value share what the best one gets."""
    best = values[:choices].max()
    ties = 0
    for action in range(choices):
        ties += values[action] == best
    for action in range(choices):
        policy[action] = epsilon / choices + ((1 - epsilon) / ties if values[action] == best else 0.0)


@compiled
def n_step_episode(
    world: World,
    values: Float[np.ndarray, "states actions"],
    target: Float[np.ndarray, "states actions"],
    behaviour: Float[np.ndarray, "states actions"],
    backup: int,
    n: int,
    step_size: float,
    epsilon: float,
    discount: float,
    sigma: float,
) -> Int[np.ndarray, " times"]:
    """One episode of the boxes of Sec. 7.2, 7.3, 7.5 and 7.6, which changes the values and the target policy; see `n_step_learning`."""
    size, time, last = 256, 0, 1 << 40
    states, actions, rewards = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64), np.zeros(size)
    states[0] = world.start
    actions[0] = drawn(behaviour[world.start])
    while True:
        if time < last:
            if time + 1 == size:
                states, actions = np.concatenate((states, np.empty_like(states))), np.concatenate((actions, np.empty_like(actions)))
                rewards, size = np.concatenate((rewards, np.zeros(size))), 2 * size
            states[time + 1], rewards[time + 1] = step(world, states[time], actions[time])
            if world.ends[states[time + 1]]:
                last = time + 1
            else:
                actions[time + 1] = drawn(behaviour[states[time + 1]])
        updated = time - n + 1
        if updated >= 0:
            state, action, horizon, ratio = states[updated], actions[updated], min(updated + n, last), 1.0
            if backup == TREE_BACKUP:
                goal = tree_backup_return(values, target, states, actions, rewards, updated, horizon, last, discount)
            elif backup == Q_SIGMA:
                goal = q_sigma_return(values, target, behaviour, states, actions, rewards, updated, horizon, last, discount, sigma)
            else:
                expected = backup == N_STEP_EXPECTED_SARSA
                goal = sarsa_return(values, target, states, actions, rewards, updated, horizon, last, discount, expected)
                # The last action counts only where its own value is in the return.
                counted = updated + n - 1 if expected else updated + n
                ratio = importance_ratio(target, behaviour, states, actions, updated + 1, min(counted, last - 1))
            values[state, action] += step_size * ratio * (goal - values[state, action])
            if epsilon >= 0:
                make_greedy(target[state], values[state], world.choices[state], epsilon)
        if updated == last - 1:
            return states[: last + 1]
        time += 1


@compiled
def n_step_learning(
    world: World,
    target: Float[np.ndarray, "states actions"],
    behaviour: Float[np.ndarray, "states actions"],
    *,
    on_policy: bool,
    backup: int,
    n: int,
    runs: int,
    episodes: int,
    step_size: float,
    epsilon: float,
    discount: float,
    sigma: float,
    seed: int,
) -> tuple[Float[np.ndarray, "runs episodes states actions"], Int[np.ndarray, "runs episodes"]]:
    """Learn action values with n-step returns, of a policy that is given or of one that grows greedy (boxes of Sec. 7.2-7.6).

    Args:
        world: where to act.
        target: probabilities of the policy that is learned about, at first.
        behaviour: probabilities of the policy that acts, above 0 wherever the target's are; unused where `on_policy`.
        on_policy: the target policy acts itself, as it changes.
        backup: N_STEP_SARSA, N_STEP_EXPECTED_SARSA, TREE_BACKUP or Q_SIGMA.
        n: steps of a return.
        runs: independent learners, each with values that begin at 0.
        episodes: of each.
        step_size: alpha.
        epsilon: the target becomes epsilon-greedy in the values as they change; below 0 it stays as it is.
        discount: gamma.
        sigma: degree of sampling of Q(sigma), which other ways ignore.
        seed: of all randomness.

    Returns:
        Values after each episode, and each episode's number of steps.
    """
    history, lengths = np.zeros((runs, episodes, *target.shape)), np.empty((runs, episodes), dtype=np.int64)
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        values, learned = np.zeros(target.shape), target.copy()
        acting = learned if on_policy else behaviour
        for episode in range(episodes):
            states = n_step_episode(world, values, learned, acting, backup, n, step_size, epsilon, discount, sigma)
            history[run, episode], lengths[run, episode] = values, len(states) - 1
    return history, lengths


@compiled
def seeded_path(world: World, policy: Float[np.ndarray, "states actions"], seed: int, run: int) -> Int[np.ndarray, " times"]:
    """The states of the first episode that a run of that seed goes through with a policy that stays as it is."""
    np.random.seed(seed * 1_000_003 + run)
    return play(world, policy, 1.0)[0]


def check_policies(target: Float[np.ndarray, "states actions"], behaviour: Float[np.ndarray, "states actions"]) -> None:
    """Refuse policies that can't be learned about or from.

    Raises:
        UserError: probabilities don't sum to 1, or the behaviour never takes an action that the target may.
    """
    for name, policy in (("target", target), ("behaviour", behaviour)):
        if (policy < 0).any() or not np.allclose(policy.sum(-1), 1):
            raise UserError(f"the {name} policy has a state whose probabilities don't sum to 1; give each state's actions ones that do")
    if ((target > 0) & (behaviour == 0)).any():
        state, action = np.argwhere((target > 0) & (behaviour == 0))[0]
        raise UserError(f"the behaviour never takes action {action} in state {state}, which the target may; give it a chance (coverage)")
