"""Bridge graphs and the walks that solve them (Mirtaheri et al. 2025, "Let Me Think!", arXiv:2505.21825, Sec. 4).

Bridge(d) is a chain of d blocks. Each joins two junctions by a path of 3 edges and one of 5, and hangs a dead end of 3 edges on the first:
10 d + 1 nodes, 11 d edges. A question shows the edges of two disjoint copies, shuffled and turned round at random under names drawn anew, a
start at the end of one copy, and the far ends of both; one of them can be reached. Whoever doesn't search is right half of the time.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlhub.core.errors import UserError

CHAINS = ("shortest", "path", "dfs", "dfs-pruned")
"""Kinds of chain of thought; `walk-L` with a number for L is the fifth."""

GIVEN = re.compile(r"(work|decision)\s*:\s*\[([\d\s]*)\]")


@dataclass(frozen=True)
class Question:
    """Which of two nodes can be reached.

    Attributes:
        edges: of both copies, in the order in which they are shown.
        start: where to begin.
        target: the node that can be reached.
        other: the one that can't.
        targets: both, in the order in which they are shown.
    """

    edges: tuple[tuple[int, int], ...]
    start: int
    target: int
    other: int
    targets: tuple[int, int]

    @property
    def prompt(self) -> str:
        """The question as text."""
        edges = " ".join(f"{one} {two}" for one, two in self.edges)
        return f"graph: [{edges}]\ntask: {self.start} to {self.targets[0]} or {self.targets[1]} /"

    def answer(self, walk: Sequence[int]) -> str:
        """A chain of thought and the right decision as text."""
        return f" work: [{' '.join(map(str, walk))}] decision: [{self.target}]"


@dataclass(frozen=True)
class Given:
    """What an answer says.

    Attributes:
        walk: its chain of thought.
        decision: the nodes that it decides for; one, if it is well formed.
    """

    walk: tuple[int, ...]
    decision: tuple[int, ...]


def bridge(blocks: int) -> list[tuple[int, int]]:
    """The edges of Bridge(blocks), whose nodes are numbered along each block: 0 is its beginning and 10 * blocks its end."""
    edges = []
    for block in range(blocks):
        first, last = 10 * block, 10 * block + 10
        short = [first, first + 1, first + 2, last]
        long = [first, *range(first + 3, first + 7), last]
        dead = [first, *range(first + 7, first + 10)]
        edges += [edge for way in (short, long, dead) for edge in itertools.pairwise(way)]
    return edges


def node_count(blocks: int) -> int:
    """Nodes of a question: those of two graphs."""
    return 2 * (10 * blocks + 1)


def ask(blocks: int, generator: np.random.Generator, *, names: int | None = None) -> Question:
    """A question drawn at random.

    Args:
        blocks: d.
        generator: of the names, of the edges' order and directions, and of the targets' order.
        names: how many names there are to draw from; by default as many as nodes.
    """
    both_nodes = node_count(blocks)
    nodes = both_nodes // 2
    called = generator.permutation(both_nodes if names is None else names)[:both_nodes]
    edges = np.array(bridge(blocks))
    both = called[np.concatenate([edges, edges + nodes])]
    turned = generator.random(len(both)) < 0.5
    both[turned] = both[turned, ::-1]
    shown = both[generator.permutation(len(both))]
    target, other = int(called[nodes - 1]), int(called[both_nodes - 1])
    targets = (target, other) if generator.random() < 0.5 else (other, target)
    return Question(tuple((int(one), int(two)) for one, two in shown), int(called[0]), target, other, targets)


def neighbours(edges: Sequence[tuple[int, int]]) -> dict[int, list[int]]:
    """Each node's neighbours."""
    found: dict[int, list[int]] = {}
    for one, two in edges:
        found.setdefault(one, []).append(two)
        found.setdefault(two, []).append(one)
    return found


def think(question: Question, chain: str, generator: np.random.Generator) -> list[int]:
    """A chain of thought: the nodes of a walk from the start to the target.

    shortest: the one path of 3 d edges.
    path: the path that a depth-first search has in hand when it finds the target.
    dfs: all that this search does, steps back among them.
    dfs-pruned: each node that it visits, once.
    walk-L: a random walk, given that it reaches the target within L steps (or the shortest path's length, where that is more).

    Raises:
        UserError: there is no such chain.
    """
    check_chain(chain)
    graph = neighbours(question.edges)
    if chain == "shortest":
        return shortest(graph, question.start, question.target)
    if chain.startswith("walk-"):
        return walk(graph, question.start, question.target, int(chain[5:]), generator)
    return depth_first(graph, question.start, question.target, chain, generator)


def check_chain(chain: str) -> None:
    """Refuse what is no chain of thought.

    Raises:
        UserError: there is none of this name.
    """
    if chain not in CHAINS and not (chain.startswith("walk-") and chain[5:].isdecimal()):
        raise UserError(f"there is no chain of thought {chain!r}; there are {', '.join(CHAINS)} and walk-L, as in walk-20")


def shortest(graph: Mapping[int, Sequence[int]], start: int, target: int) -> list[int]:
    """The shortest path, by breadth-first search."""
    before, frontier = {start: start}, [start]
    while target not in before:
        following = []
        for node in frontier:
            for near in graph[node]:
                if near not in before:
                    before[near] = node
                    following.append(near)
        frontier = following
    path = [target]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]


def depth_first(graph: Mapping[int, Sequence[int]], start: int, target: int, chain: str, generator: np.random.Generator) -> list[int]:
    """Depth-first search that tries neighbours in random order, and what a chain tells of it."""
    stack, seen, told = [start], {start}, [start]
    while stack[-1] != target:
        fresh = [near for near in graph[stack[-1]] if near not in seen]
        if fresh:
            node = fresh[int(generator.integers(len(fresh)))]
            seen.add(node)
            stack.append(node)
            told.append(node)
        else:
            stack.pop()
            if chain == "dfs":
                told.append(stack[-1])
    return stack if chain == "path" else told


def walk(graph: Mapping[int, Sequence[int]], start: int, target: int, longest: int, generator: np.random.Generator) -> list[int]:
    """A random walk, given that it reaches the target within `longest` steps."""
    longest = max(longest, len(shortest(graph, start, target)) - 1)
    nodes = {node: index for index, node in enumerate(graph)}
    steps = np.zeros((len(nodes), len(nodes)))
    for node, near in graph.items():
        steps[nodes[node], [nodes[each] for each in near]] = 1 / len(near)
    reach = np.zeros((longest + 1, len(nodes)))  # the probability of reaching the target within so many steps
    reach[:, nodes[target]] = 1
    for left in range(1, longest + 1):
        reach[left] = np.maximum(steps @ reach[left - 1], reach[0])
    taken = [start]
    while taken[-1] != target:
        near = graph[taken[-1]]
        chances = np.array([reach[longest - len(taken), nodes[each]] for each in near])
        taken.append(near[int(generator.choice(len(near), p=chances / chances.sum()))])
    return taken


def read(text: str) -> Given:
    """What an answer says: the nodes in its `work: [...]` and its `decision: [...]`, joined where there are several."""
    found: dict[str, list[int]] = {"work": [], "decision": []}
    for kind, nodes in GIVEN.findall(text):
        found[kind] += map(int, nodes.split())
    return Given(tuple(found["work"]), tuple(found["decision"]))


def decides(given: Given, target: int) -> bool:
    """Whether an answer decides for one node, and that is the target."""
    return given.decision == (target,)


def is_evidence(walk: Sequence[int], edges: Sequence[tuple[int, int]], start: int, target: int) -> bool:
    """Whether a chain of thought shows that the target can be reached.

    It begins at the start and ends at the target, and each node after the first is a neighbour of one before it.
    """
    if len(walk) < 2 or walk[0] != start or walk[-1] != target:
        return False
    graph, reached = neighbours(edges), {start}
    for node in walk:
        if node not in reached:
            return False
        reached.update(graph[node])
    return True


def path_chance(blocks: int) -> float:
    """The chance that one who walks at random and never turns round comes to the end: 2/3 (1/2)^(d - 1).

    Two of the first junction's three ways go on, and two of the four at each later one, where the other way across leads back.
    """
    return 2 / 3 * 0.5 ** (blocks - 1)


def shortest_chance(blocks: int) -> float:
    """The chance that this walk is the shortest path: 1/3 (1/4)^(d - 1)."""
    return 1 / 3 * 0.25 ** (blocks - 1)


def best_of(chance: float, answers: int) -> float:
    """The chance to decide rightly by any of several answers that is evidence, or else by a coin: 1/2 + 1/2 (1 - (1 - p)^N)."""
    return 0.5 + 0.5 * (1 - (1 - chance) ** answers)


def majority(right: float, answers: int, *, undecided: float = 0.0) -> float:
    """The chance that most of several independent answers that decide are right, a tie broken by a coin.

    Args:
        right: the chance that one decides rightly.
        answers: how many.
        undecided: the chance that one decides nothing.
    """
    total = 0.0
    for votes in range(answers + 1):
        voting = math.comb(answers, votes) * (1 - undecided) ** votes * undecided ** (answers - votes)
        share = right / (1 - undecided) if undecided < 1 else 0.0
        chances = [math.comb(votes, count) * share**count * (1 - share) ** (votes - count) for count in range(votes + 1)]
        tie = chances[votes // 2] if votes % 2 == 0 else 0.0
        total += voting * (sum(chances[votes // 2 + 1 :]) + tie / 2)
    return total
