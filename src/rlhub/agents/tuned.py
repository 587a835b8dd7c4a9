"""Settings to begin from, by algorithm and environment: what the command line begins from, and what the benchmarks measure.

An environment's own entry counts before that of its family (`ALE/`), and what neither names is the algorithm's default. What
docs/learning.md has a row for was measured in `benchmarks/agents_learning.py`; those of Atari's other games are the papers', the rest a
beginning.
"""

from typing import Any

LANDER, CONTINUOUS_LANDER = "LunarLander-v3", "LunarLanderContinuous-v3"
CHEETAH, HOPPER = "HalfCheetah-v5", "Hopper-v5"

_SCALED = {"normalise_observations": True, "normalise_rewards": True}
_EPOCHS = {"environments": 32, "rollout": 64, "epochs": 10, "learning_rate": 1e-3, "normalise_rewards": True}
_LOCOMOTION = {"steps": 1_000_000, **_EPOCHS, "normalise_observations": True, "log_std": -0.5}
_ATARI_ROLLOUT = {"steps": 10_000_000, "environments": 8, "learning_rate": 2.5e-4, "entropy_weight": 0.01}
_LANDING = {
    "steps": 100_000,
    "environments": 8,
    "rollout": 4,
    "updates": 32,
    "log_every": 40,
    "warmup": 5_000,
    "learning_rate": 1e-3,
    "hidden": (128, 128),
    "products": "bf16",
}
_STEP_BY_STEP = {"steps": 110_000, "warmup": 10_000, "products": "bf16"}
_DISCRETE_SAC = {
    "environments": 8,
    "rollout": 8,
    "updates": 32,
    "log_every": 10,
    "learning_rate": 1e-3,
    "target_entropy": 0.1,
    "hidden": (64, 64),
}
_PIXEL_Q = {
    "environments": 8,
    "rollout": 4,
    "updates": 8,
    "batch": 32,
    "learning_rate": 1e-4,
    "capacity": 100_000,
    "warmup": 20_000,
    "target_every": 2_500,
    "epsilon": 0.01,
    "exploration": 0.1,
}
_SMALL_PIXEL_Q = {
    "environments": 8,
    "rollout": 16,
    "updates": 32,
    "batch": 32,
    "learning_rate": 2.5e-4,
    "warmup": 5_000,
    "target_every": 250,
}

TUNED: dict[str, dict[str, dict[str, Any]]] = {
    "vpg": {
        "CartPole-v1": {"steps": 500_000, "environments": 16, "rollout": 64, "learning_rate": 7e-3},
        "Acrobot-v1": {"steps": 500_000, "environments": 16, "rollout": 64, "learning_rate": 7e-3},
        "Pendulum-v1": {
            "steps": 1_000_000,
            "environments": 16,
            "rollout": 64,
            "learning_rate": 3e-3,
            "discount": 0.95,
            "normalise_rewards": True,
        },
        LANDER: {"steps": 1_000_000, "environments": 32, "rollout": 128, "learning_rate": 5e-3},
        CONTINUOUS_LANDER: {"steps": 1_000_000, "environments": 32, "rollout": 128, "learning_rate": 5e-3},
    },
    "a2c": {
        "CartPole-v1": {"steps": 500_000, "learning_rate": 1e-3, "schedule": "linear"},
        "Acrobot-v1": {"steps": 500_000, "environments": 16, "learning_rate": 1e-3, "schedule": "linear", **_SCALED},
        "Pendulum-v1": {
            "steps": 1_000_000,
            "rollout": 8,
            "discount": 0.95,
            "decay": 0.9,
            "schedule": "linear",
            "normalise_rewards": True,
        },
        LANDER: {"steps": 200_000, "discount": 0.995, "learning_rate": 8e-4, "schedule": "linear"},
        CONTINUOUS_LANDER: {
            "steps": 1_000_000,
            "rollout": 8,
            "discount": 0.999,
            "decay": 0.9,
            "schedule": "linear",
            "log_std": -2.0,
            **_SCALED,
        },
        "ALE/": {"steps": 10_000_000, "environments": 16, "entropy_weight": 0.01},
    },
    "a3c": {
        "CartPole-v1": {"steps": 500_000},
        "Acrobot-v1": {"steps": 500_000},
        "Pendulum-v1": {"steps": 1_000_000, "discount": 0.9, "entropy_weight": 0.0, "normalise_rewards": True},
        LANDER: {"steps": 200_000, "rollout": 50, "learning_rate": 2e-3, "discount": 0.995, "normalise_rewards": True},
        CONTINUOUS_LANDER: {"steps": 1_000_000, "rollout": 50, "discount": 0.995, "entropy_weight": 0.0, "normalise_rewards": True},
    },
    "trpo": {
        "CartPole-v1": {"steps": 100_000},
        "Acrobot-v1": {"steps": 100_000},
        "Pendulum-v1": {
            "steps": 100_000,
            "environments": 4,
            "rollout": 256,
            "kl": 0.02,
            "value_updates": 320,
            "discount": 0.95,
            "normalise_rewards": True,
        },
        LANDER: {"steps": 200_000, "rollout": 256, "kl": 0.02, "value_updates": 320, "discount": 0.995, "normalise_rewards": True},
        CONTINUOUS_LANDER: {
            "steps": 200_000,
            "rollout": 256,
            "kl": 0.02,
            "value_updates": 320,
            "discount": 0.995,
            "normalise_rewards": True,
        },
    },
    "ppo": {
        "CartPole-v1": {"steps": 100_000},
        "Acrobot-v1": {"steps": 1_000_000, **_EPOCHS},
        "Pendulum-v1": {"steps": 100_000, **_EPOCHS, "environments": 4, "rollout": 256, "epochs": 20, "minibatches": 16, "discount": 0.95},
        LANDER: {
            "steps": 1_000_000,
            "environments": 128,
            "epochs": 4,
            "learning_rate": 4e-3,
            "discount": 0.995,
            "entropy_weight": 0.01,
            **_SCALED,
        },
        CONTINUOUS_LANDER: {
            "steps": 1_000_000,
            **_EPOCHS,
            "rollout": 128,
            "minibatches": 32,
            "learning_rate": 5e-4,
            "discount": 0.999,
            "decay": 0.98,
        },
        CHEETAH: _LOCOMOTION,
        HOPPER: _LOCOMOTION,
        "MinAtar/": {
            "steps": 2_000_000,
            "environments": 64,
            "rollout": 128,
            "epochs": 4,
            "minibatches": 8,
            "learning_rate": 5e-3,
            "entropy_weight": 0.01,
        },
        "ALE/": {**_ATARI_ROLLOUT, "rollout": 128, "epochs": 4, "minibatches": 4, "clip": 0.1},
        "ALE/Pong-v5": {**_ATARI_ROLLOUT, "steps": 1_000_000, "rollout": 128, "epochs": 4, "minibatches": 8, "learning_rate": 5e-4},
    },
    "dqn": {
        "CartPole-v1": {"steps": 50_000, "double": True, "n_step": 5, "schedule": "linear", "hidden": (128, 128)},
        "Acrobot-v1": {
            "steps": 100_000,
            "rollout": 8,
            "updates": 8,
            "batch": 128,
            "target_every": 250,
            "capacity": 50_000,
            "learning_rate": 6.3e-4,
            "exploration": 0.12,
            "epsilon": 0.1,
            "products": "bf16",
        },
        LANDER: {"steps": 100_000, "learning_rate": 6.3e-4, "exploration": 0.12, "epsilon": 0.1, "products": "bf16"},
        "MinAtar/": {"steps": 1_000_000, **_SMALL_PIXEL_Q},
        "ALE/": {"steps": 10_000_000, **_PIXEL_Q},
        "ALE/Pong-v5": {
            **_PIXEL_Q,
            "steps": 500_000,
            "warmup": 10_000,
            "learning_rate": 2.5e-4,
            "target_every": 1_000,
            "exploration": 0.2,
            "double": True,
            "n_step": 3,
        },
    },
    "ddpg": {"Pendulum-v1": {"steps": 20_000}, CONTINUOUS_LANDER: {**_LANDING, "steps": 300_000, "discount": 0.98}},
    "td3": {
        "Pendulum-v1": {"steps": 20_000},
        CONTINUOUS_LANDER: {**_LANDING, "steps": 300_000, "discount": 0.98, "exploration": 0.3},
        CHEETAH: _STEP_BY_STEP,
        HOPPER: _STEP_BY_STEP,
    },
    "sac": {
        "Pendulum-v1": {"steps": 20_000, "learning_rate": 1e-3},
        "CartPole-v1": {"steps": 50_000, **_DISCRETE_SAC},
        "Acrobot-v1": {"steps": 100_000, **_DISCRETE_SAC, "target_entropy": 0.5},
        LANDER: {**_LANDING, "target_entropy": 0.1},
        CONTINUOUS_LANDER: {**_LANDING, "steps": 300_000},
        CHEETAH: {**_STEP_BY_STEP, "learning_rate": 1e-3},
        HOPPER: {**_STEP_BY_STEP, "learning_rate": 1e-3},
    },
}


def tuned(algorithm: str, env: str) -> dict[str, Any]:
    """The settings for an environment, `env` among them; options after its question mark don't matter."""
    name = env.partition("?")[0]
    entries = TUNED.get(algorithm, {})
    family = name.partition("/")[0] + "/"
    return {"env": env, **entries.get(name, entries.get(family, {}))}


def tuned_for(cls: type, env: str | None = None) -> dict[str, Any]:
    """As a class method of an algorithm: its settings for an environment, by default the one it has by default."""
    return tuned(cls.__name__.lower(), env or cls.env)  # type: ignore[attr-defined]
