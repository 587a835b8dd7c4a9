"""Chapter 6, prediction: the random walk's figures, and both methods against known values."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.temporal_difference import batch_monte_carlo, batch_td, experience, monte_carlo_prediction, td_prediction
from rlhub.foundations.worlds import as_mdp, gridworld, policy_values, random_walk, world

FIGURES = exhibits("rlhub.foundations.figures")


def test_td_has_less_error_than_monte_carlo_at_every_step_size():
    results = FIGURES["example 6.2"].compute(runs=100, seed=1)
    told = FIGURES["example 6.2"].numbers(results)
    lowest = {method: [value for name, value in told.items() if name.startswith(f"lowest error, {method}")] for method in ("TD", "MC")}
    assert max(lowest["TD"]) < min(lowest["MC"])
    # The values begin at 0.5, so the error begins at sqrt(2 (1/3)^2 + 2 (1/6)^2) / sqrt(5).
    assert results["TD"][0.1][0] == pytest.approx(np.sqrt((2 / 9 + 2 / 36) / 5))
    # One episode changes only the value of the state before the end, by a tenth of the error there.
    changed = np.abs(results["values"][1] - 0.5)
    assert sorted(changed) == pytest.approx([0, 0, 0, 0, 0.05])
    assert len(FIGURES["example 6.2"].draw(results).data) == 12


def test_batch_td_has_less_error_than_batch_monte_carlo():
    results = FIGURES["6.2"].compute(runs=100, seed=1)
    assert (results["TD"][4:] < results["MC"][4:]).all()
    assert FIGURES["6.2"].draw(results).layout.xaxis.title.text == "walks / episodes"


def test_batch_answers_on_the_eight_episodes_of_example_6_4():
    # A, 0, B, 0; six times B, 1; B, 0: both say 3/4 for B, TD 3/4 for A too, and Monte Carlo 0
    moves, first = np.zeros((3, 3)), np.zeros(3)
    moves[0, 1], moves[1, 2] = 1, 8
    assert batch_td(moves, np.array([0.0, 6.0, 0.0]), first, discount=1.0) == pytest.approx([0.75, 0.75, 0])
    assert batch_monte_carlo(moves, np.array([0.0, 6.0, 0.0]), first) == pytest.approx([0, 0.75, 0])


def test_batch_td_is_where_td_updates_over_the_same_experience_stand_still():
    walk, policy, first = random_walk(4, left=-1.0, right=2.0), np.full((6, 2), 0.5), np.zeros(6)
    moves, rewards, _ = (part[0, -1] for part in experience(walk, policy, runs=1, episodes=30, discount=0.9, seed=3))
    values = batch_td(moves, rewards, first, discount=0.9)
    assert rewards + 0.9 * moves @ values - moves.sum(-1) * values == pytest.approx(np.zeros(6), abs=1e-10)


@pytest.mark.parametrize("learn", [td_prediction, monte_carlo_prediction])
def test_predictions_come_to_the_solution_of_bellmans_equations(learn):
    walk, policy = random_walk(3, left=-1.0, right=1.0), np.tile([0.3, 0.7], (5, 1))
    settings = {"runs": 1, "episodes": 20_000, "step_size": 0.005, "discount": 0.9, "seed": 0}
    values = learn(walk, policy, np.zeros(5), **settings)[0, 5000:].mean(0)
    assert values == pytest.approx(policy_values(walk, policy, discount=0.9), abs=0.02)


def test_the_random_walks_true_values_are_sixths():
    values = policy_values(random_walk(5, left=0.0, right=1.0), np.full((7, 2), 0.5), discount=1.0)
    assert values[1:6] == pytest.approx(np.arange(1, 6) / 6)


def test_a_world_as_an_mdp_sums_its_branches_and_lets_nothing_leave_an_end():
    # Action 0 stays or ends, with chances 1/4 and 3/4 and rewards 4 and 8; action 1 is there in no state but the first
    following = np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]]])
    made = world(
        following, np.array([[[4.0, 8.0], [1.0, 1.0]], [[9.0, 9.0], [9.0, 9.0]]]), ends=(1,), chance=np.tile([0.25, 0.75], (2, 2, 1))
    )
    mdp = as_mdp(made._replace(choices=np.array([2, 1])), discount=0.5)
    assert mdp.transitions[0].tolist() == [[0.25, 0.75], [0, 1]]
    assert mdp.rewards.tolist() == [[7, 1], [0, 0]]
    assert mdp.possible.tolist() == [[True, True], [True, False]]
    assert list(mdp.terminal) == [False, True]
    assert policy_values(made, np.array([[1.0, 0.0], [1.0, 0.0]]), discount=0.5) == pytest.approx([8, 0])


def test_bad_input_is_said_in_a_sentence():
    walk = random_walk(3, left=0.0, right=1.0)
    following = np.zeros((2, 1, 2), dtype=int)
    with pytest.raises(UserError, match="sum to 1"):
        world(following, np.zeros((2, 1, 2)), ends=(1,), chance=np.full((2, 1, 2), 0.4))
    with pytest.raises(UserError, match="hasn't"):
        world(following + 7, np.zeros((2, 1, 2)), ends=(1,))
    with pytest.raises(UserError, match="sum to 1"):
        policy_values(walk, np.full((5, 2), 0.4), discount=1.0)
    with pytest.raises(UserError, match="between 0 and 1"):
        policy_values(walk, np.full((5, 2), 0.5), discount=1.5)
    with pytest.raises(UserError, match="exactly one S"):
        gridworld(["..G"], reward=0.0, goal=1.0)
    with pytest.raises(UserError, match="equal lengths"):
        gridworld(["S.", "..G"], reward=0.0, goal=1.0)
