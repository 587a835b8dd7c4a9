"""Preference losses against their equations."""

import math
from decimal import Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhub.language.preference_losses import kto_loss, log_complement, log_ratios, orpo_loss, preference_loss, simpo_loss


def test_dpo_without_a_margin_is_log_2():
    assert math.isclose(preference_loss(torch.zeros(1), torch.zeros(1), beta=0.1).item(), math.log(2), rel_tol=1e-6)


@given(st.floats(-20, 20), st.floats(0.01, 2), st.floats(0, 0.4))
def test_cdpo_mixes_the_loss_with_that_of_the_swapped_pair(margin, beta, smoothing):
    chosen, rejected = torch.tensor([margin]), torch.zeros(1)
    straight, swapped = preference_loss(chosen, rejected, beta=beta), preference_loss(rejected, chosen, beta=beta)
    mixed = preference_loss(chosen, rejected, beta=beta, label_smoothing=smoothing)
    torch.testing.assert_close(mixed, (1 - smoothing) * straight + smoothing * swapped)


def test_ipo_is_least_where_the_margin_is_one_over_two_beta():
    margins = torch.linspace(0, 10, 101)
    losses = preference_loss(margins, torch.zeros(101), beta=0.1, kind="ipo")
    assert margins[losses.argmin()] == 5
    assert losses.min() == 0


@given(st.floats(-20, 20), st.floats(0.01, 2), st.floats(0.01, 0.4))
def test_the_robust_loss_of_labels_that_are_wrong_now_and_then_is_on_average_the_loss_of_the_right_ones(margin, beta, wrong):
    better, worse = torch.tensor([margin], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    settings = {"beta": beta, "label_smoothing": wrong, "kind": "robust"}
    seen = (1 - wrong) * preference_loss(better, worse, **settings) + wrong * preference_loss(worse, better, **settings)
    torch.testing.assert_close(seen, preference_loss(better, worse, beta=beta))


def test_the_robust_loss_without_wrong_labels_is_dpos():
    chosen, rejected = torch.randn(5), torch.randn(5)
    torch.testing.assert_close(
        preference_loss(chosen, rejected, beta=0.3, kind="robust"), preference_loss(chosen, rejected, beta=0.3, kind="sigmoid")
    )


def test_ratios_are_sums_or_means_over_the_mask():
    logprobs, reference = torch.tensor([[-1.0, -2.0, -9.0], [-3.0, -9.0, -9.0]]), torch.full((2, 3), -4.0)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert log_ratios(logprobs, reference, mask, mean=False).tolist() == [5, 1]
    assert log_ratios(logprobs, reference, mask, mean=True).tolist() == [2.5, 1]
    assert log_ratios(logprobs, reference, mask & False, mean=True).tolist() == [0, 0]


def test_simpo_is_at_log_2_where_the_lead_is_the_margin():
    lead = torch.tensor([0.5])
    loss = simpo_loss(torch.tensor([-1.0]) + lead, torch.tensor([-1.0]), beta=2.0, margin=1.0)
    assert math.isclose(loss.item(), math.log(2), rel_tol=1e-6)


@given(st.floats(-5, -0.001), st.floats(-5, -0.001))
def test_orpo_is_the_log_of_the_odds_ratio(chosen, rejected):
    odds = [math.exp(value) / (1 - math.exp(value)) for value in (chosen, rejected)]
    wanted = math.log(1 + odds[1] / odds[0])
    loss = orpo_loss(torch.tensor([chosen], dtype=torch.float64), torch.tensor([rejected], dtype=torch.float64))
    assert math.isclose(loss.item(), wanted, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("value", [-1e-6, -1e-3, -0.6931, -0.7, -30.0])
def test_the_complement_s_log_is_exact_near_both_ends(value):
    found = log_complement(torch.tensor([value], dtype=torch.float64)).item()
    exact = float((1 - Decimal(value).exp()).ln())
    assert math.isclose(found, exact, rel_tol=1e-9)


def test_an_answer_that_is_certain_keeps_orpo_and_its_gradient_finite():
    chosen = torch.tensor([0.0, -1.0], requires_grad=True)
    loss = orpo_loss(chosen, torch.tensor([-1.0, 0.0])).sum()
    loss.backward()
    assert loss.isfinite()
    assert chosen.grad.isfinite().all()


def test_kto_at_its_reference_point_is_half_the_weight_and_pushes_each_kind_its_way():
    ratios = torch.tensor([0.7, 0.7], requires_grad=True)
    losses = kto_loss(ratios, torch.tensor([True, False]), torch.tensor(0.7), beta=0.1, desirable_weight=1.5, undesirable_weight=0.5)
    torch.testing.assert_close(losses, torch.tensor([0.75, 0.25]))
    losses.sum().backward()
    assert ratios.grad[0] < 0 < ratios.grad[1]


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: preference_loss(a, b, beta=0.3, label_smoothing=0.1),
        lambda a, b: preference_loss(a, b, beta=0.3, label_smoothing=0.1, kind="robust"),
        lambda a, b: preference_loss(a, b, beta=0.3, kind="ipo"),
        lambda a, b: simpo_loss(a, b, beta=2.0, margin=0.5, label_smoothing=0.1),
        orpo_loss,
        lambda a, b: kto_loss(a - b, torch.tensor([True, False, True]), torch.tensor(0.2, dtype=torch.float64), beta=0.3),
    ],
    ids=["sigmoid", "robust", "ipo", "simpo", "orpo", "kto"],
)
def test_gradients_are_those_of_finite_differences(loss):
    draw = torch.Generator().manual_seed(0)
    chosen, rejected = ((-3 * torch.rand(3, generator=draw, dtype=torch.float64) - 0.1).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(loss, (chosen, rejected))
