"""``rlhub evaluate RUN``: how well a trained agent does, with an interval; or whatever else a run has trained."""

import importlib
import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import tyro

from rlhub.core.errors import UserError
from rlhub.core.files import read_json
from rlhub.core.folder import find_run
from rlhub.core.progress import progress, use_plain_lines
from rlhub.hub.evaluations import keep_evaluation
from rlhub.hub.options import parse

OTHERS = {
    "RewardModel": "rlhub.hub.commands.evaluate_reward_model",
    "QLearning": "rlhub.hub.commands.evaluate_q_learning",
    "ProcessReward": "rlhub.hub.commands.evaluate_process_reward",
}
"""Systems whose runs hold no agents, and the command for each."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Play whole episodes with a trained agent: mean, interquartile mean and 95% interval of its returns.

    The result is also kept in the run's evaluations.jsonl, from which `rlhub roadmap` knows what has been reached.

    Runs of reward-model and process-reward have options of their own: `rlhub evaluate RUN --help`.

    Attributes:
        run: the run's name or folder, or RUN@STEP for one of its checkpoints.
        episodes: whole episodes of each seed.
        seed: of the environments and of drawn actions.
        draw: draw actions from the policy as in training, instead of taking its best ones.
        env: another environment than the one it was trained in.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print the result as JSON.
        plain: print progress as lines instead of live bars.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    episodes: int = 100
    seed: int = 0
    draw: bool = False
    env: str | None = None
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False
    plain: bool = False


def run(arguments: list[str]) -> int:
    """Evaluate, and say how well it did."""
    other = OTHERS.get(system_named(arguments))
    if other is not None:
        return int(importlib.import_module(other).run(arguments))
    options = parse(Evaluate, arguments, prog="rlhub evaluate")
    use_plain_lines(options.plain)
    if options.episodes < 1:
        raise UserError(f"episodes is {options.episodes}; there is at least 1")
    with progress("loading libraries"):
        from rlhub.agents.evaluation import evaluate
        from rlhub.agents.trained import trained_agents
    subject = trained_agents(options.run, options.runs)
    env = options.env or subject.env
    found = {
        seed: evaluate(agent, env, episodes=options.episodes, seed=options.seed, draw=options.draw)
        for seed, agent in subject.agents.items()
    }
    told = {"run": subject.name, "env": env, "step": subject.step, "draw": options.draw, **statistics(found)}
    keep_evaluation(subject.folder, told | {"seed": options.seed})
    sys.stdout.write((json.dumps(told) if options.json else sentences(told)) + "\n")
    return 0


def system_named(arguments: list[str]) -> str:
    """The system whose run the arguments name; nothing where they name none."""
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    runs = next((after for before, after in pairwise(words) if before == "--runs"), None)
    found = next((folder for word in words if not word.startswith("-") and (folder := find_run(word, runs))), None)
    if found is None:
        return ""
    run = found.parents[1] if found.parent.name == "checkpoints" else found
    return str(read_json(run / "config.json")["system"]).rpartition(":")[2]


def statistics(found: dict[int, Any]) -> dict[str, Any]:
    """Mean, interquartile mean and interval over episodes, or over seeds and their episodes where there are several."""
    import torch

    from rlhub.core.seeding import generator
    from rlhub.core.statistics import interquartile_mean, stratified_bootstrap_interval

    returns = torch.tensor([evaluation.returns for evaluation in found.values()], dtype=torch.float64)
    lengths = [length for evaluation in found.values() for length in evaluation.lengths]
    # Several seeds: it is over them that the interval tells, each seed's mean being one value.
    values = returns if len(found) == 1 else returns.mean(1)[None]
    interval = stratified_bootstrap_interval(values, generator=generator(0, "evaluation")) if values.shape[1] > 1 else None
    return {
        "episodes": returns.numel(),
        "mean": float(returns.mean()),
        "std": float(returns.std()) if returns.numel() > 1 else None,
        "iqm": float(interquartile_mean(values.flatten())),
        "interval": interval,
        "over": "episodes" if len(found) == 1 else "seeds",
        "seeds": {str(seed): float(row.mean()) for seed, row in zip(found, returns, strict=True)},
        "length": sum(lengths) / len(lengths),
    }


def sentences(told: dict[str, Any]) -> str:
    """The result for a person."""
    interval = "no interval from one episode" if told["interval"] is None else "95% interval {:.4g} to {:.4g}".format(*told["interval"])
    lines = [
        f"{told['run']} after {told['step']:,} steps, in {told['env']}: {told['episodes']} episodes, {told['length']:.0f} steps long",
        f"mean return {told['mean']:.4g}" + (f" (standard deviation {told['std']:.3g})" if told["std"] is not None else ""),
        f"interquartile mean {told['iqm']:.4g}, {interval} over {told['over']}",
    ]
    if len(told["seeds"]) > 1:
        lines.append("each seed: " + ", ".join(f"{seed}: {value:.4g}" for seed, value in told["seeds"].items()))
    return "\n".join(lines)
