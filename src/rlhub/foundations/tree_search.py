"""Planning at decision time: rollouts and Monte Carlo tree search (Sutton & Barto 2018, Sec. 8.10-8.11).

A tree is a few arrays. Node 0 is the state to decide in; every node holds a state, and for each action how often it was taken there and the
sum of returns that followed. An action's outcomes are a chain of nodes: the last one found, and for each node the one found before it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rlhub.foundations.bandits import random_argmax
from rlhub.foundations.compiled import compiled
from rlhub.foundations.worlds import World, step


class Tree(NamedTuple):
    """What a search knows; rows from `size` on are unused.

    Attributes:
        states: each node's state.
        visits: how often each action was taken.
        returns: the sum of discounted returns that followed it.
        outcome: the node of the outcome found last, -1 for none.
        earlier: for each node, that of the outcome of the same action found before it, -1 for none.
        size: how many nodes there are, in an array of one.
    """

    states: Int[np.ndarray, " nodes"]
    visits: Int[np.ndarray, "nodes actions"]
    returns: Float[np.ndarray, "nodes actions"]
    outcome: Int[np.ndarray, "nodes actions"]
    earlier: Int[np.ndarray, " nodes"]
    size: Int[np.ndarray, " 1"]


@compiled
def search(
    world: World, state: int, simulations: int, exploration: float, depth: int, grow: bool, discount: float
) -> tuple[Float[np.ndarray, " actions"], Int[np.ndarray, " actions"]]:
    """Monte Carlo tree search from a state (Sec. 8.11): select, expand, simulate, back up.

    Args:
        world: which outcomes are drawn from.
        state: where a decision is needed.
        simulations: how many.
        exploration: how wide the doubt about an action is taken (UCT's constant, Kocsis & Szepesvári 2006).
        depth: moves after which a simulation is cut off; what would follow counts as 0.
        grow: add a node with each simulation; otherwise only the root's actions are compared, a rollout algorithm (Sec. 8.10).
        discount: gamma.

    Returns:
        The mean return of each of the root's actions (minus infinity where it was never taken), and how often each was.
    """
    tree = planted(state, simulations + 1, world.spread.shape[1])
    nodes, actions, rewards = np.empty(depth, dtype=np.int64), np.empty(depth, dtype=np.int64), np.empty(depth)
    for _ in range(simulations):
        node, here, moves = 0, state, 0
        while node >= 0 and moves < depth and not world.ends[here]:
            action = select(tree, node, world.choices[here], exploration)
            nodes[moves], actions[moves] = node, action
            here, rewards[moves] = step(world, here, action)
            node, moves = child(tree, node, action, here), moves + 1
        if grow and moves < depth and not world.ends[here]:
            expand(tree, nodes[moves - 1], actions[moves - 1], here)
        gained = rollout(world, here, depth - moves, discount)
        for move in range(moves - 1, -1, -1):
            gained = rewards[move] + discount * gained
            tree.visits[nodes[move], actions[move]] += 1
            tree.returns[nodes[move], actions[move]] += gained
    means = np.where(tree.visits[0] > 0, tree.returns[0] / np.maximum(tree.visits[0], 1), -np.inf)
    return means, tree.visits[0]


@compiled
def planted(state: int, nodes: int, actions: int) -> Tree:
    """A tree of one node with room for others."""
    states = np.empty(nodes, dtype=np.int64)
    states[0] = state
    visits, returns = np.zeros((nodes, actions), dtype=np.int64), np.zeros((nodes, actions))
    return Tree(states, visits, returns, np.full((nodes, actions), -1), np.full(nodes, -1), np.ones(1, dtype=np.int64))


@compiled
def select(tree: Tree, node: int, choices: int, exploration: float) -> int:
    """The action that could be best by its upper confidence bound, an untried one before all others (Eq. 2.10 at every node)."""
    bounds, total = np.full(choices, np.inf), np.log(max(tree.visits[node].sum(), 1))
    for action in range(choices):
        times = tree.visits[node, action]
        if times > 0:
            bounds[action] = tree.returns[node, action] / times + exploration * np.sqrt(total / times)
    return random_argmax(bounds)


@compiled
def child(tree: Tree, node: int, action: int, state: int) -> int:
    """The node of an action's outcome, -1 if the tree hasn't got it."""
    found = tree.outcome[node, action]
    while found >= 0 and tree.states[found] != state:
        found = tree.earlier[found]
    return found


@compiled
def expand(tree: Tree, node: int, action: int, state: int) -> None:
    """Add an action's outcome as a node."""
    new = tree.size[0]
    tree.states[new], tree.earlier[new] = state, tree.outcome[node, action]
    tree.outcome[node, action] = new
    tree.size[0] += 1


@compiled
def rollout(world: World, state: int, moves: int, discount: float) -> float:
    """The discounted return of random actions, to the end or for so many moves."""
    gained, weight = 0.0, 1.0
    for _ in range(moves):
        if world.ends[state]:
            break
        state, reward = step(world, state, int(np.random.random() * world.choices[state]))
        gained += weight * reward
        weight *= discount
    return gained


@compiled
def decide_and_act(
    world: World, *, runs: int, longest: int, simulations: int, exploration: float, depth: int, grow: bool, discount: float, seed: int
) -> Int[np.ndarray, " runs"]:
    """How many moves it takes from the start to an end, at most the longest, with a new search before each; for the rest see `search`.

    Nothing is learned or kept between moves. Without simulations every action is random.
    """
    lengths = np.zeros(runs, dtype=np.int64)
    for run in range(runs):
        np.random.seed(seed * 1_000_003 + run)
        state = world.start
        while not world.ends[state] and lengths[run] < longest:
            worths, _ = search(world, state, simulations, exploration, depth, grow, discount)
            state, _ = step(world, state, random_argmax(worths[: world.choices[state]]))
            lengths[run] += 1
    return lengths
