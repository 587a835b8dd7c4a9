"""What the learning benchmark trains, with the settings of `rlhub.agents.tuned`, and the returns that others published.

References: [Z] rl-baselines3-zoo, benchmark.md (one training each, on LunarLander-v2 and MuJoCo's v3), [T] Tianshou,
examples/mujoco/benchmark/*/*/test_rew_10seeds.csv (ten seeds, MuJoCo's v3, best actions), [M] MinAtar (Young &
Tian 2019, arXiv:1903.03176; img/learning_curves.gif in its repository, read off the plot: thirty seeds' returns in training). Where nobody
published a number for an algorithm, the one of its nearest relative stands in.
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
from rlhub.agents.tuned import CHEETAH, CONTINUOUS_LANDER, HOPPER, LANDER
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
        drawn: measure the agents also with actions drawn as in training, for the table.
        accelerator: only where there is a GPU.
        why: for the table, where the score is below the reference.
    """

    system: Any
    seeds: int = 5
    reference: tuple[float, int] | None = None
    source: str = ""
    episodes: int = 100
    drawn: bool = False
    accelerator: bool = False
    why: str = ""

    @property
    def name(self) -> str:
        """ENVIRONMENT/ALGORITHM, in small letters."""
        return f"{slug(self.system.env)}/{type(self.system).__name__.lower()}"


def slug(env: str) -> str:
    """An environment's id as a file's name."""
    return env.partition("-v")[0].replace("/", "-").lower()


SYSTEMS = {kind.__name__: kind for kind in (VPG, A2C, A3C, TRPO, PPO, DQN, DDPG, TD3, SAC)}


def zoo(algorithm: str, env: str, value: float, steps: int, *, seeds: int = 5, like: str = "", **facts: Any) -> Cell:
    """A cell with the zoo's number for it, or for the algorithm it is `like`."""
    return Cell(system=system(algorithm, env), seeds=seeds, reference=(value, steps), source=f"[Z] {like}".strip(), **facts)


def tianshou(algorithm: str, env: str, value: float, steps: int = 110_000) -> Cell:
    """A cell with the mean of Tianshou's ten seeds after as many steps, those acted at random to begin with among them."""
    return Cell(system=system(algorithm, env), reference=(value, steps), source="[T]", episodes=20)


def minatar(algorithm: str, game: str, value: float, steps: int, *, like: str = "") -> Cell:
    """A cell with the height of MinAtar's curve of DQN or AC(0.8) after as many steps."""
    return Cell(system=system(algorithm, f"MinAtar/{game}-v1"), reference=(value, steps), source=f"[M] {like}".strip())


def system(algorithm: str, env: str) -> Any:
    """An algorithm with its settings for an environment."""
    kind = SYSTEMS[algorithm]
    return kind(**kind.tuned(env))


CARTPOLE, ACROBOT, PENDULUM, PONG = "CartPole-v1", "Acrobot-v1", "Pendulum-v1", "ALE/Pong-v5"
CELLS = [
    zoo("VPG", CARTPOLE, 500, 500_000, seeds=10, like="A2C"),
    zoo("A2C", CARTPOLE, 500, 500_000, seeds=10),
    zoo("A3C", CARTPOLE, 500, 500_000, like="A2C"),
    zoo("TRPO", CARTPOLE, 500, 100_000, seeds=10),
    zoo("PPO", CARTPOLE, 500, 100_000, seeds=10),
    zoo("DQN", CARTPOLE, 500, 50_000, seeds=10),
    zoo("SAC", CARTPOLE, 500, 50_000, like="DQN", drawn=True),
    zoo("VPG", ACROBOT, -83.4, 500_000, seeds=10, like="A2C"),
    zoo("A2C", ACROBOT, -83.4, 500_000, seeds=10),
    zoo("A3C", ACROBOT, -83.4, 500_000, like="A2C"),
    zoo("TRPO", ACROBOT, -83.1, 100_000, seeds=10),
    zoo("PPO", ACROBOT, -73.5, 1_000_000, seeds=10),
    zoo("DQN", ACROBOT, -76.6, 100_000),
    zoo("SAC", ACROBOT, -76.6, 100_000, like="DQN", drawn=True, why="some seeds never swing up, whether actions are drawn or not"),
    zoo("VPG", PENDULUM, -163, 1_000_000, seeds=10, like="A2C", why="one step of the policy for each 1,024 of the environment"),
    zoo("A2C", PENDULUM, -163, 1_000_000, seeds=10),
    zoo("A3C", PENDULUM, -163, 1_000_000, like="A2C", why="each gradient is of 20 rows of one environment"),
    zoo("TRPO", PENDULUM, -174.6, 100_000, seeds=10),
    zoo("PPO", PENDULUM, -172.2, 100_000, seeds=10),
    zoo("DDPG", PENDULUM, -152.1, 20_000),
    zoo("TD3", PENDULUM, -151.9, 20_000),
    zoo("SAC", PENDULUM, -157, 20_000),
    zoo("VPG", LANDER, 155.8, 200_000, like="A2C"),
    zoo("A2C", LANDER, 155.8, 200_000),
    zoo("A3C", LANDER, 155.8, 200_000, like="A2C", why="each gradient is of 50 rows of one environment"),
    zoo("TRPO", LANDER, 133.2, 200_000),
    zoo("PPO", LANDER, 242.1, 1_000_000, seeds=10),
    zoo("DQN", LANDER, 154.4, 100_000),
    zoo("SAC", LANDER, 154.4, 100_000, like="DQN", drawn=True, why="it hovers above the ground and doesn't come to land"),
    zoo("VPG", CONTINUOUS_LANDER, 84.2, 5_000_000, like="A2C"),
    zoo("A2C", CONTINUOUS_LANDER, 84.2, 5_000_000),
    zoo("A3C", CONTINUOUS_LANDER, 84.2, 5_000_000, like="A2C"),
    zoo("TRPO", CONTINUOUS_LANDER, 262.4, 200_000),
    zoo("PPO", CONTINUOUS_LANDER, 270.9, 1_000_000, seeds=10),
    zoo("DDPG", CONTINUOUS_LANDER, 230.2, 300_000),
    zoo("TD3", CONTINUOUS_LANDER, 207.5, 300_000, why="it lands, and often hovers until the clock cuts"),
    zoo("SAC", CONTINUOUS_LANDER, 260.4, 500_000),
    zoo("PPO", CHEETAH, 5819, 1_000_000, episodes=20),
    tianshou("TD3", CHEETAH, 4897),
    tianshou("SAC", CHEETAH, 6515),
    zoo("PPO", HOPPER, 2410, 1_000_000, episodes=20),
    tianshou("TD3", HOPPER, 544),
    tianshou("SAC", HOPPER, 2613),
    minatar("PPO", "Breakout", 14.3, 2_000_000, like="AC(0.8)"),
    minatar("DQN", "Breakout", 9.2, 1_000_000),
    minatar("PPO", "SpaceInvaders", 107, 2_000_000, like="AC(0.8)"),
    minatar("DQN", "SpaceInvaders", 33, 1_000_000),
    zoo("PPO", PONG, 21, 10_000_000, episodes=16, accelerator=True),
    zoo("DQN", PONG, 20.6, 10_000_000, episodes=16, accelerator=True),
]
