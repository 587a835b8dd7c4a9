"""Chapter 5: blackjack beside its exact solution, and what importance sampling does."""

import numpy as np
import pytest

from rlhub.foundations.blackjack import dealer_ends, with_card
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.importance_sampling import left_or_right

FIGURES = exhibits("rlhub.foundations.figures")


def test_hands_count_aces_as_eleven_while_they_can():
    assert with_card(0, 0, 1) == (11, 1)
    assert with_card(11, 1, 1) == (12, 1)
    assert with_card(16, 1, 9) == (15, 0)
    assert with_card(15, 0, 10) == (25, 0)
    assert with_card(20, 0, 1) == (21, 0)


def test_the_dealer_ends_with_all_probability_and_breaks_most_often_from_a_six():
    ends = [dealer_ends(card) for card in range(1, 11)]
    assert [sum(one.values()) for one in ends] == pytest.approx([1] * 10)
    breaks = [sum(chance for total, chance in one.items() if total > 21) for one in ends]
    assert np.argmax(breaks) == 5
    assert breaks[5] == pytest.approx(0.4232, abs=1e-3)  # of an endless deck, dealer stands on soft 17


def test_prediction_approaches_the_exact_values():
    results = FIGURES["5.1"].compute(seed=1, games=200_000)
    numbers = FIGURES["5.1"].numbers(results)
    assert numbers["error after many games"] < numbers["error after few games"] < 0.15
    assert numbers["error after many games"] < 0.03
    seen = results["visits"] > 0
    spread = 5 / np.sqrt(results["visits"][seen])
    assert (np.abs(results["many"] - results["exact"])[seen] < spread).all()
    assert results["visits"][1].sum() < results["visits"][0].sum() / 4
    assert numbers["mean value of 21, no ace"] > numbers["mean value of 20, no ace"] > 0.5 > numbers["mean value of 19, no ace"]
    assert len(FIGURES["5.1"].draw(results).data) == 4


def test_exploring_starts_find_the_best_play():
    results = FIGURES["5.2"].compute(seed=1, games=1_000_000)
    numbers = FIGURES["5.2"].numbers(results)
    assert numbers["states that differ from the exact policy"] <= 10
    assert numbers["largest error of a value"] < 0.08
    # The book's figure: without an ace stick from 13 against a 2, 12 against 4 to 6, 17 against 7 and more
    exact = results["exact hits"]
    assert [12 + int((~exact[0, card - 1]).argmax()) for card in range(1, 11)] == [17, 13, 13, 12, 12, 12, 17, 17, 17, 17]
    # With one, hit an 18 against 9 and 10, and against an ace: the notch on the left, which Thorp's strategy doesn't have
    assert [12 + int((~exact[1, card - 1]).argmax()) for card in range(1, 11)] == [19, 18, 18, 18, 18, 18, 18, 18, 19, 19]
    assert len(FIGURES["5.2"].draw(results).data) == 4


def test_weighted_importance_sampling_begins_with_lower_errors():
    results = FIGURES["5.3"].compute(runs=50, seed=1, games=10_000)
    numbers = FIGURES["5.3"].numbers(results)
    assert numbers["exact value"] == pytest.approx(-0.27726, abs=5e-4)  # example 5.4, from a hundred million games
    assert numbers["ordinary, error after 10"] > numbers["weighted, error after 10"]
    assert numbers["ordinary, error at the end"] < 0.01
    assert numbers["weighted, error at the end"] < 0.01
    assert results["last"].mean() == pytest.approx(numbers["exact value"], abs=4 * results["last"].std() / np.sqrt(50))
    assert len(FIGURES["5.3"].draw(results).data) == 2


def test_estimates_with_infinite_variance_jump_and_are_seldom_right():
    results = FIGURES["5.4"].compute(runs=10, seed=1, episodes=200_000)
    numbers = FIGURES["5.4"].numbers(results)
    assert numbers["farthest from 1 at the end"] > 0.05
    assert numbers["mean at the end"] == pytest.approx(1, abs=0.5)
    assert len(FIGURES["5.4"].draw(results).data) == 10


def test_one_episode_in_eleven_ends_on_the_left_and_its_ratio_is_a_power_of_two():
    estimates = left_or_right(np.array([1]), 4000, 0)[:, 0]
    assert (estimates > 0).mean() == pytest.approx(0.05 / 0.55, abs=4 * np.sqrt(0.083 / 4000))
    lefts = np.log2(estimates[estimates > 0])
    assert (lefts % 1 == 0).all()
    assert lefts.min() == 1
    assert (lefts == 1).mean() == pytest.approx(0.55, abs=4 * np.sqrt(0.25 / len(lefts)))
    assert lefts.mean() == pytest.approx(1 / 0.55, abs=4 * 1.22 / np.sqrt(len(lefts)))
