"""What a checkpoint does: which facts it recalls, how far it has moved from the base, how sure it is of itself."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlhub.core.seeding import generator
from rlhub.core.statistics import bootstrap_interval, wilson_interval
from rlhub.language.model import Policy
from rlhub.language.rollout import Rollout, generate
from rlhub.language.task import Example, Task
from rlhub.lens.divergence import divergence

SPLITS = ("train", "heldout", "untouched")


def recall(policy: Policy, task: Task, examples: Sequence[Example], *, max_new_tokens: int, drawn: bool = False) -> list[int]:
    """Whether each question is answered rightly by the greedy completion, or by one drawn at temperature 1: its task's score is full."""
    if drawn:
        rollout = samples(policy, examples, max_new_tokens=max_new_tokens, seed=0)
    else:
        rollout = generate(policy, examples, group=1, max_new_tokens=max_new_tokens, temperature=0.0)
    return [int(right) for right in task.right(examples, [texts[0] for texts in rollout.texts])]


def spread(examples: Sequence[Example], most: int) -> list[Example]:
    """At most so many examples, taken evenly from the whole list."""
    if len(examples) <= most:
        return list(examples)
    return [examples[index * len(examples) // most] for index in range(most)]


def samples(policy: Policy, examples: Sequence[Example], *, max_new_tokens: int, seed: int) -> Rollout:
    """One completion of each prompt at temperature 1; the same draws for every model."""
    return generate(policy, examples, group=1, max_new_tokens=max_new_tokens, generator=generator(seed, "samples"))


def sequences(
    rollout: Rollout,
) -> tuple[Int[Tensor, "rows positions"], Bool[Tensor, "rows positions"], Bool[Tensor, "rows positions"]]:
    """Prompts with their completions as padded rows: token ids, which of them are real, and which are a completion's."""
    rows = [(group.prompt, completion) for group in rollout.groups for completion in group.completions if completion]
    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    mask, counted = torch.zeros(len(rows), longest, dtype=torch.bool), torch.zeros(len(rows), longest, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(rows):
        end = len(prompt) + len(completion)
        tokens[row, :end] = torch.tensor([*prompt, *completion])
        mask[row, :end] = True
        counted[row, len(prompt) : end] = True
    return tokens, mask, counted


def divergences(base: Any, policy: Policy, base_samples: Rollout, own_samples: Rollout) -> dict[str, Any]:
    """KL to the base on the new task's prompts, in nats per token, and the policy's entropy there.

    Forward KL(base || policy) is taken on the base's samples and reverse KL(policy || base) on the policy's own, both summed over the
    vocabulary at every token. The entropy is -log p averaged over the policy's own samples' tokens.
    """
    sides = []
    for rollout in (base_samples, own_samples):
        tokens, mask, counted = sequences(rollout)
        sides.append(divergence(base, policy.model, tokens, mask, counted=counted))
    forward, reverse = sides
    return {
        "forward_kl": mean_of_tokens(forward.forward, forward.counted),
        "reverse_kl": mean_of_tokens(reverse.reverse, reverse.counted),
        "entropy": mean_of_tokens(-own_samples.logprobs.flatten(0, 1), own_samples.mask.flatten(0, 1)),
    }


def mean_of_tokens(values: Float[Tensor, "answers tokens"], counted: Bool[Tensor, "answers tokens"]) -> dict[str, Any]:
    """The mean over all tokens that count, as JSON; whole answers are drawn anew for its interval, as tokens of one hang together."""
    counts = counted.sum(1).double().cpu()
    sums = torch.where(counted, values, 0.0).double().sum(1).cpu()

    def mean(answers: Float[Tensor, "... answers"]) -> Float[Tensor, "..."]:
        return sums[answers.long()].sum(-1) / counts[answers.long()].sum(-1)

    answers = torch.arange(len(sums), dtype=torch.float64)
    interval = bootstrap_interval(answers, mean, resamples=1000, generator=generator(0, "interval"))
    return {"value": float(mean(answers)), "interval": list(interval), "count": int(counts.sum())}


def mean_and_interval(values: Sequence[float]) -> dict[str, Any]:
    """A mean with its bootstrap interval, as JSON."""
    numbers = torch.tensor(list(values), dtype=torch.float64)
    low, high = bootstrap_interval(numbers, resamples=1000, generator=generator(0, "interval"))
    return {"value": float(numbers.mean()), "interval": [low, high], "count": len(numbers)}


def share(hits: Sequence[int]) -> dict[str, Any]:
    """A share of successes with Wilson's interval, as JSON, and each single outcome."""
    return {
        "value": sum(hits) / len(hits),
        "interval": list(wilson_interval(sum(hits) / len(hits), len(hits))),
        "count": len(hits),
        "each": list(hits),
    }
