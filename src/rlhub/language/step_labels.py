"""Labels of steps without raters (Wang et al. 2024, Math-Shepherd, arXiv:2312.08935, Sec. 3.3): a step is as good as what can still follow.

From the end of each step the solver finishes the solution several times. The hard label is whether any of these is right, the soft one how
many are. All continuations of a step share its prefix's computation, and all steps of a batch of solutions are finished at once.
Whether a solution would be right if it ended there and then, nobody has to finish to know (`stopped`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from rlhub.language.model import Policy, encode
from rlhub.language.rollout import complete
from rlhub.language.steps import cut, tokenize
from rlhub.language.task import Example, Task

Labels = Literal["hard", "soft"]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A solution whose steps are labelled.

    Attributes:
        example: what was asked.
        steps: the solution's steps.
        labels: between 0 (wrong) and 1 (right), one a step.
        ended: whether the last step is where the solution ended.
        tokens: how many tokens the labels took.
    """

    example: Example
    steps: list[str]
    labels: list[float]
    ended: bool
    tokens: int


def label(
    policy: Policy,
    task: Task,
    solutions: Sequence[tuple[Example, str]],
    *,
    rollouts: int,
    max_new_tokens: int,
    kind: Labels,
    ended: Sequence[bool] | None = None,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> list[Labelled]:
    """Label the steps of solutions by finishing them.

    Args:
        policy: who finishes.
        task: what says whether a finished solution is right: its reward is 1.
        solutions: examples and the texts that solve them, or don't.
        rollouts: continuations from each step (N).
        max_new_tokens: longest of them, in tokens.
        kind: hard or soft.
        ended: whether each solution came to its end; by default all did. Of one that was cut off the step that was being written is left
            out, and the last whole one is finished like the others.
        temperature: they are sampled at.
        generator: where the randomness comes from.

    Returns:
        The solutions in their order; where one ended, the last step's label says whether it is right.
    """
    whole = [True] * len(solutions) if ended is None else ended
    steps = [[step for step in cut(text) if end or step.endswith("\n")] for (_, text), end in zip(solutions, whole, strict=True)]
    prefixes, owners = [], []
    for place, ((example, _), lines) in enumerate(zip(solutions, steps, strict=True)):
        stepped = tokenize(policy.tokenizer, lines)
        prompt = encode(policy.tokenizer, example.prompt)
        for number in range(1, len(lines) + (not whole[place])):
            prefixes.append(prompt + stepped.ids[: stepped.ends[number - 1]])
            owners.append((place, number))
    examples = [example for example, _ in solutions]
    finished = [(place, "".join(steps[place]), len(steps[place])) for place in range(len(solutions)) if whole[place]]
    spent = [0] * len(solutions)
    if prefixes:
        drawn = complete(policy, prefixes, group=rollouts, max_new_tokens=max_new_tokens, temperature=temperature, generator=generator)
        for (place, number), texts, lengths in zip(owners, drawn.texts, drawn.lengths.tolist(), strict=True):
            finished += [(place, "".join(steps[place][:number]) + text, number) for text in texts]
            spent[place] += sum(lengths)
    hits = task.right([examples[place] for place, _, _ in finished], [text for _, text, _ in finished])
    right: dict[tuple[int, int], list[bool]] = {}
    for (place, _, number), hit in zip(finished, hits, strict=True):
        right.setdefault((place, number), []).append(hit)
    labels = [
        [summed(right[place, number], kind) for number in range(1, len(lines) + 1)] if lines else [] for place, lines in enumerate(steps)
    ]
    return [
        Labelled(example=example, steps=lines, labels=given, ended=end, tokens=tokens)
        for example, lines, given, end, tokens in zip(examples, steps, labels, whole, spent, strict=True)
    ]


def stopped(task: Task, solutions: Sequence[Labelled]) -> list[list[float]]:
    """Whether each solution would be right (1) or not (0) if it ended after each of its steps but the last."""
    texts = [["".join(one.steps[:number]).rstrip("\n") for number in range(1, len(one.steps))] for one in solutions]
    examples = [one.example for one, each in zip(solutions, texts, strict=True) for _ in each]
    right = iter(task.right(examples, [text for each in texts for text in each]))
    return [[float(next(right)) for _ in each] for each in texts]


def summed(right: Sequence[bool], kind: Labels) -> float:
    """A step's label from whether each way to finish it is right: any of them (hard), or how many (soft)."""
    return float(any(right)) if kind == "hard" else sum(right) / len(right)
