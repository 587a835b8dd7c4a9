"""Lessons in reading a list of edges, before a small transformer is asked to find its way through one.

A chain of thought shows a model some twenty edges of a graph, and what it must learn first is to read any: to look a node up among all
pairs, in either place, and say its partner. So it is asked for that alone, many times a graph: first for partners where every node has one,
then to ramble through bridge graphs, where a node has several.
"""

from dataclasses import dataclass

import numpy as np

from rlhub.language.bridges import ask, neighbours

LEAST_PAIRS = 4
LEFT = 0.03
"""The chance that a ramble leaves off at a node and begins anew elsewhere."""


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


def ramble(blocks: int, generator: np.random.Generator, *, names: int, length: int) -> Lesson:
    """A walk through a bridge graph that never turns round, and begins anew at dead ends and now and then elsewhere.

    Args:
        blocks: of the graph, as in `bridges.ask`.
        generator: of the graph and of the walk.
        names: how many names there are to draw from.
        length: nodes of the walk.
    """
    question = ask(blocks, generator, names=names)
    graph = neighbours(question.edges)
    nodes = list(graph)
    said, counted = [nodes[int(generator.integers(len(nodes)))]], [False]
    before: int | None = None
    while len(said) < length:
        ways = [near for near in graph[said[-1]] if near != before]
        goes_on = bool(ways) and generator.random() >= LEFT
        before = said[-1] if goes_on else None
        following = ways if goes_on else nodes
        said.append(following[int(generator.integers(len(following)))])
        counted.append(goes_on)
    return Lesson(shown(question.edges), said, counted)


def shown(edges: "list[list[int]] | tuple[tuple[int, int], ...]") -> str:
    """Edges as a question shows them, and the beginning of a chain of thought."""
    return f"graph: [{' '.join(f'{one} {two}' for one, two in edges)}]\nwork: ["


def lesson(done: float, blocks: int, generator: np.random.Generator, *, names: int, length: int) -> Lesson:
    """The lesson for where one stands: partners among ever more pairs for six tenths of the time, then rambles.

    Args:
        done: the part of all lessons that lies behind, from 0 to 1.
        blocks: of the largest graphs.
        generator: of what is random.
        names: how many names there are to draw from.
        length: nodes of a ramble.
    """
    if done >= 0.6:
        return ramble(int(generator.integers(1, blocks + 1)), generator, names=names, length=length)
    sizes = [LEAST_PAIRS]
    while sizes[-1] < names // 2:
        sizes.append(min(2 * sizes[-1], names // 2))
    return partners(sizes[int(done / 0.6 * len(sizes))], generator, names=names)
