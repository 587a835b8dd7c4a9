"""Every algorithm: learns what is plain, repeats itself, goes on after a kill to the same bits, and says what it can't serve."""

import gymnasium
import numpy as np
import pytest
import torch

from rlhub.agents.a2c import A2C
from rlhub.agents.ddpg import DDPG
from rlhub.agents.dqn import DQN
from rlhub.agents.environments import Environments
from rlhub.agents.parameters import Stepper
from rlhub.agents.ppo import PPO
from rlhub.agents.sac import SAC
from rlhub.agents.td3 import TD3
from rlhub.agents.trpo import TRPO
from rlhub.agents.vpg import VPG
from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.training import execute, train

ON_POLICY = {
    "vpg": VPG(steps=600, rollout=25, environments=4, value_updates=3),
    "a2c": A2C(steps=600, environments=4, updates=5),
    "trpo": TRPO(steps=600, rollout=25, environments=4, value_updates=8),
    "ppo": PPO(steps=600, rollout=25, environments=4),
    "recurrent ppo": PPO(steps=600, rollout=25, environments=4, lstm=8, minibatches=2),
}
OFF_POLICY = {
    "dqn": DQN(steps=600, rollout=20, updates=4, batch=16, warmup=60, hidden=(16,), n_step=3, double=True, duelling=True),
    "rainbow": DQN(
        steps=600, rollout=20, updates=4, batch=16, warmup=60, hidden=(16,), n_step=3, double=True, duelling=True, priority=0.5, atoms=11
    ),
    "ddpg": DDPG(steps=600, log_every=50, batch=16, warmup=60, hidden=(16,)),
    "td3": TD3(steps=600, log_every=50, batch=16, warmup=60, hidden=(16,)),
    "sac": SAC(steps=600, log_every=50, batch=16, warmup=60, hidden=(16,)),
    "discrete sac": SAC(env="CartPole-v1", steps=600, log_every=50, batch=16, warmup=60, hidden=(16,)),
}
SYSTEMS = ON_POLICY | OFF_POLICY


def weights(run):
    files = sorted(run.checkpoint().rglob("model.safetensors"))
    assert len(files) == len(run.seeds)
    return [path.read_bytes() for path in files]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_killed_training_ends_with_the_bits_of_an_uninterrupted_one(name, seeds, tmp_path, monkeypatch):
    whole = train(SYSTEMS[name], seed=3, seeds=seeds, runs=tmp_path, name="whole")
    broken = Run.create(SYSTEMS[name], seed=3, seeds=seeds, runs=tmp_path, name="broken", checkpoint_every=100)
    step, calls = Environments.step, []

    def kill(self, actions):
        calls.append(1)
        if len(calls) == 97:
            raise KeyboardInterrupt
        return step(self, actions)

    monkeypatch.setattr(Environments, "step", kill)
    with pytest.raises(KeyboardInterrupt):
        execute(broken)
    assert broken.status == "interrupted"
    again = execute(Run.open(broken.folder))
    assert weights(again) == weights(whole)
    first, second = ([{**line, "time": 0} for line in run.metrics()] for run in (whole, again))
    assert first == second
    assert weights(train(SYSTEMS[name], seed=4, seeds=seeds, runs=tmp_path, name="other")) != weights(whole)


class Identity(gymnasium.Env):
    """Rewards doing what is shown."""

    def __init__(self, actions):
        self.action_space = actions
        width = int(actions.n) if isinstance(actions, gymnasium.spaces.Discrete) else 1
        self.observation_space = gymnasium.spaces.Box(-1, 1, (width,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.show(), {}

    def show(self):
        if isinstance(self.action_space, gymnasium.spaces.Discrete):
            self.wanted = int(self.np_random.integers(self.action_space.n))
            return np.eye(int(self.action_space.n), dtype=np.float32)[self.wanted]
        self.wanted = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.wanted

    def step(self, action):
        self.steps += 1
        if isinstance(self.action_space, gymnasium.spaces.Discrete):
            reward = float(action - self.action_space.start == self.wanted)
        else:
            reward = 1.0 - float(np.abs(np.asarray(action).ravel() / self.action_space.high.ravel() - self.wanted).mean())
        return self.show(), reward, False, self.steps == 10, {}


gymnasium.register("IdentityDiscrete-v0", lambda: Identity(gymnasium.spaces.Discrete(3, start=2)))
gymnasium.register("IdentityMany-v0", lambda: Identity(gymnasium.spaces.MultiDiscrete([2, 3])))
gymnasium.register("IdentityContinuous-v0", lambda: Identity(gymnasium.spaces.Box(-3, 3, (1, 1))))
LEARNERS = {
    "vpg": VPG(env="IdentityDiscrete-v0", steps=8000, rollout=25, learning_rate=0.01, value_updates=10),
    "a2c": A2C(env="IdentityDiscrete-v0", steps=8000, learning_rate=3e-3),
    "trpo": TRPO(env="IdentityDiscrete-v0", steps=8000, rollout=25, value_updates=16),
    "ppo": PPO(env="IdentityDiscrete-v0", steps=8000, rollout=25, learning_rate=3e-3),
    "ppo continuous": PPO(
        env="IdentityContinuous-v0", steps=20000, environments=8, rollout=25, learning_rate=3e-3, log_std=-0.5, epochs=10
    ),
    "dqn": DQN(env="IdentityDiscrete-v0", steps=3000, rollout=16, updates=16, hidden=(32,), discount=0.5, learning_rate=1e-3, warmup=200),
    "rainbow": DQN(
        env="IdentityDiscrete-v0",
        steps=4000,
        rollout=16,
        updates=16,
        hidden=(32,),
        discount=0.5,
        learning_rate=1e-3,
        warmup=200,
        double=True,
        duelling=True,
        n_step=3,
        priority=0.5,
        atoms=21,
        lowest=-1.0,
        highest=3.0,
    ),
    "ddpg": DDPG(env="IdentityContinuous-v0", steps=2000, hidden=(32,), batch=64, discount=0.5, warmup=200),
    "td3": TD3(env="IdentityContinuous-v0", steps=3000, hidden=(32,), batch=64, discount=0.5, warmup=200),
    "sac": SAC(env="IdentityContinuous-v0", steps=3000, hidden=(32,), batch=64, discount=0.5, warmup=200, learning_rate=2e-3),
    "discrete sac": SAC(
        env="IdentityDiscrete-v0", steps=3000, hidden=(32,), batch=64, discount=0.5, warmup=200, learning_rate=2e-3, target_entropy=0.3
    ),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_doing_what_is_shown_is_learnt_soon(name, tmp_path):
    system = LEARNERS[name]
    run = train(system, seeds=2, runs=tmp_path)
    for seed in run.seeds:
        agent = run.model(seed=seed)
        environment = gymnasium.make(system.env)
        observation, _ = environment.reset(seed=1)
        total = 0.0
        for _ in range(10):
            observation, reward, *_ = environment.step(agent.act(observation))
            total += reward
        assert total > 9


@pytest.mark.parametrize(
    ("system", "sentence"),
    [
        (DQN(env="Pendulum-v1"), r"dqn can't act in Pendulum-v1, whose actions are Box.*: it serves discrete ones"),
        (TD3(env="CartPole-v1"), r"can't act in CartPole-v1, whose actions are Discrete\(2\)"),
        (
            SAC(env="IdentityMany-v0"),
            r"sac can't act in .* whose actions are MultiDiscrete.*: it serves discrete ones, and continuous ones",
        ),
        (SAC(env="NoSuch-v3"), "there is no environment 'NoSuch-v3'"),
    ],
)
def test_what_an_algorithm_can_not_serve_is_said_and_leaves_no_run(system, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        train(system, runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_agent_that_trains_beside_others_becomes_what_it_becomes_alone(tmp_path):
    system = PPO(env="Pendulum-v1", steps=100, rollout=25, environments=4)
    together = train(system, seed=0, seeds=3, runs=tmp_path)
    for seed in together.seeds:
        alone = train(system, seed=seed, runs=tmp_path)
        for one, other in zip(together.model(seed=seed).parameters(), alone.model().parameters(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_a_falling_rate_never_goes_below_zero_where_the_last_pass_runs_over_the_end(tmp_path, monkeypatch):
    rates = []
    step = Stepper.step

    def seen(self, *arguments, learning_rate, **rest):
        rates.append(learning_rate)
        return step(self, *arguments, learning_rate=learning_rate, **rest)

    monkeypatch.setattr(Stepper, "step", seen)
    train(A2C(steps=1000, schedule="linear", learning_rate=1e-3), runs=tmp_path)
    assert rates[0] == 1e-3
    assert min(rates) == 0


def test_a_temperature_of_nothing_is_refused():
    with pytest.raises(UserError, match="temperature is 0"):
        SAC(temperature=0.0)


@pytest.mark.parametrize(
    ("system", "fields", "words"),
    [
        (PPO, {"discount": 2.0}, "discount is 2.0; it must be at most 1"),
        (DQN, {"epsilon": 5.0}, "epsilon is 5.0; it must be at most 1"),
        (SAC, {"share": 3.0}, "share is 3.0; it must be at most 1"),
        (SAC, {"steps": 500}, "warmup is 1,000 and steps is 500: nothing would be learnt"),
        (DQN, {"warmup": 50_000}, "nothing would be learnt"),
        (PPO, {"hidden": (-4,)}, "hidden is -4; each must be at least 1"),
        (DQN, {"hidden": (64, 0)}, "hidden is 64 0; each must be at least 1"),
    ],
)
def test_what_no_training_can_use_is_refused(system, fields, words):
    with pytest.raises(UserError, match=words):
        system(**fields)
