"""What the learning benchmark trains: settings by environment and algorithm, and the returns that others published for them.

References: [Z] rl-baselines3-zoo, benchmark.md (one training each, on LunarLander-v2 and MuJoCo's v3), [M] MinAtar (Young & Tian 2019,
arXiv:1903.03176, Fig. 3, read off the plot). Where nobody published a number for an algorithm, the one of its nearest relative stands in.
"""

from dataclasses import dataclass
from typing import Any

from rlhub.agents.a2c import A2C
from rlhub.agents.a3c import A3C
from rlhub.agents.ddpg import DDPG
from rlhub.agents.dqn import DQN
from rlhub.agents.ppo import PPO
from rlhub.agents.sac import SAC
from rlhub.agents.td3 import TD3
from rlhub.agents.trpo import TRPO
from rlhub.agents.vpg import VPG


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One algorithm in one environment.

    Attributes:
        system: what is trained.
        seeds: how many.
        reference: a published mean return, and after how many steps.
        source: whose.
        episodes: that each seed's agent is measured in.
        why: for the table, where the score is below the reference.
    """

    system: Any
    seeds: int = 5
    reference: tuple[float, int] | None = None
    source: str = ""
    episodes: int = 100
    why: str = ""

    @property
    def name(self) -> str:
        """ENVIRONMENT/ALGORITHM, in small letters."""
        return f"{slug(self.system.env)}/{type(self.system).__name__.lower()}"


def slug(env: str) -> str:
    """An environment's id as a file's name."""
    return env.partition("-v")[0].replace("/", "-").lower()


def zoo(system: Any, value: float, steps: int, *, seeds: int = 5, like: str = "", episodes: int = 100) -> Cell:
    """A cell with the zoo's number for it, or for the algorithm it is `like`."""
    return Cell(system=system, seeds=seeds, reference=(value, steps), source=f"[Z] {like}".strip(), episodes=episodes)


FAST = {"environments": 32, "rollout": 64, "epochs": 10, "minibatches": 4, "learning_rate": 1e-3, "normalise_rewards": True}
CHEETAH, HOPPER, CONTINUOUS = "HalfCheetah-v5", "Hopper-v5", "LunarLanderContinuous-v3"
OFF = {"hidden": (256, 256), "products": "bf16"}
LANDING = {"environments": 8, "rollout": 8, "updates": 16, "log_every": 20, "warmup": 5_000, "batch": 256, "learning_rate": 1e-3}
LOCOMOTION = {"steps": 200_000, "environments": 1, "warmup": 10_000, "log_every": 1000}
MINATAR = {"environments": 8, "capacity": 100_000, "warmup": 5_000, "batch": 32, "learning_rate": 2.5e-4, "target_every": 250}

CELLS = [
    # CartPole-v1
    zoo(VPG(steps=500_000, environments=16, rollout=64, learning_rate=7e-3), 500, 500_000, seeds=10, like="A2C"),
    zoo(A2C(steps=500_000, learning_rate=1e-3, schedule="linear"), 500, 500_000, seeds=10),
    zoo(A3C(steps=500_000), 500, 500_000, like="A2C"),
    zoo(TRPO(steps=100_000), 500, 100_000, seeds=10),
    zoo(PPO(steps=100_000, environments=32, rollout=32, minibatches=4, epochs=10, learning_rate=2e-3), 500, 100_000, seeds=10),
    zoo(DQN(steps=50_000, **OFF), 500, 50_000, seeds=10),
    zoo(SAC(env="CartPole-v1", steps=50_000, environments=8, rollout=8, updates=16, log_every=10, **OFF), 500, 50_000, like="DQN"),
    # Acrobot-v1
    zoo(VPG(env="Acrobot-v1", steps=500_000, environments=16, rollout=64, learning_rate=7e-3), -83.4, 500_000, seeds=10, like="A2C"),
    zoo(A2C(env="Acrobot-v1", steps=500_000, environments=16, learning_rate=1e-3, schedule="linear"), -83.4, 500_000, seeds=10),
    zoo(A3C(env="Acrobot-v1", steps=500_000), -83.4, 500_000, like="A2C"),
    zoo(TRPO(env="Acrobot-v1", steps=100_000), -83.1, 100_000, seeds=10),
    zoo(PPO(env="Acrobot-v1", steps=1_000_000, **FAST), -73.5, 1_000_000, seeds=10),
    zoo(DQN(env="Acrobot-v1", steps=100_000, learning_rate=6.3e-4, exploration=0.12, epsilon=0.1, **OFF), -76.6, 100_000),
    zoo(SAC(env="Acrobot-v1", steps=100_000, environments=8, rollout=8, updates=16, log_every=10, **OFF), -76.6, 100_000, like="DQN"),
    # Pendulum-v1
    zoo(VPG(env="Pendulum-v1", steps=1_000_000, environments=16, rollout=200, discount=0.9), -163, 1_000_000, seeds=10, like="A2C"),
    zoo(A2C(env="Pendulum-v1", steps=1_000_000, rollout=8, discount=0.9, decay=0.9, schedule="linear"), -163, 1_000_000, seeds=10),
    zoo(A3C(env="Pendulum-v1", steps=1_000_000, discount=0.9), -163, 1_000_000, like="A2C"),
    zoo(TRPO(env="Pendulum-v1", steps=100_000, discount=0.9), -174.6, 100_000, seeds=10),
    zoo(PPO(env="Pendulum-v1", steps=100_000, discount=0.9, **{**FAST, "environments": 16}), -172.2, 100_000, seeds=10),
    zoo(DDPG(env="Pendulum-v1", hidden=(256, 256)), -152.1, 20_000, seeds=10),
    zoo(TD3(env="Pendulum-v1", hidden=(256, 256)), -151.9, 20_000, seeds=10),
    zoo(SAC(env="Pendulum-v1", learning_rate=1e-3, hidden=(256, 256)), -157, 20_000, seeds=10),
    # LunarLander-v3
    zoo(VPG(env="LunarLander-v3", steps=1_000_000, environments=32, rollout=128, learning_rate=5e-3), 155.8, 200_000, like="A2C"),
    zoo(A2C(env="LunarLander-v3", steps=200_000, discount=0.995, learning_rate=8e-4, schedule="linear"), 155.8, 200_000),
    zoo(A3C(env="LunarLander-v3", steps=200_000, discount=0.995), 155.8, 200_000, like="A2C"),
    zoo(TRPO(env="LunarLander-v3", steps=200_000, discount=0.995), 133.2, 200_000),
    zoo(PPO(env="LunarLander-v3", steps=1_000_000, discount=0.999, entropy_weight=0.01, **FAST), 242.1, 1_000_000, seeds=10),
    zoo(DQN(env="LunarLander-v3", steps=100_000, learning_rate=6.3e-4, exploration=0.12, epsilon=0.1, **OFF), 154.4, 100_000),
    zoo(SAC(env="LunarLander-v3", steps=100_000, **LANDING, **OFF), 154.4, 100_000, like="DQN"),
    # LunarLanderContinuous-v3
    zoo(VPG(env=CONTINUOUS, steps=1_000_000, environments=32, rollout=128, learning_rate=5e-3), 84.2, 5_000_000, like="A2C"),
    zoo(A2C(env=CONTINUOUS, steps=1_000_000, rollout=8, decay=0.9, schedule="linear"), 84.2, 5_000_000),
    zoo(A3C(env=CONTINUOUS, steps=1_000_000), 84.2, 5_000_000, like="A2C"),
    zoo(TRPO(env=CONTINUOUS, steps=200_000, discount=0.995), 262.4, 200_000),
    zoo(PPO(env=CONTINUOUS, steps=1_000_000, discount=0.999, entropy_weight=0.003, **FAST), 270.9, 1_000_000, seeds=10),
    zoo(DDPG(env=CONTINUOUS, steps=300_000, **LANDING, **OFF), 230.2, 300_000),
    zoo(TD3(env=CONTINUOUS, steps=300_000, **LANDING, **OFF), 207.5, 300_000),
    zoo(SAC(env=CONTINUOUS, steps=300_000, **LANDING, **OFF), 260.4, 500_000),
    # MuJoCo
    zoo(PPO(env=CHEETAH, steps=1_000_000, normalise_observations=True, log_std=-0.5, **FAST), 5819, 1_000_000, episodes=20),
    zoo(PPO(env=HOPPER, steps=1_000_000, normalise_observations=True, log_std=-0.5, **FAST), 2410, 1_000_000, episodes=20),
    zoo(SAC(env=CHEETAH, **LOCOMOTION, **OFF), 9535, 1_000_000, episodes=20),
    zoo(SAC(env=HOPPER, **LOCOMOTION, **OFF), 2326, 1_000_000, episodes=20),
    zoo(TD3(env=CHEETAH, **LOCOMOTION, **OFF), 9656, 1_000_000, episodes=20),
    zoo(TD3(env=HOPPER, **LOCOMOTION, **OFF), 3606, 1_000_000, episodes=20),
    # MinAtar
    Cell(system=DQN(env="MinAtar/Breakout-v1", steps=1_000_000, rollout=16, updates=32, **MINATAR)),
    Cell(system=DQN(env="MinAtar/SpaceInvaders-v1", steps=1_000_000, rollout=16, updates=32, **MINATAR)),
    Cell(system=PPO(env="MinAtar/Breakout-v1", steps=2_000_000, entropy_weight=0.01, **{**FAST, "normalise_rewards": False})),
    Cell(system=PPO(env="MinAtar/SpaceInvaders-v1", steps=2_000_000, entropy_weight=0.01, **{**FAST, "normalise_rewards": False})),
]
