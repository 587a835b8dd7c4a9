"""Deep reinforcement learning on Gymnasium environments: one file an algorithm, and beside them what several share."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlhub.agents.a2c import A2C
    from rlhub.agents.a3c import A3C
    from rlhub.agents.ddpg import DDPG
    from rlhub.agents.dqn import DQN
    from rlhub.agents.ppo import PPO
    from rlhub.agents.sac import SAC
    from rlhub.agents.td3 import TD3
    from rlhub.agents.trpo import TRPO
    from rlhub.agents.vpg import VPG

__all__ = ["A2C", "A3C", "DDPG", "DQN", "PPO", "SAC", "TD3", "TRPO", "VPG"]


def __getattr__(name: str) -> Any:
    """Import an algorithm, and with it torch and Gymnasium, only when it is asked for."""
    if name in __all__:
        return getattr(import_module(f"rlhub.agents.{name.lower()}"), name)
    raise AttributeError(f"module 'rlhub.agents' has no attribute {name!r}")
