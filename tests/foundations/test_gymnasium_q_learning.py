"""Q-learning on Gymnasium's own environments, to the Deep RL course's mark, and what it refuses."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.gymnasium_q_learning import evaluate, make_discrete, q_learning
from rlhub.foundations.mdp import MDP, value_iteration


def test_taxi_passes_the_courses_mark():
    learned = q_learning("Taxi-v4", episodes=2000)
    score = evaluate("Taxi-v4", learned.worth)
    assert score.mark >= 4.5
    assert learned.returns[-100:].mean() > learned.returns[:100].mean() + 100


def test_a_lake_that_is_not_slippery_is_crossed_every_time():
    learned = q_learning("FrozenLake-v1", episodes=1000, is_slippery=False)
    score = evaluate("FrozenLake-v1", learned.worth, is_slippery=False)
    assert (score.mean, score.deviation) == (1.0, 0.0)
    assert learned.worth[0].max() == pytest.approx(0.95**5)  # six steps, the last of which earns 1


def test_a_slippery_lake_is_crossed_about_as_often_as_the_best_policy_does():
    learned = q_learning("FrozenLake-v1", episodes=4000, step_size=0.1, gamma=0.99)
    score = evaluate("FrozenLake-v1", learned.worth, episodes=300)
    environment = make_discrete("FrozenLake-v1")
    table = environment.unwrapped.P
    transitions, rewards = np.zeros((16, 4, 16)), np.zeros((16, 4))
    for state in range(16):
        for action in range(4):
            for chance, after, reward, _ in table[state][action]:
                transitions[state, action, after] += chance
                rewards[state, action] += chance * reward
    best = value_iteration(MDP(transitions=transitions, rewards=rewards, gamma=0.99))
    assert score.mean > 0.6  # the best policy reaches the goal within 100 steps in about 0.74 of the episodes
    assert learned.worth[0].max() == pytest.approx(best[0], abs=0.15)


def test_one_seed_learns_the_same_and_another_not():
    one, again, other = (q_learning("FrozenLake-v1", episodes=50, seed=seed).returns.sum() for seed in (0, 0, 1))
    first, second = (q_learning("Taxi-v4", episodes=5, seed=seed).worth for seed in (0, 1))
    assert one == again
    assert not np.array_equal(first, second)
    assert other >= 0


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("CartPole-v1", {}, "the observations of CartPole-v1 are Box"),
        ("NoLake-v1", {}, "can't make the environment 'NoLake-v1'"),
        ("FrozenLake-v1", {"slippery": False}, "can't make the environment"),
        ("FrozenLake-v1", {"step_size": 0.0}, "step_size is 0"),
        ("FrozenLake-v1", {"gamma": 1.1}, r"gamma is 1\.1"),
        ("FrozenLake-v1", {"episodes": 0}, "episodes is 0"),
        ("FrozenLake-v1", {"epsilon": (0.1, 0.5)}, "the last no higher"),
    ],
)
def test_what_can_not_be_learned_is_said(name, options, sentence):
    with pytest.raises(UserError, match=sentence):
        q_learning(name, **options)


def test_a_table_of_another_size_is_refused():
    with pytest.raises(UserError, match="give a table of that size"):
        evaluate("FrozenLake-v1", np.zeros((3, 2)))
