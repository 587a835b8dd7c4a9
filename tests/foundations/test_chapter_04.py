"""Chapter 4: the printed values of the grid, the rental's policies, the gambler's chances."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.car_rental import car_rental
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.gambler import gamblers_problem
from rlhub.foundations.mdp import value_iteration

FIGURES = exhibits("rlhub.foundations.figures")


def test_sweeps_over_the_grid_are_the_printed_ones():
    results = FIGURES["4.1"].compute()
    printed = {
        "1": [[0, -1, -1, -1], [-1, -1, -1, -1]],
        "2": [[0, -1.75, -2, -2], [-1.75, -2, -2, -2]],  # the book cuts -1.75 to -1.7
        "3": [[0, -2.4, -2.9, -3.0], [-2.4, -2.9, -3.0, -2.9]],
        "10": [[0, -6.1, -8.4, -9.0], [-6.1, -7.7, -8.4, -8.4]],
        "∞": [[0, -14, -20, -22], [-14, -18, -20, -20]],
    }
    for sweep, rows in printed.items():
        values = results[sweep]["values"]
        assert np.abs(values[:2] - rows).max() < 0.051
        assert values == pytest.approx(values[::-1, ::-1])
    # After three sweeps, the greedy moves are those of the shortest ways
    assert np.array_equal(results["3"]["moves"], results["∞"]["moves"])
    assert results["∞"]["moves"][0, 1].tolist() == [False, False, False, True]
    assert len(FIGURES["4.1"].draw(results).data) == 12


def test_four_improvements_solve_jacks_car_rental():
    results = FIGURES["4.2"].compute()
    numbers = FIGURES["4.2"].numbers(results)
    assert numbers["policies"] == 5
    assert numbers["most cars moved to the second location"] == 5
    assert numbers["most cars moved to the first location"] == 4
    assert numbers["lowest value"] == pytest.approx(420, abs=2)
    last = results["policies"][-1]
    assert last[20, 0] == 5
    assert last[0, 20] == -4
    assert last[0, 0] == last[20, 20] == 0
    assert len(FIGURES["4.2"].draw(results).data) == 6


def test_a_rental_earns_what_it_rents_where_cars_never_run_out():
    # With one request a day at most places and twenty cars, rewards are 10 dollars a request
    rental = car_rental(requests=(1.0, 1.0), returns=(1.0, 1.0))
    assert rental.rewards[-1, 5] == pytest.approx(20.0, abs=1e-6)
    assert rental.rewards[0, 5] == 0
    assert rental.rewards[-1, 5] - rental.rewards[-1, 6] == pytest.approx(2.0, abs=1e-6)
    shuttle = car_rental(requests=(1.0, 1.0), returns=(1.0, 1.0), free_shuttle=True, parking=4.0)
    assert shuttle.rewards[-1, 6] == pytest.approx(20.0 - 8.0, abs=1e-6)


def test_the_gambler_bets_boldly():
    results = FIGURES["4.3"].compute()
    numbers = FIGURES["4.3"].numbers(results)
    # Bold play in closed form: v(50) = p, v(25) = p^2, v(75) = p + (1 - p) p
    assert numbers["value of 50"] == pytest.approx(0.4, abs=1e-9)
    assert numbers["value of 25"] == pytest.approx(0.16, abs=1e-9)
    assert numbers["value of 75"] == pytest.approx(0.64, abs=1e-9)
    assert [numbers[f"stake at {capital}"] for capital in (25, 50, 75)] == [25, 50, 25]
    # The stakes of figure 4.3's policy
    assert results["stakes"][[1, 12, 13, 24, 26, 37, 38, 49, 51, 62, 63, 74]].tolist() == [1, 12, 12, 1, 1, 12, 12, 1, 1, 12, 12, 1]
    assert len(FIGURES["4.3"].draw(results).data) == 6


@pytest.mark.parametrize("heads", [0.55, 0.7])
def test_with_a_good_coin_timid_play_is_the_gamblers_ruin_in_closed_form(heads):
    ratio = (1 - heads) / heads
    capital = np.arange(1, 10)
    assert value_iteration(gamblers_problem(heads=heads, goal=10))[1:-1] == pytest.approx((1 - ratio**capital) / (1 - ratio**10), abs=1e-7)


def test_no_coin_and_no_goal_are_refused():
    with pytest.raises(UserError, match=r"heads is 1\.2"):
        gamblers_problem(heads=1.2)
    with pytest.raises(UserError, match="the goal is 1"):
        gamblers_problem(goal=1)
