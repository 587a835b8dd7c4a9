"""Budget forcing: a thought is as long as it is told to be."""

import pytest
import torch

from rlhub.core.errors import UserError
from rlhub.language import budget
from rlhub.language.budget import before_closing, force
from rlhub.language.model import load_policy
from rlhub.language.rows import Group
from rlhub.language.search import Search
from rlhub.language.task import Example


@pytest.fixture(scope="module")
def tiny():
    return load_policy("tiny", learning_rate=0.0, precision="fp32")


def scripted(monkeypatch, policy, *texts):
    """Let the policy say texts in turns, cut to the room that it is given; what it was asked with is kept."""
    asked, left = [], list(texts)

    def said(policy, prompts, *, max_new_tokens, **_):
        asked.append((policy.tokenizer.decode(prompts[0]), max_new_tokens))
        ids = policy.tokenizer(left.pop(0))["input_ids"][:max_new_tokens]
        return type("Drawn", (), {"groups": [Group(prompt=[1], completions=[ids])]})

    monkeypatch.setattr(budget, "complete", said)
    return asked


def ids(policy, text):
    return policy.tokenizer(text)["input_ids"]


def test_a_thought_that_ends_early_goes_on_after_wait(tiny, monkeypatch):
    asked = scripted(monkeypatch, tiny, "ab</think>x", "cd</think>", "42</answer>")
    found = force(tiny, ids(tiny, "q"), least=8, most=40, waits=1)
    assert found.text == "abWaitcd</think>\n<answer>42</answer>"
    assert found.waits == 1
    assert found.thought == len(ids(tiny, "ab")) + len(ids(tiny, "Wait")) + len(ids(tiny, "cd"))
    assert asked[1][0] == "qabWait"
    assert asked[2][0] == "qabWaitcd</think>\n<answer>"


def test_a_thought_that_takes_too_long_is_ended(tiny, monkeypatch):
    asked = scripted(monkeypatch, tiny, "abcdefgh", "1</answer>")
    found = force(tiny, ids(tiny, "q"), most=3)
    assert found.text == "abc</think>\n<answer>1</answer>"
    assert found.thought == asked[0][1] == 3


def test_the_end_token_ends_a_thought_too(tiny):
    end = tiny.end_ids[0]
    assert before_closing(tiny, [*ids(tiny, "ab"), end, *ids(tiny, "c")]) == ids(tiny, "ab")
    assert before_closing(tiny, ids(tiny, "ab</think>c")) == ids(tiny, "ab")
    assert before_closing(tiny, ids(tiny, "ab")) == ids(tiny, "ab")


def test_a_model_thinks_within_its_budget(tiny):
    for most in (1, 5, 9):
        found = force(
            tiny, ids(tiny, "The capital of"), most=most, answer_tokens=4, temperature=1.0, generator=torch.Generator().manual_seed(0)
        )
        assert found.thought <= most
        assert found.tokens <= most * 5 + 4
    with pytest.raises(UserError, match="must not be larger"):
        force(tiny, [1], least=9, most=3)


def test_search_holds_a_thought_to_its_budget(tiny, monkeypatch):
    scripted(monkeypatch, tiny, "ab</think>x", "cd</think>", "42</answer>")
    search = Search(strategy="forced", least_thought=8, longest_thought=40, waits=1, max_new_tokens=16)
    found = search(tiny, Example("q", "42", {}))
    assert found.text == "abWaitcd</think>\n<answer>42</answer>"
    assert found.tokens == len(ids(tiny, "ab</think>x")) + len(ids(tiny, "cd</think>")) + len(ids(tiny, "42</answer>"))
    for wrong in ({"least_thought": 9, "longest_thought": 3}, {"waits": -1}, {"longest_thought": 0, "least_thought": 0}):
        with pytest.raises(UserError, match="a thought of at least"):
            Search(strategy="forced", **wrong)
