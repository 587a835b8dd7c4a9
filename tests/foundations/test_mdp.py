"""Dynamic programming: closed forms, agreement of the three ways, and what is no MDP."""

from itertools import pairwise

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.mdp import MDP, greedy_actions, policy_evaluation, policy_iteration, policy_values, value_iteration


def drawn_mdp(seed, *, states=6, actions=3, gamma=0.9):
    source = np.random.default_rng(seed)
    allowed = source.random((states, actions)) < 0.7
    allowed[:, 0] = True
    transitions, rewards = source.dirichlet(np.ones(states), (states, actions)), source.standard_normal((states, actions))
    return MDP(transitions=transitions, rewards=rewards, gamma=gamma, allowed=allowed)


def walk(*, gamma=1.0):
    """Three cells in a row between two ends; the right end earns 1: worth 1/4, 1/2, 3/4 at random."""
    transitions, rewards = np.zeros((5, 2, 5)), np.zeros((5, 2))
    for cell in range(5):
        for action, move in enumerate((-1, 1)):
            transitions[cell, action, cell if cell in (0, 4) else cell + move] = 1
    rewards[3, 1] = 1
    return MDP(transitions=transitions, rewards=rewards, gamma=gamma)


@pytest.mark.parametrize("values_of", [policy_values, policy_evaluation])
def test_a_random_walk_has_its_known_values(values_of):
    mdp = walk()
    assert values_of(mdp, mdp.uniform_policy()) == pytest.approx([0, 0.25, 0.5, 0.75, 0], abs=1e-8)
    assert list(mdp.terminal) == [True, False, False, False, True]


@pytest.mark.parametrize("seed", range(5))
def test_values_solve_bellmans_equations(seed):
    mdp = drawn_mdp(seed)
    policy = mdp.uniform_policy()
    values = policy_values(mdp, policy)
    expected = (policy * (mdp.rewards + mdp.gamma * mdp.transitions @ values)).sum(1)
    assert values == pytest.approx(expected)
    assert policy_evaluation(mdp, policy) == pytest.approx(values, abs=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_policy_and_value_iteration_find_the_best_of_all_policies(seed):
    mdp = drawn_mdp(seed, states=4)
    *_, (actions, values) = policy_iteration(mdp, np.zeros(4, dtype=int))
    assert value_iteration(mdp) == pytest.approx(values, abs=1e-7)
    assert mdp.possible[np.arange(4), actions].all()
    everything = [choice for choice in np.ndindex(3, 3, 3, 3) if mdp.possible[np.arange(4), choice].all()]
    best = np.max([policy_values(mdp, mdp.deterministic_policy(np.array(choice))) for choice in everything], axis=0)
    assert values == pytest.approx(best, abs=1e-7)


def test_each_improvement_is_no_worse():
    mdp = drawn_mdp(7, states=20, actions=4, gamma=0.95)
    values = [found for _, found in policy_iteration(mdp, np.zeros(20, dtype=int))]
    assert all((after >= before - 1e-8).all() for before, after in pairwise(values))


def test_ties_are_all_greedy():
    mdp = walk(gamma=0.5)
    assert greedy_actions(mdp, np.zeros(5)).tolist() == [[True, True], [True, True], [True, True], [False, True], [True, True]]


def test_what_is_no_mdp_is_said():
    good = {"transitions": np.full((2, 1, 2), 0.5), "rewards": np.zeros((2, 1)), "gamma": 0.5}
    bad = good["transitions"] * 0.9
    negative = np.array([[[1.5, -0.5]], [[0.5, 0.5]]])
    for change, sentence in (
        ({"transitions": bad}, r"transitions at \(0, 0\) sum to 0.9"),
        ({"transitions": negative}, "negative probability"),
        ({"transitions": np.full((2, 1, 2), np.nan)}, "sum to nan"),
        ({"transitions": np.zeros((0, 1, 0)), "rewards": np.zeros((0, 1))}, "at least one of each"),
        ({"gamma": 1.5}, "gamma is 1.5"),
        ({"gamma": float("nan")}, "gamma is nan"),
        ({"rewards": np.full((2, 1), np.inf)}, "isn't finite"),
        ({"allowed": np.zeros((2, 1), dtype=bool)}, "state 0 has no allowed action"),
    ):
        with pytest.raises(UserError, match=sentence):
            MDP(**(good | change))


def test_a_policy_that_never_ends_has_no_values_without_a_discount():
    mdp = walk()
    with pytest.raises(UserError, match="never comes to an end"):
        transitions = mdp.transitions.copy()
        transitions[2] = 0
        transitions[2, :, 2] = 1
        stuck = MDP(transitions=transitions, rewards=mdp.rewards - np.eye(5)[2][:, None], gamma=1.0)
        policy_values(stuck, stuck.uniform_policy())
    with pytest.raises(UserError, match="the policy's allowed actions"):
        policy_values(mdp, np.full((5, 2), 0.4))


def test_endless_rewards_stop_value_iteration():
    mdp = MDP(transitions=np.ones((1, 1, 1)), rewards=np.ones((1, 1)), gamma=1.0)
    with pytest.raises(UserError, match="after 50 sweeps"):
        value_iteration(mdp, sweeps=50)
