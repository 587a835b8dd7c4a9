"""What strategies of search find when each may sample as many tokens as the others.

Solutions of a problem are sampled and judged once; a strategy then gets the first of them that its tokens pay for. A tree of steps, whose
cost is known only when it has ended, is searched first, and the others get what it took on that problem.
"""

from dataclasses import replace

import torch

from rlhub.language.model import Policy
from rlhub.language.search import Found, Judge, Search, Strategy, chosen
from rlhub.language.task import Example

FROM_A_POOL: tuple[Strategy, ...] = ("single", "majority", "best-of-n", "weighted-vote")
"""Strategies that choose among solutions sampled independently."""


def pool(policy: Policy, example: Example, search: Search, judge: Judge, *, tokens: int, generator: torch.Generator | None = None) -> Found:
    """Solutions of an example, sampled as `search` says, until they have taken so many tokens; each judged.

    Args:
        policy: who solves.
        example: what is asked.
        search: how solutions are sampled; `n` at a time.
        judge: what they are worth.
        tokens: they have taken at least as many.
        generator: where the randomness comes from.
    """
    sampling = replace(search, strategy="best-of-n")
    found = sampling(policy, example, judge=judge, generator=generator)
    while found.tokens < tokens:
        more = sampling(policy, example, judge=judge, generator=generator)
        found = Found(
            text=found.text,
            tokens=found.tokens + more.tokens,
            candidates=found.candidates + more.candidates,
            scores=found.scores + more.scores,
            lengths=found.lengths + more.lengths,
        )
    return found


def afforded(solutions: Found, strategy: Strategy, *, tokens: int) -> Found:
    """What a strategy finds among the first solutions that together have no more than so many tokens, but at least one of them.

    Args:
        solutions: sampled independently, each judged; see `pool`.
        strategy: one of `FROM_A_POOL`; single takes the first solution whatever the tokens.
        tokens: that may be spent.

    Raises:
        ValueError: the strategy is another, or the solutions have too few tokens to know what it would find with so many.
    """
    if strategy not in FROM_A_POOL:
        raise ValueError(f"{strategy} doesn't choose among solutions sampled independently")
    if strategy != "single" and solutions.tokens < tokens:
        raise ValueError(f"the solutions have {solutions.tokens} tokens, which doesn't say what {tokens} would find")
    spent = torch.tensor(solutions.lengths).cumsum(0)
    count = 1 if strategy == "single" else max(int((spent <= tokens).sum()), 1)
    texts, scores = solutions.candidates[:count], solutions.scores[:count]
    weights = [1.0] * count if strategy == "majority" else scores
    return Found(
        text=chosen(texts, weights, vote=strategy in ("majority", "weighted-vote")),
        tokens=int(spent[count - 1]),
        candidates=texts,
        scores=scores,
        lengths=solutions.lengths[:count],
    )
