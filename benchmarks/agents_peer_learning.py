"""What Stable-Baselines3 learns here with the zoo's settings, where the zoo's own number is one lucky or unlucky training.

    pip install -e '.[peers]'
    python benchmarks/agents_peer_learning.py          # what has no JSON yet; lunarlander/a2c for one

The score is measured as `agents_learning.py` measures ours, and `agents_report.py` writes it beside the reference.
"""

import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import torch
from agents_settings import ACROBOT, CONTINUOUS_LANDER, LANDER, slug
from harness import RESULTS, machine

PEERS = RESULTS / "peers"
SEEDS, EPISODES = 5, 100


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What the zoo trains.

    Attributes:
        algorithm: its class.
        env: Gymnasium id.
        steps: of training.
        environments: copies.
        normalise: whether observations and rewards are brought to one scale.
        settings: the class's arguments.
    """

    algorithm: str
    env: str
    steps: int
    environments: int = 1
    normalise: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """ENVIRONMENT/ALGORITHM, in small letters."""
        return f"{slug(self.env)}/{self.algorithm.lower()}"


# rl-baselines3-zoo, hyperparams/*.yml; its schedules fall to 0 as straight lines.
ZOO = [
    Peer(
        algorithm="A2C",
        env=LANDER,
        steps=200_000,
        environments=8,
        settings={"gamma": 0.995, "n_steps": 5, "ent_coef": 1e-5, "learning_rate": lambda left: 8.3e-4 * left},
    ),
    Peer(algorithm="A2C", env=ACROBOT, steps=500_000, environments=16, normalise=True, settings={"ent_coef": 0.0}),
    Peer(
        algorithm="TRPO",
        env=CONTINUOUS_LANDER,
        steps=200_000,
        environments=2,
        normalise=True,
        settings={"n_steps": 1024, "n_critic_updates": 20},
    ),
    Peer(
        algorithm="DQN",
        env=ACROBOT,
        steps=100_000,
        settings={
            "learning_rate": 6.3e-4,
            "batch_size": 128,
            "buffer_size": 50_000,
            "learning_starts": 0,
            "gamma": 0.99,
            "target_update_interval": 250,
            "train_freq": 4,
            "gradient_steps": -1,
            "exploration_fraction": 0.12,
            "exploration_final_eps": 0.1,
            "policy_kwargs": {"net_arch": [256, 256]},
        },
    ),
]


def learnt(peer: Peer, seed: int) -> dict[str, Any]:
    """Train one seed, and its returns with its best actions."""
    import sb3_contrib
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

    environments, measured = make_vec_env(peer.env, peer.environments, seed=seed), make_vec_env(peer.env, 1, seed=1000 + seed)
    if peer.normalise:
        environments = VecNormalize(environments, gamma=peer.settings.get("gamma", 0.99))
        measured = VecNormalize(measured, training=False, norm_reward=False)
        measured.obs_rms = environments.obs_rms
    kind = getattr(stable_baselines3, peer.algorithm, None) or getattr(sb3_contrib, peer.algorithm)
    model = kind("MlpPolicy", environments, seed=seed, device="cpu", **peer.settings)
    began = time.monotonic()
    model.learn(peer.steps)
    seconds = time.monotonic() - began
    returns, _ = evaluate_policy(model, measured, n_eval_episodes=EPISODES, return_episode_rewards=True)
    return {
        "seed": seed,
        "score": sum(returns) / len(returns),
        "returns": [round(float(value), 3) for value in returns],
        "seconds": seconds,
    }


if __name__ == "__main__":
    for peer in ZOO:
        path = PEERS / f"{peer.name}.json"
        if path.exists() or (sys.argv[1:] and peer.name not in sys.argv[1:]):
            continue
        seeds = []
        for seed in range(SEEDS):
            seeds.append(learnt(peer, seed))
            print(f"{peer.name}: seed {seed}, {seeds[-1]['score']:.1f} in {seeds[-1]['seconds']:.0f} s", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {"name": peer.name, "peer": "Stable-Baselines3, the zoo's settings", "env": peer.env, "steps": peer.steps, "seeds": seeds}
        path.write_text(
            json.dumps({**told, "gymnasium": gymnasium.__version__, "threads": torch.get_num_threads(), **machine()}, indent=1) + "\n"
        )
