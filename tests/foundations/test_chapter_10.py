"""Chapter 10: what its figures show, the mountain car's physics, and average rewards that are known in closed form."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.average_reward import access_control, differential_sarsa, optimal_average_reward
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.mountain_car import ACCUMULATING, CLEARING, DUTCH, REPLACING, car_tiles, drive, n_step_sarsa, sarsa_lambda

FIGURES = exhibits("rlhub.foundations.figures")
ALPHA = "\N{GREEK SMALL LETTER ALPHA}"


def run_of(n=1, step_size=0.5 / 8, *, episodes=100, limit=1000, epsilon=0.0, run=0):
    return n_step_sarsa(car_tiles(), episodes, n, step_size, epsilon, limit, 0, run)


def test_the_car_moves_as_the_book_says():
    state = np.array([-0.5, 0.0])
    assert not drive(state, 1)
    velocity = 0.001 - 0.0025 * np.cos(-1.5)
    assert state == pytest.approx([-0.5 + velocity, velocity])
    state = np.array([-1.19, -0.05])
    assert not drive(state, -1)
    assert state.tolist() == [-1.2, 0.0]
    state = np.array([0.49, 0.069])
    assert drive(state, 1)


def test_sarsa_learns_to_reach_the_goal_in_about_120_steps():
    taken = np.mean([run_of(run=run, episodes=300)[0] for run in range(3)], 0)
    assert taken[:3].mean() > 350
    assert 105 < taken[-50:].mean() < 160


def test_eight_steps_learn_faster_than_one():
    results = FIGURES["10.3"].compute(runs=5, episodes=50)
    told = FIGURES["10.3"].numbers(results)
    one, eight = (told[f"steps over the first 50 episodes, n = {n}, {ALPHA} = {alpha}/8"] for n, alpha in ((1, 0.5), (8, 0.3)))
    assert eight < one - 15
    drawn = FIGURES["10.3"].draw(results)
    assert drawn.layout.yaxis.type == "log" and len(drawn.data) == 2


def test_costs_grow_from_where_the_car_has_been():
    coding = car_tiles()
    _, early = n_step_sarsa(coding, 1, 1, 0.1 / 8, 0.0, 428, 0, 0)
    # 428 updates of 8 weights, none of which can have gained: every step costs
    assert early.max() <= 0 and early.min() < 0 and (early != 0).sum() < 428 * 8
    assert run_of(episodes=1, limit=428)[0].tolist() == [428]


@pytest.mark.parametrize("kind", [ACCUMULATING, REPLACING, CLEARING, DUTCH])
def test_traces_of_one_step_are_one_step_sarsa(kind):
    # both draw the same random numbers in the same order, so with lambda = 0 they do the same
    _, weights = n_step_sarsa(car_tiles(), 1, 1, 0.3 / 8, 0.1, 40, 0, 0)
    _, traced = sarsa_lambda(car_tiles(), 1, kind, 0.0, 0.3 / 8, 0.1, 40, 0, 0)
    assert traced == pytest.approx(weights) and weights.min() < 0


def test_replacing_traces_learn_and_accumulating_ones_diverge_at_a_large_step_size():
    steps = {}
    for kind in (ACCUMULATING, REPLACING, DUTCH):
        steps[kind] = np.mean([sarsa_lambda(car_tiles(), 20, kind, 0.9, 1.0 / 8, 0.0, 2000, 0, run)[0].mean() for run in range(3)])
    assert steps[REPLACING] < 400 and steps[DUTCH] < 400
    assert steps[ACCUMULATING] > steps[DUTCH] + 100


def test_the_queue_earns_nearly_the_best_and_turns_low_priorities_away():
    results = FIGURES["10.5"].compute(steps=500_000)
    told = FIGURES["10.5"].numbers(results)
    # Example 10.2: the book's run learned an average of about 2.31 while it explored
    assert told["average reward"] == pytest.approx(2.31, abs=0.3)
    assert told["fewest free servers at which priority 8 is accepted"] == 1
    assert told["fewest free servers at which priority 1 is accepted"] > told["fewest free servers at which priority 4 is accepted"]
    assert len(FIGURES["10.5"].draw(results).data) == 5


def test_the_queue_where_nothing_blocks_earns_the_mean_priority():
    transitions, rewards = access_control(servers=1, priorities=(1.0, 3.0), free_probability=1.0)
    best, values = optimal_average_reward(transitions, rewards)
    assert best == pytest.approx(2)
    # with nothing but the payment between them, accepting is worth its priority more
    assert values[2:, 1] - values[2:, 0] == pytest.approx([1, 3])


def test_differential_sarsa_finds_the_average_of_a_made_up_chain():
    # action 1 pays 1 and leads to a state that pays 0 either way; action 0 pays 0.2 and stays: alternating earns 0.5
    transitions = np.array([[[1.0, 0], [0, 1]], [[1, 0], [1, 0]]])
    rewards = np.array([[0.2, 1.0], [0.0, 0.0]])
    values, average = differential_sarsa(transitions.cumsum(-1), rewards, 100_000, 0.05, 0.01, 0.1, 0)
    assert values[0].argmax() == 1
    # a tenth of the choices are random, so in state 0 it stays in 1 of 20: a cycle of 1 / 0.95 + 1 steps earns 1 + 0.2 / 19
    assert average == pytest.approx((1 + 0.2 / 19) / (1 / 0.95 + 1), abs=0.05)


def test_what_is_no_queue_and_no_probability_is_refused():
    with pytest.raises(UserError, match="a probability of"):
        access_control(free_probability=1.5)
    with pytest.raises(UserError, match="don't sum to 1"):
        optimal_average_reward(np.full((2, 2, 2), 0.6), np.zeros((2, 2)))
    with pytest.raises(UserError, match="didn't settle"):
        optimal_average_reward(np.array([[[0.0, 1.0]], [[1.0, 0.0]]]), np.array([[1.0], [0.0]]), sweeps=50)
