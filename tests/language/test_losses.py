"""Losses against their equations."""

import math

import pytest
import torch

from rlhub.language.losses import (
    kl_estimate,
    log_importance,
    negative_log_likelihood,
    policy_loss,
    policy_normaliser,
    token_weights,
)

MASK = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])


def test_the_likelihood_counts_only_the_mask():
    logprobs = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -100.0, -100.0], [-100.0] * 3])
    assert negative_log_likelihood(logprobs, MASK) == 10


def test_a_ratio_within_the_clip_weighs_the_advantage():
    old = torch.zeros(1, 2)
    logprobs = torch.tensor([[0.1, -0.1]])
    loss = policy_loss(logprobs, old, torch.tensor([2.0]), torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(loss, -2 * logprobs.exp())


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "value", "moves"),
    [(1.0, 1.0, -1.28, False), (1.0, -1.0, math.e, True), (-1.0, 1.0, -math.exp(-1), True), (-1.0, -1.0, 0.8, False)],
)
def test_the_clip_holds_only_what_went_far_enough_already(log_ratio, advantage, value, moves):
    logprobs = torch.tensor([[log_ratio]], requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    loss = policy_loss(logprobs, torch.zeros(1, 1), torch.tensor([advantage]), mask, aggregation="dapo", clip_low=0.2, clip_high=0.28)
    loss.sum().backward()
    assert math.isclose(loss.item(), value, rel_tol=1e-5)
    assert (logprobs.grad.item() != 0) == moves


def test_gspo_takes_the_mean_of_the_log_ratios_over_the_sequence():
    logprobs = torch.tensor([[0.3, 0.0, 0.6], [0.4, 9.0, 9.0], [9.0] * 3])
    torch.testing.assert_close(log_importance(logprobs, torch.zeros(3, 3), MASK, "gspo"), torch.tensor([[0.3], [0.4], [0.0]]))


def test_cispo_caps_the_weight_and_keeps_every_tokens_gradient():
    logprobs = torch.tensor([[3.0]], requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    policy_loss(logprobs, torch.zeros(1, 1), torch.tensor([1.0]), mask, aggregation="cispo", clip_high=5.0).sum().backward()
    assert logprobs.grad.item() == -5


@pytest.mark.parametrize("aggregation", ["grpo", "gspo"])
def test_a_completion_counts_as_one_however_long(aggregation):
    torch.testing.assert_close(token_weights(MASK, aggregation).sum(1), torch.tensor([1.0, 1.0, 0.0]))
    assert policy_normaliser(torch.tensor([3.0, 1.0, 0.0]), aggregation, 5) == 3


@pytest.mark.parametrize(("aggregation", "normaliser"), [("dr_grpo", 15), ("dapo", 4), ("cispo", 4)])
def test_a_token_counts_as_one(aggregation, normaliser):
    assert torch.equal(token_weights(MASK, aggregation), MASK.float())
    assert policy_normaliser(torch.tensor([3.0, 1.0, 0.0]), aggregation, 5) == normaliser


def test_nothing_to_divide_by_is_1():
    assert policy_normaliser(torch.zeros(0), "dapo", 5) == policy_normaliser(torch.zeros(0), "grpo", 5) == 1


def test_the_kl_estimators_are_schulmans():
    logprobs, reference = torch.tensor([[-1.0]]), torch.tensor([[-1.5]])
    assert kl_estimate(logprobs, reference, "k1").item() == 0.5
    assert kl_estimate(logprobs, reference, "k2").item() == 0.125
    assert math.isclose(kl_estimate(logprobs, reference, "k3").item(), math.exp(-0.5) + 0.5 - 1, rel_tol=1e-6)


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_k1_and_k3_are_unbiased(kind):
    draw = torch.Generator().manual_seed(0)
    policy, reference = (torch.randn(1, 7, generator=draw).log_softmax(-1) for _ in range(2))
    exact = (policy.exp() * (policy - reference)).sum()
    torch.testing.assert_close((policy.exp() * kl_estimate(policy, reference, kind)).sum(), exact)


def test_k2s_gradient_is_that_of_the_kl():
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(7, generator=draw, requires_grad=True)
    reference = torch.randn(7, generator=draw).log_softmax(-1)
    policy = scores.log_softmax(-1)
    exact = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), scores, retain_graph=True)[0]
    estimate = (policy.detach().exp() * kl_estimate(policy[None], reference[None], "k2")[0]).sum()
    torch.testing.assert_close(torch.autograd.grad(estimate, scores)[0], exact)
