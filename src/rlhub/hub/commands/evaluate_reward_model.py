"""``rlhub evaluate RUN`` for a reward model: how many pairs it orders rightly, and whether its margins mean what they say."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from rlhub.core.checkpoint import find_checkpoint
from rlhub.core.errors import UserError
from rlhub.core.files import read_json
from rlhub.core.progress import progress, use_plain_lines
from rlhub.core.statistics import wilson_interval
from rlhub.hub.evaluations import keep_evaluation
from rlhub.hub.options import parse


@dataclass(frozen=True, kw_only=True)
class EvaluateRewardModel:
    """Ask a reward model about pairs of answers of which the better one is known: accuracy and calibration.

    Attributes:
        run: the run's name or folder, or RUN@STEP for one of its checkpoints.
        data: the pairs, a file or another task (docs/training.md): its test split, or all of a task that has none; by default the test
            split of the task that the model was trained on.
        bins: parts of [1/2, 1] in which what it says is compared with what is right.
        plot: draw the calibration into this file (.html, .png, .svg or .pdf).
        seed: of wrong answers, where the task draws them.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print the result as JSON.
        plain: print progress as lines instead of live bars.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    data: Annotated[str | None, tyro.conf.arg(metavar="FILE_OR_TASK")] = None
    bins: int = 10
    plot: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    seed: int = 0
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False
    plain: bool = False


def run(arguments: list[str]) -> int:
    """Ask about all pairs, and say how many were ordered rightly."""
    options = parse(EvaluateRewardModel, arguments, prog="rlhub evaluate")
    use_plain_lines(options.plain)
    if options.bins < 1:
        raise UserError(f"bins is {options.bins}; there is at least 1")
    if options.plot:
        from rlhub.core.style import figure_path, write_figure

        plot = figure_path(options.plot)
    told = evaluation(options)
    if options.plot:
        told["plot"] = str(write_figure(figure_of(told), plot))
    sys.stdout.write((json.dumps(told) if options.json else sentences(told)) + "\n")
    return 0


def evaluation(options: EvaluateRewardModel) -> dict[str, Any]:
    """Accuracy with its interval, calibration error, and the calibration's parts."""
    checkpoint = find_checkpoint(options.run, options.runs)
    assert checkpoint is not None  # noqa: S101  the command was chosen by the run's system
    folder = checkpoint.parents[1]
    trained_on = read_json(folder / "config.json")["fields"]["task"]
    with progress("loading the reward model"):
        import torch

        from rlhub.language.reward_losses import calibration, rightly_ordered
        from rlhub.language.reward_model import margins_on
        from rlhub.language.scorer import load_scorer
        from rlhub.language.task import load_task

        task = load_task(options.data or trained_on, seed=options.seed)
        if options.data is None and "test" not in task.splits:
            raise UserError(f"the task {trained_on} that {folder.name} was trained on has no test split: give pairs with --data")
        scorer = load_scorer(str(checkpoint), fresh=False)
    examples = task.examples("test" if "test" in task.splits else "train")
    with progress("judging"):
        each = [margins for margins in margins_on(scorer, task, examples) if len(margins)]
    if not each:
        raise UserError(f"the task {task.name} has no pair of which one answer is better: all scores are ties")
    margins = torch.cat(each)
    accuracy = float(rightly_ordered(margins).mean())
    table, error = calibration(margins, bins=options.bins)
    parts = [
        {"said": said, "right": right, "interval": wilson_interval(right, count), "pairs": int(count)}
        for said, right, count in table.tolist()
        if count
    ]
    told = {
        "run": folder.name,
        "step": int(checkpoint.name),
        "data": task.name,
        "prompts": len(each),
        "pairs": len(margins),
        "accuracy": accuracy,
        # pairs of one prompt share answers, so that only prompts count as independent
        "interval": wilson_interval(accuracy, len(each)),
        "calibration_error": error,
        "calibration": parts,
    }
    keep_evaluation(folder, told | {"seed": options.seed})
    return told


def figure_of(told: dict[str, Any]) -> Any:
    """The calibration, drawn."""
    from rlhub.lens.figures.calibration import calibration_figure

    parts = told["calibration"]
    return calibration_figure(
        [part["said"] for part in parts],
        [part["right"] for part in parts],
        [part["interval"] for part in parts],
        [part["pairs"] for part in parts],
        title=f"Calibration of {told['run']}<br><sup>{told['pairs']:,} pairs; calibration error {told['calibration_error']:.3f}</sup>",
        said_unit="probability that the answer with the higher score is better, sigmoid(difference)",
        right_unit="share of pairs in which it is better",
    )


def sentences(told: dict[str, Any]) -> str:
    """The result for a person."""
    lines = [
        f"{told['run']} after {told['step']:,} steps, on {told['data']}: {told['pairs']} pairs of {told['prompts']} prompts",
        "accuracy {:.1%}, 95% interval {:.1%} to {:.1%} over prompts".format(told["accuracy"], *told["interval"]),
        f"expected calibration error {told['calibration_error']:.1%}",
    ]
    lines += [
        "  says {:.0%}, is right in {:.0%} ({:.0%} to {:.0%}) of {} pairs".format(
            part["said"], part["right"], *part["interval"], part["pairs"]
        )
        for part in told["calibration"]
    ]
    return "\n".join(lines + ([f"calibration plot: {told['plot']}"] if "plot" in told else []))
