"""``rlhub evaluate RUN`` for a process reward model: how often it finds the step in which a solution goes wrong."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from rlhub.core.checkpoint import find_checkpoint
from rlhub.core.errors import UserError
from rlhub.core.files import read_json
from rlhub.core.progress import progress, use_plain_lines
from rlhub.hub.evaluations import keep_evaluation
from rlhub.hub.options import parse


@dataclass(frozen=True, kw_only=True)
class EvaluateProcessReward:
    """Ask a process reward model for the first wrong step of solutions of which it is known: F1 as ProcessBench counts it.

    Attributes:
        run: the run's name or folder, or RUN@STEP for one of its checkpoints.
        data: where solutions come from, a file or another task (docs/training.md): its test split, or all of a task that has none; by
            default the test split of the task that the model was trained on, with errors planted in worked solutions.
        problems: how many solutions; by default all.
        threshold: a step that is right with a lower probability is called wrong.
        seed: of the errors that are planted.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print the result as JSON.
        plain: print progress as lines instead of live bars.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    data: Annotated[str | None, tyro.conf.arg(metavar="FILE_OR_TASK")] = None
    problems: Annotated[int | None, tyro.conf.arg(metavar="COUNT")] = None
    threshold: float = 0.5
    seed: int = 0
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False
    plain: bool = False


def run(arguments: list[str]) -> int:
    """Ask about all solutions, and say how often the first wrong step was found."""
    options = parse(EvaluateProcessReward, arguments, prog="rlhub evaluate")
    use_plain_lines(options.plain)
    told = located(options)
    sys.stdout.write((json.dumps(told) if options.json else sentences(told)) + "\n")
    return 0


def located(options: EvaluateProcessReward) -> dict[str, Any]:
    """Accuracy on wrong and on right solutions, and their F1 with its interval.

    Raises:
        UserError: the task can't be measured on, or is what the run was trained on.
    """
    if not 0 < options.threshold < 1:
        raise UserError(f"threshold is {options.threshold}; it is a probability between 0 and 1")
    if options.problems is not None and options.problems < 2:
        raise UserError(f"problems is {options.problems}; it takes a wrong solution and a right one, so at least 2")
    checkpoint = find_checkpoint(options.run, options.runs)
    assert checkpoint is not None  # noqa: S101  as it has been found to be of such a run
    config = read_json(checkpoint.parent.parent / "config.json")
    with progress("loading the model"):
        import torch

        from rlhub.core.seeding import generator
        from rlhub.language.error_localisation import f1_interval, find_errors, known_solutions, localisation
        from rlhub.language.scorer import StepScorer, load_scorer
        from rlhub.language.task import load_task

        chosen = load_task(options.data or config["fields"]["task"], seed=options.seed if options.data else config["seed"])
        if not options.data and "test" not in chosen.splits:
            raise UserError(f"the run was trained on all rows of {chosen.name}; give others to measure on with --data")
        scorer = load_scorer(str(checkpoint), kind=StepScorer, fresh=False)
    examples = list(chosen.split("test" if "test" in chosen.splits else "train")[: options.problems])
    solutions = known_solutions(chosen.name, examples, seed=options.seed)
    with progress("judging steps"):
        found = find_errors(scorer, solutions, threshold=options.threshold)
    planted = torch.tensor([solution.error for solution in solutions])
    result = localisation(found, planted)
    told = {
        "run": checkpoint.parent.parent.name,
        "step": int(checkpoint.name),
        "task": chosen.name,
        "threshold": options.threshold,
        "wrong_solutions": int((planted >= 0).sum()),
        "right_solutions": int((planted < 0).sum()),
        "accuracy_on_wrong": result.wrong,
        "accuracy_on_right": result.right,
        "f1": result.f1,
        "interval": f1_interval(found, planted, generator=generator(0, "evaluation")),
    }
    keep_evaluation(checkpoint.parent.parent, told | {"seed": options.seed})
    return told


def sentences(told: dict[str, Any]) -> str:
    """The result for a person."""
    return "\n".join(
        [
            f"{told['run']} after {told['step']:,} steps, on {told['task']}:",
            f"first wrong step found in {told['accuracy_on_wrong']:.1%} of {told['wrong_solutions']} wrong solutions",
            f"no step called wrong in {told['accuracy_on_right']:.1%} of {told['right_solutions']} right ones",
            "F1 {:.3f} (95% interval {:.3f} to {:.3f})".format(told["f1"], *told["interval"]),
        ]
    )
