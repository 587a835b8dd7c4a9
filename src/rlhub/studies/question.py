"""What a study asks of every checkpoint: examples in splits, pairs of prompts that circuits are found on, answers to prefer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Int
from torch import Tensor

from rlhub.language.model import Policy
from rlhub.language.task import Example, Task
from rlhub.lens.contrast import Contrast

Wrong = tuple[dict[str, Tensor], Int[Tensor, " prompts"], Int[Tensor, " prompts"]]
"""Prompts as a model's inputs, the first tokens of their right answers, and of the wrong ones that the base gives."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Questions of one split.

    Attributes:
        task: what says which answers are right.
        examples: the questions.
        new_tokens: longest answer, in tokens.
    """

    task: Task
    examples: Sequence[Example]
    new_tokens: int


class Question(ABC):
    """What a study asks.

    Attributes:
        task: what arms are trained on.
        new_tokens: longest answer to it, in tokens.
        splits: what is asked of every checkpoint: train (what is trained), heldout (the same kind, never trained), untouched (another).
        conduct: prompts of a constitution, by what a good answer to them does; none where conduct isn't asked about.
    """

    task: Task
    new_tokens: int
    splits: Mapping[str, Asked]
    conduct: Mapping[str, Sequence[Example]]

    @abstractmethod
    def pairs(self, tokenizer: Any, count: int) -> Contrast:
        """Pairs of prompts that differ in what decides the answer, all of one length; the same whenever they are asked for."""

    @abstractmethod
    def preferences(self, policy: Policy) -> list[dict[str, Any]]:
        """For each question, a better answer and a worse one that the base gives, as rows of prompt, chosen and rejected."""

    @abstractmethod
    def wrong(self, policy: Policy, preferences: list[dict[str, Any]]) -> Wrong | None:
        """Prompts that the base answers wrongly; None where there are none."""
