"""What all arms of the study of all signals begin from: a model that has imitated worked answers for just so long that it knows something.

What samples is only taught by the right answers that it happens on. So warm-ups are tried, each from the model that was asked for, and the
first is taken after which enough of the answers drawn to training questions are right, or else the last.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rlhub.core.run import Run
from rlhub.core.training import train
from rlhub.language.sft import SFT
from rlhub.language.task import load_task
from rlhub.studies.behaviour import recall
from rlhub.studies.measuring import Subject
from rlhub.studies.question import Asked
from rlhub.studies.store import Store

WARM_UP = "warm-up"
KNOWN, TRIED = 0.1, 100
"""This share of the answers drawn to so many questions is enough: of 8 answers to a question one is right more often than not."""


def warmed(store: Store, model: str, task: str, warm_ups: Sequence[Mapping[str, Any]], *, new_tokens: int) -> Run:
    """The run that the arms begin from; what was tried is kept as `warmed` of the study.

    Args:
        store: the study's folder, where the runs are.
        model: what is asked to imitate.
        task: the task's whole name.
        warm_ups: fields of `SFT`, shortest first.
        new_tokens: longest answer, in tokens.
    """
    taught = load_task(task)
    asked = Asked(task=taught, examples=list(taught.split("train")[:TRIED]), new_tokens=new_tokens)
    tried: dict[str, list[Any]] = {"runs": [], "steps": [], "right": []}
    for fields in warm_ups:
        name = f"{WARM_UP}-{fields['steps']}" if tried["runs"] else WARM_UP
        run = train(SFT(model=model, task=task, **fields), runs=store.folder, name=name)
        right = store.measured("study", f"known-after-{name}", partial(known, run, asked))
        for column, value in {"runs": name, "steps": fields["steps"], "right": right}.items():
            tried[column].append(value)
        if right >= KNOWN:
            break
    store.measured("study", "warmed", lambda: tried)
    return run


def known(run: Run, asked: Asked) -> float:
    """The share of questions to which a run's model draws a right answer."""
    policy = Subject(run.name, run.folder).policy
    hits = recall(policy, asked.task, asked.examples, max_new_tokens=asked.new_tokens, drawn=True)
    return sum(hits) / len(hits)
