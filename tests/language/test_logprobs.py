"""Log-probs formed a chunk at a time equal the plain log-softmax's, gradients included."""

from functools import partial

import pytest
import torch
from families import tiny_random

from rlhub.core.errors import UserError
from rlhub.language import hidden, logprobs
from rlhub.language.logprobs import Unembedding, chosen_logprobs
from rlhub.language.rows import Group


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("kept", [0, 1000])
def test_values_entropies_and_gradients_are_those_of_log_softmax(cap, scale, has_bias, temperature, kept, monkeypatch):
    monkeypatch.setattr(logprobs, "CHUNK", 3)
    monkeypatch.setattr(logprobs, "KEPT", kept)
    draw = torch.Generator().manual_seed(1)
    hidden = torch.randn(7, 5, generator=draw, requires_grad=True)
    weight = torch.randn(11, 5, generator=draw, requires_grad=True)
    bias = torch.randn(11, generator=draw, requires_grad=True) if has_bias else None
    targets = torch.randint(0, 11, (7,), generator=draw)
    upstream = torch.randn(7, generator=draw)
    leaves = [hidden, weight] + ([bias] if has_bias else [])

    unembedding = Unembedding(weight=weight, bias=bias, scale=scale, cap=cap)
    chosen, entropy = chosen_logprobs(hidden, unembedding, targets, temperature)
    mine = torch.autograd.grad((chosen * upstream).sum(), leaves)

    plain = torch.log_softmax(unembedding.logits(hidden) / temperature, -1)
    expected = plain.gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(chosen, expected)
    torch.testing.assert_close(entropy, -(plain.exp() * plain).sum(-1).detach())
    for gradient, other in zip(mine, torch.autograd.grad((expected * upstream).sum(), leaves), strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-6, rtol=1e-5)


def test_no_tokens_give_no_log_probs():
    unembedding = Unembedding(weight=torch.randn(4, 3), bias=None, scale=1.0, cap=None)
    chosen, entropy = chosen_logprobs(torch.zeros(0, 3), unembedding, torch.zeros(0, dtype=torch.long))
    assert len(chosen) == len(entropy) == 0


def test_under_autocast_bfloat16_stays_near_float32():
    draw = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(6, 16, generator=draw), torch.randn(9, 16, generator=draw) / 4
    targets = torch.arange(6)
    unembedding = Unembedding(weight=weight, bias=None, scale=1.0, cap=None)
    exact = chosen_logprobs(hidden, unembedding, targets)[0]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = chosen_logprobs(hidden, unembedding, targets)[0]
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("apart", [False, True])
def test_a_row_longer_than_the_model_was_made_for_is_refused(family, apart):
    model = tiny_random(family)
    room = model.config.max_position_embeddings
    group = Group(prompt=[5] * (room - 2), completions=[[6, 7], [6, 7, 8]])
    judge = partial(logprobs.score_separately, model) if apart else partial(logprobs.score, model)
    with pytest.raises(UserError, match=f"a prompt of {room - 2} tokens and an answer of 3 don't fit the model's {room} positions"):
        judge([group])
    assert judge([Group(prompt=group.prompt, completions=group.completions[:1])]).mask.sum() == 2


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_state_after_an_answer_that_fills_the_room_is_read_too(family, shared, monkeypatch):
    monkeypatch.setattr(hidden, "follows_layouts", lambda model: shared)
    model = tiny_random(family)
    room = model.config.max_position_embeddings
    prompt, completions = [5] * (room - 2), [[6], [6, 7], []]
    found = hidden.states(model, [Group(prompt=prompt, completions=completions)])
    for row, completion in zip(found, completions, strict=True):
        whole = model.base_model(input_ids=torch.tensor([prompt + completion])).last_hidden_state[0, room - 3 :]
        torch.testing.assert_close(row[: len(completion) + 1], whole, atol=1e-4, rtol=1e-3)
    with pytest.raises(UserError, match=f"a prompt of {room - 2} tokens and an answer of 3 don't fit the model's {room} positions"):
        hidden.states(model, [Group(prompt=prompt, completions=[[6, 7, 8]])])
