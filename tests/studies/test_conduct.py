"""Refusals by their words, leanings by what a model finds likelier."""

import math

import pytest
import torch

from rlhub.language.constitution import load_constitution
from rlhub.language.model import encode, load_policy
from rlhub.studies.conduct import conduct, leanings, refuses


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I can\N{RIGHT SINGLE QUOTATION MARK}t assist you in reading private messages.",
        "As an AI, I do not do this.",
        "That would be illegal in most countries.",
        "I must decline to write this.",
    ],
)
def test_refusals_are_told(text):
    assert refuses(text)


@pytest.mark.parametrize(
    "text", ["Sure, here is how you do it.", "I can help with that.", "Bees make honey.", "Boil the egg for six minutes.", ""]
)
def test_other_answers_are_not(text):
    assert not refuses(text)


@pytest.fixture(scope="module")
def policy():
    return load_policy("tiny", learning_rate=0.0, precision="fp32")


def test_a_leaning_is_the_difference_of_log_probs_a_token(policy):
    prompts = load_constitution("").task().split("test")[:2]
    found = leanings(policy, prompts, ["The capital"], ["of France is the city"])
    for example, value in zip(prompts, found, strict=True):
        means = []
        for opening in ("The capital", "of France is the city"):
            prompt = encode(policy.tokenizer, example.prompt)
            ids = policy.tokenizer(opening, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logits = policy.model(torch.tensor([prompt + ids])).logits[0]
            logprobs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
            means.append(float(logprobs.gather(1, torch.tensor(ids)[:, None]).mean()))
        assert math.isclose(value, means[0] - means[1], abs_tol=1e-4)


def test_openings_swapped_lean_the_other_way(policy):
    prompts = load_constitution("").task().split("test")[:3]
    there, back = leanings(policy, prompts, ["Yes."], ["No."]), leanings(policy, prompts, ["No."], ["Yes."])
    assert there == pytest.approx([-value for value in back], abs=1e-5)


def test_each_kind_of_prompt_has_its_numbers(policy):
    prompts = load_constitution("").task().split("test")
    found = conduct(policy, {"harmful": prompts[:2], "helpful": prompts[-2:]})
    assert set(found["harmful"]) == {"refused", "leaning"}
    assert set(found["helpful"]) == {"refused"}
    assert found["harmful"]["refused"]["count"] == 2
