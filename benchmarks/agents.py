"""Agents beside Stable-Baselines3 and CleanRL: training loops, time to a return, off-policy updates, ten seeds beside one.

    python benchmarks/agents.py                 # everything; ONLY=agents_sac_updates for one comparison
    PATIENCE=300 SEEDS=3 python ...             # wait no longer than this for a return; the ratio is then one that is at least reached
    CLEANRL=path/to/a/checkout python ...       # with CleanRL's ppo.py beside; its packages: pip install tyro tensorboard

CleanRL is a set of scripts and not a package, so it is run as a program, and the steps a second are those it prints itself. PufferLib 3.0.0
is left out: its package downloads parts of itself while it is built, and doesn't build without a network.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from agents_time import arithmetic_of, shares_of, trained
from harness import compare

from rlhub.agents.dqn import DQN
from rlhub.agents.environments import Environments
from rlhub.agents.ppo import PPO
from rlhub.agents.sac import SAC
from rlhub.agents.td3 import TD3
from rlhub.core.progress import use_plain_lines

SEEDS = int(os.environ.get("SEEDS", "5"))
PATIENCE = float(os.environ.get("PATIENCE", "inf"))
CARTPOLE = {"environments": 128, "rollout": 32, "epochs": 4, "minibatches": 2, "learning_rate": 8e-3, "clip": 0.3, "hidden": (32, 32)}
LUNAR = {name: value for name, value in PPO.tuned("LunarLander-v3").items() if name not in ("env", "steps")}
ZOO = {
    # rl-baselines3-zoo, hyperparams/ppo.yml; its schedules fall to 0 as straight lines.
    "CartPole-v1": {
        "n_envs": 8,
        "steps": 100_000,
        "n_steps": 32,
        "batch_size": 256,
        "gae_lambda": 0.8,
        "gamma": 0.98,
        "n_epochs": 20,
        "learning_rate": lambda left: 1e-3 * left,
        "clip_range": lambda left: 0.2 * left,
    },
    "LunarLander-v3": {
        "n_envs": 16,
        "steps": 1_000_000,
        "n_steps": 1024,
        "batch_size": 64,
        "gae_lambda": 0.98,
        "gamma": 0.999,
        "n_epochs": 4,
        "ent_coef": 0.01,
    },
}
PPOS = {"CartPole-v1": (CARTPOLE, 475.0, 500_000, 100_000), "LunarLander-v3": (LUNAR, 200.0, 1_000_000, 100_000)}
"""Settings, the return that counts as learnt, steps that may be taken until then, and steps whose speed is measured."""


def ours(system: Any, *, seeds: int = 1) -> Callable[[], Callable[[], None]]:
    """A whole training of rlhub's, from making its environments to its last checkpoint."""
    return lambda: lambda: trained(system, seeds=seeds)


def share_of_seeds(system: Any, *, seeds: int = 5) -> Callable[[], Callable[[], dict[str, float]]]:
    """A whole training of several seeds side by side, and the seconds of one's share."""

    def run() -> dict[str, float]:
        began = time.perf_counter()
        trained(system, seeds=seeds)
        return {"seconds": (time.perf_counter() - began) / seeds, "seeds": seeds}

    return lambda: run


def baselines_ppo(env: str, seed: int = 0) -> Any:
    """Stable-Baselines3's PPO with the zoo's settings."""
    from stable_baselines3 import PPO as Peer  # noqa: N811
    from stable_baselines3.common.env_util import make_vec_env

    settings = {name: value for name, value in ZOO[env].items() if name not in ("n_envs", "steps")}
    return Peer("MlpPolicy", make_vec_env(env, ZOO[env]["n_envs"], seed=seed), seed=seed, device="cpu", **settings)


def baselines(make: Callable[[], Any], steps: int) -> Callable[[], Callable[[], None]]:
    """A training of Stable-Baselines3's; making the model is part of it, as it is of ours."""
    return lambda: lambda: make().learn(steps)


def cleanrl(env: str, steps: int) -> Callable[[], Callable[[], dict[str, float]]]:
    """CleanRL's ppo.py, at its own settings."""
    script = Path(os.environ["CLEANRL"]) / "cleanrl" / "ppo.py"

    def run() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(script), "--env-id", env, "--total-timesteps", str(steps), "--no-cuda"]
            told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
        return {"seconds": steps / float(re.findall(r"SPS: (\d+)", told)[-1])}

    return lambda: run


def window(environments: int) -> int:
    """How many episodes the mean return is taken over.

    Of many environments side by side, quick episodes end first, and where those are the good ones (a landing, while others hover on until
    the clock cuts) a mean of the last hundred is far too high for a while. Four of each environment's hold slow ones, too.
    """
    return max(100, 4 * environments)


def seconds_to(
    bar: float, episodes: int, train: Callable[[Callable[[list[float]], bool]], None], patience: float = PATIENCE
) -> tuple[float, bool]:
    """Seconds until the last episodes' mean return reaches a bar; if it doesn't, those that the training had, and False.

    Args:
        bar: the return.
        episodes: how many are looked at.
        train: trains, and calls what it is given with the returns of episodes that ended; it may stop when that says True.
        patience: seconds after which no more is waited for.
    """
    last: deque[float] = deque(maxlen=episodes)
    began, reached = time.perf_counter(), None

    def ended(returns: list[float]) -> bool:
        nonlocal reached
        spent = time.perf_counter() - began
        for value in returns:
            last.append(value)
            if reached is None and len(last) == episodes and sum(last) >= episodes * bar:
                reached = spent
        return reached is not None or spent > patience

    train(ended)
    return reached or time.perf_counter() - began, reached is not None


class Learnt(Exception):  # noqa: N818  nothing went wrong
    """There is nothing more to train for."""


def watched(system: Any, seed: int) -> Callable[[Callable[[list[float]], bool]], None]:
    """A training of ours whose episodes are seen as they are logged, and that stops when it may."""

    def train(ended: Callable[[list[float]], bool]) -> None:
        told = Environments.told

        def tell(environments: Environments) -> Any:
            if ended(environments.episodes.returns):
                raise Learnt
            return told(environments)

        with suppress(Learnt), mock.patch.object(Environments, "told", tell):
            trained(system, seed=seed)

    return train


def watched_baselines(env: str, seed: int) -> Callable[[Callable[[list[float]], bool]], None]:
    """A training of Stable-Baselines3's that stops when it may."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Stop(BaseCallback):
        def __init__(self, ended: Callable[[list[float]], bool]) -> None:
            super().__init__()
            self.ended = ended

        def _on_step(self) -> bool:
            return not self.ended([info["episode"]["r"] for info in self.locals["infos"] if "episode" in info])

    return lambda ended: baselines_ppo(env, seed).learn(ZOO[env]["steps"], callback=Stop(ended))


def to_threshold(env: str) -> None:
    """Wall time until the last episodes' mean reaches the bar, a seed a repeat, ours and the peer's in turns."""
    settings, bar, steps, _ = PPOS[env]
    makes = {
        "rlhub": lambda seed: watched(PPO(env=env, steps=steps, **settings), seed),
        "stable-baselines3": lambda seed: watched_baselines(env, seed),
    }
    windows = {"rlhub": window(settings["environments"]), "stable-baselines3": window(ZOO[env]["n_envs"])}

    def prepared(side: str) -> Callable[[], Callable[[], dict[str, Any]]]:
        reached: list[bool] = []

        def run() -> dict[str, Any]:
            seconds, there = seconds_to(bar, windows[side], makes[side](len(reached)))
            reached.append(there)
            return {"seconds": seconds, "seeds": len(reached), "seeds that reached the bar": sum(reached)}

        return lambda: run

    compare(
        f"agents_ppo_{short(env)}_threshold",
        {side: prepared(side) for side in makes},
        peer="stable-baselines3",
        repeats=SEEDS,
        warmups=0,
        memory=False,
        target=4,
        facts={
            "env": env,
            "until the last episodes' mean return is": bar,
            "how many episodes": windows,
            "no longer than, in seconds": PATIENCE if "PATIENCE" in os.environ else None,
            "settings": settings,
            "peer": "zoo",
            "imports": imports,
        },
    )


def throughput(env: str) -> None:
    """Steps a second of the whole training loop, at settings that reach the bar."""
    settings, _, _, steps = PPOS[env]
    system = PPO(env=env, steps=steps, **settings)
    sides: dict[str, Any] = {"rlhub": ours(system), "stable-baselines3": baselines(lambda: baselines_ppo(env), steps)}
    if "CLEANRL" in os.environ:
        sides["cleanrl"] = cleanrl(env, steps)
    result = compare(
        f"agents_ppo_{short(env)}",
        sides,
        peer="stable-baselines3",
        repeats=3,
        work=(steps, "steps"),
        target=30 if env == "CartPole-v1" else 10,
        facts={"env": env, "settings": settings, "peer": "zoo", "shares": lambda: shares_of(system)},
    )
    if result:
        shares = result["facts"]["shares"]
        print("  ".join(f"{name}: {value:.3g}" for name, value in shares.items()))


def sides(make: Callable[..., Any]) -> dict[str, Any]:
    """Ours alone and as a share of five seeds side by side; with products of bf16 as well, where the processor has them."""
    found = {"rlhub": ours(make()), "rlhub, a seed of five": share_of_seeds(make())}
    if torch.cpu.get_capabilities().get("amx_bf16") or torch.cpu.get_capabilities().get("avx512_bf16"):
        found["rlhub bf16 products"] = ours(make(products="bf16"))
        found["rlhub bf16 products, a seed of five"] = share_of_seeds(make(products="bf16"))
    return found


def updates() -> None:
    """Off-policy algorithms at one size: one update a step, or the zoo's DQN."""
    from stable_baselines3 import DQN as PeerDQN  # noqa: N811
    from stable_baselines3 import SAC as PeerSAC  # noqa: N811
    from stable_baselines3 import TD3 as PeerTD3  # noqa: N811

    net = {"net_arch": [256, 256]}
    for name, system, peer in (("sac", SAC, PeerSAC), ("td3", TD3, PeerTD3)):
        fields = {"env": "Pendulum-v1", "steps": 2000, "warmup": 100, "log_every": 100, "hidden": (256, 256), "batch": 256}

        def make(peer: Any = peer) -> Any:
            return peer("MlpPolicy", "Pendulum-v1", learning_starts=100, batch_size=256, policy_kwargs=net, device="cpu")

        compare(
            f"agents_{name}_updates",
            {**sides(partial(system, **fields)), "stable-baselines3": baselines(make, 2000)},
            peer="stable-baselines3",
            work=(1900, "updates"),
            target=2,
            facts={
                "env": "Pendulum-v1",
                "hidden": [256, 256],
                "batch": 256,
                "updates a step": 1,
                "arithmetic": partial(arithmetic_of, system(**fields | {"steps": 300}), 200),
            },
        )
    zoo = {"train_freq": 256, "gradient_steps": 128, "target_update_interval": 10, "learning_rate": 2.3e-3, "batch_size": 64}
    compare(
        "agents_dqn_updates",
        {
            **sides(partial(DQN, steps=10_240, warmup=1000)),
            "stable-baselines3": baselines(
                lambda: PeerDQN("MlpPolicy", "CartPole-v1", learning_starts=1000, policy_kwargs=net, device="cpu", **zoo), 10_240
            ),
        },
        peer="stable-baselines3",
        work=(128 * 36, "updates"),
        target=2,
        facts={
            "env": "CartPole-v1",
            "hidden": [256, 256],
            "batch": 64,
            "environments": 1,
            "steps an update": 2,
            "arithmetic": partial(arithmetic_of, DQN(steps=2048, warmup=1024), 128 * 4),
        },
    )


def seeds() -> None:
    """Ten seeds in one process beside one, with the settings that the command line begins from."""
    system = PPO(**PPO.tuned("CartPole-v1"))
    compare(
        "agents_ten_seeds",
        {"ten seeds": ours(system, seeds=10), "one seed": ours(system)},
        peer="one seed",
        repeats=3,
        target=0.4,
        memory=False,
        facts={"env": "CartPole-v1", "settings": "PPO's defaults", "steps of each seed": system.steps},
    )


def imports() -> dict[str, float]:
    """Seconds to import what trains, each in a process of its own."""
    programs = {"rlhub": "import rlhub; from rlhub.agents import PPO", "stable-baselines3": "from stable_baselines3 import PPO"}
    found = {}
    for name, program in programs.items():
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        found[f"import seconds, {name}"] = round(time.perf_counter() - began, 2)
    return found


def short(env: str) -> str:
    """An environment's name in a file's."""
    return env.partition("-")[0].lower()


if __name__ == "__main__":
    use_plain_lines(True)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    for env in PPOS:
        throughput(env)
        to_threshold(env)
    seeds()
    updates()
