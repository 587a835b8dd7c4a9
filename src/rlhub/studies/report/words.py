"""What a report says of its own study: title, question, what was asked and how, what it can't say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhub.studies.evidence import arms_of
from rlhub.studies.names import NAMES

Report = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Words:
    """A study's own words.

    Attributes:
        title: of the report.
        question: what was asked, in a sentence.
        splits: what the questions of each split are called.
        headline: the split whose answers the report begins with.
        right: what it is called when they are answered rightly.
        method: rows of the method's table that are this study's own.
        limits: what this study can't say, beyond what none can.
    """

    title: str
    question: str
    splits: dict[str, str]
    headline: str
    right: str
    method: list[list[str]]
    limits: list[str]


def words_of(report: Report) -> Words:
    """The words of a report's study."""
    return {"recall": recall, "signals": signals}[report["study"]](report)


def each(report: Report) -> str:
    """How many signals, which, and how often."""
    arms, seeds = arms_of(report), report["asked"]["seeds"]
    return f"by {len(arms)} signals ({', '.join(NAMES[arm] for arm in arms)}), {seeds} run{'s' if seeds > 1 else ''} each"


def counts(report: Report) -> dict[str, int]:
    """How many questions each split has."""
    behaviour = report["measured"]["base"]["behaviour"]
    return {split: behaviour[split]["count"] for split in ("train", "heldout", "untouched")}


def recall(report: Report) -> Words:
    """The study of recalling facts."""
    asked, count = report["asked"], counts(report)
    drawn = f"{count['train']} trained, {count['heldout']} held-out, {count['untouched']} of other relations"
    return Words(
        title=f"What training did to the circuits that recall {asked['relation']}",
        question=f"One model ({asked['model']}) was trained to recall {asked['relation']} {each(report)}. "
        "What did each signal do to the circuits that recall facts?",
        splits={"train": "trained facts", "heldout": "held-out facts", "untouched": "untouched relations"},
        headline="train",
        right="recalled",
        method=[
            ["base", asked["model"]],
            ["facts", f"{asked['relation']}: {drawn}; a fact is recalled when the greedy completion begins with its answer"],
            ["metric", "logit of the right answer's first token minus that of the other prompt's answer, at the last token"],
        ],
        limits=[
            f"One model ({asked['model']}), one relation, one recipe a signal: numbers are about these, not about a signal as such.",
            "Part of what is learnt is the form of the answer, which carries over to held-out facts and other relations; recall is counted "
            "at the start of the completion and does not tell form from knowledge.",
        ],
    )


def signals(report: Report) -> Words:
    """The study of all signals."""
    asked, count = report["asked"], counts(report)
    task = Path(asked["task"].partition("?")[0]).name
    drawn = f"{count['train']} from the training split, {count['heldout']} from the test split"
    return Words(
        title=f"One model, every training signal: {task}",
        question=f"One model ({asked['model']}), after a short imitation of worked answers to {task}, was trained "
        f"{each(report)}. What does each signal do to its answers, its conduct and its circuits, and at what cost?",
        splits={"train": "trained questions", "heldout": "held-out questions", "untouched": "capitals, not trained"},
        headline="heldout",
        right="right",
        method=[
            ["base", f"{asked['model']} after {report['warm_up']['fields']['steps']} steps of imitation: every arm begins there"],
            ["questions", f"{asked['task']}: {drawn}; right is what its scorer gives full marks, greedy answers"],
            ["untouched", f"{count['untouched']} capitals, as sentences to be completed: what is lost of what was known"],
            [
                "metric",
                "at the token where a worked step's result is decided (for tasks without worked answers, where the answer begins): logit "
                "of the right next token minus that of the question most like it with another result",
            ],
        ],
        limits=[
            f"One model ({asked['model']}), one task, one recipe a signal: numbers are about these, not about signals as such.",
            "The process reward model is trained once, not once a seed, and its cost stands in its own row.",
            "Refusals are told by their words and leanings by two sets of openings; a model this small often does neither well.",
        ],
    )
