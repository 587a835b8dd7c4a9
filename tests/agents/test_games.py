"""PettingZoo's games: a row for each player, also for those who leave early."""

import gymnasium
import numpy as np
import pytest
from pettingzoo import ParallelEnv

from rlhub.agents.dqn import DQN
from rlhub.agents.environments import Environments
from rlhub.agents.evaluation import evaluate
from rlhub.agents.games import Game, Games
from rlhub.agents.ppo import PPO
from rlhub.agents.watching import moments
from rlhub.core.errors import UserError
from rlhub.core.training import train

SPREAD = "PettingZoo/mpe2/simple_spread_v3?max_cycles=10"


class Leaving(ParallelEnv):
    """Three players; player i leaves after i + 2 steps, and is shown how many steps there were."""

    def __init__(self):
        self.metadata, self.possible_agents = {"name": "leaving"}, ["a", "b", "c"]

    def observation_space(self, player):
        return gymnasium.spaces.Box(0, 100, (1,))

    def action_space(self, player):
        return gymnasium.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.steps = self.possible_agents[:], 0
        return {player: np.zeros(1, dtype=np.float32) for player in self.agents}, {}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.steps += 1
        lives = {player: place + 2 for place, player in enumerate(self.possible_agents)}
        over = {player: self.steps == lives[player] for player in self.agents}
        seen = {player: np.full(1, self.steps, dtype=np.float32) for player in self.agents}
        told = seen, {player: float(actions[player]) for player in self.agents}, over, dict.fromkeys(self.agents, False), {}
        self.agents = [player for player in self.agents if not over[player]]
        return told


def test_a_player_who_left_takes_no_part_until_the_game_begins_anew():
    games = Games([Game(Leaving(), "leaving"), Game(Leaving(), "leaving")])
    games.reset([1, 1, 1, 2, 2, 2])
    rows = [games.step(np.ones(6, dtype=np.int64)) for _ in range(6)]
    rewards, terminated, truncated, absent = (np.array([row[place][:3] for row in rows]) for place in (1, 2, 3, 4))
    assert terminated.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert absent.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]]
    assert rewards.tolist() == (1 - absent).tolist() and not truncated.any()
    assert rows[4][0].ravel().tolist() == [0] * 6 and rows[5][0].ravel().tolist() == [1] * 6


def test_games_come_back_to_where_they_were():
    first, second = (Environments(SPREAD, 2, seeds=[3, 4], restart_every=25) for _ in range(2))
    assert first.count == 12 and first.copies == 6
    draw = np.random.default_rng(0)
    for _ in range(31):
        first.step(draw.integers(0, 5, 12))
    second.load_state_dict(first.state_dict())
    for _ in range(20):
        actions = draw.integers(0, 5, 12)
        one, other = first.step(actions), second.step(actions)
        assert np.array_equal(one.observations, other.observations) and np.array_equal(one.rewards, other.rewards)


@pytest.mark.parametrize(
    "system", [PPO(env=SPREAD, steps=600, environments=2, rollout=20), DQN(env=SPREAD, steps=600, environments=2, rollout=50, warmup=100)]
)
def test_an_algorithm_trains_in_a_game_is_measured_and_watched(system, tmp_path):
    run = train(system, seeds=2, runs=tmp_path)
    agent = run.model(seed=1)
    assert len(evaluate(agent, SPREAD, episodes=6).returns) >= 6
    seen = list(moments(agent, SPREAD))
    assert len(seen) == 11 and seen[0].picture.shape[2] == 3


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("PettingZoo/sisl/pursuit_v99", "there is no game 'PettingZoo/sisl/pursuit_v99' here"),
        ("PettingZoo/mpe2/simple_spread_v3?cycles=3", "refuses its options .cycles."),
        ("PettingZoo/mpe2/simple_tag_v3", "one policy plays for all"),
    ],
)
def test_a_game_that_can_t_be_served_is_refused_in_a_sentence(env, message):
    with pytest.raises(UserError, match=message):
        Environments(env, 2, seeds=[0])
