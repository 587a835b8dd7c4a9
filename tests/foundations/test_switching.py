"""Switching dynamics: who recovers, and learners against exact plans where nothing switches."""

from dataclasses import replace

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exact_planning import finite_horizon_values
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.exploration import worth
from rlhub.foundations.small_mdps import random_mdp, river_swim
from rlhub.foundations.switching import alternating, best_worths, switched_q_learning, windowed_posterior_sampling

THEORY = exhibits("rlhub.foundations.theory")
SHARED = {"horizon": 8, "start": 0, "seed": 0, "run": 0}


def test_a_window_recovers_from_switches_and_all_of_memory_does_not():
    results = THEORY["switching-mdp"].compute(runs=2, seed=1, episodes=3000, every=750)
    told = THEORY["switching-mdp"].numbers(results)
    ends = {name: told[f"{name}: regret at the end"] for name in results["regret"]}
    window = next(name for name in ends if "window" in name)
    assert min(ends, key=lambda name: ends[name]).endswith("(oracle)")
    assert ends[window] < ends["PSRL"] / 2
    assert ends[window] < min(regret for name, regret in ends.items() if name.startswith("Q-learning"))
    assert told["PSRL: regret of the last phase over the first's"] > 5
    assert len(THEORY["switching-mdp"].draw(results).data) == 12


def test_best_worths_are_exact_and_trading_actions_twice_changes_nothing():
    mdp = random_mdp(5, 3, seed=2)
    dynamics, phases = alternating(mdp, 10, 4)
    swapped = replace(mdp, transitions=mdp.transitions[:, ::-1])
    assert phases.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert best_worths(dynamics, mdp.rewards, 7, 3) == pytest.approx([finite_horizon_values(one, 7)[0, 3].max() for one in (mdp, swapped)])
    assert np.array_equal(dynamics[1][:, ::-1], mdp.transitions)


def test_without_switches_regret_comes_to_rest():
    dynamics, phases = alternating(river_swim(4), 4000, 4000)
    rewards = river_swim(4).rewards
    task, never = (dynamics, rewards, phases), np.zeros(4000, dtype=bool)
    sampled = windowed_posterior_sampling(*task, never, window=4000, **SHARED)
    learned = switched_q_learning(*task, step_size=0.0, epsilon=0.0, **SHARED)
    for regret in (sampled, learned):
        assert (regret > -1e-9).all()
        assert regret[-500:].mean() < regret[:100].mean() / 5
    # A restart before each episode, or a window of one, keep a learner a beginner
    beginner = windowed_posterior_sampling(*task, ~never, window=4000, **SHARED)
    forgetful = windowed_posterior_sampling(*task, never, window=1, **SHARED)
    assert beginner[-500:].mean() > 3 * sampled[-500:].mean()
    assert forgetful[-500:].mean() > 3 * sampled[-500:].mean()


def test_exploring_costs_its_share():
    mdp = river_swim()
    transitions, rewards = mdp.transitions, mdp.rewards
    values = finite_horizon_values(mdp, 8)
    assert worth(transitions, rewards, values, 0) == pytest.approx(values[0, 0].max())
    even = np.full((6, 2), 0.5)
    random = (even * finite_horizon_values(mdp, 8, even)[0]).sum(1)[0]
    assert worth(transitions, rewards, values, 0, 1.0) == pytest.approx(random)


def test_what_cannot_be_played_is_refused():
    with pytest.raises(UserError, match="at least 1 for both"):
        alternating(river_swim(), 10, 0)
    with pytest.raises(UserError, match="no small MDP"):
        THEORY["switching-mdp"].compute(env="ocean")
