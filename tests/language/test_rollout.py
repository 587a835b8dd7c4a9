"""Roll-outs: the tokens of `generate`, log-probs of what was drawn from, and nothing that depends on how rows are kept in memory."""

from collections import Counter

import pytest
import torch
from families import FAMILIES, tiny_random
from hypothesis import given
from hypothesis import strategies as st
from policies import parameters_after, toy_policy

from rlhub.core.errors import UserError
from rlhub.language import decoding, rollout, rows
from rlhub.language.decoding import extended
from rlhub.language.logprobs import score, shares_prompts
from rlhub.language.rollout import complete, draw, sample
from rlhub.language.rows import pack

PROMPTS = [[5, 6, 7, 8, 9], list(range(10, 21)), [30, 31], [40, 41, 42, 43, 44, 45, 46]]
ENDS = [2, 9, 17, 33, *range(40, 52)]
TOKENS = 20


def generated(model):
    """What transformers' own greedy `generate` writes, cut at the first end token."""
    longest = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in PROMPTS])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in PROMPTS])
    with torch.no_grad():
        output = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=False, eos_token_id=ENDS, pad_token_id=0
        )
    return [cut(row) for row in output[:, longest:].tolist()]


def cut(row):
    ends = [place for place, token in enumerate(row) if token in ENDS]
    return row[: ends[0] + 1] if ends else row


def greedy(model, group=2):
    ids, lengths, _ = sample(model, PROMPTS, group=group, max_new_tokens=TOKENS, temperature=0.0, end_ids=ENDS, pad_id=0)
    return [row[:length] for row, length in zip(ids.tolist(), lengths.tolist(), strict=True)]


@pytest.mark.parametrize("way", ["shared", "copied", "cache", "shared in fixed shapes", "copied in fixed shapes"])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens_are_those_of_generate(family, way, monkeypatch):
    model = tiny_random(family, **({"sliding_window": 6} if family.startswith("gemma") else {}))
    monkeypatch.setattr(decoding, "LONG", 1 if way.startswith("shared") else 1000)
    if way.endswith("fixed shapes"):
        # as a GPU's graph computes it
        monkeypatch.setattr(decoding, "LayoutDecoder", decoding.GraphDecoder)
    if way == "cache":
        monkeypatch.setattr(decoding, "shares_prompts", lambda model: False)
    assert greedy(model) == [row for row in generated(model) for _ in range(2)]


def test_a_prompt_that_begins_another_is_found_with_the_longest():
    prompts = [[1, 2], [1, 2, 3, 4], [1], [1, 2, 3], [1, 3], [1, 2], [2, 1], [1, 2, 3, 4]]
    longest = extended(prompts)
    assert [len(prompts[index]) for index in longest] == [4, 4, 4, 4, 2, 4, 2, 4]
    assert len(set(longest)) == 3
    assert all(prompts[index][: len(prompt)] == prompt for index, prompt in zip(longest, prompts, strict=True))
    assert extended(PROMPTS) == [0, 1, 2, 3]


@pytest.mark.parametrize("way", ["shared", "copied"])
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_prompts_that_begin_one_another_are_read_together_and_continued_as_if_apart(family, way, monkeypatch):
    model = tiny_random(family, **({"sliding_window": 6} if family.startswith("gemma") else {}))
    monkeypatch.setattr(decoding, "LONG", 1 if way == "shared" else 1000)
    whole = list(range(10, 29))
    prompts = [whole[:7], whole[:12], [40, 41, 42], whole, whole[:3], [40, 41]]
    read = []

    def packed(groups, *arguments, **options):
        read.append(sum(group.tokens for group in groups))
        return pack(groups, *arguments, **options)

    monkeypatch.setattr(decoding, "pack", packed)

    def drawn():
        draws = torch.Generator().manual_seed(3)
        return sample(model, prompts, group=4, max_new_tokens=TOKENS, end_ids=ENDS, pad_id=0, generator=draws)

    together = drawn()
    monkeypatch.setattr(decoding, "extended", lambda prompts: list(range(len(prompts))))
    apart = drawn()
    assert read == [19 + 3, 7 + 12 + 3 + 19 + 3 + 2]
    assert torch.equal(together[0], apart[0])
    assert torch.equal(together[1], apart[1])
    torch.testing.assert_close(together[2], apart[2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", ["shared", "copied"])
def test_the_beginning_that_all_prompts_share_is_read_once_and_they_are_continued_as_if_apart(way, family, monkeypatch):
    model = tiny_random(family, **({"sliding_window": 6} if family.startswith("gemma") else {}))
    monkeypatch.setattr(decoding, "LONG", 1 if way == "shared" else 1000)
    begun = [50, 51, 52, 53, 54]
    prompts = [[*begun, *prompt] for prompt in ([60, 61, 62], [61], [62, 60, 60, 61, 60, 62, 61, 63], [62, 60], [60, 61, 62])]
    read = []

    def packed(groups, *arguments, **options):
        row = pack(groups, *arguments, **options)
        read.append(row.ids.shape[1])
        return row

    monkeypatch.setattr(decoding, "pack", packed)

    def drawn():
        draws = torch.Generator().manual_seed(3)
        return sample(model, prompts, group=3, max_new_tokens=TOKENS, end_ids=ENDS, pad_id=0, generator=draws)

    apart = drawn()
    monkeypatch.setattr(rows, "BEGINNING", 5)
    together = drawn()
    if shares_prompts(model):
        # two prompts are alike, and one begins another
        assert read == [8 + 6 + 13, 5 + 3 + 1 + 8]
    assert torch.equal(together[0], apart[0])
    assert torch.equal(together[1], apart[1])
    torch.testing.assert_close(together[2], apart[2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [decoding.LayoutDecoder, decoding.GraphDecoder])
@pytest.mark.parametrize("long", [1, 1000])
def test_dropping_rows_that_ended_changes_no_draw(long, kind, monkeypatch):
    monkeypatch.setattr(decoding, "LONG", long)
    monkeypatch.setattr(decoding, "LayoutDecoder", kind)
    model = tiny_random("llama")
    runs = []
    for share in (0.0, 0.75, 1.0):
        monkeypatch.setattr(rollout, "COMPACT_AT", share)
        draws = torch.Generator().manual_seed(3)
        runs.append(sample(model, PROMPTS, group=4, max_new_tokens=TOKENS, end_ids=ENDS, pad_id=0, generator=draws))
    assert len(set(runs[0][1].tolist())) > 2
    for ids, lengths, logprobs in runs[1:]:
        assert torch.equal(ids, runs[0][0])
        assert torch.equal(lengths, runs[0][1])
        torch.testing.assert_close(logprobs, runs[0][2], atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("long", [1, 1000])
def test_a_recorded_step_gives_the_tokens_of_one_that_is_not(long, monkeypatch):
    monkeypatch.setattr(decoding, "LONG", long)
    model = tiny_random("llama").cuda()
    recorded = greedy(model)
    monkeypatch.setattr(decoding, "RECORDED", 10**9)
    assert recorded == greedy(model)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_log_probs_are_those_of_the_tempered_policy(family):
    policy = toy_policy(family)
    rolled = complete(policy, PROMPTS, group=3, max_new_tokens=7, temperature=0.6, generator=torch.Generator().manual_seed(0))
    scored = score(policy.model, rolled.groups, temperature=0.6)
    assert torch.equal(scored.mask, rolled.mask.flatten(0, 1))
    torch.testing.assert_close(rolled.logprobs.flatten(0, 1), scored.logprobs.detach(), atol=1e-5, rtol=1e-4)


def test_a_completion_stops_at_the_first_of_several_end_tokens_and_keeps_it():
    policy = toy_policy()
    policy.end_ids = tuple(ENDS)
    rolled = complete(policy, PROMPTS, group=8, max_new_tokens=TOKENS, generator=torch.Generator().manual_seed(1))
    for group, ended in zip(rolled.groups, rolled.ended.tolist(), strict=True):
        for completion, stopped in zip(group.completions, ended, strict=True):
            assert cut(completion) == completion
            assert stopped == (completion[-1] in ENDS)
            assert stopped or len(completion) == TOKENS


def test_no_end_token_comes_too_early():
    policy = toy_policy()
    policy.end_ids = tuple(ENDS)
    rolled = complete(policy, PROMPTS, group=8, max_new_tokens=9, min_new_tokens=5, generator=torch.Generator().manual_seed(1))
    assert rolled.lengths.min() > 5


def test_the_same_generator_draws_the_same_and_another_does_not():
    policy = toy_policy()
    first, again, other = (
        complete(policy, PROMPTS, group=2, max_new_tokens=8, generator=torch.Generator().manual_seed(seed)).ids for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_parameters_are_left_in_their_own_memory(precision):
    policy = toy_policy(precision=precision)
    before, places = parameters_after(policy), [parameter.data_ptr() for parameter in policy.model.parameters()]
    complete(policy, PROMPTS, group=2, max_new_tokens=17, generator=torch.Generator().manual_seed(0))
    assert torch.equal(parameters_after(policy), before)
    assert [parameter.data_ptr() for parameter in policy.model.parameters()] == places
    assert all(parameter.is_contiguous() for parameter in policy.model.parameters())


def test_bfloat16_draws_at_nearly_the_log_probs_of_float32():
    policy = toy_policy(precision="bf16")
    rolled = complete(policy, PROMPTS, group=4, max_new_tokens=6, generator=torch.Generator().manual_seed(0))
    exact = score(policy.model, rolled.groups).logprobs.detach()
    assert (rolled.logprobs.flatten(0, 1) - exact).abs().mean() < 0.1


def test_tokens_are_drawn_as_often_as_they_are_likely():
    logits = torch.tensor([[0.0, 1.0, 2.0, -torch.inf]])
    numbers = torch.arange(5000, dtype=torch.float64) / 5000
    tokens, logprobs = draw(logits.repeat(5000, 1), numbers)
    counts = Counter(tokens.tolist())
    for token, probability in enumerate(logits[0].softmax(0).tolist()):
        assert abs(counts[token] / 5000 - probability) < 1e-3
    torch.testing.assert_close(logprobs, logits[0].log_softmax(0)[tokens])


def test_top_k_and_top_p_draw_from_what_is_kept_and_renormalise():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(1000, 1)
    numbers = torch.arange(1000, dtype=torch.float64) / 1000
    tokens, logprobs = draw(logits.clone(), numbers, top_k=2)
    assert set(tokens.tolist()) == {0, 1}
    torch.testing.assert_close(logprobs, torch.log(torch.tensor([0.625, 0.375]))[tokens])
    assert set(draw(logits.clone(), numbers, top_p=0.81)[0].tolist()) == {0, 1, 2}
    assert set(draw(logits.clone(), numbers, top_p=0.2)[0].tolist()) == {0}


@given(st.floats(0, 1, exclude_max=True))
def test_no_token_of_probability_zero_is_ever_drawn(number):
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    assert int(draw(logits, torch.tensor([number], dtype=torch.float64))[0]) in (1, 3)


def test_a_part_of_a_rollout_joined_with_the_rest_is_the_rollout():
    policy = toy_policy()
    policy.end_ids = tuple(ENDS)
    whole = complete(policy, PROMPTS, group=2, max_new_tokens=8, generator=torch.Generator().manual_seed(0))
    first = torch.tensor([True, True, False, False])
    joined = rollout.Rollout.join([whole.select(first), whole.select(~first)])
    assert joined.groups == whole.groups
    assert joined.texts == whole.texts


def test_a_prompt_that_leaves_too_little_room_is_refused_with_the_reason():
    with pytest.raises(UserError, match="128 positions"):
        complete(toy_policy("gpt2"), [[5] * 120], max_new_tokens=9)


@pytest.mark.parametrize("settings", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}, {"max_new_tokens": 0}])
def test_settings_that_cannot_be_sampled_with_are_refused(settings):
    with pytest.raises(UserError, match="can't sample with"):
        complete(toy_policy(), PROMPTS, **{"max_new_tokens": 2, **settings})
