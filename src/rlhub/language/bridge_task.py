"""Questions on bridge graphs as a task: `bridges:BLOCKS?chain=path`."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rlhub.core.errors import UserError
from rlhub.core.seeding import derive
from rlhub.language.bridges import ask, check_chain, decides, is_evidence, read, think
from rlhub.language.rewards import Text, content
from rlhub.language.task import Example, Task

TRAIN_SIZE, TEST_SIZE = 500_000, 500


class Questions(Sequence[Example]):
    """Questions with a chain of thought and a decision as their answer, each made when it is asked for."""

    def __init__(self, split: str, size: int, *, blocks: int, chain: str, seed: int) -> None:
        self._split, self._size, self._blocks, self._chain, self._seed = split, size, blocks, chain, seed

    def __len__(self) -> int:
        """How many questions there are."""
        return self._size

    def __getitem__(self, index: Any) -> Any:
        """The question at an index, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._size))]
        if not -self._size <= index < self._size:
            raise IndexError(index)
        draw = np.random.default_rng(derive(self._seed, "bridges", self._split, index % self._size))
        question = ask(self._blocks, draw)
        answer = question.answer(think(question, self._chain, draw))
        columns = {"edges": question.edges, "start": question.start, "target": question.target, "other": question.other}
        return Example(question.prompt, answer, columns)

    def __iter__(self) -> Iterator[Example]:
        """Each question in turn."""
        return (self[index] for index in range(self._size))


def bridges_task(name: str, blocks: str, *, seed: int, chain: str = "path", size: int = TRAIN_SIZE) -> Task:
    """Questions on Bridge(blocks): rewarded for evidence, the decision and the length of the walk measured beside.

    Args:
        name: what the task is called.
        blocks: d.
        seed: of the questions.
        chain: the kind of chain of thought in the answers: shortest, path, dfs, dfs-pruned or walk-L.
        size: questions in the training split.

    Raises:
        UserError: the number of blocks, the chain or the size is none.
    """
    if not blocks.isdecimal() or int(blocks) < 1:
        raise UserError(f"the task {name!r} needs a number of blocks from 1 on, as in bridges:3, and has {blocks!r}")
    if type(size) is not int or size < 1:
        raise UserError(f"the option 'size' of the task {name!r} is {size!r}; it is a whole number from 1 on")
    check_chain(chain)
    settings: dict[str, Any] = {"blocks": int(blocks), "chain": chain, "seed": seed}
    splits = {"train": Questions("train", size, **settings), "test": Questions("test", TEST_SIZE, **settings)}
    return Task(name=name, splits=splits, rewards=[(evidence, 1.0)], measures={"decision": decision, "walk": walk_length}, seed=seed)


def evidence(
    prompts: list[Text],
    completions: list[Text],
    *,
    edges: list[Sequence[tuple[int, int]]],
    start: list[int],
    target: list[int],
    **_: Any,
) -> list[float]:
    """1 where an answer's walk shows that the target can be reached, else 0."""
    return [
        float(is_evidence(read(content(completion)).walk, graph, begin, end))
        for completion, graph, begin, end in zip(completions, edges, start, target, strict=True)
    ]


def decision(prompts: list[Text], completions: list[Text], *, target: list[int], **_: Any) -> list[float]:
    """1 where an answer decides for the target, else 0."""
    return [float(decides(read(content(completion)), right)) for completion, right in zip(completions, target, strict=True)]


def walk_length(prompts: list[Text], completions: list[Text], **_: Any) -> list[float]:
    """Nodes in an answer's chain of thought."""
    return [float(len(read(content(completion)).walk)) for completion in completions]
