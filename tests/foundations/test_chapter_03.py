"""Chapter 3: the gridworld's values as the book prints them."""

import numpy as np
import pytest

from rlhub.foundations.exhibit import exhibits

FIGURES = exhibits("rlhub.foundations.figures")
AT_RANDOM = [[3.3, 8.8, 4.4, 5.3, 1.5], [1.5, 3.0, 2.3, 1.9, 0.5], [0.1, 0.7, 0.7, 0.4, -0.4], [-1.0, -0.4, -0.4, -0.6, -1.2],
             [-1.9, -1.3, -1.2, -1.4, -2.0]]  # fmt: skip
AT_BEST = [[22.0, 24.4, 22.0, 19.4, 17.5], [19.8, 22.0, 19.8, 17.8, 16.0], [17.8, 19.8, 17.8, 16.0, 14.4], [16.0, 17.8, 16.0, 14.4, 13.0],
           [14.4, 16.0, 14.4, 13.0, 11.7]]  # fmt: skip


@pytest.mark.parametrize(("key", "printed"), [("3.2", AT_RANDOM), ("3.5", AT_BEST)])
def test_values_are_the_printed_ones(key, printed):
    results = FIGURES[key].compute()
    assert np.abs(results["values"] - printed).max() < 0.0501
    assert f"Figure {key}" in FIGURES[key].draw(results).layout.title.text
    assert FIGURES[key].numbers(results)["value of A"] == pytest.approx(printed[0][1], abs=0.05)


def test_the_best_is_to_leap_from_a_again_and_again():
    results = FIGURES["3.5"].compute()
    assert results["values"][0, 1] == pytest.approx(10 / (1 - 0.9**5))  # 10 now and every five steps
    assert results["moves"][0, 1].all()  # all moves from A leap
    assert results["moves"][0, 0].tolist() == [False, False, True, False]
    assert results["moves"][4, 4].tolist() == [True, False, False, True]  # north or west
