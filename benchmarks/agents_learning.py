"""Does every algorithm learn? Trains what `agents_settings.py` lists, measures each seed's agent, and writes one JSON file for each.

    python benchmarks/agents_learning.py                       # what has no JSON of its settings yet; goes on after a kill
    python benchmarks/agents_learning.py cartpole              # one environment; cartpole/ppo for one algorithm in it
    python benchmarks/agents_report.py                         # the table and the plots, from the JSON

An agent's score is its mean return over whole episodes in Gymnasium's own environment, with its best actions and not drawn ones.
"""

import json
import shutil
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from agents_settings import CELLS, Cell
from harness import RESULTS, machine

import rlhub
from rlhub.agents.evaluation import evaluate
from rlhub.core.devices import chosen_device
from rlhub.core.progress import use_plain_lines
from rlhub.core.records import read_metrics
from rlhub.core.run import Run
from rlhub.core.system import describe_system
from rlhub.hub.curve import curve

LEARNING = RESULTS / "learning"
RUNS = Path(__file__).parent / "runs"


def learnt(cell: Cell) -> dict[str, Any]:
    """Train and measure all seeds of a cell."""
    seeds: list[dict[str, Any]] = []
    seconds = 0.0
    for first, count in bouts(cell.system, cell.seeds):
        run = rlhub.train(cell.system, seed=first, seeds=count, runs=RUNS, name=run_name(cell, first))
        took = seconds_of(run)
        seconds += took
        points = curve(read_metrics(run.folder))
        for place, seed in enumerate(run.seeds):
            agent = run.model(seed=seed).to(chosen_device("auto", large=cell.accelerator))
            returns = evaluate(agent, cell.system.env, episodes=cell.episodes).returns
            drawn = evaluate(agent, cell.system.env, episodes=cell.episodes, draw=True).returns if cell.drawn else []
            seeds.append(
                {
                    "seed": seed,
                    "score": mean(returns),
                    "returns": [round(value, 3) for value in returns],
                    **({"drawn_score": mean(drawn)} if drawn else {}),
                    "seconds_of_its_batch": took,
                    "curve": [[point["step"], round(point["by_seed"][place], 3)] for point in points],
                }
            )
    return {
        "name": cell.name,
        "env": cell.system.env,
        "algorithm": type(cell.system).__name__,
        "settings": settings(cell),
        "seeds": seeds,
        "seeds_side_by_side": len(bouts(cell.system, cell.seeds)) == 1,
        "seconds": seconds,
        "steps_per_second": cell.system.steps * cell.seeds / seconds,
        "threads": torch.get_num_threads(),
        "reference": cell.reference,
        "source": cell.source,
        **machine(),
    }


def run_name(cell: Cell, first: int) -> str:
    """What the training that begins with a seed is called, so that it is found again after a kill."""
    return f"{cell.name.replace('/', '-')}-{first}-{fingerprint(cell)}"


def bouts(system: Any, seeds: int) -> list[tuple[int, int]]:
    """The trainings that so many seeds take, each with its first seed and how many: one where seeds can train side by side."""
    return [(0, seeds)] if getattr(system, "trains_several", False) else [(seed, 1) for seed in range(seeds)]


def settings(cell: Cell) -> dict[str, Any]:
    """A cell's settings as JSON values."""
    return settings_of(cell.system) | {"episodes": cell.episodes, "seeds": cell.seeds}


def settings_of(system: Any) -> dict[str, Any]:
    """A system's fields as JSON values."""
    return dict(json.loads(json.dumps(describe_system(system)["fields"])))


def usual(cell: Cell) -> dict[str, Any]:
    """The defaults of its fields, which stand for those that were added after it was measured."""
    return settings_of(type(cell.system)())


def fingerprint(cell: Cell) -> str:
    """A name for its settings."""
    import hashlib

    return hashlib.blake2b(json.dumps(settings(cell), sort_keys=True).encode(), digest_size=4).hexdigest()


def seconds_of(run: Run) -> float:
    """How long a run trained, without the time it lay killed."""
    executions = json.loads((run.folder / "provenance.json").read_text())["executions"]
    times = [line["time"] for line in read_metrics(run.folder)]
    starts = [execution["started"] for execution in executions]
    seconds = 0.0
    for execution, following in zip(executions, [*starts[1:], float("inf")], strict=True):
        last = max([moment for moment in times if moment < following], default=execution["started"])
        seconds += max(0.0, execution.get("ended", last) - execution["started"])
    return seconds


def wanted(words: list[str]) -> list[Cell]:
    """The cells that are asked for and have no JSON of their settings."""
    found = []
    for cell in CELLS:
        path = LEARNING / f"{cell.name}.json"
        there = path.exists() and usual(cell) | json.loads(path.read_text())["settings"] == settings(cell)
        at_hand = torch.cuda.is_available() or not cell.accelerator
        if not there and at_hand and (not words or any(cell.name == word or cell.name.startswith(f"{word}/") for word in words)):
            found.append(cell)
    return found


if __name__ == "__main__":
    use_plain_lines(True)
    cells = wanted(sys.argv[1:])
    for place, cell in enumerate(cells):
        began = time.monotonic()
        result = learnt(cell)
        path = LEARNING / f"{cell.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        for first, _ in bouts(cell.system, cell.seeds):
            shutil.rmtree(RUNS / run_name(cell, first), ignore_errors=True)
        scores = torch.tensor([seed["score"] for seed in result["seeds"]])
        print(
            f"[{place + 1}/{len(cells)}] {cell.name}: {scores.median():.1f} ({scores.min():.1f} to {scores.max():.1f}), "
            f"reference {cell.reference and cell.reference[0]}, {result['seconds']:.0f} s of {time.monotonic() - began:.0f} s",
            flush=True,
        )
