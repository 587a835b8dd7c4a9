"""Finding where a solution goes wrong first (Zheng et al. 2024, ProcessBench, arXiv:2412.06559).

A judge of steps reads solutions, some of them wrong in a known step, and names the first step that it holds for wrong, or none. What counts
is the harmonic mean of how often it is right about wrong solutions and about right ones. Solutions are ProcessBench's own, any whose steps
are labelled, or puzzles' worked solutions, in half of which an error is planted.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.seeding import derive
from rlhub.core.statistics import bootstrap_interval
from rlhub.language.model import encode
from rlhub.language.process_reward import chances, labelled_steps
from rlhub.language.reasoning import in_tags
from rlhub.language.rewards import Text
from rlhub.language.scorer import Scorer
from rlhub.language.steps import cut
from rlhub.language.task import Example
from rlhub.language.update import MICRO_TOKENS
from rlhub.language.worked import with_error


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A solution of which it is known where it goes wrong.

    Attributes:
        prompt: what was asked.
        steps: texts which joined are the solution.
        error: the first wrong step, counted from 0; -1 where all are right.
        ended: whether the solution ends with the last of them.
    """

    prompt: Text
    steps: list[str]
    error: int
    ended: bool = True


@dataclass(frozen=True, kw_only=True)
class Localisation:
    """How well first errors are found (accuracies and F1 as ProcessBench defines them).

    Attributes:
        wrong: share of wrong solutions whose first wrong step is found, to the step.
        right: share of right solutions in which no step is called wrong.
    """

    wrong: float
    right: float

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        return 2 * self.wrong * self.right / (self.wrong + self.right) if self.wrong + self.right else 0.0


def known_solutions(name: str, examples: Sequence[Example], *, seed: int) -> list[Solution]:
    """The solutions that examples hold, or with every other puzzle its worked solution with an error in it.

    Args:
        name: the task's, for messages.
        examples: of a file of labelled steps or of ProcessBench, or puzzles asked for with a thought.
        seed: of the errors that are planted.

    Raises:
        UserError: nothing is known of the examples' steps, or there are no wrong or no right solutions among them.
    """
    solutions = [
        solution
        for index, example in enumerate(examples)
        if (solution := known(name, example, wrong=index % 2 == 1, draw=random.Random(derive(seed, "error", index)))) is not None
    ]
    if not solutions:
        raise UserError(
            f"the task {name} doesn't say where solutions go wrong: give rows with steps and labels, ProcessBench's, "
            "or chain_sum, spell_backward or number_sorting with think=true"
        )
    if len({solution.error < 0 for solution in solutions}) < 2:
        kind = "right" if solutions[0].error >= 0 else "wrong"
        raise UserError(f"the task {name} has no {kind} solution; finding errors is measured on right and wrong ones")
    return solutions


def known(name: str, example: Example, *, wrong: bool, draw: random.Random) -> Solution | None:
    """One example's solution; of a puzzle the worked one, wrong or not; None where nothing is known of its steps."""
    columns = example.columns
    if "first_error" in columns:
        return Solution(prompt=example.prompt, steps=columns["steps"], error=columns["first_error"])
    if "steps" in columns:
        steps, labels, ended = labelled_steps(name, example)
        return Solution(prompt=example.prompt, steps=steps, error=first_error(labels), ended=ended)
    if "entry" not in columns or "solution" not in columns or example.answer is None:
        return None
    if not wrong:
        return Solution(prompt=example.prompt, steps=cut(example.answer), error=-1)
    planted = with_error(columns["entry"], draw)
    if planted is None:
        return None
    steps = cut(in_tags(planted.steps, planted.answer))
    return Solution(prompt=example.prompt, steps=steps, error=planted.error + 1)  # the opening tag is a step, too


def first_error(chances: Sequence[float], *, threshold: float = 0.5) -> int:
    """The first step that is right with a probability below the threshold, counted from 0; -1 where there is none."""
    return next((place for place, chance in enumerate(chances) if chance < threshold), -1)


def find_errors(
    scorer: Scorer, solutions: Sequence[Solution], *, threshold: float = 0.5, micro_tokens: int = MICRO_TOKENS
) -> Int[Tensor, " solutions"]:
    """The first step of each solution that a process reward model holds for wrong; -1 for none."""
    asked = [(encode(scorer.tokenizer, solution.prompt), solution.steps) for solution in solutions]
    judged = chances(scorer, asked, ended=[solution.ended for solution in solutions], micro_tokens=micro_tokens)
    return torch.tensor([first_error(steps, threshold=threshold) for steps in judged])


def localisation(found: Int[Tensor, " solutions"], planted: Int[Tensor, " solutions"]) -> Localisation:
    """Compare the first errors that were found with those that are there; -1 for none.

    Raises:
        ValueError: there is no wrong solution, or no right one, among them.
    """
    wrong = planted >= 0
    if bool(wrong.all()) or not bool(wrong.any()):
        raise ValueError("finding errors is measured on wrong and right solutions, at least one of each")
    matches = (found == planted).double()
    return Localisation(wrong=float(matches[wrong].mean()), right=float(matches[~wrong].mean()))


def f1_interval(
    found: Int[Tensor, " solutions"], planted: Int[Tensor, " solutions"], *, generator: torch.Generator | None = None
) -> tuple[float, float]:
    """The 95% bootstrap interval of the F1 over solutions; a resample without wrong solutions, or without right ones, counts 0."""
    matches, wrong = found == planted, planted >= 0

    def f1(drawn: Float[Tensor, "resamples solutions"]) -> Float[Tensor, " resamples"]:
        rows = drawn.long()
        one, other = share(matches[rows], wrong[rows]), share(matches[rows], ~wrong[rows])
        return torch.where(one + other > 0, 2 * one * other / (one + other), 0.0)

    return bootstrap_interval(torch.arange(len(found)).double(), f1, generator=generator)


def share(matches: Bool[Tensor, "resamples solutions"], counted: Bool[Tensor, "resamples solutions"]) -> Float[Tensor, " resamples"]:
    """How many of those that count match, of each resample; 0 where none counts."""
    return (matches & counted).sum(-1).double() / counted.sum(-1).clamp(min=1)
