"""GRPO on a GPU: where a step's time goes, and what bfloat16, CUDA graphs and adapters are worth.

    python benchmarks/language_gpu.py      # needs a GPU; writes benchmarks/results/gpu/language.json

Every way takes the same prompts. A step is timed whole and in its parts; the profile counts what the GPU computed in one step.
"""

import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from harness import RESULTS, machine
from torch.profiler import ProfilerActivity, profile

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.language import decoding
from rlhub.language.advantages import group_advantages
from rlhub.language.grpo import GRPO
from rlhub.language.task import load_task

SYSTEM: dict[str, Any] = {
    "model": "smollm2",
    "task": "reasoning-gym:chain_sum?think=true&min_terms=2&max_terms=2&min_digits=1&max_digits=2",
    "prompts": 16,
    "group": 8,
    "max_new_tokens": 64,
    "learning_rate": 1e-6,
}
WAYS: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16"},
    "bf16, no graph": {"precision": "bf16", "recorded": False},
    "bf16, LoRA": {"precision": "bf16", "lora_rank": 16},
    "fp32": {"precision": "fp32"},
    "fp32, no graph": {"precision": "fp32", "recorded": False},
}
REPEATS = 4
KINDS = {"gemm": "matrix products", "cutlass": "matrix products", "flash": "attention", "fmha": "attention", "adam": "optimiser"}


def steps_of(way: dict[str, Any], folder: str) -> tuple[GRPO, Callable[[int], dict[str, float]]]:
    """A system and a function that does a step of it and says how many seconds its parts took."""
    system = GRPO(**SYSTEM | {name: value for name, value in way.items() if name != "recorded"})
    run = Run.create(system, runs=folder)
    task, policy = load_task(system.task, seed=0, reward=system.reward), system.policy()

    def step(number: int) -> dict[str, float]:
        marks = [clock()]
        rollout, rewards, _ = system.collect(run, number, task, policy)
        marks.append(clock())
        advantages = group_advantages(rewards + torch.rand(rewards.shape), rollout.lengths > 0)
        batch = system.batch(policy, None, rollout, advantages)
        for part in system.shares(batch, run, number):
            system.update(policy, part, number)
        marks.append(clock())
        told = {"rollout": marks[1] - marks[0], "update": marks[2] - marks[1], "step": marks[2] - marks[0]}
        return told | {"tokens": float(rollout.mask.sum())}

    return system, step


def clock() -> float:
    """Now, with everything that the GPU was given done."""
    torch.cuda.synchronize()
    return time.perf_counter()


def measured() -> dict[str, Any]:
    """Every way in turns, so that whatever else the machine does meets all of them."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        steps = {name: steps_of(way, folder)[1] for name, way in WAYS.items()}
        recorded = decoding.RECORDED
        for number in range(1, REPEATS + 2):
            for name, way in WAYS.items():
                decoding.RECORDED = recorded if way.get("recorded", True) else 10**9
                torch.cuda.reset_peak_memory_stats()
                told = steps[name](number)
                peaks[name] = torch.cuda.max_memory_allocated() / 2**30
                if number > 1:
                    found[name].append(told)
        decoding.RECORDED = recorded
        shares = profiled(steps["bf16"])
    return {
        "system": SYSTEM,
        "ways": {name: {"each": each, "median": medians(each), "peak_gib_with_all_loaded": peaks[name]} for name, each in found.items()},
        "profile of a bf16 step": shares,
        **machine(),
    }


def medians(each: list[dict[str, float]]) -> dict[str, float]:
    """The median of each part, and tokens a second of the roll-out and of the whole step."""
    parts = {name: statistics.median(one[name] for one in each) for name in each[0]}
    return parts | {"sampled a second": parts["tokens"] / parts["rollout"], "tokens a second": parts["tokens"] / parts["step"]}


def profiled(step: Callable[[int], dict[str, float]]) -> dict[str, Any]:
    """Seconds of the GPU in one step by kind of kernel, the longest kernels, and the share of the step that the GPU computes in."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as watched:
        told = step(100)
    kernels = [event for event in watched.key_averages() if event.self_device_time_total and not event.self_cpu_time_total]
    by_kind: dict[str, float] = defaultdict(float)
    for kernel in kernels:
        kind = next((word for part, word in KINDS.items() if part in kernel.key.lower()), "elementwise, reductions and copies")
        by_kind[kind] += kernel.self_device_time_total / 1e6
    longest = sorted(kernels, key=lambda kernel: -kernel.self_device_time_total)[:10]
    return {
        "seconds": told,
        "seconds by kind": dict(by_kind),
        "share of the step that the GPU computes": sum(by_kind.values()) / told["step"],
        "longest": [{"kernel": one.key[:100], "calls": one.count, "seconds": one.self_device_time_total / 1e6} for one in longest],
    }


if __name__ == "__main__":
    if not torch.cuda.is_available():
        sys.exit(str(UserError("there is no GPU here to measure")))
    result = measured()
    (RESULTS / "gpu").mkdir(parents=True, exist_ok=True)
    (RESULTS / "gpu" / "language.json").write_text(json.dumps(result, indent=1) + "\n")
    for name, told in result["ways"].items():
        print(name, {part: round(value, 3) for part, value in told["median"].items()}, flush=True)
