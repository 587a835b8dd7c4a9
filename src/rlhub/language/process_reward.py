"""Process reward models (Lightman et al. 2023, arXiv:2305.20050; Wang et al. 2024, Math-Shepherd, arXiv:2312.08935).

A language model learns to say of each step of a solution whether it is right. Labels come from people (a file), or from finishing the
solution several times from the end of each step (`step_labels.py`).
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.files import read_appended, writing
from rlhub.core.progress import progress
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.files import LABELLED, Rows, go_together
from rlhub.language.model import Policy, encode, load_policy
from rlhub.language.optimisation import FineTuning, pace
from rlhub.language.rollout import generate
from rlhub.language.rows import Group
from rlhub.language.scorer import Outputs, Scorer, StepScorer, load_scorer, read_head
from rlhub.language.step_labels import Labelled, Labels, label, stopped
from rlhub.language.steps import tokenize
from rlhub.language.task import Example, Task, columns_of, load_task
from rlhub.language.update import MICRO_TOKENS, Terms

LABELS = "labels.jsonl"
TOLD = ("steps", "labels", "ended", "tokens")
"""What its rows say of a labelled solution; `stops` stand beside."""


@dataclass(frozen=True, kw_only=True)
class ProcessReward(FineTuning):
    """A process reward model, from labelled steps or from labels that it makes itself.

    A row gives a solution's steps in `steps` and, for each, between 0 (wrong) and 1 (right) in `labels`; `ended` is false where the
    solution goes on after them. PRM800K's own files are read, too. For a task without steps, solutions are sampled and labelled first.

    Attributes:
        solver: who solves and finishes solutions where labels are made: alias, hub id, folder or run; by default the starting
            model.
        solutions: how many are sampled.
        rollouts: how often each is finished from the end of each step (N).
        labels: hard (any is right) or soft (how many are).
        stops: learn as much from the same solutions ended too soon, which the task itself calls right or wrong. Solvers seldom stop early,
            so a judge that hasn't seen it can't tell, and what learns to please the judge does stop early.
        max_new_tokens: longest solution, in tokens.
        temperature: solutions are sampled at.
        batch: solutions in one step.
    """

    solver: str = ""
    solutions: int = 256
    rollouts: int = 8
    labels: Labels = "hard"
    stops: bool = True
    max_new_tokens: int = 96
    temperature: float = 1.0
    batch: int = 16

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "solutions rollouts max_new_tokens batch"}, above={0: "temperature"})

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = load_task(self.task, seed=run.seed)
        examples: Sequence[Example] = task.split("train")
        if not are_labelled(examples):
            examples = self.labelled(run, replace(task, splits={"train": judged(task)}))
        scorer = load_scorer(
            self.model,
            kind=StepScorer,
            fresh=True,
            learning_rate=self.learning_rate,
            lora_rank=self.lora_rank,
            weight_decay=self.weight_decay,
            precision=self.precision,
            seed=run.seed,
        )
        shown = Task(name=f"{task.name} steps", splits={"train": examples}, rewards=[])

        for step in run.resume(self.steps, scorer=scorer):
            started = time.perf_counter()
            groups, labels = stepped(scorer, task.name, shown.sample(self.batch, step=step, seed=run.seed))
            count = max(int(labels.isfinite().sum()), 1)
            metrics = self.change(
                scorer,
                groups,
                self.objective,
                step=step,
                normaliser=float(count),
                columns={"labels": labels},
                read=read_head,
            )
            means = {name: metrics.pop(name) / count for name in ("accuracy", "right")}
            tokens = sum(len(group.completions[0]) for group in groups)
            run.log(step, **metrics, **means, **pace(tokens, started))

    def objective(self, outputs: Outputs, *, labels: Float[Tensor, "completions tokens"]) -> Terms:
        """- l log p - (1 - l) log(1 - p) at the last token of each step.

        Args:
            outputs: what the head says after each token: of wrong and of right.
            labels: l at the last token of each step, NaN elsewhere.
        """
        logprobs = torch.log_softmax(outputs.values[:, 1:], -1)
        counted: Bool[Tensor, "completions tokens"] = labels.isfinite()
        wanted = labels.nan_to_num(0.0)
        losses = -(wanted * logprobs[..., 1] + (1 - wanted) * logprobs[..., 0])
        said = logprobs[..., 1] > logprobs[..., 0]
        sums = {"accuracy": ((said == (wanted > 0.5)) & counted).sum(), "right": (wanted * counted).sum()}
        return Terms(loss=(losses * counted).sum(), sums=sums)

    def labelled(self, run: Run, task: Task) -> list[Example]:
        """Solutions with labels, as many as asked for: those that a run made before it was killed are read, the others made now.

        Raises:
            UserError: they are all empty.
        """
        rows = self.rows(run, task)[: self.solutions]
        examples = as_examples(rows, stops=self.stops)
        if not examples:
            solver = self.solver or self.model
            raise UserError(
                f"{solver} answers nothing to {len(rows)} prompts of {task.name}, so no step can be labelled: give another --solver"
            )
        return examples

    def rows(self, run: Run, task: Task) -> list[dict[str, Any]]:
        """The rows of the file of labels, at least as many as asked for."""
        path = run.folder / LABELS
        rows = read_appended(path, together=self.batch)
        if len(rows) >= self.solutions:
            return rows
        solver = load_policy(self.solver or self.model, learning_rate=0.0, precision=self.precision)
        with progress("solutions labelled", self.solutions, completed=len(rows)) as told:
            while len(rows) < self.solutions:
                made = self.made(solver, task, run, turn=len(rows) // self.batch)
                new = [
                    {"prompt": one.example.prompt, **{name: getattr(one, name) for name in TOLD}, "stops": ended_there}
                    for one, ended_there in zip(made, stopped(task, made), strict=True)
                ]
                with writing(LABELS, run.folder), path.open("a") as file:
                    file.write("".join(json.dumps(row) + "\n" for row in new))
                rows += new
                told.update(min(len(rows), self.solutions))
        return rows

    def made(self, solver: Policy, task: Task, run: Run, *, turn: int) -> list[Labelled]:
        """A batch of solutions with labels."""
        examples = task.sample(self.batch, step=turn + 1, seed=run.seed)
        settings: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "temperature": self.temperature}
        drawn = generate(solver, examples, generator=run.generator("solutions", turn), **settings)
        return label(
            solver,
            task,
            [(example, texts[0]) for example, texts in zip(examples, drawn.texts, strict=True)],
            rollouts=self.rollouts,
            kind=self.labels,
            ended=drawn.ended[:, 0].tolist(),
            generator=run.generator("labels", turn),
            **settings,
        )


def are_labelled(examples: Sequence[Example]) -> bool:
    """Whether examples hold solutions with labelled steps: all do, or none does.

    Raises:
        UserError: some do and some don't, or their steps can't be learnt from.
    """
    rows = examples if isinstance(examples, list) else examples[:1]  # what is made when it is asked for is all of one kind
    has = [not {"steps", "labels"}.isdisjoint(example.columns) for example in rows]
    for index, example in enumerate(rows if any(has) else []):
        where = examples.places[index] if isinstance(examples, Rows) else f"the row {index + 1}"
        if not has[index]:
            raise UserError(f"{where}: it has no steps and labels, and others have: labels are read for all rows, or made for all")
        if not go_together(example.columns):
            raise UserError(f"{where}: its steps can't be learnt from: {LABELLED}")
    return any(has)


def judged(task: Task) -> Sequence[Example]:
    """The training examples of which a reward says whether an answer is right.

    Raises:
        UserError: there are none.
    """
    examples = task.split("train")
    rows = examples if isinstance(examples, list) else examples[:1]
    columns = columns_of(rows) | {"completion_ids": [[] for _ in rows], "step": 0, "seed": task.seed}
    scores = task.score([example.prompt for example in rows], [""] * len(rows), **columns)
    kept = [example for example, score in zip(rows, scores, strict=True) if score is not None]
    if not kept:
        raise UserError(f"the task {task.name} can't tell right solutions from wrong ones: give its rows answers, or steps and labels")
    return kept if isinstance(examples, list) else examples


def as_examples(rows: Sequence[dict[str, Any]], *, stops: bool) -> list[Example]:
    """Labelled solutions as a task's examples, without those that have no step.

    Args:
        rows: of the file of labels.
        stops: each solution of several steps comes once more, ended after one of them that isn't the last: the first, the second and so on
            in turns.
    """
    kept = [(row["prompt"], row["steps"], row["labels"], row["ended"]) for row in rows if row["steps"]]
    for turn, row in enumerate(rows if stops else []):
        if ended_there := row["stops"]:
            last = turn % len(ended_there)
            steps = [*row["steps"][:last], row["steps"][last].rstrip("\n") or row["steps"][last]]
            kept.append((row["prompt"], steps, [*row["labels"][:last], ended_there[last]], True))
    return [Example(prompt, None, {"steps": steps, "labels": labels, "ended": ended}) for prompt, steps, labels, ended in kept]


def stepped(scorer: Scorer, name: str, examples: Sequence[Example]) -> tuple[list[Group], Float[Tensor, "completions tokens"]]:
    """Each example's prompt with its solution, and its steps' labels at their last tokens, NaN elsewhere.

    Raises:
        UserError: a row's steps and labels don't go together.
    """
    groups, labels = [], []
    for example in examples:
        steps, given, ended = labelled_steps(name, example)
        solution = tokenize(scorer.tokenizer, steps, end=scorer.end_ids[0] if ended else None)
        groups.append(Group(prompt=encode(scorer.tokenizer, example.prompt), completions=[solution.ids]))
        row = torch.full((len(solution.ids),), torch.nan)
        row[torch.tensor(solution.ends) - 1] = torch.tensor(given)
        labels.append(row)
    return groups, torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=torch.nan)


def labelled_steps(name: str, example: Example) -> tuple[list[str], list[float], bool]:
    """An example's steps, for each between 0 (wrong) and 1 (right), and whether the solution ends with them; `name` is its task's.

    Raises:
        UserError: they don't go together.
    """
    if not go_together(example.columns):
        raise UserError(f"the task {name} has a row whose steps can't be learnt from (prompt {str(example.prompt)[:60]!r}): {LABELLED}")
    columns = example.columns
    return columns["steps"], [float(value) for value in columns["labels"]], columns.get("ended", True)


def chances(
    scorer: Scorer,
    solutions: Sequence[tuple[list[int], Sequence[str]]],
    *,
    ended: Sequence[bool] | None = None,
    micro_tokens: int = MICRO_TOKENS,
) -> list[list[float]]:
    """The probability that each step of each solution is right.

    Args:
        scorer: a process reward model.
        solutions: prompts as the scorer's tokens, and steps.
        ended: whether each solution ends with its last step, which is then judged as an end; by default all do.
        micro_tokens: most tokens computed at a time.
    """
    whole = [True] * len(solutions) if ended is None else ended
    laid = [
        tokenize(scorer.tokenizer, steps, end=scorer.end_ids[0] if end else None) for (_, steps), end in zip(solutions, whole, strict=True)
    ]
    if not laid:
        return []
    groups = [Group(prompt=prompt, completions=[one.ids]) for (prompt, _), one in zip(solutions, laid, strict=True)]
    right = torch.softmax(scorer.read_all(groups, micro_tokens=micro_tokens).values, -1)[..., 1]
    return [right[row, one.ends].tolist() for row, one in enumerate(laid)]
