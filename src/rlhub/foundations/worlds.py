"""Small worlds as tables: what follows each action in each state, with which chance and reward.

One form serves random walks, gridworlds, mazes and made-up tasks: an action has branches, of which chance picks one. In a gridworld there
is a single branch, and a state's number is its row times the columns plus its column.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from rlhub.core.errors import UserError
from rlhub.foundations.compiled import compiled
from rlhub.foundations.mdp import MDP
from rlhub.foundations.mdp import policy_values as mdp_values

UP, DOWN, RIGHT, LEFT = range(4)
MOVES = ((-1, 0), (1, 0), (0, 1), (0, -1))


class World(NamedTuple):
    """A finite decision process with one start.

    Attributes:
        following: the state that each branch of an action leads to.
        chance: each branch's probability.
        rewards: each branch's mean reward.
        spread: the standard deviation of normal noise on an action's reward; 0 for none.
        choices: how many actions a state has, the first ones.
        ends: whether an episode ends on entering a state; its value is 0.
        start: where episodes begin.
    """

    following: Int[np.ndarray, "states actions branches"]
    chance: Float[np.ndarray, "states actions branches"]
    rewards: Float[np.ndarray, "states actions branches"]
    spread: Float[np.ndarray, "states actions"]
    choices: Int[np.ndarray, " states"]
    ends: Bool[np.ndarray, " states"]
    start: int


def world(
    following: Int[np.ndarray, "states actions branches"],
    rewards: Float[np.ndarray, "states actions branches"],
    *,
    ends: Sequence[int],
    start: int = 0,
    chance: Float[np.ndarray, "states actions branches"] | None = None,
    spread: Float[np.ndarray, "states actions"] | None = None,
    choices: Int[np.ndarray, " states"] | None = None,
) -> World:
    """A world from its tables, looked over first.

    Args:
        following: see `World`.
        rewards: see `World`.
        ends: the states that end an episode.
        start: where episodes begin.
        chance: by default all branches are equally likely.
        spread: by default rewards have no noise.
        choices: by default every state has all actions.

    Raises:
        UserError: probabilities that don't sum to 1, or states and actions that aren't there.
    """
    states, actions, branches = following.shape
    chance = np.full(following.shape, 1 / branches) if chance is None else chance
    choices = np.full(states, actions) if choices is None else choices
    if not np.allclose(chance.sum(-1), 1) or (chance < 0).any():
        state, action = np.argwhere(~np.isclose(chance.sum(-1), 1) | (chance < 0).any(-1))[0]
        raise UserError(
            f"the branches of action {action} in state {state} have chances {chance[state, action].tolist()}; give chances that sum to 1"
        )
    if not (following.min() >= 0 and following.max() < states and 0 <= start < states and all(0 <= end < states for end in ends)):
        raise UserError(f"a world of {states} states leads to, begins or ends in a state that it hasn't; number states 0 to {states - 1}")
    if choices.min() < 1 or choices.max() > actions:
        raise UserError(f"a state has {choices.min()} to {choices.max()} choices; give 1 to {actions}, as the tables have actions")
    ended = np.zeros(states, dtype=np.bool_)
    ended[list(ends)] = True
    return World(following, chance, rewards, np.zeros((states, actions)) if spread is None else spread, choices, ended, start)


def random_walk(states: int, *, left: float, right: float) -> World:
    """Numbered states in a row between two ends, begun in the middle (Example 6.2): action 0 steps left, 1 right.

    Args:
        states: how many between the ends, which are state 0 and `states` + 1.
        left: reward on reaching the left end.
        right: reward on reaching the right end.
    """
    following = np.array([[max(state - 1, 0), min(state + 1, states + 1)] for state in range(states + 2)])
    rewards = np.zeros((states + 2, 2, 1))
    rewards[1, 0], rewards[states, 1] = left, right
    return world(following[:, :, None], rewards, ends=(0, states + 1), start=(states + 1) // 2)


def gridworld(rows: Sequence[str], *, reward: float, goal: float, cliff: float = 0.0, wind: Sequence[int] = ()) -> World:
    """A grid drawn in characters, with moves up, down, right and left.

    Args:
        rows: S where episodes begin, G where they end, # walls, C the cliff, from which one is put back to S, and . the rest.
        reward: of a move.
        goal: reward of the move that reaches G.
        cliff: reward of a step into the cliff.
        wind: for each column, how many cells upwards a move begun there is blown.

    Raises:
        UserError: rows of unequal lengths, other characters, not exactly one S, or no G.
    """
    if len({len(row) for row in rows}) != 1 or set("".join(rows)) - set("SG#C."):
        raise UserError(f"a gridworld's rows have equal lengths and hold only S, G, #, C and .; got {list(rows)}")
    cells = np.array([list(row) for row in rows])
    if (cells == "S").sum() != 1 or not (cells == "G").any():
        raise UserError("a gridworld needs exactly one S to begin in and a G to reach")
    height, width = cells.shape
    blown = np.zeros(width, dtype=int) if not len(wind) else np.asarray(wind)
    flat, start = cells.ravel(), int(np.flatnonzero(cells.ravel() == "S")[0])
    following, rewards = np.empty((flat.size, 4, 1), dtype=np.int64), np.full((flat.size, 4, 1), float(reward))
    for state in range(flat.size):
        row, column = divmod(state, width)
        for action, (down, right) in enumerate(MOVES):
            to = np.clip(row + down - blown[column], 0, height - 1), np.clip(column + right, 0, width - 1)
            reached = state if cells[to] == "#" else int(to[0] * width + to[1])
            if flat[reached] == "C":
                reached, rewards[state, action] = start, cliff
            elif flat[reached] == "G":
                rewards[state, action] = goal
            following[state, action] = reached
    return world(following, rewards, ends=np.flatnonzero(flat == "G").tolist(), start=start)


def as_mdp(world: World, *, discount: float) -> MDP:
    """The same world with branches summed into transitions and expected rewards, in which ends are states that nothing leaves.

    Raises:
        UserError: the discount is outside [0, 1].
    """
    states, actions, _ = world.following.shape
    transitions, rewards = np.zeros((states, actions, states)), (world.chance * world.rewards).sum(-1)
    np.add.at(transitions, (np.arange(states)[:, None, None], np.arange(actions)[:, None], world.following), world.chance)
    transitions[world.ends], rewards[world.ends] = np.eye(states)[world.ends][:, None], 0
    return MDP(transitions=transitions, rewards=rewards, gamma=discount, allowed=np.arange(actions) < world.choices[:, None])


def policy_values(world: World, policy: Float[np.ndarray, "states actions"], *, discount: float) -> Float[np.ndarray, " states"]:
    """The value of every state under a policy, of the same world as an MDP.

    Raises:
        UserError: probabilities that don't sum to 1, a discount outside [0, 1], or a policy that never ends without discounting.
    """
    return mdp_values(as_mdp(world, discount=discount), policy)


@compiled(inlined=True)
def step(world: World, state: int, action: int) -> tuple[int, float]:
    """Take an action: the state that follows and the reward."""
    return moved(world.following, world.chance, world.rewards, world.spread, state, action)


@compiled(inlined=True)
def moved(
    following: Int[np.ndarray, "states actions branches"],
    chance: Float[np.ndarray, "states actions branches"],
    rewards: Float[np.ndarray, "states actions branches"],
    spread: Float[np.ndarray, "states actions"],
    state: int,
    action: int,
) -> tuple[int, float]:
    """`step` for loops of millions, which take a world's arrays out of it once: each time that costs more than the step itself."""
    branch = 0 if chance.shape[2] == 1 else drawn(chance[state, action])
    reward = rewards[state, action, branch]
    if spread[state, action] > 0:
        reward += spread[state, action] * np.random.randn()
    return following[state, action, branch], reward


@compiled(inlined=True)
def drawn(probabilities: Float[np.ndarray, " outcomes"]) -> int:
    """An outcome drawn with its probability."""
    left = np.random.random()
    for outcome in range(len(probabilities) - 1):
        left -= probabilities[outcome]
        if left < 0:
            return outcome
    return len(probabilities) - 1


@compiled(inlined=True)
def epsilon_greedy_action(world: World, values: Float[np.ndarray, "states actions"], state: int, epsilon: float) -> int:
    """With probability epsilon any action of a state, else one that is worth most."""
    return explored(values, state, world.choices[state], epsilon)


@compiled(inlined=True)
def explored(values: Float[np.ndarray, "states actions"], state: int, choices: int, epsilon: float) -> int:
    """`epsilon_greedy_action` among a state's first actions, for loops of millions; see `moved`."""
    if np.random.random() < epsilon:
        return np.random.randint(choices)
    largest, found, chosen = values[state, 0], 1, 0
    # `random_argmax` of a slice, without the slice, which costs more than the choice.
    for action in range(1, choices):
        if values[state, action] > largest:
            largest, found, chosen = values[state, action], 1, action
        elif values[state, action] == largest:
            found += 1
            if np.random.random() * found < 1:
                chosen = action
    return chosen


@compiled(inlined=True)
def largest_and_mean(values: Float[np.ndarray, "states actions"], state: int, choices: int) -> tuple[float, float]:
    """The largest of a state's action values, and their mean."""
    largest, total = values[state, 0], values[state, 0]
    for action in range(1, choices):
        largest = max(largest, values[state, action])
        total += values[state, action]
    return largest, total / choices


def greedy_path(world: World, values: Float[np.ndarray, "states actions"], *, most: int = 1000) -> list[int]:
    """The states that greedy actions lead through from the start, at most so many, taking each action's first branch."""
    path = [world.start]
    while not world.ends[path[-1]] and len(path) < most:
        path.append(int(world.following[path[-1], values[path[-1], : world.choices[path[-1]]].argmax(), 0]))
    return path


def shortest(world: World) -> int:
    """The least number of actions from the start to an end, by breadth-first search.

    Raises:
        UserError: no end can be reached.
    """
    seen, edge, steps = {world.start}, {world.start}, 0
    while not any(world.ends[state] for state in edge):
        edge = {int(state) for one in edge for state in world.following[one].ravel()} - seen
        seen |= edge
        steps += 1
        if not edge:
            raise UserError("no end of this world can be reached from its start; open a way")
    return steps
