"""Over-optimisation: the estimator of best-of-n against all choices of n, its limits, and laws that are found again."""

import itertools
import math

import pytest
import torch

from rlhub.language.over_optimisation import Law, best_of_n, best_of_n_kl


def by_hand(scores, values, n):
    """The mean over all choices of n samples of the value of the one with the highest score, ties shared."""
    found = []
    for chosen in itertools.combinations(range(len(scores)), n):
        highest = max(scores[each] for each in chosen)
        best = [values[each] for each in chosen if scores[each] == highest]
        found.append(sum(best) / len(best))
    return sum(found) / len(found)


@pytest.mark.parametrize("tied", [False, True])
def test_it_is_the_mean_over_all_choices(tied):
    draw = torch.Generator().manual_seed(0)
    scores = torch.randint(4, (3, 7), generator=draw).double() if tied else torch.randn(3, 7, generator=draw, dtype=torch.float64)
    values = torch.randn(3, 7, generator=draw, dtype=torch.float64)
    found = best_of_n(scores, values, range(1, 8))
    for row in range(3):
        expected = [by_hand(scores[row].tolist(), values[row].tolist(), n) for n in range(1, 8)]
        assert found[row].tolist() == pytest.approx(expected)


def test_the_best_of_1_is_the_mean_and_of_all_the_highest():
    scores = torch.tensor([3.0, 1.0, 2.0])
    assert best_of_n(scores, scores, [1, 3]).tolist() == pytest.approx([2.0, 3.0])
    assert best_of_n(scores, -scores, [3]).tolist() == pytest.approx([-3.0])


def test_a_proxy_that_is_the_gold_reward_makes_the_expected_maximum():
    n, samples = [1, 2, 5, 20], torch.rand(400, 300, generator=torch.Generator().manual_seed(1))
    expected = [size / (size + 1) for size in n]  # of uniform numbers
    assert best_of_n(samples, samples, n).mean(0).tolist() == pytest.approx(expected, abs=0.005)


def test_a_proxy_that_knows_nothing_changes_nothing():
    draw = torch.Generator().manual_seed(2)
    found = best_of_n(torch.randn(2000, 32, generator=draw), torch.randn(2000, 32, generator=draw) + 1, [1, 4, 32]).mean(0)
    assert found.tolist() == pytest.approx([1, 1, 1], abs=0.08)


def test_of_normal_gold_and_noise_the_best_has_its_share():
    draw = torch.Generator().manual_seed(3)
    gold = torch.randn(1000, 64, generator=draw)
    proxy = 0.6 * gold + 0.8 * torch.randn(1000, 64, generator=draw)  # standard normal, too, and correlated by 0.6
    chosen, kept = (best_of_n(proxy, values, [1, 8, 64]).mean(0) for values in (proxy, gold))
    torch.testing.assert_close(kept, 0.6 * chosen, atol=0.05, rtol=0)


def test_many_samples_do_not_overflow():
    scores = torch.arange(5000.0)
    assert best_of_n(scores, scores, [2500]).item() == pytest.approx(5001 * 2500 / 2501 - 1, rel=1e-6)


@pytest.mark.parametrize("sizes", [[0], [4]])
def test_what_samples_cant_tell_is_refused(sizes):
    with pytest.raises(ValueError, match="best of 1 to 3"):
        best_of_n(torch.zeros(3), torch.zeros(3), sizes)


def test_the_divergence_of_the_best_of_n_is_that_of_its_density():
    assert best_of_n_kl(1) == 0
    # the best of n of a uniform number has the density n u^(n - 1)
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    for n in (2, 16):
        density = n * u ** (n - 1)
        assert best_of_n_kl(n) == pytest.approx((density * density.log()).mean().item(), abs=1e-5)


@pytest.mark.parametrize("push", ["best-of-n", "rl"])
def test_a_law_is_found_again_with_its_peak(push):
    law = Law(push=push, alpha=1.3, beta=0.4)
    distances = torch.linspace(0, 6, 601, dtype=torch.float64)
    rewards = law(distances)
    assert rewards[0] == 0
    found = Law.fit(push, distances, rewards)
    assert (found.alpha, found.beta) == pytest.approx((1.3, 0.4))
    assert law.peak == pytest.approx({"best-of-n": 1.3 / 0.8, "rl": math.exp(1.3 / 0.4 - 1)}[push])
    if law.peak < 6:
        assert distances[rewards.argmax()].item() == pytest.approx(law.peak, abs=0.01)


@pytest.mark.parametrize("push", ["best-of-n", "rl"])
@pytest.mark.parametrize("alpha", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("beta", [-0.1, 0.0, 0.1])
def test_a_peak_lies_where_the_law_begins_to_fall(push, alpha, beta):
    law = Law(push=push, alpha=alpha, beta=beta)
    falls = law(torch.logspace(-8, 8, 16_001, dtype=torch.float64)).diff() < 0
    reached = torch.logspace(-8, 8, 16_001, dtype=torch.float64)[:-1][falls]
    assert min(reached.tolist(), default=math.inf) == pytest.approx(law.peak, rel=0.01, abs=1e-7)


def test_a_peak_beyond_all_numbers_is_none_and_one_below_them_is_the_start():
    assert Law(push="rl", alpha=1.0, beta=1e-3).peak == math.inf
    assert Law(push="rl", alpha=-1.0, beta=1e-3).peak == 0


def test_one_distance_makes_no_law():
    with pytest.raises(ValueError, match="two distances"):
        Law.fit("rl", torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))
