"""Solutions in steps: where each step ends, and what a solution is worth by its steps.

A step is a line: a solution's text is cut behind each line break, and empty lines belong to the step before them. The token that ends a
solution belongs to its last step, which is judged there: a line that may be right as a step is wrong where the solution ends without an
answer.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedTokenizerBase

from rlhub.language.model import encode_completion

Worth = Literal["min", "prod", "last"]
CUT = re.compile(r"(?<=\n)(?=[^\n])")


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """A solution's tokens and where its steps end.

    Attributes:
        ids: token ids, the end token included if there is one.
        ends: for each step, the number of tokens up to its end.
    """

    ids: list[int]
    ends: list[int]


def cut(text: str) -> list[str]:
    """A solution's steps, which joined are the solution; none for empty text."""
    return [step for step in CUT.split(text) if step]


def tokenize(tokenizer: PreTrainedTokenizerBase, steps: Sequence[str], *, end: int | None = None) -> Stepped:
    """Each step's tokens, one step after another; the end token, if there is one, belongs to the last.

    Steps are tokenised one by one, so that a step's tokens are the same whatever follows it, and each but the first as what stands behind
    a line break: some tokenizers put a space before whatever comes first.
    """
    ids: list[int] = []
    ends = []
    for step in steps:
        ids += behind_a_break(tokenizer, step) if ids else encode_completion(tokenizer, step)
        ends.append(len(ids))
    if end is not None:
        ids.append(end)
        if ends:
            ends[-1] = len(ids)
    return Stepped(ids=ids, ends=ends)


def behind_a_break(tokenizer: PreTrainedTokenizerBase, step: str) -> list[int]:
    """A step's tokens where it follows another."""
    line_break, together = (encode_completion(tokenizer, text) for text in ("\n", "\n" + step))
    return together[len(line_break) :] if together[: len(line_break)] == line_break else encode_completion(tokenizer, step)


def step_ends(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[int]:
    """For each step of a sampled solution, the number of tokens up to its end, special tokens counted where they stand.

    What stands behind the last step's text, as the end token does, belongs to it.
    """
    lengths = [len(tokenizer.decode(list(ids[:count]), skip_special_tokens=True)) for count in range(1, len(ids) + 1)]
    ends, written = [], 0
    for step in cut(str(tokenizer.decode(list(ids), skip_special_tokens=True))):
        written += len(step)
        ends.append(1 + next(place for place, length in enumerate(lengths) if length >= written))
    if ends:
        ends[-1] = len(ids)
    return ends


def worth(chances: Sequence[float], how: Worth) -> float:
    """A solution's score from the probability that each of its steps is right: the least, their product, or the last.

    min: Wang et al. 2024 (Math-Shepherd, arXiv:2312.08935, Sec. 3.4); prod: Lightman et al. 2023 (arXiv:2305.20050, App. F).
    A solution without steps is worth nothing.
    """
    if not chances:
        return 0.0
    if how == "last":
        return chances[-1]
    return min(chances) if how == "min" else math.prod(chances)
