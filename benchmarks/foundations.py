"""The book's figures beside the public Python code for them, and the 10-armed testbed beside a vectorised NumPy one.

    REFERENCE=path/to/a/checkout python benchmarks/foundations.py     # ONLY=foundations_cliff for one comparison

The reference is github.com/ShangtongZhang/reinforcement-learning-an-introduction, whose own functions are imported and timed; without
REFERENCE only the testbed is measured. Both sides do the same number of runs at the book's settings, fewer runs than a figure has, so that
the reference takes seconds and not hours. Each gives a statistic with its standard error, and the two must agree within five of these.
Compilation is kept on disk and isn't part of what is timed; the JSON says what it takes, and what a process that finds it there takes.
"""

import copy
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from harness import compare

from rlhub.foundations.bandits import epsilon_greedy, gradient_bandit, upper_confidence_bound
from rlhub.foundations.figures.chapter_02 import ARMS, RUNS, STEPS, luck, testbed
from rlhub.foundations.figures.chapter_06_control import CLIFF, biased
from rlhub.foundations.temporal_difference import Q_LEARNING, SARSA, double_q_learning, td_control


def told(statistics: dict[str, np.ndarray]) -> dict[str, float]:
    """Means over runs with their standard errors, for the JSON."""
    means = {name: float(np.mean(runs)) for name, runs in statistics.items()}
    errors = {f"{name}, standard error": float(np.std(runs, ddof=1) / np.sqrt(len(runs))) for name, runs in statistics.items()}
    return means | errors


def agree(result: dict[str, Any]) -> None:
    """Stop where the two sides' statistics differ by more than chance explains."""
    if not result:
        return
    one, other = (side["returned"] for side in result["sides"].values())
    for name in (name for name in one if not name.endswith("standard error")):
        apart = abs(one[name] - other[name])
        chance = np.hypot(one[f"{name}, standard error"], other[f"{name}, standard error"])
        if apart > 5 * chance:
            raise SystemExit(f"{result['name']}: {name} is {one[name]:.4g} on one side and {other[name]:.4g} on the other")


def reference(chapter: str, file: str) -> Any:
    """A module of the reference's checkout."""
    path = Path(os.environ["REFERENCE"]) / chapter / f"{file}.py"
    specification = importlib.util.spec_from_file_location(file, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def cliff_ours(runs: int, episodes: int = 500) -> dict[str, float]:
    """Figure 6.4 by rlhub: the sum of rewards over the last 100 episodes."""
    settings: dict[str, Any] = {"runs": runs, "episodes": episodes, "step_size": 0.5, "epsilon": 0.1, "discount": 1.0, "seed": 0}
    ways = {"Sarsa": SARSA, "Q-learning": Q_LEARNING}
    return told({name: td_control(CLIFF, backup=backup, **settings)[0][:, -100:].mean(1) for name, backup in ways.items()})


def cliff_theirs(module: Any, runs: int, episodes: int = 500) -> dict[str, float]:
    """Figure 6.4 by the reference."""
    found: dict[str, Any] = {"Sarsa": [], "Q-learning": []}
    for _ in range(runs):
        for name, episode in (("Sarsa", module.sarsa), ("Q-learning", module.q_learning)):
            values = np.zeros((module.WORLD_HEIGHT, module.WORLD_WIDTH, 4))
            found[name].append(np.mean([episode(values) for _ in range(episodes)][-100:]))
    return told(found)


def bias_ours(runs: int, episodes: int = 300) -> dict[str, float]:
    """Figure 6.5 by rlhub: the share of left choices over the first 100 episodes."""
    settings: dict[str, Any] = {"runs": runs, "episodes": episodes, "step_size": 0.1, "epsilon": 0.1, "discount": 1.0, "seed": 0}
    single = td_control(biased(), backup=Q_LEARNING, **settings)[1]
    double = double_q_learning(biased(), **settings)[1]
    return told({"Q-learning": (single[:, :100] == 2).mean(1), "Double Q-learning": (double[:, :100] == 2).mean(1)})


def bias_theirs(module: Any, runs: int, episodes: int = 300) -> dict[str, float]:
    """Figure 6.5 by the reference."""
    found: dict[str, Any] = {"Q-learning": [], "Double Q-learning": []}
    for _ in range(runs):
        alone, first, second = (copy.deepcopy(module.INITIAL_Q) for _ in range(3))
        found["Q-learning"].append(np.mean([module.q_learning(alone) for _ in range(episodes)][:100]))
        found["Double Q-learning"].append(np.mean([module.q_learning(first, second) for _ in range(episodes)][:100]))
    return told(found)


def bandits_ours(runs: int) -> dict[str, float]:
    """Figure 2.2 by rlhub: the mean reward over the last 100 steps."""
    values, noise = testbed(runs, 0), luck(runs, 0)
    return told(
        {
            f"epsilon {epsilon:g}": epsilon_greedy(values, noise, epsilon=epsilon, first=0.0, step_size=0.0, seed=0)[0][:, -100:].mean(1)
            for epsilon in (0.0, 0.01, 0.1)
        }
    )


def bandits_theirs(module: Any, runs: int) -> dict[str, float]:
    """Figure 2.2 by the reference, run by run, as its own average over runs has no error to be told."""
    module.trange = range
    ways = {f"epsilon {epsilon:g}": module.Bandit(epsilon=epsilon, sample_averages=True) for epsilon in (0.0, 0.01, 0.1)}
    found = {name: [] for name in ways}
    for _ in range(runs):
        _, rewards = module.simulate(1, STEPS, list(ways.values()))
        for name, earned in zip(ways, rewards, strict=True):
            found[name].append(earned[-100:].mean())
    return told(found)


METHODS = ("epsilon-greedy", "optimistic", "UCB", "gradient")


def testbed_ours() -> dict[str, float]:
    """Four methods on 2,000 tasks of 1,000 steps: the mean reward of all steps."""
    values, noise = testbed(RUNS, 0), luck(RUNS, 0)
    found = (
        epsilon_greedy(values, noise, epsilon=0.1, first=0.0, step_size=0.0, seed=0),
        epsilon_greedy(values, noise, epsilon=0.0, first=5.0, step_size=0.1, seed=0),
        upper_confidence_bound(values, noise, confidence=2.0, seed=0),
        gradient_bandit(values, noise, step_size=0.1, baseline=True, seed=0),
    )
    return told({name: rewards.mean(1) for name, (rewards, _) in zip(METHODS, found, strict=True)})


def testbed_numpy() -> dict[str, float]:
    """The same with NumPy, one step of all tasks at a time."""
    draws = np.random.default_rng(1)
    values, rows = testbed(RUNS, 0), np.arange(RUNS)
    found = {}
    for method in METHODS:
        estimates = np.full((RUNS, ARMS), 5.0 if method == "optimistic" else 0.0)
        counts, average, total = np.zeros((RUNS, ARMS)), np.zeros(RUNS), np.zeros(RUNS)
        for step in range(STEPS):
            worth = estimates
            if method == "UCB":
                # What breaks ties also leaves an arm never pulled before all others.
                with np.errstate(divide="ignore", invalid="ignore"):
                    worth = np.where(counts > 0, estimates + 2 * np.sqrt(np.log(step + 1) / counts), 1e9)
            if method == "gradient":
                policy = np.exp(estimates - estimates.max(1, keepdims=True))
                policy /= policy.sum(1, keepdims=True)
                arms = np.minimum((policy.cumsum(1) < draws.random((RUNS, 1))).sum(1), ARMS - 1)
            else:
                largest = worth == worth.max(1, keepdims=True)
                arms = np.where(largest, draws.random((RUNS, ARMS), dtype=np.float32), -1).argmax(1)
            if method == "epsilon-greedy":
                arms = np.where(draws.random(RUNS) < 0.1, draws.integers(ARMS, size=RUNS), arms)
            reward = values[rows, arms] + draws.standard_normal(RUNS)
            total += reward
            if method == "gradient":
                average = reward if step == 0 else average
                moves = 0.1 * (reward - average)
                estimates -= moves[:, None] * policy
                estimates[rows, arms] += moves
                average = average + (reward - average) / (step + 1)
            else:
                counts[rows, arms] += 1
                steps = 0.1 if method == "optimistic" else 1 / counts[rows, arms]
                estimates[rows, arms] += steps * (reward - estimates[rows, arms])
        found[method] = total / STEPS
    return told(found)


def beside(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], *, peer: str, target: float, first: str, **facts: Any) -> None:
    """Compare two functions and look whether they agree."""
    about = {"numba threads": numba.get_num_threads(), "first call seconds": lambda: first_call(first)} | facts
    ours()  # loads what is compiled; the peer has nothing to warm up
    sides = {"rlhub": lambda: ours, peer: lambda: theirs}
    agree(compare(name, sides, peer=peer, target=target, repeats=3, warmups=0, memory=False, facts=about))


def first_call(call: str) -> dict[str, float]:
    """Seconds of a first call, that compiles, and of one in the next process, that finds the compiled code on disk."""
    program = f"import time, foundations\nbegan = time.perf_counter()\nfoundations.{call}\nprint(time.perf_counter() - began)"
    with tempfile.TemporaryDirectory() as folder:
        around = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
        runs = [subprocess.run([sys.executable, "-c", program], env=around, capture_output=True, text=True, check=True) for _ in range(2)]
    return dict(zip(("with compilation", "in the next process"), (round(float(run.stdout), 2) for run in runs), strict=True))


if __name__ == "__main__":
    figures = {
        "foundations_bandits": ("2.2", 50, bandits_ours, bandits_theirs, ("chapter02", "ten_armed_testbed")),
        "foundations_cliff": ("6.4", 6, cliff_ours, cliff_theirs, ("chapter06", "cliff_walking")),
        "foundations_bias": ("6.5", 100, bias_ours, bias_theirs, ("chapter06", "maximization_bias")),
    }
    for name, (figure, runs, ours, theirs, module) in figures.items() if "REFERENCE" in os.environ else ():
        sides = partial(ours, runs), partial(theirs, reference(*module), runs)
        beside(name, *sides, peer="reference", target=30, first=f"{ours.__name__}(2)", figure=figure, runs=runs)
    beside(
        "foundations_testbed",
        testbed_ours,
        testbed_numpy,
        peer="numpy",
        target=2,
        first="testbed_ours()",
        runs=RUNS,
        steps=STEPS,
        methods=list(METHODS),
    )
