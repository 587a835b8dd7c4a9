"""Side by side, in one process, in turns: how every benchmark here compares.

    from harness import compare

    def ours():                      # prepares whatever isn't to be timed (models, data) ...
        model = ...
        return lambda: step(model)   # ... and returns what is

    if __name__ == "__main__":
        compare("language_grpo", {"ours": ours, "trl": peer}, peer="trl", repeats=3, target=2.5, facts={"prompt tokens": 150})

`compare` prepares every side, runs each once to warm up, then times A B A B ..., prints medians and ratios, and writes
`benchmarks/results/<name>.json` with every repeat, the commit, the machine and the versions. Processor time stands beside wall time, which
other programs stretch; on a busy machine read it with OMP_NUM_THREADS=1, as waiting threads use processor time too. REPEATS
in the environment sets the number of repeats, ONLY the one comparison to make, RESULTS another folder (to try a script out).

A side's peak memory is measured in a process of its own: the script is started again with RLHUB_BENCH_SIDE set, and `compare` then prepares
and runs that side only; so call `compare` in the same order each time and do nothing heavy beside it. What a side's run returns, if it is a
dict of numbers, is kept in the JSON (agreement, loss); "seconds" among them counts in place of the time that the whole run took.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(os.environ.get("RESULTS", Path(__file__).parent / "results"))
SIDE = "RLHUB_BENCH_SIDE"
PACKAGES = ("rlhub", "torch", "transformers", "trl", "peft", "transformer-lens", "accelerate", "gymnasium", "envpool", "stable-baselines3")


def compare(
    name: str,
    sides: Mapping[str, Callable[[], Callable[[], Any]]],
    *,
    peer: str,
    repeats: int = 3,
    warmups: int = 1,
    target: float | None = None,
    work: tuple[float, str] | None = None,
    memory: bool = True,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Time the sides in turns and record the result.

    Args:
        name: of the JSON file.
        sides: for each side, a function that prepares it and returns the function to be timed.
        peer: the side that the others are compared with.
        repeats: timed runs of each side.
        warmups: runs of each side before.
        target: the ratio of peer's time to ours that is to be reached.
        work: how much one run does, and of what: (4096, "tokens") adds a rate.
        memory: measure each side's peak memory in a process of its own.
        facts: what was measured, for the record; what takes work to find out is a function, called at the end.

    Returns:
        What was written.
    """
    if os.environ.get("ONLY", name) != name:
        return {}
    repeats = int(os.environ.get("REPEATS", repeats))
    if os.environ.get(SIDE, "").startswith(f"{name}/"):
        _only(sides[os.environ[SIDE].removeprefix(f"{name}/")])
    if SIDE in os.environ:
        return {}
    peaks = {side: _peak(f"{name}/{side}") for side in sides} if memory else {}
    runs = {side: prepare() for side, prepare in sides.items()}
    for side, run in runs.items():
        for _ in range(warmups):
            _say(f"{name}: warming up {side}")
            run()
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    processor: dict[str, list[float]] = {side: [] for side in sides}
    returned: dict[str, Any] = {}
    for repeat in range(repeats):
        for side, run in runs.items():
            started, used = time.perf_counter(), time.process_time()
            told = returned[side] = run()
            seconds[side].append(told["seconds"] if isinstance(told, dict) and "seconds" in told else time.perf_counter() - started)
            processor[side].append(time.process_time() - used)
            _say(f"{name}: repeat {repeat + 1}/{repeats} {side} {seconds[side][-1]:.3f} s")
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    result = {
        "name": name,
        "facts": {what: fact() if callable(fact) else fact for what, fact in (facts or {}).items()},
        "sides": {
            side: {
                "seconds": seconds[side],
                "median_seconds": medians[side],
                "times_faster_than_peer": medians[peer] / medians[side],
                "processor_seconds": processor[side],
                "times_less_processor_time_than_peer": statistics.median(processor[peer]) / statistics.median(processor[side]),
                "peak_memory_gib": peaks.get(side),
                **({"rate_per_second": work[0] / medians[side], "rate_of": work[1]} if work else {}),
                **({"returned": returned[side]} if isinstance(returned[side], dict) else {}),
            }
            for side in sides
        },
        "peer": peer,
        "target": target,
        **machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    for side, facts_of in result["sides"].items():
        peak = "" if facts_of["peak_memory_gib"] is None else f", peak {facts_of['peak_memory_gib']:.2f} GiB"
        rate = f", {facts_of['rate_per_second']:.1f} {work[1]}/s" if work else ""
        print(
            f"{name:28} {side:16} median {medians[side]:8.3f} s, {facts_of['times_faster_than_peer']:5.2f}x {peer}{rate}{peak}", flush=True
        )
    return result


def machine() -> dict[str, Any]:
    """Where and when, and with what versions."""
    cpu = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--untracked-files=no").splitlines()),
        "machine": {
            "cpu": cpu,
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "system": platform.platform(),
            "load_average": os.getloadavg(),
        },
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: version for package in PACKAGES if (version := _version(package))},
    }


def _only(prepare: Callable[[], Callable[[], Any]]) -> None:
    """Run one side twice (the second run shows what a running program holds) and end the process with its peak memory on the last line."""
    run = prepare()
    run()
    run()
    # A process' maxrss begins with what its parent held when it was started; the kernel's own mark for its memory does not.
    marks = [line for line in _lines("/proc/self/status") if line.startswith("VmHWM:")]
    peak = int(marks[0].split()[1]) if marks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak_kib={peak}", flush=True)
    sys.exit(0)


def _peak(side: str) -> float:
    """Peak resident memory of a side, in GiB."""
    _say(f"measuring the memory of {side}")
    child = subprocess.run([sys.executable, *sys.argv], env={**os.environ, SIDE: side}, capture_output=True, text=True, check=False)
    peaks = [line for line in child.stdout.splitlines() if line.startswith("peak_kib=")]
    if not peaks:
        raise RuntimeError(f"{side} failed in its own process:\n{child.stderr[-2000:]}")
    return int(peaks[-1].removeprefix("peak_kib=")) / 2**20


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def as_json(setting: Any) -> dict[str, Any]:
    """A dataclass as JSON gives it back."""
    return dict(json.loads(json.dumps(asdict(setting))))


def every_seed(
    settings: Mapping[str, Any],
    measured: Callable[[Any, int, Path], dict[str, Any]],
    *,
    output: Path,
    runs: Path,
    default: str | None = None,
) -> None:
    """What a script does that is called with a setting and --seeds, or --seed: measure each seed that has no JSON of this setting yet.

    Args:
        settings: by name.
        measured: from a setting, a seed and a folder for its runs to the JSON, which holds the setting.
        output: the folder of the JSON.
        runs: where runs go on after a kill.
        default: the setting that needn't be named.
    """
    words = argparse.ArgumentParser()
    words.add_argument("setting", choices=list(settings), nargs="?" if default else None, default=default)
    words.add_argument("--seeds", type=int, default=3)
    words.add_argument("--seed", type=int, help="only this one; several processes can so measure several at once")
    asked = words.parse_args()
    setting = settings[asked.setting]
    for seed in range(asked.seeds) if asked.seed is None else (asked.seed,):
        path = output / asked.setting / f"seed{seed}.json"
        if path.exists() and json.loads(path.read_text())["setting"] == as_json(setting):
            continue
        result = measured(setting, seed, runs / asked.setting / f"seed{seed}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
