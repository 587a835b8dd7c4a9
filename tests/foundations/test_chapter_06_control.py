"""Chapter 6, control: what the cliff, the wind and the biased task show, and learning against known answers."""

import numpy as np
import pytest

from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.temporal_difference import EXPECTED_SARSA, Q_LEARNING, SARSA, double_q_learning, td_control
from rlhub.foundations.worlds import gridworld, random_walk, shortest

FIGURES = exhibits("rlhub.foundations.figures")


def test_sarsa_goes_around_the_cliff_and_earns_more_than_q_learning_at_its_edge():
    results = FIGURES["6.4"].compute(runs=100, seed=1)
    told = FIGURES["6.4"].numbers(results)
    assert told["return over the last 100 episodes, Sarsa"] > told["return over the last 100 episodes, Q-learning"] + 10
    assert told["moves on the greedy path, Q-learning"] == 13
    assert told["cells at the edge, Q-learning"] == 10
    assert told["moves on the greedy path, Sarsa"] >= 15
    assert told["cells at the edge, Sarsa"] == 0
    assert FIGURES["6.4"].draw(results).layout.xaxis2.title.text == "episodes"
    assert FIGURES["example 6.6"].compute is FIGURES["6.4"].compute


def test_expected_sarsa_is_best_in_both_ways_and_bears_a_step_size_of_one():
    results = FIGURES["6.3"].compute(runs=100, seed=1, episodes=1000, step_sizes=3)
    told = FIGURES["6.3"].numbers(results)
    for kind in ("interim", "asymptotic"):
        assert (results[f"{kind} Expected Sarsa"] > results[f"{kind} Q-learning"]).all()
        assert told[f"{kind} Expected Sarsa, best"] > told[f"{kind} Sarsa, best"]
    assert told["asymptotic Sarsa, largest alpha"] < told["asymptotic Expected Sarsa, largest alpha"] - 20
    drawn = FIGURES["6.3"].draw(results)
    assert len(drawn.data) == 6
    # What falls off the book's axis is said
    fallen = told["asymptotic Sarsa, largest alpha"] < drawn.layout.yaxis.range[0]
    assert fallen == any("Sarsa, asymptotic, falls to" in note.text for note in drawn.layout.annotations)
    assert "100 learners; asymptotic: 1,000 episodes of 5" in drawn.layout.title.text


def test_sarsa_finds_the_fifteen_moves_in_the_wind():
    results = FIGURES["example 6.5"].compute(runs=30, seed=1)
    told = FIGURES["example 6.5"].numbers(results)
    assert told["moves on the greedy path"] == 15
    assert 15 < told["steps per episode, last 50"] < 26
    assert 130 < told["episodes in 8000 steps"] < 190
    assert FIGURES["example 6.5"].draw(results).layout.xaxis.title.text == "time steps"


def test_double_learning_is_rid_of_the_maximization_bias():
    results = FIGURES["6.5"].compute(runs=1000, seed=1)
    told = FIGURES["6.5"].numbers(results)
    assert told["left at most, %, Q-learning"] > 70
    assert told["left at the end, %, Q-learning"] > told["left at the end, %, Double Q-learning"] + 2
    assert told["left at the end, %, Double Q-learning"] == pytest.approx(6.5, abs=1.5)
    assert FIGURES["6.5"].draw(results).layout.xaxis.title.text == "episodes"


def test_the_shortest_ways_are_known():
    assert shortest(gridworld(["S#G", "..."], reward=0.0, goal=1.0)) == 4


@pytest.mark.parametrize("backup", [Q_LEARNING, EXPECTED_SARSA, SARSA])
def test_learners_come_to_the_values_of_a_walk(backup):
    # Between -1 and 1 with three states, right is best: values are discounts of 1; epsilon 0 makes all three the same
    walk = random_walk(3, left=-1.0, right=1.0)
    _, lengths, values = td_control(walk, backup=backup, runs=2, episodes=300, step_size=0.5, epsilon=0.0, discount=0.9, seed=0)
    assert values[:, 2:4, 1] == pytest.approx(np.tile([0.9, 1.0], (2, 1)), abs=1e-6)
    assert (lengths[:, -1] == 2).all()


def test_double_q_learning_comes_to_the_best_values():
    walk = random_walk(3, left=-1.0, right=1.0)
    values = double_q_learning(walk, runs=1, episodes=3000, step_size=0.5, epsilon=0.5, discount=0.9, seed=0)[2]
    assert values[0, 1:4] == pytest.approx(np.array([[-1, 0.81], [0.729, 0.9], [0.81, 1.0]]), abs=1e-3)
