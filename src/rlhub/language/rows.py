"""Prompts with their completions, packed so that a prompt's tokens are computed once however many completions it has.

A `Group` is the unit of every signal: SFT has one completion to a prompt, DPO two, GRPO G. A `Row` lays several groups end to end: what all
prompts begin with, the prompts from there on, then all completions, with the positions each token would have in a row of its own;
`Branches` tells attention who sees whom. A completion's last token is never fed, as nothing follows it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.language.attention import Branches

BEGINNING = 16
"""Tokens from which on what all prompts of a row begin with is computed once; fewer cost less than taking them apart."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A prompt and its completions, as token ids. The prompt has at least one token, a completion may have none."""

    prompt: list[int]
    completions: list[list[int]]

    def __post_init__(self) -> None:
        """Refuse an empty prompt."""
        if not self.prompt:
            raise UserError(
                "a prompt has no tokens; a completion's first token has nothing to be predicted from (add a start token to the prompt)"
            )

    @property
    def tokens(self) -> int:
        """Tokens the model is fed for this group."""
        return len(self.prompt) + sum(max(len(completion) - 1, 0) for completion in self.completions)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Several groups in one row: what all prompts begin with, the prompts' rests, the completions.

    Attributes:
        ids: what the model is fed.
        positions: each token's position in its own sequence.
        layout: who attends to whom.
        ends: the place of each prompt's last token.
        sources: for each completion token, the place in the row that predicts it.
        targets: the completion tokens, completion by completion.
        lengths: each completion's length.
    """

    ids: Int[Tensor, "1 tokens"]
    positions: Int[Tensor, "1 tokens"]
    layout: Branches
    ends: Int[Tensor, " prompts"]
    sources: Int[Tensor, " targets"]
    targets: Int[Tensor, " targets"]
    lengths: Int[Tensor, " completions"]


def pack(groups: Sequence[Group], device: torch.device, *, keep: bool = False) -> Row:
    """Lay groups out in one row; `keep` makes the layout remember the prompts' keys and values."""
    beginning = shared([group.prompt for group in groups])
    ids = groups[0].prompt[:beginning] if beginning else []
    positions = list(range(beginning))
    ends = []
    for group in groups:
        ids += group.prompt[beginning:]
        positions += range(beginning, len(group.prompt))
        ends.append(len(ids) - 1)
    sources: list[int] = []
    targets: list[int] = []
    lengths: list[int] = []
    for group, end in zip(groups, ends, strict=True):
        for completion in group.completions:
            fed = completion[:-1]
            if completion:
                sources += [end, *range(len(ids), len(ids) + len(fed))]
            targets += completion
            lengths.append(len(completion))
            ids += fed
            positions += range(len(group.prompt), len(group.prompt) + len(fed))
    prompts = [len(group.prompt) - beginning for group in groups]
    branches = [[max(len(completion) - 1, 0) for completion in group.completions] for group in groups]
    return Row(
        ids=_integers(ids, device)[None],
        positions=_integers(positions, device)[None],
        layout=Branches(prompts, branches, device, beginning=beginning, keep=keep),
        ends=_integers(ends, device),
        sources=_integers(sources, device),
        targets=_integers(targets, device),
        lengths=_integers(lengths, device),
    )


def micro_batches(groups: Sequence[Group], tokens: int) -> Iterator[list[int]]:
    """The indices of the groups, in order, in batches whose fed tokens stay within `tokens` (a larger group goes alone)."""
    batch: list[int] = []
    held = 0
    for index, group in enumerate(groups):
        if batch and held + group.tokens > tokens:
            yield batch
            batch, held = [], 0
        batch.append(index)
        held += group.tokens
    if batch:
        yield batch


def joined(groups: Sequence[Group], tokens: int) -> list[Group]:
    """The same completions in the same order, with neighbours of one prompt in one group as long as it has at most so many tokens."""
    found: list[Group] = []
    held = 0
    for group in groups:
        added = group.tokens - len(group.prompt)
        if found and found[-1].prompt == group.prompt and held + added <= tokens:
            found[-1].completions.extend(group.completions)
            held += added
        else:
            found.append(Group(prompt=group.prompt, completions=list(group.completions)))
            held = group.tokens
    return found


def shared(prompts: Sequence[list[int]]) -> int:
    """How many tokens that all prompts begin with are computed once: none where that is not worth it.

    Such is what a chat template, or a task, puts before every question. Each prompt keeps a token of its own.
    """
    if len(prompts) < 2:
        return 0
    beginning = min(alike(prompts), min(map(len, prompts)) - 1)
    return beginning if beginning >= BEGINNING else 0


def alike(texts: Sequence[list[int]]) -> int:
    """How many tokens all texts begin with alike; the first in their order and the last differ soonest."""
    least, most = min(texts), max(texts)
    return next((place for place, (one, other) in enumerate(zip(least, most, strict=False)) if one != other), min(len(least), len(most)))


def completion_mask(lengths: Int[Tensor, " completions"], longest: int | None = None) -> Bool[Tensor, "completions tokens"]:
    """True at a completion's tokens, made from lengths and never from ids: a pad id may equal an end id."""
    if longest is None:
        longest = int(lengths.max()) if len(lengths) else 0
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def _integers(values: list[int], device: torch.device) -> Int[Tensor, " count"]:
    return torch.tensor(values, dtype=torch.long, device=device)
