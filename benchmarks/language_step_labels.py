"""Labels of steps by finishing solutions (Math-Shepherd), fp32: 4 worked sums of 7 terms, 8 continuations from the end of each step.

A solution has six sums, the tags around them and an answer. rlhub reads its longest prefix once, takes the shorter ones from it, and shares
each with its 8 continuations. Beside it the same labels from independent roll-outs, each continuation from its own copy of prompt and
prefix, all in one batch, too: with rlhub's own decoder, so that nothing but the sharing differs, and with transformers' `generate`. On all
sides each continuation has as many tokens as the worked solutions have left on average. MODEL in the environment chooses another model than
SmolLM2 (`tiny` to see that the script runs).
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean
from unittest import mock

import torch
from harness import compare

from rlhub.language import decoding, rows, step_labels
from rlhub.language.model import Policy, encode, load_policy, load_tokenizer, model_source
from rlhub.language.rollout import Rollout, complete
from rlhub.language.step_labels import label
from rlhub.language.steps import cut, tokenize
from rlhub.language.task import Example, Task, load_task

MODEL = os.environ.get("MODEL", "smollm2")
SOLUTIONS, ROLLOUTS = 4, 8
TASK = "reasoning-gym:chain_sum?think=true&min_terms=7&max_terms=7&min_digits=1&max_digits=2"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is labelled.

    Attributes:
        task: whose puzzles are solved.
        solutions: puzzles and their solutions.
        prefixes: tokens of each prompt with a solution's first steps.
        tokens: how many a solution has left after a step, on average.
    """

    task: Task
    solutions: list[tuple[Example, str]]
    prefixes: list[int]
    tokens: int


def case() -> Case:
    """The first puzzles of the task's test split."""
    tokenizer, task = load_tokenizer(MODEL, model_source(MODEL)), load_task(TASK)
    solutions = [(example, str(example.answer)) for example in task.split("test")[:SOLUTIONS]]
    prefixes, left = [], []
    for example, text in solutions:
        prompt, laid = len(encode(tokenizer, example.prompt)), tokenize(tokenizer, cut(text))
        prefixes += [prompt + end for end in laid.ends[:-1]]
        left += [len(laid.ids) - end for end in laid.ends[:-1]]
    return Case(task=task, solutions=solutions, prefixes=prefixes, tokens=round(mean(left)))


def labelled(given: Case, finish: Callable[..., Rollout] = complete) -> Callable[[], Callable[[], dict]]:
    """`label` as process reward models are given their labels, with one way or another to finish solutions."""

    def prepare() -> Callable[[], dict]:
        policy = load_policy(MODEL, learning_rate=0.0, precision="fp32")
        policy.end_ids = ()  # so that all continuations have as many tokens

        def run() -> dict:
            draws = torch.Generator().manual_seed(0)
            settings = {"rollouts": ROLLOUTS, "max_new_tokens": given.tokens, "kind": "soft", "generator": draws}
            with mock.patch.object(step_labels, "complete", finish):
                made = label(policy, given.task, given.solutions, **settings)
            return {"tokens": sum(one.tokens for one in made)}

        return run

    return prepare


def alone(policy: Policy, prompts: list[list[int]], *, group: int, **settings: object) -> Rollout:
    """Every continuation from its own prompt, with rlhub's decoder, which shares neither prefixes nor what prompts begin with."""
    apart = [prompt for prompt in prompts for _ in range(group)]
    whole = mock.patch.object(decoding, "extended", lambda prompts: list(range(len(prompts))))
    with whole, mock.patch.object(rows, "BEGINNING", sys.maxsize):
        drawn = complete(policy, apart, **settings)
    return grouped(policy, prompts, drawn.ids.flatten(0, 1), group)


def generated(policy: Policy, prompts: list[list[int]], *, group: int, max_new_tokens: int, **_: object) -> Rollout:
    """The same with transformers."""
    longest = max(map(len, prompts))
    apart = [prompt for prompt in prompts for _ in range(group)]
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in apart])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in apart])
    torch.manual_seed(0)
    with torch.no_grad():
        output = policy.bare.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            min_new_tokens=max_new_tokens,
            max_new_tokens=max_new_tokens,
            pad_token_id=0,
        )
    return grouped(policy, prompts, output[:, longest:], group)


def grouped(policy: Policy, prompts: list[list[int]], ids: torch.Tensor, group: int) -> Rollout:
    """Continuations of one length, `group` of them to a prompt."""
    texts = policy.tokenizer.batch_decode(ids, skip_special_tokens=True)
    shape = (len(prompts), group)
    return Rollout(
        examples=[],
        prompts=prompts,
        ids=ids.unflatten(0, shape),
        mask=torch.ones_like(ids, dtype=torch.bool).unflatten(0, shape),
        logprobs=torch.zeros(ids.shape).unflatten(0, shape),
        ended=torch.zeros(shape, dtype=torch.bool),
        texts=[texts[start : start + group] for start in range(0, len(texts), group)],
    )


if __name__ == "__main__":
    given = case()
    for name, peer, finish in (("", "independent", alone), ("_generate", "transformers", generated)):
        compare(
            f"language_step_labels{name}",
            {"rlhub": labelled(given), peer: labelled(given, finish)},
            peer=peer,
            target=3.0,
            repeats=3,
            work=(len(given.prefixes) * ROLLOUTS * given.tokens, "tokens"),
            facts={
                "model": MODEL,
                "solutions": SOLUTIONS,
                "prefixes": len(given.prefixes),
                "continuations per prefix": ROLLOUTS,
                "mean prefix tokens": mean(given.prefixes),
                "new tokens": given.tokens,
            },
        )
