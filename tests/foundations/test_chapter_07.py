"""Chapter 7: what n steps do on the walk and in a grid, and n-step returns against their definitions and the methods at both ends."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.n_step import (
    N_STEP_EXPECTED_SARSA,
    N_STEP_SARSA,
    Q_SIGMA,
    TREE_BACKUP,
    check_policies,
    importance_ratio,
    make_greedy,
    n_step_learning,
    q_sigma_return,
    sarsa_return,
    tree_backup_return,
)
from rlhub.foundations.temporal_difference import monte_carlo_prediction, td_prediction
from rlhub.foundations.worlds import policy_values, random_walk, world

FIGURES = exhibits("rlhub.foundations.figures")
RANDOM = np.random.default_rng(0)
VALUES = RANDOM.standard_normal((4, 3))
TARGET, BEHAVIOUR = RANDOM.dirichlet(np.ones(3), 4), RANDOM.dirichlet(np.ones(3), 4)
STATES, ACTIONS, REWARDS, LAST = np.array([2, 0, 1, 1, 3, 0]), np.array([1, 2, 0, 1, 1, 0]), np.array([0, 0.5, -1, 2, 1, 3.0]), 5
PATH = STATES, ACTIONS, REWARDS
WAYS = (N_STEP_SARSA, N_STEP_EXPECTED_SARSA, TREE_BACKUP, Q_SIGMA)


def test_four_steps_are_best_on_the_walk():
    told = FIGURES["7.2"].numbers(FIGURES["7.2"].compute(runs=20, seed=1))
    assert told["best n"] == 4
    assert told["lowest error, n = 4"] == pytest.approx(0.26, abs=0.02)
    assert told["step size of the best"] == pytest.approx(0.4, abs=0.11)
    assert told["lowest error, n = 512"] > told["lowest error, n = 1"] > told["lowest error, n = 4"]


def test_one_step_strengthens_one_action_and_ten_steps_ten():
    results = FIGURES["7.4"].compute(runs=100, seed=1)
    told = FIGURES["7.4"].numbers(results)
    assert told["action values raised, one-step Sarsa"] == 1
    assert 8 < told["action values raised, 10-step Sarsa"] <= 10
    # What was raised lies on the last ten moves of the path drawn.
    raised = set(np.argwhere(results["10-step Sarsa"] > 0)[:, 0].tolist())
    assert raised == set(results["path"][-11:-1])
    assert results["one-step Sarsa"][results["path"][-2]].max() == pytest.approx(0.5)
    assert len(FIGURES["7.4"].draw(results).data) == 4


def test_expectations_beat_samples_and_half_of_both_beats_either(monkeypatch):
    monkeypatch.setattr("rlhub.foundations.figures.chapter_07.WALK_LENGTHS", (1, 8))
    results = FIGURES["example 7.5"].compute(runs=20, seed=1)
    told = FIGURES["example 7.5"].numbers(results)
    for panel in ("on policy", "off policy"):
        lowest = {name: told[f"lowest error {panel}, {name}, n = 8"] for name in results[panel]}
        assert min(lowest, key=lambda name: lowest[name]).endswith("= 0.5")
        assert told[f"lowest error {panel}, n-step Expected Sarsa, n = 1"] < told[f"lowest error {panel}, n-step Sarsa, n = 1"]
        # At n = 1 all that expect are the same.
        assert results[panel]["tree backup"][1] == pytest.approx(results[panel]["n-step Expected Sarsa"][1])
    assert len(FIGURES["example 7.5"].draw(results).data) == 20


def expected(state):
    return TARGET[state] @ VALUES[state]


def test_one_step_of_tree_backup_and_of_q_sigma_is_expected_sarsa():
    for time in range(LAST):
        last = (time, time + 1, LAST, 0.9)
        wanted = REWARDS[time + 1] + (0.9 * expected(STATES[time + 1]) if time + 1 < LAST else 0)
        assert sarsa_return(VALUES, TARGET, *PATH, *last, True) == pytest.approx(wanted)
        assert tree_backup_return(VALUES, TARGET, *PATH, *last) == pytest.approx(wanted)
        assert q_sigma_return(VALUES, TARGET, BEHAVIOUR, *PATH, *last, 0.3) == pytest.approx(wanted)


def tree(time, horizon):
    """Eq. 7.16 as it stands."""
    if time == LAST - 1:
        return REWARDS[LAST]
    state, action = STATES[time + 1], ACTIONS[time + 1]
    if time + 1 == horizon:
        return REWARDS[horizon] + 0.9 * expected(state)
    aside = sum(TARGET[state, other] * VALUES[state, other] for other in range(3) if other != action)
    return REWARDS[time + 1] + 0.9 * (aside + TARGET[state, action] * tree(time + 1, horizon))


@pytest.mark.parametrize("horizon", [2, 3, 4, 5])
def test_returns_are_as_the_book_defines_them(horizon):
    last = (1, horizon, LAST, 0.9)
    assert tree_backup_return(VALUES, TARGET, *PATH, *last) == pytest.approx(tree(1, horizon))
    assert q_sigma_return(VALUES, TARGET, BEHAVIOUR, *PATH, *last, 0.0) == pytest.approx(tree(1, horizon))
    summed = sum(0.9 ** (k - 2) * REWARDS[k] for k in range(2, horizon + 1))
    weight = 0.9 ** (horizon - 1) if horizon < LAST else 0
    assert sarsa_return(VALUES, TARGET, *PATH, *last, False) == pytest.approx(summed + weight * VALUES[STATES[horizon], ACTIONS[horizon]])
    assert sarsa_return(VALUES, TARGET, *PATH, *last, True) == pytest.approx(summed + weight * expected(STATES[horizon]))


def test_a_target_that_takes_the_path_for_sure_backs_up_the_whole_sum():
    sure = np.eye(3)[[2, 0, 1, 1]]  # the actions of the path after its second state, where that one is taken once
    path = np.array([0, 2, 3, 0]), np.array([2, 1, 1, 0]), np.array([0, 1.0, 2.0, 4.0])
    sure[2] = [0, 1, 0]
    assert tree_backup_return(VALUES, sure, *path, 0, 3, 3, 0.5) == pytest.approx(1 + 0.5 * 2 + 0.25 * 4)


def test_the_ratio_is_a_product_and_even_policies_have_one():
    wanted = np.prod([TARGET[s, a] / BEHAVIOUR[s, a] for s, a in zip(STATES[1:4], ACTIONS[1:4], strict=True)])
    assert importance_ratio(TARGET, BEHAVIOUR, STATES, ACTIONS, 1, 3) == pytest.approx(wanted)
    assert importance_ratio(TARGET, TARGET, STATES, ACTIONS, 1, 3) == 1
    assert importance_ratio(TARGET, BEHAVIOUR, STATES, ACTIONS, 4, 3) == 1


@pytest.mark.parametrize("backup", WAYS)
def test_with_one_action_a_step_is_td_and_the_whole_episode_monte_carlo(backup):
    # A walk that chance walks: one action with two branches
    following = np.array([[[max(state - 1, 0), min(state + 1, 6)]] for state in range(7)])
    rewards = np.zeros((7, 1, 2))
    rewards[1, 0, 0], rewards[5, 0, 1] = -1.0, 2.0
    walk, only = world(following, rewards, ends=(0, 6), start=3), np.ones((7, 1))
    shared = {"runs": 2, "episodes": 20, "step_size": 0.1, "discount": 0.9, "seed": 4}
    for n, peer in ((1, td_prediction), (10_000, monte_carlo_prediction)):
        history, _ = n_step_learning(walk, only, only, on_policy=True, backup=backup, n=n, epsilon=-1.0, sigma=0.5, **shared)
        if backup in (N_STEP_SARSA, N_STEP_EXPECTED_SARSA) or n == 1:
            assert history[..., 0] == pytest.approx(peer(walk, only, np.zeros(7), **shared))
    assert np.abs(history).max() > 0.5


@pytest.mark.parametrize("backup", WAYS)
def test_all_learn_another_policys_values_from_the_random_one(backup):
    walk, even, other = random_walk(3, left=-1.0, right=1.0), np.full((5, 2), 0.5), np.tile([0.3, 0.7], (5, 1))
    truth = (walk.rewards[:, :, 0] + 0.9 * policy_values(walk, other, discount=0.9)[walk.following[:, :, 0]])[1:4]
    shared = {"runs": 1, "episodes": 20_000, "step_size": 0.01, "epsilon": -1.0, "discount": 0.9, "sigma": 0.5, "seed": 0}
    history, _ = n_step_learning(walk, other, even, on_policy=False, backup=backup, n=3, **shared)
    assert history[0, 5000:, 1:4].mean(0) == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("backup", WAYS)
def test_a_policy_that_grows_greedy_finds_the_better_end(backup):
    walk, even = random_walk(5, left=-1.0, right=1.0), np.full((7, 2), 0.5)
    shared = {"runs": 2, "episodes": 400, "step_size": 0.2, "epsilon": 0.1, "discount": 0.9, "sigma": 0.5, "seed": 0}
    history, lengths = n_step_learning(walk, even, even, on_policy=True, backup=backup, n=4, **shared)
    assert (history[:, -1, 1:6].argmax(-1) == 1).all()
    assert lengths[:, -100:].mean() == pytest.approx(3.3, abs=0.4)


def test_greedy_probabilities_share_ties_and_skip_what_is_no_choice():
    policy = np.zeros(4)
    make_greedy(policy, np.array([1.0, 2.0, 2.0, 9.0]), 3, 0.3)
    assert policy == pytest.approx([0.1, 0.45, 0.45, 0])


def test_bad_policies_are_refused():
    even = np.full((2, 2), 0.5)
    with pytest.raises(UserError, match="target policy has a state whose probabilities don't sum to 1"):
        check_policies(even + 0.1, even)
    with pytest.raises(UserError, match="never takes action 1 in state 0"):
        check_policies(even, np.array([[1.0, 0.0], [0.5, 0.5]]))
