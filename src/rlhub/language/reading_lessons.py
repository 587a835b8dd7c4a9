"""Lessons in reading a list of edges, before a small transformer is asked to find its way through one.

A chain of thought shows a model some twenty edges of a graph, and what it must learn first is to read any: to look a node up among all
pairs, in either place, and say its partner. So it is asked for that alone, many times a graph: first for partners where every node has one,
then to ramble through bridge graphs, where a node has several.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlhub.language.bridges import ask, neighbours

LEAST_PAIRS = 4
LEFT = 0.03
"""The chance that a ramble begins anew elsewhere though it could go on."""
MASTERED, STEPS = 0.2, 10
"""A lesson is mastered when the loss of so many steps was less than this on average, in nats a node that can be known."""


@dataclass(frozen=True)
class Lesson:
    """A graph, and what is said of it.

    Attributes:
        prompt: the graph as text, up to where nodes are named.
        said: nodes.
        counted: which of them can be known from the graph and the nodes before.
    """

    prompt: str
    said: list[int]
    counted: list[bool]


def partners(pairs: int, generator: np.random.Generator, *, names: int) -> Lesson:
    """Pairs of nodes, and then every node in random order with its partner behind it.

    Args:
        pairs: how many, at most half of the names.
        generator: of the names and of both orders.
        names: how many names there are to draw from.
    """
    edges = generator.permutation(names)[: 2 * pairs].reshape(pairs, 2)
    asked = np.concatenate([edges, edges[:, ::-1]])[generator.permutation(2 * pairs)]
    return Lesson(shown(edges.tolist()), asked.flatten().tolist(), [False, True] * (2 * pairs))


def ramble(blocks: int, generator: np.random.Generator, *, names: int, longest: int = 0) -> Lesson:
    """A walk through a bridge graph that never comes where it was, and begins anew at dead ends and now and then, until all nodes are said.

    As chains of the kind path, it says no node twice: what has learnt to walk in circles goes on so when it is rewarded for arriving. Where
    more nodes are asked for than there are, it goes through all again: what never stood so far behind the edges can't read them from there.

    Args:
        blocks: of the graph, as in `bridges.ask`.
        generator: of the graph and of the walk.
        names: how many names there are to draw from.
        longest: nodes that are said, where this is more than there are.
    """
    question = ask(blocks, generator, names=names)
    graph = neighbours(question.edges)
    nodes = list(graph)
    left = [nodes[place] for place in generator.permutation(len(nodes))]
    said, counted = [left.pop()], [False]
    while len(said) < max(longest, len(nodes)):
        left = left or [nodes[place] for place in generator.permutation(len(nodes)) if nodes[place] != said[-1]]
        ways = [near for near in graph[said[-1]] if near in left]
        goes_on = bool(ways) and generator.random() >= LEFT
        said.append(ways[int(generator.integers(len(ways)))] if goes_on else left[-1])
        counted.append(goes_on)
        left.remove(said[-1])
    return Lesson(shown(question.edges), said, counted)


def shown(edges: "list[list[int]] | tuple[tuple[int, int], ...]") -> str:
    """Edges as a question shows them, and the beginning of a chain of thought."""
    return f"graph: [{' '.join(f'{one} {two}' for one, two in edges)}]\nwork: ["


class Curriculum:
    """Which lesson comes now: partners among ever more pairs, each once the last one is mastered, then rambles to the end.

    When a model comes to look names up is a matter of luck with its first weights: some need twice the steps of others, so the lessons
    wait for it.

    Attributes:
        mastered: lessons that are.
    """

    def __init__(self, blocks: int, *, names: int, longest: int = 0) -> None:
        """Begin with the first.

        Args:
            blocks: of the largest graphs.
            names: how many names there are to draw from.
            longest: nodes that a ramble says, where this is more than the graph has.
        """
        self._blocks, self._names, self._longest = blocks, names, longest
        self._sizes = [LEAST_PAIRS]
        while self._sizes[-1] < names // 2:
            self._sizes.append(min(2 * self._sizes[-1], names // 2))
        self.mastered = 0
        self._losses: list[float] = []

    def lesson(self, generator: np.random.Generator) -> Lesson:
        """A lesson of the present kind."""
        if self.mastered == len(self._sizes):
            return ramble(int(generator.integers(1, self._blocks + 1)), generator, names=self._names, longest=self._longest)
        return partners(self._sizes[self.mastered], generator, names=self._names)

    def observe(self, loss: float) -> None:
        """Take a step's mean loss, in nats a node, into account."""
        if self.mastered == len(self._sizes):
            return
        self._losses = [*self._losses, loss][-STEPS:]
        if len(self._losses) == STEPS and sum(self._losses) < STEPS * MASTERED:
            self.mastered += 1
            self._losses = []

    def state_dict(self) -> dict[str, Any]:
        """How far it has come."""
        return {"mastered": self.mastered, "losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.mastered, self._losses = state["mastered"], list(state["losses"])
