"""Tasks from reasoning-gym (Stojanovski et al. 2025, arXiv:2505.24760): puzzles made by rule, each with its own scorer."""

import difflib
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import lru_cache, partial
from typing import Any

from rlhub.core.errors import UserError
from rlhub.language.held_out import SLOW, TRIES, HeldOut, questions
from rlhub.language.puzzle_scores import PuzzleScores
from rlhub.language.rewards import Text, exact_match, extract_answer
from rlhub.language.rule_rewards import INSTRUCTION, reflections, tag_format, thought_words
from rlhub.language.task import Example, Task
from rlhub.language.worked import work_out

TRAIN_SIZE, TEST_SIZE = 10_000, 200
TEST_SEED = 1_000_000_007  # a puzzle is made from its data set's seed plus its index, so the splits lie this far apart


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


def in_tags(steps: Sequence[str], answer: str) -> str:
    """A thought of these steps and an answer, as they are asked for."""
    return f"<think>\n{''.join(steps)}</think>\n<answer>{answer}</answer>"


def reasoning_task(name: str, dataset: str, options: dict[str, Any], *, seed: int) -> Task:
    """A reasoning-gym data set as a task.

    The reward is the data set's own score (see `PuzzleScores`) of what `extract_answer` finds in the completion: the last `<answer>` tag's
    content, or else the whole text without space around. Many scorers give part of the credit for a part of the answer, so two measures
    stand beside it: `solved` (full credit) and `exact_match` (the text equals the stored answer; a puzzle may have other right ones).

    The test split has `TEST_SIZE` puzzles that the training split doesn't ask, as far as there are any (see `HeldOut`).

    Args:
        name: what the task is called.
        dataset: the data set's name.
        options: its settings; `size` for how many puzzles the training split holds; `think` to ask for a thought before the answer, in
            tags, with worked solutions as answers where there is a rule for them (chain_sum, spell_backward, number_sorting).
        seed: the puzzles' seed.

    Raises:
        UserError: there is no such data set, it refuses the settings, or its score is the same for whatever it is given.
    """
    options = dict(options)
    size, think = options.pop("size", TRAIN_SIZE), options.pop("think", False)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise UserError(f"the size of the task {name!r} is {size!r}; give a number of puzzles from 1 on")
    if not isinstance(think, bool):
        raise UserError(f"the option think of the task {name!r} is {think!r}; give true or false")
    train = make(dataset, options, size=size, seed=seed)
    test = test_puzzles(dataset, options, size=size, seed=seed)
    scores = PuzzleScores(train)
    return Task(
        name=name,
        splits={"train": Puzzles(train, think=think), "test": Puzzles(test, think=think)},
        rewards=[(named("score", partial(score, scores)), 1.0)],
        measures={
            "solved": named("solved", partial(solved, scores)),
            "exact_match": matches_solution if think else exact_match,
            **({"format": tag_format, "reflections": reflections, "thought_words": thought_words} if think else {}),
        },
        seed=seed,
    )


def test_puzzles(dataset: str, options: dict[str, Any], *, size: int, seed: int) -> Any:
    """The puzzles of the test split: as far as there are any, those that the training split doesn't ask (see `HeldOut`)."""
    count = min(size, TEST_SIZE)
    if dataset in SLOW:
        return make(dataset, options, size=count, seed=seed + TEST_SEED)
    settings = (dataset, json.dumps(options, sort_keys=True, default=str), size, seed)
    source = make(dataset, options, size=TRIES * count, seed=seed + TEST_SEED)
    return HeldOut(source, count, seen=partial(training_questions, settings))


@lru_cache(maxsize=4)
def training_questions(settings: tuple[str, str, int, int]) -> frozenset[str]:
    """What the training split of these settings (data set, options as JSON, size, seed) asks."""
    dataset, options, size, seed = settings
    return questions(make(dataset, json.loads(options), size=size, seed=seed))


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
        source = reasoning_gym.create_dataset(dataset, size=size, seed=seed, **options)
        source[0]  # some settings are refused only where they are used
        return source
    except Exception as error:  # each data set checks its settings in its own way
        raise UserError(f"reasoning-gym's data set {dataset} refuses its settings {options | {'size': size}}: {error}") from error


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
