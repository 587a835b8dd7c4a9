"""What the benchmarks measured of the systems: read from the repository's benchmarks/results, where this package runs from a checkout."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import rlhub
from rlhub.core.seeding import generator
from rlhub.core.statistics import interquartile_mean, stratified_bootstrap_interval


def results_folder() -> Path | None:
    """The benchmarks' results in the checkout that this package runs from; None where it was installed without them."""
    root = Path(rlhub.__file__).parents[2]
    found = root / "benchmarks" / "results"
    return found if found.is_dir() and (root / "pyproject.toml").is_file() else None


def score(result: dict[str, Any], which: str = "score") -> tuple[float, float, float]:
    """The interquartile mean of the seeds' scores and its 95% interval from a stratified bootstrap over them."""
    return spread([seed[which] for seed in result["seeds"]], result["name"])


def spread(scores: Sequence[float], *purpose: str) -> tuple[float, float, float]:
    """The interquartile mean of some seeds' scores and its 95% interval, whose resamples are drawn for a purpose."""
    rows = torch.tensor([scores], dtype=torch.float64)
    low, high = stratified_bootstrap_interval(rows, generator=generator(0, *purpose))
    return float(interquartile_mean(rows.flatten())), low, high


def verdict(result: dict[str, Any]) -> str:
    """How the score stands to the reference: above and below where the interval leaves it out; else at, or short of it by less."""
    if result["reference"] is None:
        return "no reference"
    value, low, high = score(result)
    reference, steps = result["reference"]
    short = "short of it, within the interval" if high >= reference else "**below**"
    found = "above" if low > reference else "at" if value >= reference else short
    ours = result["settings"]["steps"]
    return found if ours == steps else f"{found} with {ours / steps:.2g} times its steps"


def measured(name: str) -> dict[str, Any]:
    """A system's measured results as JSON.

    Args:
        name: the system's, as `rlhub train` takes it.

    Returns:
        learning: a row for each environment with score, its 95% interval, the reference and how the two stand.
        ablations: what its training is worth without one of its parts.
        speed: each side's median seconds and how many times faster it was than its peer.
        where: the folder that holds them, or that this installation has none.
    """
    folder = results_folder()
    if folder is None:
        where = "this installation; they are in rlhub's repository, in benchmarks/results"
        return {"learning": [], "ablations": [], "speed": [], "where": where}
    ablations = [folder / "ablations" / f"{each}.json" for each in ((name, "rainbow") if name == "dqn" else (name,))]
    short = name.replace("-", "_").partition("_")[0]
    speed = [path for path in sorted(folder.glob("*.json")) if path.stem.split("_")[1] == short]
    return {
        "learning": [learnt(_read(path)) for path in sorted(folder.glob(f"learning/*/{name}.json"))],
        "ablations": [row for path in ablations if path.is_file() for row in left_out(_read(path))],
        "speed": [row for path in speed for row in sides(_read(path))],
        "where": "benchmarks/results",
    }


def learnt(result: dict[str, Any]) -> dict[str, Any]:
    """A row of docs/learning.md."""
    value, low, high = score(result)
    reference, steps = result["reference"] or (None, None)
    return {
        "env": result["env"],
        "steps": result["settings"]["steps"],
        "seeds": len(result["seeds"]),
        "value": value,
        "interval": [low, high],
        "reference": reference,
        "reference_steps": steps,
        "source": result["source"],
        "verdict": verdict(result).strip("*"),
        "seconds": result["seconds"],
        "steps_per_second": result["steps_per_second"],
        "date": result["date"],
        "commit": result["commit"],
    }


def left_out(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What is left of the return without each of the parts."""
    rows = []
    for case in result["cases"]:
        value, low, high = spread(case["scores"], result["algorithm"], case["detail"])
        rows.append({"env": result["settings"]["env"], "without": case["detail"], "value": value, "interval": [low, high]})
    return rows


def sides(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Each side of a measurement of speed."""
    return [
        {
            "measurement": result["name"],
            "side": side,
            "seconds": told["median_seconds"],
            "peer": result["peer"],
            "times_faster": told["times_faster_than_peer"],
            "date": result["date"],
        }
        for side, told in result["sides"].items()
    ]


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))
