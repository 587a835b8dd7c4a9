"""Chapter 8, Dyna: what its figures show, and learned values and models against known answers."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.dyna import ENDLESS, check_deterministic, dyna_q, leads_to_an_end
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.figures.chapter_08 import BLOCKING, MAZE, MAZE_MAP, SHORTCUT
from rlhub.foundations.worlds import greedy_path, gridworld, policy_values, random_walk, shortest, world

FIGURES = exhibits("rlhub.foundations.figures")
PLAIN = {"change": 0, "steps": ENDLESS, "step_size": 0.1, "epsilon": 0.1, "discount": 0.95, "bonus": 0.0, "enough": 0}


def test_the_mazes_are_those_of_the_book():
    assert shortest(MAZE) == 14
    assert sum(cell != "#" for row in MAZE_MAP for cell in row) == 47
    assert [shortest(gridworld(rows, reward=0.0, goal=1.0)) for rows in (*BLOCKING, *SHORTCUT)] == [10, 16, 16, 10]


def test_planning_takes_fewer_episodes():
    results = FIGURES["8.2"].compute(runs=20, seed=1)
    numbers = FIGURES["8.2"].numbers(results)
    # Sec. 8.2: without planning about 25 episodes, with 5 steps about five, with 50 about three
    assert numbers["episodes above 20 steps, 0 planning steps"] > 18
    assert 2 <= numbers["episodes above 20 steps, 5 planning steps"] <= 7
    assert numbers["episodes above 20 steps, 50 planning steps"] <= 3
    for planning in (5, 50):
        # At least 14 moves, and an epsilon of 0.1 makes them a few more
        assert 14 < numbers[f"steps at the end, {planning} planning steps"] < 19
    assert len(FIGURES["8.2"].draw(results).data) == 4


def test_the_first_episode_is_a_random_walk():
    # Nothing is known before the first reward, so its mean length solves a linear system
    walk = policy_values(MAZE._replace(rewards=np.ones_like(MAZE.rewards)), np.full((54, 4), 0.25), discount=1.0)[MAZE.start]
    lengths = [dyna_q(MAZE, MAZE, planning=2, episodes=1, seed=seed, **PLAIN)[1][0] for seed in range(400)]
    assert np.mean(lengths) == pytest.approx(walk, abs=4 * np.std(lengths) / 20)


def test_half_an_episode_of_planning_knows_the_way():
    results = FIGURES["8.3"].compute(seed=1)
    numbers = FIGURES["8.3"].numbers(results)
    assert numbers["states with a greedy action, n = 0"] == 1
    assert numbers["states with a greedy action, n = 50"] > 12
    assert results["0"]["values"].max() == pytest.approx(0.1)  # one update towards a reward of 1
    assert "Figure 8.3" in FIGURES["8.3"].draw(results).layout.title.text


def test_dyna_q_plus_finds_the_new_way_sooner():
    numbers = FIGURES["8.4"].numbers(FIGURES["8.4"].compute(runs=15, seed=1))
    for when in ("before the change", "at the end", "of the last 1000 steps"):
        assert numbers[f"reward {when}, Dyna-Q+"] > numbers[f"reward {when}, Dyna-Q"]
    assert numbers["reward of the last 1000 steps, Dyna-Q+"] < 1000 / 16 + 1


def test_only_dyna_q_plus_finds_the_shortcut():
    results = FIGURES["8.5"].compute(runs=15, seed=1)
    numbers = FIGURES["8.5"].numbers(results)
    # Sixteen moves allow 62.5 goals in 1000 steps, ten allow 100
    assert numbers["reward of the last 1000 steps, Dyna-Q"] < 1000 / 16
    assert numbers["reward of the last 1000 steps, Dyna-Q+"] > 1000 / 16 + 5
    assert len(FIGURES["8.5"].draw(results).layout.shapes) == 1


def test_much_planning_comes_to_the_solution_of_bellmans_equations():
    corridor = gridworld(("S..", "#..", "..G"), reward=0.0, goal=1.0)
    shared = PLAIN | {"step_size": 1.0, "epsilon": 0.5}
    values = dyna_q(corridor, corridor, planning=200, episodes=200, seed=0, **shared)[2]
    assert values.max(1)[[0, 1, 2, 4, 5]] == pytest.approx([0.95**3, 0.95**2, 0.95, 0.95, 1.0])
    assert len(greedy_path(corridor, values)) - 1 == 4
    assert leads_to_an_end(corridor, values, 4)
    assert not leads_to_an_end(corridor, values, 3)
    assert not leads_to_an_end(corridor, np.zeros_like(values), 100)


def test_a_bonus_makes_up_for_actions_never_tried():
    # A learner without exploration or bonus that has found a way keeps to it; with a bonus it tries every action
    tried = []
    for bonus in (0.0, 0.05):
        shared = PLAIN | {"epsilon": 0.0, "bonus": bonus, "steps": 2000, "step_size": 1.0}
        rewards = dyna_q(MAZE, MAZE, planning=20, episodes=ENDLESS, seed=3, **shared)[0]
        tried.append(rewards.sum())
    assert tried[0] > tried[1] > 0


def test_steps_and_episodes_end_a_run():
    rewards, lengths, _, _ = dyna_q(MAZE, MAZE, planning=5, episodes=4, seed=0, **PLAIN)
    assert len(lengths) == rewards.sum() == 4
    assert lengths.sum() == len(rewards)
    rewards, _, _, _ = dyna_q(MAZE, MAZE, planning=5, episodes=4, seed=0, **PLAIN | {"steps": 7})
    assert len(rewards) == 7


def test_chance_and_noise_are_refused():
    check_deterministic(random_walk(3, left=0.0, right=1.0))
    either = np.array([[[0, 1]], [[1, 1]]])
    with pytest.raises(UserError, match="several outcomes"):
        check_deterministic(world(either, np.zeros((2, 1, 2)), ends=(1,)))
    check_deterministic(world(either, np.zeros((2, 1, 2)), ends=(1,), chance=np.array([[[0.0, 1.0]], [[0.5, 0.5]]])))
    with pytest.raises(UserError, match="several outcomes"):
        check_deterministic(MAZE._replace(spread=np.ones_like(MAZE.spread)))
