"""How rates are drawn: fitted slopes in the legend, marks of log axes, shades that stay above zero."""

import numpy as np
import pytest

from rlhub.foundations.rates import Curve, Panel, drawn_panels, interval, marks_of, slope, typeset


def test_a_power_has_its_exponent_as_slope_and_the_legend_says_it_beside_the_predicted_one():
    x = np.geomspace(1, 1000, 20)
    y = np.where(x < 30, x, 30 * (x / 30) ** -0.5)
    assert slope(x, 3 * x**1.5) == pytest.approx(1.5)
    label = Curve(name="error", x=x, y=y, predicted="-1/2", fitted=(40.0, np.inf)).label
    assert label == "error: slope -0.50, theory -1/2"
    assert typeset(label) == "error: slope \N{MINUS SIGN}0.50, theory \N{MINUS SIGN}1/2"
    assert typeset("UCB-VI, 2 x 3") == "UCB-VI, 2 \N{MULTIPLICATION SIGN} 3"


def test_an_interval_is_two_standard_errors_and_leaves_something_above_zero():
    measured = np.array([[1.0, 0.0], [3.0, 1.0]])
    assert interval(measured)[0] == pytest.approx(1.8)
    assert interval(np.array([[9.0], [11.0]]))[0] == pytest.approx(2.0)
    assert interval(measured[:1]) == pytest.approx([0, 0])


def test_an_axis_of_few_powers_is_marked_between_them_in_whole_numbers():
    assert marks_of(np.array([1.0, 1e6])) == {"dtick": 1, "exponentformat": "power"}
    few = marks_of(np.array([500.0, 4000.0]))
    assert few["ticktext"][few["tickvals"].index(2000)] == "2,000"
    assert "0.05" in marks_of(np.array([0.02, 0.4]))["ticktext"]


def test_each_panel_has_its_legend_and_bounds_are_dashed():
    x = np.array([1.0, 10.0, 100.0])
    curves = [Curve(name="seen", x=x, y=x, spread=x / 2), Curve(name="bound", x=x, y=2 * x, bound=True)]
    drawn = drawn_panels(
        "two", [Panel(x_title="n", y_title="error", curves=curves), Panel(x_title="n", y_title="error", curves=curves[1:])]
    )
    assert [trace.legend for trace in drawn.data if trace.name == "bound"] == ["legend", "legend2"]
    assert {trace.line.dash for trace in drawn.data if trace.name == "bound"} == {"dash"}
