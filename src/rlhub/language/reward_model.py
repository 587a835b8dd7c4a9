"""Reward models (Ouyang et al. 2022, InstructGPT, arXiv:2203.02155, Sec. 3.5): a language model learns to score answers as people do.

All answers to a prompt are one batch element: each is computed once, with their prompt shared, for all the pairs it is in. At the end
scores are brought to a scale of their own, mean 0 and standard deviation 1 over answers that the starting model gives (Ziegler et al.
2019, arXiv:1909.08593), so that a KL coefficient means the same whatever the reward model.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.hidden import check_room
from rlhub.language.model import encode, encode_completion, load_policy
from rlhub.language.optimisation import FineTuning, pace
from rlhub.language.reward_losses import Ties, calibration, ranking_loss, rightly_ordered
from rlhub.language.rewards import Text, content
from rlhub.language.rollout import generate
from rlhub.language.rows import Group
from rlhub.language.scorer import Outputs, Scorer, load_scorer, read_head
from rlhub.language.sft import response
from rlhub.language.task import Example, Task, load_task, require_answer
from rlhub.language.update import MICRO_TOKENS, Terms

Scale = Literal["samples", "answers", "none"]
LARGEST = torch.finfo(torch.float32).max
"""Beyond it, scores are infinite as tensors, and two of them can't be told apart."""


@dataclass(frozen=True, kw_only=True)
class RewardModel(FineTuning):
    """A reward model from ranked answers.

    A row gives its prompt's answers in `completions` and how good they are in `scores` (more is better, equal is a tie), or one pair in
    `chosen` and `rejected`; a judge that isn't sure gives the `probability` with which its preference holds.

    Attributes:
        batch: prompts in one step.
        ties: what becomes of two answers with one score: drop leaves the pair out, half counts each as the better one half of the time.
        margin: how far apart two answers' rewards should lie for each unit between their scores.
        centring: weight of the square of a pair's summed rewards, which keeps rewards near 0.
        scale: what rewards are measured against at the end: samples (mean 0, standard deviation 1 over answers that the starting model
            gives), answers (mean 0 over the task's right answers, as InstructGPT does), or none: a model that is a reward model already
            keeps its scale, and with any other what the head says is the reward.
        samples: how many answers that takes.
        max_new_tokens: longest of them, in tokens.
    """

    batch: int = 16
    ties: Ties = "drop"
    margin: float = 0.0
    centring: float = 0.0
    scale: Scale = "samples"
    samples: int = 64
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "batch max_new_tokens", 0: "margin centring", 2: "samples"})

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = load_task(self.task, seed=run.seed)
        if self.scale == "answers":
            for example in self.scale_examples(run, task):
                require_answer(example)
        scorer = load_scorer(
            self.model,
            fresh=True,
            learning_rate=self.learning_rate,
            lora_rank=self.lora_rank,
            weight_decay=self.weight_decay,
            precision=self.precision,
            seed=run.seed,
        )
        self.check_rows(run, scorer, task)
        references = self.references(run, scorer, task)

        for step in run.resume(self.steps, scorer=scorer):
            started = time.perf_counter()
            examples = task.sample(self.batch, step=step, seed=run.seed)
            groups, scores = ranked(scorer, task, examples, step=step)
            counts = torch.tensor([len(group.completions) for group in groups])
            prompts = torch.arange(len(groups)).repeat_interleave(counts)
            columns = {"scores": scores, "prompts": prompts, "sure": sureness(task, examples).repeat_interleave(counts)}
            normaliser = max(sum(has_pair(part, self.ties) for part in by_prompt(scores, prompts)), 1)
            metrics = self.change(scorer, groups, self.objective, step=step, normaliser=float(normaliser), columns=columns, read=read_head)
            if step == self.steps:
                metrics |= self.tested(scorer, task)
                self.set_scale(scorer, references)
            tokens = sum(len(completion) for group in groups for completion in group.completions)
            judged = max(metrics.pop("judged"), 1.0)
            run.log(step, **metrics | {"accuracy": metrics["accuracy"] / judged}, **pace(tokens, started))

    def objective(
        self,
        outputs: Outputs,
        *,
        scores: Float[Tensor, " answers"],
        prompts: Int[Tensor, " answers"],
        sure: Float[Tensor, " answers"] | None = None,
    ) -> Terms:
        """The losses of a micro-batch's prompts.

        Args:
            outputs: what the head says of their answers.
            scores: how good the answers are.
            prompts: which prompt each belongs to.
            sure: the probability with which the better of a prompt's answers is the better one; by default 1.
        """
        rewards = outputs.last[:, 0]
        sure = torch.ones_like(scores) if sure is None else sure
        loss, right, judged = 0.0 * rewards.sum(), *torch.zeros(2, device=scores.device)
        by = [by_prompt(column, prompts) for column in (rewards, scores, sure)]
        for given, wanted, chance in zip(*by, strict=True):
            if not has_pair(wanted, self.ties):
                continue
            lost, ordered = ranking_loss(given, wanted, ties=self.ties, margin=self.margin, centring=self.centring, sure=float(chance[0]))
            loss = loss + lost
            if ordered.isfinite():
                right, judged = right + ordered, judged + 1
        return Terms(loss=loss, sums={"accuracy": right, "judged": judged})

    def tested(self, scorer: Scorer, task: Task) -> dict[str, float]:
        """Accuracy and calibration on the task's test split, where it has one."""
        if "test" not in task.splits:
            return {}
        margins = torch.cat(margins_on(scorer, task, task.examples("test"), micro_tokens=self.micro_tokens))
        return {"test_accuracy": float(rightly_ordered(margins).mean()), "test_calibration_error": calibration(margins)[1]}

    def check_rows(self, run: Run, scorer: Scorer, task: Task) -> None:
        """Refuse rows that the training would come to, or its test, before it begins.

        Raises:
            UserError: a row's answers can't be ranked, or don't fit the model.
        """
        count = min(self.steps * self.batch, len(task.split("train")))
        shown = task.sample(count, step=1, seed=run.seed)
        sureness(task, shown)
        for example in chain(shown, task.splits.get("test", [])):
            check_room(scorer.bare, ranked(scorer, task, [example], step=0)[0])

    def scale_examples(self, run: Run, task: Task) -> list[Example]:
        """Whose answers the scale is measured on."""
        return task.sample(self.samples, step=1, seed=run.seed)

    def references(self, run: Run, scorer: Scorer, task: Task) -> list[Group]:
        """The answers that the scale is measured on; none where none is asked for.

        Raises:
            UserError: one of them doesn't fit the model.
        """
        if self.scale == "none":
            return []
        examples = self.scale_examples(run, task)
        prompts = [example.prompt for example in examples]
        if self.scale == "samples":
            starting = load_policy(self.model, learning_rate=0.0, precision=self.precision)
            drawn = generate(starting, examples, max_new_tokens=self.max_new_tokens, generator=run.generator("reference samples"))
            groups = as_scored(scorer, prompts, [texts[0] for texts in drawn.texts], drawn.ended.flatten().tolist())
        else:
            groups = as_scored(scorer, prompts, [require_answer(example) for example in examples])
        check_room(scorer.bare, groups)
        return groups

    def set_scale(self, scorer: Scorer, references: Sequence[Group]) -> None:
        """Give rewards their scale, from the answers that it is measured on."""
        if not references:
            return
        scorer.gain, scorer.bias = 1.0, 0.0  # one that began as a reward model brings its scale along
        scores = scores_of(scorer, references, micro_tokens=self.micro_tokens)
        scorer.gain = 1 / max(float(scores.std()), 1e-6) if self.scale == "samples" else 1.0
        scorer.bias = -scorer.gain * float(scores.mean())


def ranked(scorer: Scorer, task: Task, examples: Sequence[Example], *, step: int) -> tuple[list[Group], Float[Tensor, " answers"]]:
    """Each example's prompt with all its answers, and how good they are.

    Raises:
        UserError: a row's answers and scores don't go together.
    """
    groups, scores = [], []
    for example in examples:
        answers, given = example.columns.get("completions"), example.columns.get("scores")
        if answers is None and given is None:
            chosen, rejected = task.preference([example], step=step)
            answers, given = [*chosen, *rejected], [1.0, 0.0]
        if not (
            isinstance(answers, list)
            and isinstance(given, list)
            and len(answers) == len(given) > 1
            and all(isinstance(answer, str) for answer in answers)
            and all(isinstance(score, int | float) and not isinstance(score, bool) and abs(score) <= LARGEST for score in given)
        ):
            raise UserError(
                f"the task {task.name} has a row whose answers can't be ranked (prompt {str(example.prompt)[:60]!r}): "
                "give two or more texts in completions and as many finite numbers in scores, or chosen and rejected"
            )
        groups.append(
            Group(
                prompt=encode(scorer.tokenizer, example.prompt),
                completions=[response(scorer, answer, to=example.prompt) for answer in answers],
            )
        )
        scores += [float(score) for score in given]
    return groups, torch.tensor(scores)


def sureness(task: Task, examples: Sequence[Example]) -> Float[Tensor, " prompts"]:
    """The probability with which each row's preference holds, where its column `probability` says one; else 1.

    Raises:
        UserError: it is no probability.
    """
    found = [example.columns.get("probability", 1.0) for example in examples]
    for example, chance in zip(examples, found, strict=True):
        if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
            raise UserError(
                f"the task {task.name} has a row whose probability is {chance!r} (prompt {str(example.prompt)[:60]!r}); give a number "
                "from 0 to 1, or leave the column out"
            )
    return torch.tensor([float(chance) for chance in found])


def as_scored(scorer: Scorer, prompts: Sequence[Text], texts: Sequence[str], ended: Sequence[bool] | None = None) -> list[Group]:
    """Answers as a reward model sees them: in its own tokens, with the end token where they ended.

    Args:
        scorer: the reward model.
        prompts: one an answer.
        texts: the answers.
        ended: whether each came to its end; by default all did.
    """
    whole = [True] * len(texts) if ended is None else ended
    # What was cut off before it said anything has no token of its own to be scored at.
    answers = [
        response(scorer, text, to=prompt) if end or not text else encode_completion(scorer.tokenizer, text)
        for prompt, text, end in zip(prompts, texts, whole, strict=True)
    ]
    return [Group(prompt=encode(scorer.tokenizer, prompt), completions=[answer]) for prompt, answer in zip(prompts, answers, strict=True)]


def by_prompt(values: Float[Tensor, " answers"], prompts: Int[Tensor, " answers"]) -> list[Tensor]:
    """The values of each prompt's answers."""
    return list(values.split(prompts.unique_consecutive(return_counts=True)[1].tolist()))


def has_pair(scores: Float[Tensor, " answers"], ties: Ties) -> bool:
    """Whether there is a pair to learn from among a prompt's answers."""
    return ties == "half" or bool((scores != scores[0]).any())


def scores_of(scorer: Scorer, groups: Sequence[Group], *, micro_tokens: int = MICRO_TOKENS) -> Float[Tensor, " completions"]:
    """The rewards of all completions, on their scale."""
    return scorer.scaled(scorer.read_all(groups, micro_tokens=micro_tokens).last[:, 0])


def margins_on(
    scorer: Scorer, task: Task, examples: Sequence[Example], *, micro_tokens: int = MICRO_TOKENS
) -> list[Float[Tensor, " pairs"]]:
    """By how much the better answer's score is higher, for each example's pairs that are no ties, before any scale."""
    groups, scores = ranked(scorer, task, examples, step=0)
    given = (scores_of(scorer, groups, micro_tokens=micro_tokens) - scorer.bias) / scorer.gain
    sizes = [len(group.completions) for group in groups]
    margins = []
    for values, wanted in zip(given.split(sizes), scores.split(sizes), strict=True):
        first, second = torch.triu_indices(len(values), len(values), offset=1)
        lead = (wanted[first] - wanted[second]).sign()
        margins.append(((values[first] - values[second]) * lead)[lead != 0])
    return margins


class ModelReward:
    """A reward model as a reward function: `reward-model:RUN`."""

    def __init__(self, name: str) -> None:
        """Load it."""
        self.__name__ = f"reward-model:{name}"
        self._scorer = load_scorer(name, fresh=False)

    def __call__(self, prompts: list[Text], completions: list[Text], *, ended: list[bool] | None = None, **_: Any) -> list[float]:
        """The reward of each completion, its end token included where it ended."""
        groups = as_scored(self._scorer, prompts, [content(completion) for completion in completions], ended)
        return [float(score) for score in scores_of(self._scorer, groups)]
