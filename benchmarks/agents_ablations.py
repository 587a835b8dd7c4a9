"""What breaks when a detail is left out: each algorithm as it is, and without one of its details at a time, several seeds each.

    python benchmarks/agents_ablations.py              # every case that has no score yet; ppo for one algorithm; goes on after a kill
    python benchmarks/agents_report.py                 # puts the tables into docs/agents/

A detail is left out by a setting where there is one, and else by putting something in place of a function for the time of the training.
"""

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from agents_learning import bouts, settings_of
from harness import RESULTS, machine
from torch import Tensor

import rlhub
from rlhub.agents import continuous, trpo, vpg
from rlhub.agents.a2c import A2C
from rlhub.agents.a3c import A3C
from rlhub.agents.ddpg import DDPG
from rlhub.agents.dqn import DQN
from rlhub.agents.environments import Environments, Step
from rlhub.agents.evaluation import evaluate
from rlhub.agents.ppo import PPO
from rlhub.agents.sac import SAC
from rlhub.agents.td3 import TD3
from rlhub.agents.trpo import TRPO
from rlhub.agents.vpg import VPG
from rlhub.core.files import read_json
from rlhub.core.progress import use_plain_lines

ABLATIONS = RESULTS / "ablations"


@dataclass(frozen=True, kw_only=True)
class Without:
    """A detail that is left out.

    Attributes:
        detail: its name, for the table.
        fields: settings that leave it out.
        patch: what does, where no setting can.
    """

    detail: str
    fields: tuple[tuple[str, Any], ...] = ()
    patch: Callable[[], AbstractContextManager[Any]] = nullcontext


@contextmanager
def told_otherwise(change: Callable[[Step], None]) -> Iterator[None]:
    """Let every step of every environment be changed before anything learns from it."""
    step = Environments.step

    def changed(self: Environments, actions: Any) -> Step:
        after = step(self, actions)
        change(after)
        return after

    with mock.patch.object(Environments, "step", changed):
        yield


def ends_where_the_clock_cuts() -> AbstractContextManager[Any]:
    """Treat truncation as termination: the value after a cut counts for nothing."""

    def change(after: Step) -> None:
        after.terminated, after.truncated = after.terminated | after.truncated, after.truncated & False

    return told_otherwise(change)


def cuts_where_it_ends() -> AbstractContextManager[Any]:
    """Treat termination as truncation: a value is put behind an episode's last step, where there is nothing to come."""

    def change(after: Step) -> None:
        after.terminated, after.truncated = after.terminated & False, after.truncated | after.terminated

    return told_otherwise(change)


def beginnings_as_transitions() -> AbstractContextManager[Any]:
    """Learn from the step in which an environment begins anew, as if it had been acted in."""

    def change(after: Step) -> None:
        after.begun = after.begun & False

    return told_otherwise(change)


def mean_of_critics() -> AbstractContextManager[Any]:
    """TD3 with the mean of its critics in the target, in place of the smaller."""
    return mock.patch.object(Tensor, "amin", Tensor.mean)


def raw_advantages(module: Any) -> Callable[[], AbstractContextManager[Any]]:
    """Advantages as they are, in a module that standardises them."""
    return lambda: mock.patch.object(module, "standardised", lambda advantages, weights: advantages)


def full_steps() -> AbstractContextManager[Any]:
    """TRPO without its line search: the whole step is taken, wherever it leads."""

    @torch.no_grad()
    def search(self: TRPO, parameters: Any, full: Any, surrogate: Any, divergence: Any, before: Any) -> Any:
        parameters.values.add_(full)
        return torch.ones_like(before)

    return mock.patch.object(TRPO, "search", search)


def plain_gradient() -> AbstractContextManager[Any]:
    """TRPO along the gradient itself: what conjugate gradients would solve for is taken as it is."""
    return mock.patch.object(trpo, "conjugate_gradients", lambda product, target, parameters, *, steps: target)


class Uncorrected(continuous.Squashed):
    """The Gaussian's density taken for that of its tanh."""

    def __init__(self, outputs: Tensor, noise: Tensor) -> None:
        """Leave the correction out."""
        super().__init__(outputs, noise)
        self.log_probs = (-0.5 * noise.square() - self._held - 0.5 * math.log(2 * math.pi)).sum(-1)

    def back(self, by_action: Tensor, by_log_prob: Tensor) -> Tensor:
        """Without d log pi/du, which is the correction's."""
        by_raw = by_action * (1 - self.actions.square())
        return torch.cat([by_raw, (by_raw * self._spread - by_log_prob[..., None]) * (self._held == self._log_std)], -1)


def uncorrected_density() -> AbstractContextManager[Any]:
    """SAC with it."""
    return mock.patch.object(continuous, "Squashed", Uncorrected)


CARTPOLE, LANDER, PENDULUM = "CartPole-v1", "LunarLander-v3", "Pendulum-v1"
CASES: dict[str, tuple[Any, list[Without]]] = {
    "vpg": (
        VPG(**VPG.tuned(PENDULUM) | {"steps": 500_000}),
        [
            Without(detail="the value function as baseline (one step of fitting in place of many)", fields=(("value_updates", 1),)),
            Without(detail="standardised advantages", patch=raw_advantages(vpg)),
            Without(detail="the value after a cut by the clock", patch=ends_where_the_clock_cuts),
            Without(detail="rewards brought to one scale", fields=(("normalise_rewards", False),)),
            Without(detail="advantages over many steps (one step of temporal difference)", fields=(("decay", 0.0),)),
        ],
    ),
    "a2c": (
        A2C(**A2C.tuned(PENDULUM)),
        [
            Without(detail="the limit on the gradient's norm", fields=(("max_norm", 0.0),)),
            Without(detail="the value after a cut by the clock", patch=ends_where_the_clock_cuts),
            Without(detail="rewards brought to one scale", fields=(("normalise_rewards", False),)),
            Without(detail="advantages over many steps (one step of temporal difference)", fields=(("decay", 0.0),)),
            Without(detail="several environments (one, with as many rows in an update)", fields=(("environments", 1), ("rollout", 64))),
            Without(detail="a value function that learns", fields=(("value_weight", 0.0),)),
        ],
    ),
    "a3c": (
        A3C(steps=150_000, max_norm=0.0),
        [
            Without(detail="gradients as long as they are (a limit of 0.5 on their norm)", fields=(("max_norm", 0.5),)),
            Without(detail="the running squares (the plain gradient)", fields=(("epsilon", 1.0),)),
            Without(detail="a value function that learns", fields=(("value_weight", 0.0),)),
            Without(detail="rewards of 20 steps (5)", fields=(("rollout", 5),)),
            Without(detail="several workers", fields=(("workers", 1),)),
            Without(detail="the entropy bonus", fields=(("entropy_weight", 0.0),)),
        ],
    ),
    "trpo": (
        TRPO(**TRPO.tuned(LANDER)),
        [
            Without(detail="the line search", patch=full_steps),
            Without(detail="the natural gradient (the plain one, as long a step in KL)", patch=plain_gradient),
            Without(detail="damping", fields=(("damping", 0.0),)),
            Without(detail="a well-fitted value function (ten steps of fitting in place of 320)", fields=(("value_updates", 10),)),
            Without(detail="the constraint (a KL of 1 in place of 0.02)", fields=(("kl", 1.0),)),
        ],
    ),
    "ppo": (
        PPO(**PPO.tuned(LANDER) | {"steps": 500_000}),
        [
            Without(detail="the clip", fields=(("clip", 1e6),)),
            Without(detail="standardised advantages", fields=(("normalise_advantages", False),)),
            Without(detail="rewards brought to one scale", fields=(("normalise_rewards", False),)),
            Without(detail="the mask on rows in which an episode begins anew", patch=beginnings_as_transitions),
            Without(detail="observations brought to one scale", fields=(("normalise_observations", False),)),
            Without(detail="advantages over many steps (one step of temporal difference)", fields=(("decay", 0.0),)),
        ],
    ),
    "dqn": (
        DQN(**DQN.tuned(CARTPOLE)),
        [
            Without(detail="the target network (it follows at once)", fields=(("target_every", 1),)),
            Without(detail="a long memory (500 transitions)", fields=(("capacity", 500),)),
            Without(detail="a memory of more than what was just done (256 transitions)", fields=(("capacity", 256),)),
            Without(detail="five steps of rewards (one)", fields=(("n_step", 1),)),
            Without(detail="exploration that falls slowly (greedy from the start)", fields=(("epsilon", 0.0), ("exploration", 1e-6))),
            Without(detail="the end of an episode (a value behind it)", patch=cuts_where_it_ends),
            Without(detail="the limit on the gradient's norm", fields=(("max_norm", 0.0),)),
            Without(detail="an update for two steps (one for twenty)", fields=(("updates", 13),)),
        ],
    ),
    "rainbow": (
        DQN(
            **DQN.tuned(CARTPOLE) | {"steps": 20_000, "n_step": 3},
            duelling=True,
            priority=0.5,
            atoms=51,
            lowest=0.0,
            highest=100.0,
        ),
        [
            Without(detail="double estimates", fields=(("double", False),)),
            Without(detail="duelling", fields=(("duelling", False),)),
            Without(detail="three steps of rewards (one)", fields=(("n_step", 1),)),
            Without(detail="priorities", fields=(("priority", 0.0),)),
            Without(detail="the distribution over returns (its mean is learnt)", fields=(("atoms", 0),)),
            Without(detail="atoms as far as returns go (-10 to 10, as for Atari)", fields=(("lowest", -10.0), ("highest", 10.0))),
        ],
    ),
    "ddpg": (
        DDPG(env=PENDULUM, hidden=(64, 64)),
        [
            Without(detail="slow targets (they follow at once)", fields=(("share", 1.0),)),
            Without(detail="noise on actions", fields=(("exploration", 0.0),)),
            Without(detail="steps at random to begin with", fields=(("warmup", 1),)),
            Without(detail="a long memory (500 transitions)", fields=(("capacity", 500),)),
            Without(detail="the value after a cut by the clock", patch=ends_where_the_clock_cuts),
            Without(detail="batches of 256 rows (8)", fields=(("batch", 8),)),
            Without(detail="an update for each step (one for ten)", fields=(("rollout", 10), ("log_every", 100))),
        ],
    ),
    "td3": (
        TD3(env=PENDULUM, hidden=(64, 64)),
        [
            Without(detail="the actor's delay", fields=(("delay", 1),)),
            Without(detail="noise on target actions", fields=(("blur", 0.0),)),
            Without(detail="slow targets (they follow at once)", fields=(("share", 1.0),)),
            Without(detail="a long memory (500 transitions)", fields=(("capacity", 500),)),
            Without(detail="the value after a cut by the clock", patch=ends_where_the_clock_cuts),
            Without(detail="batches of 256 rows (8)", fields=(("batch", 8),)),
            Without(detail="an update for each step (one for ten)", fields=(("rollout", 10), ("log_every", 100))),
            Without(detail="the smaller of two critics (their mean)", patch=mean_of_critics),
            Without(detail="a memory of more than what was just done (256 transitions)", fields=(("capacity", 256),)),
        ],
    ),
    "sac": (
        SAC(env=PENDULUM, learning_rate=1e-3, hidden=(64, 64)),
        [
            Without(detail="the learnt temperature (it stays 1)", fields=(("temperature", 1.0),)),
            Without(detail="tanh's correction of the density", patch=uncorrected_density),
            Without(detail="slow targets (they follow at once)", fields=(("share", 1.0),)),
            Without(detail="a long memory (500 transitions)", fields=(("capacity", 500),)),
            Without(detail="the value after a cut by the clock", patch=ends_where_the_clock_cuts),
            Without(detail="an update for each step (one for ten)", fields=(("rollout", 10), ("log_every", 100))),
            Without(detail="a memory of more than what was just done (256 transitions)", fields=(("capacity", 256),)),
        ],
    ),
}


def scores(system: Any, seeds: int, episodes: int) -> list[float]:
    """Train seeds, and each one's mean return with its best actions."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for first, count in bouts(system, seeds):
            run = rlhub.train(system, seed=first, seeds=count, runs=folder)
            for seed in run.seeds:
                returns = evaluate(run.model(seed=seed), system.env, episodes=episodes).returns
                found.append(sum(returns) / len(returns))
    return found


def measured(name: str, path: Path, seeds: int, episodes: int) -> None:
    """Write an algorithm's scores as it is, and without each detail; those that were measured with these settings stay."""
    system, details = CASES[name]
    settings = json.loads(json.dumps(settings_of(system)))
    before = read_json(path) if path.exists() else {}
    known = {case["detail"]: case for case in before.get("cases", [])} if before.get("settings") == settings else {}
    cases = []
    for without in [Without(detail="nothing left out"), *details]:
        changed = json.loads(json.dumps(dict(without.fields)))
        case = known.get(without.detail, {})
        if case.get("fields") != changed:
            with without.patch():
                found = scores(replace(system, **dict(without.fields)), seeds, episodes)
            case = {"detail": without.detail, "fields": changed, "scores": found, **machine()}
            print(f"{name} without {without.detail}: {[round(value) for value in case['scores']]}", flush=True)
        cases.append(case)
        left = [known[one.detail] for one in details[len(cases) - 1 :] if one.detail in known]
        told = {"algorithm": name, "settings": settings, "episodes": episodes, "cases": [*cases, *left]}
        path.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    use_plain_lines(True)
    ABLATIONS.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or CASES:
        measured(name, ABLATIONS / f"{name}.json", seeds=5, episodes=50)
