"""Chapter 13: the short corridor's closed form, and policy gradients there and where the answer is known."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.policy_gradient import (
    eligibility,
    one_step_actor_critic,
    policy_values,
    reinforce,
    short_corridor,
    softmax_policy,
)

FIGURES = exhibits("rlhub.foundations.figures")
# one state, three actions that pay 0, 1 and 0.5 and end the episode, and a feature an action
CHOICE = np.full((1, 3), -1), np.array([[0.0, 1.0, 0.5]]), np.eye(3)[None]


def test_the_best_policy_of_the_corridor_is_stochastic():
    results = FIGURES["example 13.1"].compute()
    told = FIGURES["example 13.1"].numbers(results)
    # the book's values; -2 (2 - p) / (p (1 - p)) is highest at 2 - sqrt(2)
    assert told["best probability of right"] == pytest.approx(0.59, abs=0.005)
    assert told["value of the best policy"] == pytest.approx(-11.6, abs=0.06)
    assert told["value of epsilon-greedy left"] == pytest.approx(-82, abs=0.5)
    assert told["value of epsilon-greedy right"] == pytest.approx(-44, abs=0.5)
    right = results["right"]
    assert results["values"] == pytest.approx(-2 * (2 - right) / (right * (1 - right)))
    assert len(FIGURES["example 13.1"].draw(results).data) == 4


def test_reinforce_comes_near_the_best_policy():
    results = FIGURES["13.1"].compute(runs=15, seed=0)
    told = FIGURES["13.1"].numbers(results)
    for power, wanted in ((12, -11.8), (13, -12.4), (14, -15)):
        assert told[f"return over the last 100 episodes, \N{GREEK SMALL LETTER ALPHA} = 2^-{power}"] == pytest.approx(wanted, abs=1.5)
    # run 10 of this seed, moved step by step, leaps to a policy that hardly ever ends an episode, and stays there
    assert told["return over the last 100 episodes, \N{GREEK SMALL LETTER ALPHA} = 2^-12, moved step by step"] < -100
    assert len(FIGURES["13.1"].draw(results).data) == 4


def test_a_baseline_learns_in_fewer_episodes():
    results = FIGURES["13.2"].compute(runs=15, seed=2, episodes=300)
    with_baseline, without = results.values()
    assert with_baseline[50:150].mean() > without[50:150].mean() + 8
    assert with_baseline[200:].mean() == pytest.approx(-12, abs=2)
    assert len(FIGURES["13.2"].draw(results).data) == 2


def test_the_eligibility_is_the_gradient_of_the_logarithm():
    features, weights = np.random.default_rng(0).standard_normal((2, 3, 4))[0], np.array([0.3, -0.2, 0.5, 0.1])
    small = 1e-6
    for action in range(3):
        moved = [
            (np.log(softmax_policy(features, weights + one)[action]) - np.log(softmax_policy(features, weights - one)[action]))
            / (2 * small)
            for one in small * np.eye(4)
        ]
        assert eligibility(features, softmax_policy(features, weights), action) == pytest.approx(np.array(moved), abs=1e-6)


def test_preferences_too_large_for_the_exponential_are_no_problem():
    assert softmax_policy(np.eye(2), np.array([2000.0, 0.0])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("baseline_step_size", [0.0, 0.1])
def test_reinforce_finds_the_best_of_three_actions(baseline_step_size):
    returns, weights = reinforce(*CHOICE, np.zeros(3), 3000, 0.2, baseline_step_size, 1.0, 10, 0, 0)
    assert weights.argmax() == 1
    assert returns[-500:].mean() > 0.95


def test_the_mean_step_of_reinforce_is_the_gradient_of_the_value():
    # from even chances the value's gradient is pi (r - mean r); a baseline changes its variance alone
    wanted = (CHOICE[1][0] - 0.5) / 3
    steps = [reinforce(*CHOICE, np.zeros(3), 1, 1.0, 0.0, 1.0, 10, 0, run)[1] for run in range(4000)]
    assert np.mean(steps, 0) == pytest.approx(wanted, abs=4 * np.std(steps, 0).max() / 4000**0.5)


def test_moved_at_once_an_episodes_gradients_are_those_of_the_policy_that_acted():
    # two steps in one state, of which action 1 ends the episode: with a large step size the second gradient tells the ways apart
    task = np.array([[0, -1]]), np.array([[0.0, 1.0]]), np.eye(2)[None]
    moved = {once: [reinforce(*task, np.zeros(2), 1, 1.0, 0.0, 1.0, 2, 0, run, once)[1] for run in range(40)] for once in (True, False)}
    # the paths are 1; 0 then 1; 0 then 0, which earns nothing: from even chances each gradient is a half one way or the other
    assert {tuple(one.round(9)) for one in moved[True]} == {(-0.5, 0.5), (0.0, 0.0)}
    after = 1 / (1 + np.exp(1))
    assert {tuple(one.round(9)) for one in moved[False]} == {
        (-0.5, 0.5), (0.0, 0.0), tuple(np.round([0.5 - (1 - after), (1 - after) - 0.5], 9))
    }  # fmt: skip


def test_an_actor_with_a_critic_finds_the_best_policy_and_its_value():
    returns, weights, critic = one_step_actor_critic(*CHOICE[:3], np.ones((1, 1)), np.zeros(3), 3000, 0.2, 0.1, 1.0, 10, 0, 0)
    assert weights.argmax() == 1
    assert returns[-500:].mean() > 0.95
    assert critic[0] == pytest.approx(1.0, abs=0.1)


def test_an_actor_that_tells_states_apart_solves_the_corridor():
    follows, rewards, _ = short_corridor()
    features = np.eye(6).reshape(3, 2, 6)
    returns, weights, critic = one_step_actor_critic(follows, rewards, features, np.eye(3), np.zeros(6), 3000, 0.1, 0.1, 1.0, 500, 0, 0)
    # right, left (switched), right: three steps
    assert weights.reshape(3, 2).argmax(1).tolist() == [1, 0, 1]
    assert returns[-300:].mean() > -3.4
    assert critic == pytest.approx([-3, -2, -1], abs=0.4)


def test_a_policy_without_end_or_sum_is_refused():
    follows, rewards, _ = short_corridor()
    with pytest.raises(UserError, match="never comes to an end"):
        policy_values(follows, rewards, np.tile([1.0, 0.0], (3, 1)))
    with pytest.raises(UserError, match="sum to 1"):
        policy_values(follows, rewards, np.full((3, 2), 0.6))
