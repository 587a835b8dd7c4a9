"""Exploring a tabular MDP: plans against exact ones, optimism, and regret beside its bound."""

import numpy as np
import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exact_planning import finite_horizon_values, greedy
from rlhub.foundations.exhibit import exhibits
from rlhub.foundations.exploration import BERNSTEIN, HOEFFDING, POSTERIOR, explore, plan_with_bonus, worth
from rlhub.foundations.small_mdps import random_mdp, river_swim

THEORY = exhibits("rlhub.foundations.theory")


def test_without_a_bonus_the_plan_is_exact_and_acting_on_it_earns_its_values():
    mdp = random_mdp(5, 3, seed=2)
    transitions, rewards = mdp.transitions, mdp.rewards
    exact = finite_horizon_values(mdp, 7)
    planned, values = plan_with_bonus(transitions, rewards, np.zeros((5, 3)), 7, 0.0, POSTERIOR)
    assert planned == pytest.approx(exact)
    assert worth(transitions, rewards, planned, 2) == pytest.approx(values[0, 2])
    always = greedy(-rewards)
    assert worth(transitions, rewards, np.stack([always] * 7), 1) == pytest.approx(
        (always * finite_horizon_values(mdp, 7, always)[0]).sum(1)[1]
    )


def test_a_bonus_shrinks_with_tries_and_the_sharper_one_sooner():
    river = river_swim()
    exact = finite_horizon_values(river, 10)[0, 0].max()
    surplus = [
        plan_with_bonus(river.transitions, river.rewards, np.full((6, 2), tries), 10, 10.0, way)[1][0, 0] - exact
        for way in (HOEFFDING, BERNSTEIN)
        for tries in (1e4, 1e6, 1e8)
    ]
    assert surplus[0] > surplus[1] > surplus[2] > 0
    assert surplus[3] > surplus[4] > surplus[5] > 0
    assert surplus[4] < surplus[1] / 3


def test_ucbvi_stays_optimistic_and_below_its_bound_with_its_rate():
    results = THEORY["ucbvi"].compute(runs=1, seed=1, episodes=300_000)
    told = THEORY["ucbvi"].numbers(results)
    for way in ("Hoeffding", "Bernstein"):
        assert told[f"UCB-VI, {way}: least promise above the optimum"] > 0
        assert told[f"UCB-VI, {way}: largest share of what was promised and not kept"] <= 1
        assert told[f"UCB-VI, {way}: largest share of the bound"] <= 1
        assert told[f"UCB-VI, {way}: slope, last tenfold"] < 0.5
    # The square root is the rate of Hoeffding's widths; Bernstein's shrink faster where the next value is nearly sure, as on this river
    assert told["UCB-VI, Hoeffding: slope of what was promised and not kept, last tenfold"] == pytest.approx(0.5, abs=0.12)
    assert told["UCB-VI, Bernstein: slope of what was promised and not kept, last tenfold"] < 0.6
    assert told["UCB-VI, Bernstein: regret at the end"] < told["UCB-VI, Hoeffding: regret at the end"] / 5
    assert len(THEORY["ucbvi"].draw(results).data) == 9
    assert "theory 1/2" in THEORY["ucbvi"].draw(results).data[2].name


def test_posterior_sampling_pays_less_than_the_bonus():
    results = THEORY["psrl"].compute(runs=12, seed=1, episodes=5000)
    told = THEORY["psrl"].numbers(results)
    assert told["PSRL: regret at the end"] < told["UCB-VI, Bernstein: regret at the end"] / 5
    assert told["PSRL: slope, last tenfold"] < 0.5
    assert told["prior: largest share of the bound"] <= 1
    # Each plan's promise is drawn from what the optimum is believed to be: right on average, and as wrong as the posterior is wide
    assert abs(told["prior: a promise above the optimum, on average"]) < 3 * told["prior: its standard error"]
    assert told["prior: slope of how far promises miss, last tenfold"] == pytest.approx(0.5, abs=0.1)
    assert told["prior: slope of regret, last tenfold"] < 0.5
    assert len(THEORY["psrl"].draw(results).data) == 13


def test_one_seed_plays_the_same_episodes_and_another_others():
    settings = {"horizon": 6, "way": POSTERIOR, "failure": 0.05, "start": 0}
    river = river_swim()
    one, again, other = (explore(river.transitions, river.rewards, 30, **settings, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_an_unknown_environment_is_refused():
    with pytest.raises(UserError, match="no small MDP"):
        THEORY["psrl"].compute(env="ocean")
