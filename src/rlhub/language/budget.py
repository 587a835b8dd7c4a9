"""Thinking for as long as one is told to (Muennighoff et al. 2025, s1, arXiv:2501.19393, Sec. 3.1): budget forcing.

A thought that ends too early is made to go on by the word "Wait" in place of its end, one that takes too long is ended. So one model can be
measured at any length of thought.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rlhub.core.errors import UserError
from rlhub.language.model import Policy, encode_completion
from rlhub.language.rollout import complete

CLOSING, GOING_ON, ANSWERING = "</think>", "Wait", "</think>\n<answer>"


@dataclass(frozen=True, kw_only=True)
class Forced:
    """A completion whose thought was held to a budget.

    Attributes:
        text: thought and answer.
        thought: tokens of the thought, the words that were put in among them.
        tokens: how many tokens were sampled.
        waits: how often it was made to go on.
    """

    text: str
    thought: int
    tokens: int
    waits: int


def force(
    policy: Policy,
    prompt: Sequence[int],
    *,
    least: int = 0,
    most: int = 256,
    waits: int = 4,
    answer_tokens: int = 32,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Forced:
    """Complete a prompt with a thought of at least and at most so many tokens, and an answer.

    Args:
        policy: who thinks.
        prompt: token ids.
        least: a thought that ends before so many tokens goes on after "Wait".
        most: a thought that has so many tokens is ended, and the answer begun.
        waits: most times that a thought is made to go on.
        answer_tokens: longest answer, in tokens.
        temperature: it is sampled at.
        generator: where the randomness comes from.

    Raises:
        UserError: the least is more than the most.
    """
    if least > most:
        raise UserError(f"a thought of at least {least} and at most {most} tokens can't be: the first number must not be larger")
    tokenizer, settings = policy.tokenizer, {"temperature": temperature, "generator": generator}
    going_on, ending = encode_completion(tokenizer, GOING_ON), encode_completion(tokenizer, ANSWERING)
    thought: list[int] = []
    sampled = waited = 0
    while len(thought) < most:
        drawn = complete(policy, [[*prompt, *thought]], max_new_tokens=most - len(thought), **settings)  # type: ignore[arg-type]
        new = drawn.groups[0].completions[0]
        sampled += len(new)
        kept = before_closing(policy, new)
        closed = len(kept) < len(new)
        thought += kept
        if not closed or len(thought) >= least or waited == waits:
            break
        thought += going_on[: most - len(thought)]
        waited += 1
    drawn = complete(policy, [[*prompt, *thought, *ending]], max_new_tokens=answer_tokens, **settings)  # type: ignore[arg-type]
    answer = drawn.groups[0].completions[0]
    text = str(tokenizer.decode([*thought, *ending, *answer], skip_special_tokens=True))
    return Forced(text=text, thought=len(thought), tokens=sampled + len(answer), waits=waited)


def before_closing(policy: Policy, ids: Sequence[int]) -> list[int]:
    """What was sampled up to the end of the thought: its closing tag, or the end token."""
    for count in range(len(ids)):
        if ids[count] in policy.end_ids:
            return list(ids[:count])
        if CLOSING in str(policy.tokenizer.decode(list(ids[: count + 1]))):
            text = str(policy.tokenizer.decode(list(ids[: count + 1]))).partition(CLOSING)[0]
            kept = count
            while kept and len(str(policy.tokenizer.decode(list(ids[:kept])))) > len(text):
                kept -= 1
            return list(ids[:kept])
    return list(ids)
