"""Where a training's time goes, and how far it is from what its arithmetic alone would take."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

import rlhub
from rlhub.agents.environments import Environments
from rlhub.agents.ppo import PPO
from rlhub.agents.rollout import Rollout


def shares_of(system: PPO) -> dict[str, float]:
    """Shares of time in environments, policy and update, and the distance to the arithmetic limit.

    The limit is what the training would take if its matrix products ran at the rate of large ones and all else took no time.
    """
    passes = 2 * system.rollout * system.environments
    with FlopCounterMode(display=False) as counter:
        trained(replace(system, steps=passes))
    flops = counter.get_total_flops() / passes
    trained(replace(system, steps=passes))

    spent: dict[str, float] = defaultdict(float)
    with ExitStack() as stack:
        for kind, name in ((Environments, "step"), (Rollout, "collect"), (PPO, "update")):
            stack.enter_context(timed(spent, kind, name))
        began = time.perf_counter()
        trained(system)
        total = time.perf_counter() - began
    rate, matmul = system.steps / total, matmul_rate()
    return {
        "environment": spent["step"] / total,
        "policy": (spent["collect"] - spent["step"]) / total,
        "update": spent["update"] / total,
        "rest": 1 - (spent["collect"] + spent["update"]) / total,
        "steps a second": rate,
        "floating-point operations a step": flops,
        "operations a second of a large product": matmul,
        "times slower than the arithmetic": matmul / flops / rate,
    }


def arithmetic_of(system: Any, updates: int) -> dict[str, float]:
    """What an off-policy algorithm's updates would take if their matrix products ran at the rate of large ones and all else took no time.

    Args:
        system: what is trained.
        updates: how many that training takes.
    """
    with FlopCounterMode(display=False) as counter:
        trained(system)
    flops, rate = counter.get_total_flops() / updates, matmul_rate()
    return {
        "floating-point operations an update": flops,
        "operations a second of a large product": rate,
        "milliseconds an update of the arithmetic alone": 1000 * flops / rate,
    }


def matmul_rate(size: int = 1024) -> float:
    """Floating-point operations a second of a product of large matrices: the best of several."""
    one, other = torch.randn(size, size), torch.randn(size, size)
    best = 0.0
    for _ in range(20):
        began = time.perf_counter()
        one @ other
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def trained(system: Any, *, seed: int = 0, seeds: int = 1) -> None:
    """Train in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        rlhub.train(system, seed=seed, seeds=seeds, runs=folder)


@contextmanager
def timed(spent: dict[str, float], kind: type, name: str) -> Iterator[None]:
    """Add up the time spent in a method while the block runs."""
    method: Callable[..., Any] = getattr(kind, name)

    def measured(*arguments: Any, **keywords: Any) -> Any:
        began = time.perf_counter()
        try:
            return method(*arguments, **keywords)
        finally:
            spent[name] += time.perf_counter() - began

    with mock.patch.object(kind, name, measured):
        yield
