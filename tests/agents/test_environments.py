"""Batches of environments: any id, episodes' ends kept apart, and back to where they were."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import rlhub
from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.agent import first_agent
from rlhub.agents.backends import Pool, Vector, clips_rewards, longest_episode, prefers_pool
from rlhub.agents.environments import Environments
from rlhub.agents.evaluation import evaluate
from rlhub.agents.ppo import PPO
from rlhub.agents.single import make_single
from rlhub.agents.spaces import alike, describe_space, one_hot, space_of
from rlhub.core.errors import DivergenceError, UserError

IDS = [
    "CartPole-v1",
    "LunarLander-v3",
    "Pendulum-v1",
    "FrozenLake-v1?is_slippery=false",
    "MinAtar/Breakout-v1",
    "Blackjack-v1",
    "Acrobot-v1",
]


def act(environments, steps, seed=0):
    environments.action_space.seed(seed)
    rows = []
    for _ in range(steps):
        actions = np.stack([environments.action_space.sample() for _ in range(environments.count)])
        step = environments.step(actions)
        rows.append([np.array(part) for part in (step.observations, step.rewards, step.terminated, step.truncated, step.begun)])
    return rows


def same(one, other):
    return all(np.array_equal(a, b) for first, second in zip(one, other, strict=True) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("env", IDS)
def test_environments_come_back_to_where_they_were_and_go_on_the_same(env):
    first = Environments(env, 3, seeds=[5], restart_every=40)
    act(first, 63)
    state = first.state_dict()
    wanted = act(first, 50, seed=1)
    other = Environments(env, 3, seeds=[5], restart_every=40)
    other.load_state_dict(state)
    assert same(act(other, 50, seed=1), wanted)
    assert not same(act(Environments(env, 3, seeds=[6], restart_every=40), 50, seed=1), wanted)


@pytest.mark.parametrize("env", IDS)
def test_an_episode_begins_anew_one_step_after_it_ended(env):
    rows = act(Environments(env, 4, seeds=[0]), 300)
    over = np.stack([row[2] | row[3] for row in rows])
    begun = np.stack([row[4] for row in rows])
    assert np.array_equal(begun[1:], over[:-1]) and not begun[0].any()
    assert not (over & begun).any()
    assert not np.stack([row[1] for row in rows])[begun].any()


def test_the_time_limit_cuts_and_does_not_end():
    rows = act(Environments("Pendulum-v1", 2, seeds=[0]), 201)
    assert rows[199][3].all() and not rows[199][2].any() and rows[200][4].all()


def test_all_begin_anew_from_new_seeds_and_what_was_cut_is_no_episode():
    environments = Environments("Pendulum-v1", 2, seeds=[0], restart_every=30)
    rows = act(environments, 62)
    assert rows[29][3].all() and rows[30][4].all() and rows[60][3].all()
    assert not environments.episodes.returns
    assert not np.array_equal(rows[30][0], rows[61][0])


def test_episodes_returns_are_the_sums_of_their_rewards():
    environments = Environments("CartPole-v1", 2, seeds=[0])
    rows = act(environments, 200)
    for place in range(2):
        lengths = [
            length for where, length in zip(environments.episodes.places, environments.episodes.lengths, strict=True) if where == place
        ]
        ends = [index for index, row in enumerate(rows) if row[2][place] or row[3][place]]
        assert lengths[0] == ends[0] + 1
        assert all(length == after - before - 1 for length, before, after in zip(lengths[1:], ends, ends[1:], strict=False))
    assert environments.episodes.returns == [float(length) for length in environments.episodes.lengths]


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ("CartPoll-v1", "there is no environment 'CartPoll-v1'"),
        ("LunarLander-v3?wings=2", "can't be made with the options"),
        ("nothing.py:make", "there is no file nothing.py"),
    ],
)
def test_what_can_not_be_made_is_said_in_one_sentence(env, sentence):
    with pytest.raises(UserError, match=sentence):
        Environments(env, 2, seeds=[0])


class Broken(gymnasium.Env):
    """Shows NaN after three steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(3, start=5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, dtype=np.float32), {}

    def step(self, action):
        assert action in self.action_space
        self.steps += 1
        return np.full(2, np.nan if self.steps > 3 else 0.0, dtype=np.float32), 0.0, False, False, {}


def test_an_observation_that_is_not_a_number_stops_the_training():
    gymnasium.register("Broken-v0", Broken)
    environments = Environments("Broken-v0", 2, seeds=[0])
    with pytest.raises(DivergenceError, match=r"Broken-v0 gave the observation \[nan, nan\] in environment 0 after 4 steps"):
        act(environments, 5)


class Odd(gymnasium.Env):
    """Ends after five steps; its observations and rewards are what it is told to give."""

    def __init__(self, observations=None, actions=None, seen=None, first=None, reward=1.0, error=None):
        self.observation_space = observations or gymnasium.spaces.Box(-1, 1, (2,))
        self.action_space = actions or gymnasium.spaces.Discrete(2)
        self.seen, self.first, self.reward, self.error = seen, first, reward, error

    def observe(self):
        return self.observation_space.sample() if self.seen is None else self.seen

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample() if self.first is None else self.first, {}

    def step(self, action):
        assert action in self.action_space
        if self.error:
            raise self.error
        self.steps += 1
        return self.observe(), self.reward, self.steps == 5, False, {}


def odd(**settings):
    gymnasium.register("Odd-v0", lambda: Odd(**settings))
    return "Odd-v0"


@pytest.fixture(autouse=True)
def no_odd_ones_left():
    yield
    gymnasium.registry.pop("Odd-v0", None)


@pytest.mark.parametrize("binary", [spaces.MultiBinary(3), spaces.MultiBinary([3])], ids=["number", "list"])
@pytest.mark.parametrize("where", ["observations", "actions"])
def test_agents_of_binary_spaces_are_measured_where_they_were_trained(binary, where, tmp_path):
    env = odd(**{where: binary})
    run = rlhub.train(PPO(env=env, steps=64, environments=2, rollout=16, minibatches=2), seed=0, runs=tmp_path)
    assert evaluate(run.model(), env, episodes=2).returns == [5.0, 5.0]


@pytest.mark.parametrize(
    "settings",
    [{"seen": np.zeros(3, np.float32)}, {"reward": np.ones(2)}, {"first": np.zeros(3, np.float32)}],
    ids=["observation", "reward", "first observation"],
)
def test_what_does_not_have_the_space_s_shape_is_said_in_one_sentence(settings):
    env = odd(**settings)
    with pytest.raises(UserError, match=r"Odd-v0 gives observations that aren't Box.*, or rewards that aren't one number each"):
        act(Environments(env, 2, seeds=[0]), 1)


def test_an_environment_s_own_error_is_left_as_it_is():
    environments = Environments(odd(error=ValueError("its own")), 2, seeds=[0])
    with pytest.raises(ValueError, match="its own"):
        act(environments, 1)


def test_observations_without_numbers_are_refused():
    env = odd(observations=spaces.Box(-1, 1, (0,)))
    with pytest.raises(UserError, match="Odd-v0 shows observations without a single number"):
        Environments(env, 2, seeds=[0])


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (spaces.Box(-1, 1, (2,)), spaces.Box(-2, 2, (2,)), True),
        (spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (3,)), False),
        (spaces.Discrete(3), spaces.Discrete(4), False),
        (spaces.Discrete(3), spaces.MultiDiscrete([3]), False),
        (spaces.MultiDiscrete([3, 4]), spaces.MultiDiscrete([3, 4]), True),
        (spaces.MultiDiscrete([3, 4]), spaces.MultiDiscrete([4, 3]), False),
        (spaces.MultiBinary(3), spaces.MultiBinary([3]), True),
        (spaces.MultiBinary(3), spaces.MultiBinary([3, 1]), False),
        (spaces.Dict(a=spaces.Discrete(2)), spaces.Dict(a=spaces.Discrete(2)), True),
        (spaces.Dict(a=spaces.Discrete(2)), spaces.Dict(a=spaces.Discrete(3)), False),
        (spaces.Dict(a=spaces.Discrete(2)), spaces.Dict(b=spaces.Discrete(2)), False),
        (spaces.Tuple([spaces.Discrete(2)] * 2), spaces.Tuple([spaces.Discrete(2)] * 2), True),
        (spaces.Tuple([spaces.Discrete(2)] * 2), spaces.Tuple([spaces.Discrete(2)] * 3), False),
    ],
)
def test_spaces_are_alike_where_an_agent_can_serve_both(one, other, wanted):
    assert alike(one, other) is wanted
    assert alike(one, space_of(describe_space(other))) is wanted


@pytest.mark.parametrize(
    ("env", "copies", "steps"),
    [
        ("Acrobot-v1", 64, 501),
        ("Pendulum-v1", 64, 401),
        ("LunarLander-v3", 64, 500),
        ("LunarLanderContinuous-v3", 64, 500),
        ("Hopper-v5", 32, 300),
    ],
)
def test_envpool_s_environments_are_gymnasium_s(env, copies, steps):
    """Random actions earn the same in the same number of steps, within four standard errors."""
    pytest.importorskip("envpool")
    pool, own = Pool(env, copies), Vector(gymnasium.make_vec(env, num_envs=copies), env)
    assert pool.observation_space.shape == own.observation_space.shape
    found = [played(backend, own.action_space, copies, steps) for backend in (pool, own)]
    for one, other in zip(*found, strict=True):
        error = np.sqrt(one.var() / len(one) + other.var() / len(other))
        assert abs(one.mean() - other.mean()) <= 4 * error


def played(backend, space, copies, steps):
    """Returns and lengths of episodes of random actions."""
    backend.reset(list(range(copies)))
    space.seed(0)
    sums, counts = np.zeros(copies), np.zeros(copies)
    returns, lengths = [], []
    for _ in range(steps):
        actions = np.stack([space.sample() for _ in range(copies)])
        _, rewards, terminated, truncated, begun = backend.step(actions)
        sums, counts = sums + rewards, counts + ~begun
        over = terminated | truncated
        returns += sums[over].tolist()
        lengths += counts[over].tolist()
        sums[over] = counts[over] = 0
    return np.array(returns), np.array(lengths)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("FrozenLake-v1?map_name=9x9", "can't be made with the options .*KeyError"),
        ("LunarLander-v3?gravity=5", "can't be made with the options .*AssertionError"),
    ],
)
def test_options_that_an_environment_refuses_in_its_own_way_are_one_sentence(env, words):
    with pytest.raises(UserError, match=words):
        Environments(env, 1, seeds=[0])


def test_the_pool_serves_only_what_gymnasium_shows_alike():
    assert prefers_pool("LunarLander-v3")
    assert not prefers_pool("Blackjack-v1")
    assert not prefers_pool("Catch-v0")


def test_a_limit_among_the_options_is_the_longest_episode():
    assert longest_episode("MountainCar-v0?max_episode_steps=5000") == 5000
    assert longest_episode("MountainCar-v0") == 200


def test_many_discrete_values_take_no_square_of_room():
    rows = one_hot(np.array([3, 199_999]), 200_000)
    assert rows.shape == (2, 200_000)
    assert rows[0, 3] == rows[1, 199_999] == 1 == rows.sum() / 2


def test_an_agent_is_not_measured_in_an_environment_that_it_does_not_fit():
    environments = Environments("CartPole-v1", 1, seeds=[0])
    agent = first_agent(ActorCritic, PPO(), environments, 0)
    with pytest.raises(UserError, match=r"trained in CartPole-v1, which shows Box.*; Acrobot-v1 shows Box"):
        evaluate(agent, "Acrobot-v1", episodes=1)


def test_an_episode_without_end_is_told():
    environments = Environments("FrozenLake-v1?is_slippery=false", 1, seeds=[0])
    agent = first_agent(ActorCritic, PPO(env="FrozenLake-v1"), environments, 0)
    agent.actions = lambda observations, generator=None: torch.zeros(len(observations), dtype=torch.long)
    with pytest.raises(UserError, match="hasn't ended after 50 steps"), pytest.MonkeyPatch.context() as patched:
        # An environment whose limit isn't kept stands in for one without any.
        patched.setattr("rlhub.agents.evaluation.longest_episode", lambda env: 50)
        evaluate(agent, "FrozenLake-v1?is_slippery=false", episodes=1)


def test_atari_is_watched_as_agents_see_it_and_its_returns_are_the_games_own():
    environments = Environments("ALE/Breakout-v5", 2, seeds=[0])
    game = make_single("ALE/Breakout-v5", render_mode="rgb_array")
    seen, _ = game.reset(seed=0)
    assert game.observation_space.shape == environments.observation_space.shape == seen.shape == (4, 84, 84)
    assert game.render().shape == (210, 160, 3)
    assert clips_rewards("ALE/Breakout-v5")
    assert not clips_rewards("ALE/Breakout-v5?reward_clipping=false")
    assert not clips_rewards("CartPole-v1")
    environments._backend.step = lambda actions: (np.zeros((2, 4, 84, 84), np.uint8), np.array([7.0, -3.0]), *[np.zeros(2, bool)] * 3)
    assert environments.step(np.zeros(2, np.int64)).rewards.tolist() == [1, -1]
    assert environments._returns.tolist() == [7, -3]
