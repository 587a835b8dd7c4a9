"""``rlhub evaluate RUN`` for a table of action values: how well its greedy policy does, as the Deep RL course counts it."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from rlhub.core.checkpoint import find_checkpoint
from rlhub.core.files import read_json
from rlhub.core.progress import progress, use_plain_lines
from rlhub.hub.evaluations import keep_evaluation
from rlhub.hub.options import parse


@dataclass(frozen=True, kw_only=True)
class EvaluateQLearning:
    """Play whole episodes with a table's best actions: mean, standard deviation, and the mean less one of these.

    Attributes:
        run: the run's name or folder, or RUN@STEP for one of its checkpoints.
        episodes: whole episodes.
        seed: of the environment, a number on for each episode.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print the result as JSON.
        plain: print progress as lines instead of live bars.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    episodes: int = 100
    seed: int = 0
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False
    plain: bool = False


def run(arguments: list[str]) -> int:
    """Evaluate, and say how well it did."""
    options = parse(EvaluateQLearning, arguments, prog="rlhub evaluate")
    use_plain_lines(options.plain)
    told = played(options)
    sys.stdout.write((json.dumps(told) if options.json else sentences(told)) + "\n")
    return 0


def played(options: EvaluateQLearning) -> dict[str, Any]:
    """The result, which the run's folder keeps."""
    checkpoint = find_checkpoint(options.run, options.runs)
    assert checkpoint is not None  # noqa: S101  as it has been found to be of such a run
    folder = checkpoint.parent.parent
    with progress("loading libraries"):
        from rlhub.core.named import parted
        from rlhub.foundations.gymnasium_q_learning import evaluate
        from rlhub.foundations.q_learning import QLearning
    env = read_json(folder / "config.json")["fields"]["env"]
    name, settings = parted(env)
    with progress("episodes"):
        score = evaluate(name, QLearning.load_model(checkpoint).worth.numpy(), episodes=options.episodes, seed=options.seed, **settings)
    told = {"run": folder.name, "step": int(checkpoint.name), "env": env, "episodes": options.episodes}
    told |= {"mean": score.mean, "std": score.deviation, "mark": score.mark}
    keep_evaluation(folder, told | {"seed": options.seed})
    return told


def sentences(told: dict[str, Any]) -> str:
    """The result for a person."""
    return (
        f"{told['run']} after {told['step']:,} episodes, in {told['env']}: {told['episodes']} episodes\n"
        f"mean return {told['mean']:.4g}, standard deviation {told['std']:.3g}; mean less one: {told['mark']:.4g}"
    )
