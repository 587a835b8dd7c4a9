"""Chapter 8, which updates to make: figures' facts, and planning against known answers."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.figures.chapter_08_updates import finer, random_task
from rlhub.foundations.prioritized_sweeping import prioritized_sweeping
from rlhub.foundations.racetrack import CRASH, FINISH, SMALL_TRACK, driven, racetrack
from rlhub.foundations.real_time_dp import greedy_visits, real_time_dp, start_value, trajectory_sampling, value_sweeps
from rlhub.foundations.tree_search import decide_and_act, search
from rlhub.foundations.worlds import greedy_path, gridworld, policy_values, shortest

FIGURES = exhibits("rlhub.foundations.figures")
SHORT_TRACK = ("##FF", "##..", "S...", "S...")


def test_prioritized_sweeping_needs_a_fraction_of_the_updates():
    results = FIGURES["example 8.4"].compute(runs=3, seed=1, mazes=4)
    # Sec. 8.4: often 5 to 10 times fewer, not even counting what Dyna-Q spends before the first reward
    assert FIGURES["example 8.4"].numbers(results)["least factor, Dyna-Q, once rewarded"] > 3
    assert results["prioritized sweeping"] == sorted(results["prioritized sweeping"])
    assert len(FIGURES["example 8.4"].draw(results).data) == 3


def test_prioritized_sweeping_comes_to_the_optimal_values():
    maze = finer(1, 2)
    settings = {"planning": 5, "step_size": 1.0, "epsilon": 0.3, "discount": 0.95, "threshold": 1e-9, "enough": 0, "seed": 0}
    _, _, values = prioritized_sweeping(maze, steps=60_000, **settings)
    assert values[maze.start].max() == pytest.approx(0.95 ** (shortest(maze) - 1))
    assert len(greedy_path(maze, values)) - 1 == shortest(maze)
    # With a threshold above any change nothing is ever queued
    assert prioritized_sweeping(maze, steps=5000, **settings | {"threshold": 2.0})[1] == 0


def test_sampled_means_have_the_error_of_the_formula():
    results = FIGURES["8.7"].compute(runs=1000, seed=1)
    for one in results.values():
        assert one["measured"] == pytest.approx(one["formula"], rel=0.15)
    assert FIGURES["8.7"].numbers(results)["error after a tenth of an expected update, b = 10000"] < 0.04
    assert len(FIGURES["8.7"].draw(results).data) == 11


def test_trajectories_plan_faster_at_first_and_even_updates_catch_up():
    numbers = {}
    for branches, marks in ((1, [800, 20_000]), (3, [400, 20_000])):
        for on_policy in (True, False):
            shared = {"on_policy": on_policy, "epsilon": 0.1, "discount": 1.0, "tolerance": 3e-3}
            tasks = [(random_task(1000, branches, seed), seed) for seed in range(12)]
            numbers[branches, on_policy] = np.mean(
                [trajectory_sampling(task, np.array(marks), seed=seed, **shared) for task, seed in tasks], 0
            )
    assert numbers[1, True][0] > numbers[1, False][0] + 1
    assert numbers[3, True][0] > numbers[3, False][0]
    assert numbers[3, False][1] > numbers[3, True][1]


def test_a_greedy_policys_value_solves_its_equations():
    task = random_task(40, 3, 5)
    action_values = np.random.default_rng(0).standard_normal((41, 2))
    exact = policy_values(task, np.eye(2)[action_values.argmax(1)], discount=1.0)
    assert start_value(task, action_values, np.zeros(41), 1.0, 1e-10) == pytest.approx(exact[0], abs=1e-8)


def test_a_racetrack_ends_beyond_the_finish_and_begins_again_beyond_the_edge():
    assert driven(SHORT_TRACK, (1, 2), (-2, 0)) == FINISH
    assert driven(SHORT_TRACK, (2, 0), (-1, 1)) == CRASH
    assert driven(SHORT_TRACK, (2, 0), (0, 3)) == (2, 3)
    track = racetrack(SMALL_TRACK)
    # Example 8.6 counts 9,115 states with 87 goals; how a way is cut into cells makes a few more or less
    assert len(track.cars) == pytest.approx(9115 - 87, rel=0.04)
    assert (track.cars[track.starts] == [[row, 0, 0, 0] for row in range(5, 9)]).all()


def test_rtdp_finds_the_values_of_sweeps_along_its_way():
    track = racetrack(SHORT_TRACK)
    values, _, updates = value_sweeps(track.world, discount=1.0, tolerance=1e-9, most=10_000)
    learned, counts, lengths = real_time_dp(track.world, track.starts, episodes=3000, discount=1.0, seed=1)
    assert learned[track.starts] == pytest.approx(values[track.starts], abs=0.01)
    assert (learned >= values - 1e-6).all()  # from above, as it began with 0
    assert counts.sum() == lengths.sum()
    _, driven_lengths = greedy_visits(track.world, track.starts, values, episodes=4000, longest=100, seed=2)
    assert driven_lengths.mean() == pytest.approx(-values[track.starts].mean(), abs=4 * driven_lengths.std() / np.sqrt(4000))
    assert updates % (len(track.cars) - 1) == 0


def test_rtdp_makes_fewer_updates_than_sweeps():
    numbers = FIGURES["example 8.6"].numbers(FIGURES["example 8.6"].compute(runs=3, seed=1))
    # The book's table: 31.9 updates an episode, 98.45% of states at most 100 times, 80.51% at most 10 times
    assert numbers["RTDP, updates"] < numbers["DP, updates"] / 2
    assert numbers["RTDP, updates per episode"] == pytest.approx(31.9, rel=0.15)
    assert numbers["RTDP, % of states updated at most 100 times"] == pytest.approx(98.45, abs=1)
    assert numbers["RTDP, % of states updated at most 10 times"] == pytest.approx(80.5, abs=6)
    assert numbers["RTDP, steps to the finish"] == pytest.approx(numbers["DP, steps to the finish"], rel=0.03)


def test_a_search_tells_a_sure_reward_from_none_and_counts_its_simulations():
    corridor = gridworld(("..SG",), reward=0.0, goal=1.0)
    np.random.seed(0)
    means, visits = search(corridor, corridor.start, 200, 0.5, 20, True, 0.9)
    assert visits.sum() == 200
    assert means.argmax() == visits.argmax() == 2
    assert means[2] == 1.0


def test_a_tree_finds_the_way_along_the_cliff_that_rollouts_shun():
    settings = {"runs": 8, "longest": 60, "depth": 30, "discount": 0.9, "exploration": 1.0, "seed": 1}
    cliff = gridworld(("......", "......", "SCCCCG"), reward=0.0, goal=1.0, cliff=-1.0)
    tree, alone = (decide_and_act(cliff, simulations=500, grow=grow, **settings).mean() for grow in (True, False))
    assert tree < alone - 10
    # What rollouts come to: greedy actions for the value of random ones never reach the goal
    random = policy_values(cliff, np.full((18, 4), 0.25), discount=0.9)
    worths = (cliff.chance * (cliff.rewards + 0.9 * random[cliff.following])).sum(-1)
    assert len(greedy_path(cliff, worths, most=100)) == 100


@pytest.mark.parametrize(
    ("rows", "slip", "message"),
    [(("S.", "F"), 0.1, "equal lengths"), (("S.",), 0.1, "needs an S"), (("SF",), 1.5, "slip is 1.5")],
)
def test_bad_tracks_are_refused(rows, slip, message):
    with pytest.raises(UserError, match=message):
        racetrack(rows, slip=slip)
