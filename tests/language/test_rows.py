"""Completions that share their prompt in one row get what each would get in a row of its own."""

from itertools import pairwise

import pytest
import torch
from families import FAMILIES, tiny_random
from hypothesis import given
from hypothesis import strategies as st
from policies import toy_groups
from transformers import GptOssConfig, GptOssForCausalLM

from rlhub.core.errors import UserError
from rlhub.language import rows
from rlhub.language.logprobs import score, score_separately, shares_prompts
from rlhub.language.rows import Group, alike, completion_mask, joined, micro_batches, pack

RAGGED = [
    Group(prompt=[5, 6, 7, 8, 9, 10, 11], completions=[[12, 13, 14, 2], [15, 2], [2], []]),
    Group(prompt=[20, 21], completions=[[22, 23, 24, 25, 26, 27, 28, 29, 30], [31, 32, 33]]),
    Group(prompt=[40], completions=[[41, 42]]),
]
EVEN = [Group(prompt=[index, 7, 8], completions=[[9, 10, 2], [11, 12, 13]]) for index in (20, 21)]
BEGUN = [50, 51, 52, 53, 54]
"""A beginning that all prompts share; the second one adds no token but one, and two are alike."""
BEGUN_RAGGED = [
    Group(prompt=[*BEGUN, 60, 61], completions=[[12, 13, 14, 2], [15, 2], [2], []]),
    Group(prompt=[*BEGUN, 60], completions=[[22, 23, 24, 25, 26, 27, 28], []]),
    Group(prompt=[*BEGUN, 60, 61], completions=[[42], [41, 42, 43]]),
    Group(prompt=[*BEGUN, 62, 63, 64, 65], completions=[]),
]
WINDOWS = (None, 3, 6, 9)
"""Shorter and longer than the beginning, and longer than some prompts."""
BEGUN_EVEN = [Group(prompt=[*BEGUN, *group.prompt], completions=group.completions) for group in EVEN]


@pytest.mark.parametrize("groups", [RAGGED, EVEN], ids=["ragged", "even"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_shared_prompt_changes_neither_log_probs_nor_entropies_nor_gradients(family, groups):
    model = tiny_random(family, **({"sliding_window": 4} if family.startswith("gemma") else {}))
    assert shares_prompts(model)
    same_as_apart(model, groups)


@pytest.mark.parametrize("groups", [BEGUN_RAGGED, BEGUN_EVEN], ids=["ragged", "even"])
@pytest.mark.parametrize(
    ("family", "window"), [(name, size) for name in FAMILIES for size in WINDOWS if name.startswith("gemma") or not size]
)
def test_a_beginning_that_all_prompts_share_changes_neither_log_probs_nor_entropies_nor_gradients(family, groups, window, monkeypatch):
    monkeypatch.setattr(rows, "BEGINNING", 1)
    assert pack(groups, torch.device("cpu")).ids.shape[1] == sum(group.tokens for group in groups) - 5 * (len(groups) - 1)
    model = tiny_random(family, **({"sliding_window": window} if window else {}))
    same_as_apart(model, groups)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_the_side_that_is_padded_changes_nothing(family):
    model = tiny_random(family)
    left, right = (score_separately(model, RAGGED, padding_side=side) for side in ("left", "right"))
    torch.testing.assert_close(left.logprobs, right.logprobs, atol=1e-5, rtol=1e-5)


def test_a_model_whose_attention_has_sinks_is_noticed_and_scored_row_by_row():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "head_dim": 8, "num_attention_heads": 4, "num_key_value_heads": 2}
    kinds = {"num_local_experts": 2, "num_experts_per_tok": 1, "layer_types": ["sliding_attention", "full_attention"]}
    model = GptOssForCausalLM(GptOssConfig(vocab_size=128, num_hidden_layers=2, pad_token_id=0, **sizes, **kinds)).eval()
    assert not shares_prompts(model)
    assert score(model, RAGGED).mask.sum() == sum(len(completion) for group in RAGGED for completion in group.completions)


def test_what_lies_in_one_group_reaches_no_other():
    model = tiny_random("llama")
    alone = score(model, RAGGED[1:2])
    among = score(model, RAGGED)
    torch.testing.assert_close(among.logprobs[4:6, :9], alone.logprobs, atol=1e-5, rtol=1e-5)


def test_the_model_is_left_as_it_was():
    model = tiny_random("llama")
    before = model.config._attn_implementation
    score(model, EVEN)
    assert model.config._attn_implementation == before


def test_a_row_holds_each_prompt_once_and_no_last_tokens():
    row = pack(EVEN, torch.device("cpu"))
    assert row.ids.tolist() == [[20, 7, 8, 21, 7, 8, 9, 10, 11, 12, 9, 10, 11, 12]]
    assert row.positions.tolist() == [[0, 1, 2, 0, 1, 2, 3, 4, 3, 4, 3, 4, 3, 4]]
    assert row.sources.tolist() == [2, 6, 7, 2, 8, 9, 5, 10, 11, 5, 12, 13]
    assert row.targets.tolist() == [9, 10, 2, 11, 12, 13, 9, 10, 2, 11, 12, 13]


@given(st.lists(st.lists(st.integers(0, 2), max_size=6), min_size=1, max_size=5))
def test_texts_share_what_all_of_them_begin_with(texts):
    shared = alike(texts)
    assert all(text[:shared] == texts[0][:shared] for text in texts)
    assert len({tuple(text[: shared + 1]) for text in texts}) > 1 or shared == min(map(len, texts))


def test_what_all_prompts_begin_with_is_laid_once_if_it_is_long(monkeypatch):
    assert pack(BEGUN_EVEN, torch.device("cpu")).ids.shape[1] == 2 * 8 + 8
    monkeypatch.setattr(rows, "BEGINNING", 5)
    row = pack(BEGUN_EVEN, torch.device("cpu"))
    assert row.ids.tolist() == [[*BEGUN, 20, 7, 8, 21, 7, 8, 9, 10, 11, 12, 9, 10, 11, 12]]
    assert row.positions.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 5, 6, 7, 8, 9, 8, 9, 8, 9, 8, 9]]
    assert row.ends.tolist() == [7, 10]
    assert row.sources.tolist() == [7, 11, 12, 7, 13, 14, 10, 15, 16, 10, 17, 18]


def test_a_mask_comes_from_lengths():
    assert completion_mask(torch.tensor([0, 2, 3])).tolist() == [[False] * 3, [True, True, False], [True] * 3]


def test_a_prompt_without_tokens_is_refused_with_the_reason():
    with pytest.raises(UserError, match="no tokens"):
        Group(prompt=[], completions=[[1]])


@given(st.integers(1, 40), st.integers(0, 5))
def test_micro_batches_hold_every_group_once_in_order_and_within_the_limit(limit, seed):
    groups = toy_groups(9, 3, seed=seed)
    batches = list(micro_batches(groups, limit))
    assert [index for batch in batches for index in batch] == list(range(9))
    assert all(len(batch) == 1 or sum(groups[index].tokens for index in batch) <= limit for batch in batches)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=12), st.integers(1, 20))
def test_neighbours_of_one_prompt_are_joined_within_the_limit_and_nothing_else_changes(laid, limit):
    groups = [Group(prompt=[prompt] * 3, completions=[[place] * length]) for place, (prompt, length) in enumerate(laid)]
    found = joined(groups, limit)
    assert [(group.prompt, text) for group in found for text in group.completions] == [(one.prompt, one.completions[0]) for one in groups]
    assert all(len(group.completions) == 1 or group.tokens <= limit for group in found)
    for one, other in pairwise(found):
        assert one.prompt != other.prompt or one.tokens + other.tokens - 3 > limit or len(other.completions) > 1
    assert [len(group.completions) for group in groups] == [1] * len(groups)


def same_as_apart(model, groups):
    together = score(model, groups, temperature=0.7)
    apart = score_separately(model, groups, temperature=0.7)
    torch.testing.assert_close(together.logprobs, apart.logprobs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.entropy, apart.entropy, atol=1e-5, rtol=1e-5)
    weights = torch.randn(apart.logprobs.shape, generator=torch.Generator().manual_seed(0))
    for mine, other in zip(gradients(model, together, weights), gradients(model, apart, weights), strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5 * (1 + other.abs().max().item()), rtol=1e-4)


def gradients(model, scored, weights):
    model.zero_grad()
    (scored.logprobs * weights).sum().backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
