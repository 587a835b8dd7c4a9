"""What Stable-Baselines3 learns here with the zoo's settings, where the zoo's own number is one lucky or unlucky training.

    pip install stable-baselines3
    python benchmarks/agents_peer_learning.py          # what has no JSON yet; lunarlander/a2c for one

The score is measured as `agents_learning.py` measures ours, and `agents_report.py` writes it beside the reference.
"""

import json
import sys
import time
from typing import Any

import gymnasium
import torch
from agents_settings import ACROBOT, LANDER, slug
from harness import RESULTS, machine

PEERS = RESULTS / "peers"
SEEDS, EPISODES = 5, 100
# rl-baselines3-zoo, hyperparams/a2c.yml; its schedules fall to 0 as straight lines.
SETTINGS: dict[str, dict[str, Any]] = {
    LANDER: {
        "steps": 200_000,
        "environments": 8,
        "normalise": False,
        "gamma": 0.995,
        "n_steps": 5,
        "ent_coef": 1e-5,
        "learning_rate": lambda left: 8.3e-4 * left,
    },
    ACROBOT: {"steps": 500_000, "environments": 16, "normalise": True, "ent_coef": 0.0},
}


def learnt(env: str, seed: int) -> dict[str, Any]:
    """Train one seed, and its returns with its best actions."""
    from stable_baselines3 import A2C
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

    settings = dict(SETTINGS[env])
    steps, environments = settings.pop("steps"), make_vec_env(env, settings.pop("environments"), seed=seed)
    measured = make_vec_env(env, 1, seed=1000 + seed)
    if settings.pop("normalise"):
        environments = VecNormalize(environments, gamma=settings.get("gamma", 0.99))
        measured = VecNormalize(measured, training=False, norm_reward=False)
        measured.obs_rms = environments.obs_rms
    model = A2C("MlpPolicy", environments, seed=seed, device="cpu", **settings)
    began = time.monotonic()
    model.learn(steps)
    seconds = time.monotonic() - began
    returns, _ = evaluate_policy(model, measured, n_eval_episodes=EPISODES, return_episode_rewards=True)
    return {
        "seed": seed,
        "score": sum(returns) / len(returns),
        "returns": [round(float(value), 3) for value in returns],
        "seconds": seconds,
    }


if __name__ == "__main__":
    for env, settings in SETTINGS.items():
        name = f"{slug(env)}/a2c"
        path = PEERS / f"{name}.json"
        if path.exists() or (sys.argv[1:] and name not in sys.argv[1:]):
            continue
        seeds = []
        for seed in range(SEEDS):
            seeds.append(learnt(env, seed))
            print(f"{name}: seed {seed}, {seeds[-1]['score']:.1f} in {seeds[-1]['seconds']:.0f} s", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        steps = settings["steps"]
        told = {"name": name, "peer": "Stable-Baselines3, the zoo's settings", "env": env, "steps": steps, "seeds": seeds}
        path.write_text(
            json.dumps({**told, "gymnasium": gymnasium.__version__, "threads": torch.get_num_threads(), **machine()}, indent=1) + "\n"
        )
