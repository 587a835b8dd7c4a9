"""Tasks from reasoning-gym (Stojanovski et al. 2025, arXiv:2505.24760): puzzles made by rule, each with its own scorer."""

import difflib
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cached_property, lru_cache, partial
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.named import parted, with_option
from rlhub.language.puzzle_scores import PuzzleScores
from rlhub.language.rewards import Text, exact_match, extract_answer
from rlhub.language.rule_rewards import INSTRUCTION, reflections, tag_format, thought_words
from rlhub.language.task import Example, Task
from rlhub.language.worked import work_out

TRAIN_SIZE, TEST_SIZE = 10_000, 200
TEST_SEED = 1_000_000_007  # a puzzle is made from its data set's seed plus its index, so the splits' seeds lie this far apart
TRIES = 20
"""How many times as many puzzles as a test split needs are made at most in search of those that the training split doesn't hold."""
SLOW = frozenset(
    {"advanced_geometry", "countdown", "futoshiki", "game_of_life", "game_of_life_halting", "intermediate_integration", "jugs"}
    | {"knight_swap", "polynomial_equations", "polynomial_multiplication", "puzzle24", "quantum_lock", "rearc", "rubiks_cube"}
    | {"simple_integration", "sokoban", "sudoku", "word_ladder", "zebra_puzzles"}
)
"""Data sets that take from half a minute to two hours to make 10,000 puzzles, where most take less than two seconds. It isn't checked which
of their test puzzles are training puzzles, too."""


class Puzzles(Sequence[Example]):
    """A data set's puzzles as examples, each made when it is asked for.

    The prompt is one user message; a model without a chat template gets its text. The column `entry` is reasoning-gym's own entry.
    """

    def __init__(self, source: Any, *, think: bool = False) -> None:
        self.source, self.think = source, think

    def __len__(self) -> int:
        """How many puzzles there are."""
        return len(self.source)

    def __getitem__(self, index: Any) -> Any:
        """The puzzle at an index, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        entry = self.source[index % len(self)]
        answer = None if entry["answer"] is None else str(entry["answer"])
        if not self.think:
            return Example([{"role": "user", "content": entry["question"]}], answer, {"entry": entry})
        asked = [{"role": "user", "content": f"{entry['question']}\n\n{INSTRUCTION}"}]
        steps = work_out(entry)
        worked = None if steps is None or answer is None else in_tags(steps, answer)
        return Example(asked, worked, {"entry": entry, "solution": answer})

    def __iter__(self) -> Iterator[Example]:
        """Each puzzle in turn."""
        return (self[index] for index in range(len(self)))


class HeldOut(Puzzles):
    """A test split: puzzles that are none of the training puzzles, each another one, found when the first is asked for.

    They are taken in the order of their seeds. There may be too few, as in a world of sums of two digits, all of which occur in training;
    then the first puzzles are taken as they come, and `known` tells how many of them occur in training.
    """

    def __init__(self, dataset: str, options: dict[str, Any], *, size: int, seed: int, think: bool) -> None:
        """Take a data set's name and settings, and the size and the seed of its training split."""
        self.think = think
        self._dataset, self._options, self._size, self._seed = dataset, options, size, seed
        self._first = make(dataset, options, size=len(self), seed=seed + TEST_SEED)

    def __len__(self) -> int:
        """How many puzzles there are."""
        return min(self._size, TEST_SIZE)

    @property
    def checked(self) -> bool:
        """Whether training puzzles are left out, if there are others: not of the data sets in `SLOW`."""
        return self._dataset not in SLOW

    @property
    def known(self) -> int | None:
        """How many test puzzles occur in training, to the letter; None where that isn't checked."""
        return sum(entry["question"] in self._trained for entry in self.source) if self.checked else None

    @cached_property
    def source(self) -> Any:
        """The data set's entries, found once."""
        if not self.checked:
            return self._first
        found: dict[str, Any] = {}
        for entry in self._candidates():
            if entry["question"] not in self._trained:
                found.setdefault(entry["question"], entry)
            if len(found) == len(self):
                return list(found.values())
        return self._first

    @property
    def _trained(self) -> frozenset[str]:
        return questions(self._dataset, json.dumps(self._options, sort_keys=True), size=self._size, seed=self._seed)

    def _candidates(self) -> Iterator[Any]:
        """Entries in the order of their seeds."""
        yield from (self._first[index] for index in range(len(self)))
        more = make(self._dataset, self._options, size=TRIES * len(self), seed=self._seed + TEST_SEED)
        yield from (more[index] for index in range(len(self), len(more)))


@lru_cache(maxsize=8)
def questions(dataset: str, options: str, *, size: int, seed: int) -> frozenset[str]:
    """All that a training split asks; its options are JSON, so that they can be remembered by."""
    source = make(dataset, json.loads(options), size=size, seed=seed)
    return frozenset(source[index]["question"] for index in range(size))


def in_tags(steps: Sequence[str], answer: str) -> str:
    """A thought of these steps and an answer, as they are asked for."""
    return f"<think>\n{''.join(steps)}</think>\n<answer>{answer}</answer>"


def asked_for_thought(spec: str) -> str:
    """A task's name with `think=true`, where it is one of reasoning-gym's that doesn't say whether a thought is asked for."""
    name, options = parted(spec)
    if not name.startswith("reasoning-gym:") or "think" in options:
        return spec
    return with_option(spec, "think=true")


def reasoning_task(name: str, dataset: str, options: dict[str, Any], *, seed: int) -> Task:
    """A reasoning-gym data set as a task.

    The reward is the data set's own score (see `PuzzleScores`) of what `extract_answer` finds in the completion: the last `<answer>` tag's
    content, or else the whole text without space around. Many scorers give part of the credit for a part of the answer, so two measures
    stand beside it: `solved` (full credit) and `exact_match` (the text equals the stored answer; a puzzle may have other right ones). The
    test split holds no training puzzle where that can be had (see `HeldOut`).

    Args:
        name: what the task is called.
        dataset: the data set's name.
        options: its settings; `size` for how many puzzles the training split holds; `think` to ask for a thought before the answer, in
            tags, with worked solutions as answers where there is a rule for them (chain_sum, spell_backward, number_sorting).
        seed: the puzzles' seed.

    Raises:
        UserError: there is no such data set, it can't be made with the settings, or its score is the same for whatever it is given.
    """
    options = dict(options)
    size, think = options.pop("size", TRAIN_SIZE), options.pop("think", False)
    if type(size) is not int or size < 1:
        raise UserError(f"the option 'size' of the task {name!r} is {size!r}; it is a whole number from 1 on")
    if type(think) is not bool:
        raise UserError(f"the option 'think' of the task {name!r} is {think!r}; it is true or false")
    train = make(dataset, options, size=size, seed=seed)
    try:
        scores = PuzzleScores(train)
    except UserError:
        raise
    except Exception as error:  # some settings are only found to be bad by the first puzzles
        raise refused(dataset, options | {"size": size}, error) from error
    return Task(
        name=name,
        splits={"train": Puzzles(train, think=think), "test": HeldOut(dataset, options, size=size, seed=seed, think=think)},
        rewards=[(named("score", partial(score, scores)), 1.0)],
        measures={
            "solved": named("solved", partial(solved, scores)),
            "exact_match": matches_solution if think else exact_match,
            **({"format": tag_format, "reflections": reflections, "thought_words": thought_words} if think else {}),
        },
        seed=seed,
    )


def make(dataset: str, options: dict[str, Any], *, size: Any, seed: int) -> Any:
    """The data set itself."""
    with warnings.catch_warnings():
        # A package behind it compares with "is", which Python tells whoever imports it first.
        warnings.simplefilter("ignore", SyntaxWarning)
        import reasoning_gym
        from reasoning_gym.factory import DATASETS

    if dataset not in DATASETS:
        close = difflib.get_close_matches(dataset, DATASETS, n=3)
        raise UserError(f"reasoning-gym has no data set {dataset!r}" + (f"; do you mean {' or '.join(close)}?" if close else ""))
    known = [setting.name for setting in fields(DATASETS[dataset][1]) if setting.name != "seed"]
    for option in options:
        if option not in known:
            raise UserError(f"reasoning-gym's data set {dataset} has no setting {option!r}; it has {', '.join(known)}")
    try:
        return reasoning_gym.create_dataset(dataset, size=size, seed=seed, **options)
    except Exception as error:  # each data set checks its settings in its own way
        raise refused(dataset, options | {"size": size}, error) from error


def refused(dataset: str, settings: dict[str, Any], error: Exception) -> UserError:
    """The sentence for settings that a data set can't be made with."""
    return UserError(f"reasoning-gym's data set {dataset} refuses its settings {settings}: {str(error) or type(error).__name__}")


def score(scores: PuzzleScores, prompts: list[Text], completions: list[Text], *, entry: list[Any], **_: Any) -> list[float]:
    """The data set's own score of each completion, between 0 and 1."""
    return scores([extract_answer(given) for given in completions], entry)


def solved(scores: PuzzleScores, prompts: list[Text], completions: list[Text], *, entry: list[Any], **_: Any) -> list[float]:
    """1 where the data set's own score is full, else 0."""
    return [float(value >= 1.0) for value in score(scores, prompts, completions, entry=entry)]


def matches_solution(prompts: list[Text], completions: list[Text], *, solution: list[str | None], **_: Any) -> list[float | None]:
    """1 where what a completion answers is the stored answer, whatever it thinks before; else 0."""
    return exact_match(prompts, completions, answer=solution)


def named(name: str, function: partial[list[float]]) -> partial[list[float]]:
    """The function with a name to be reported under."""
    function.__name__ = name  # type: ignore[attr-defined]
    return function
