"""Strategies of search with equally many tokens: what a budget buys of a pool, and what is chosen from that."""

import pytest
import torch

from rlhub.language.equal_tokens import FROM_A_POOL, afforded, pool
from rlhub.language.model import load_policy
from rlhub.language.search import Found, Search
from rlhub.language.task import Example

POOL = Found(
    text="",
    tokens=60,
    candidates=["<answer>1</answer>", "so <answer>2</answer>", "<answer>2</answer>", "<answer>3</answer>"],
    scores=[0.5, 0.3, 0.1, 0.9],
    lengths=[10, 20, 10, 20],
)


@pytest.mark.parametrize(
    ("strategy", "tokens", "place", "spent"),
    [
        ("single", 60, 0, 10),
        ("majority", 40, 1, 40),
        ("majority", 39, 0, 30),  # a tie goes to the answer that came first
        ("best-of-n", 59, 0, 40),
        ("best-of-n", 60, 3, 60),
        ("weighted-vote", 40, 0, 40),
        ("weighted-vote", 60, 3, 60),
        ("weighted-vote", 1, 0, 10),  # one solution there is whatever the tokens
    ],
)
def test_a_strategy_chooses_among_what_its_tokens_pay_for(strategy, tokens, place, spent):
    found = afforded(POOL, strategy, tokens=tokens)
    assert (found.text, found.tokens, sum(found.lengths)) == (POOL.candidates[place], spent, spent)


def test_a_pool_that_is_too_small_or_a_tree_is_refused():
    with pytest.raises(ValueError, match="60 tokens"):
        afforded(POOL, "majority", tokens=61)
    with pytest.raises(ValueError, match="beam doesn't choose"):
        afforded(POOL, "beam", tokens=10)


def test_a_pool_is_filled_until_the_tokens_are_spent_and_costs_what_it_says():
    policy = load_policy("tiny", learning_rate=0.0, precision="fp32")
    example = Example("The capital of France is the city of", " Paris", {})
    search = Search(strategy="beam", n=4, width=2, max_new_tokens=5)
    solutions = pool(
        policy,
        example,
        search,
        lambda _, texts, ended: [float(len(text)) for text in texts],
        tokens=41,
        generator=torch.Generator().manual_seed(0),
    )
    assert 41 <= solutions.tokens == sum(solutions.lengths) < 41 + 4 * 5
    assert len(solutions.candidates) == len(solutions.scores) == len(solutions.lengths)
    assert len(solutions.candidates) % 4 == 0
    assert solutions.scores == [float(len(text)) for text in solutions.candidates]
    for strategy in FROM_A_POOL:
        assert afforded(solutions, strategy, tokens=41).tokens <= 41
