"""Preferences of a judge between a model's answers, by principles (Bai et al. 2022, arXiv:2212.08073, Sec. 4.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.constitution import Constitution, Messages, Principle, comparing
from rlhub.language.judge import Judge
from rlhub.language.principled import Principled, mean, messages_of
from rlhub.language.reward_losses import calibration, rightly_ordered
from rlhub.language.rollout import generate
from rlhub.language.stages import Rows
from rlhub.language.task import Example, load_task

PREFERENCES = "preferences.jsonl"
UNDECIDED = 1e-6
"""Log-odds below which a preference is only what rounding leaves of 1/2."""


@dataclass(frozen=True, kw_only=True)
class Compare(Principled):
    """Two answers to each prompt, and which of them a judge prefers by a principle.

    The judge is asked twice, with the answers in both orders, and what it says is averaged, so that a liking for (A) cancels out. With
    pairs whose better answer is known, it is asked about those first, and what it says later is brought to the confidence that it has
    earned there.

    Attributes:
        known: a task of pairs whose better answer is known; by default the judge is believed as it speaks.
        known_pairs: how many of them the judge is asked about, at most; all, where there are fewer.
        temperature: answers are sampled at.
        least: preferences that are no farther from 1/2 than this are left out.
    """

    known: str = ""
    known_pairs: int = 64
    temperature: float = 1.0
    least: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what can't be made with."""
        super().__post_init__()
        check_fields(self, at_least={0: "least", 2: "known_pairs"}, above={0: "temperature"})
        if self.least >= 0.5:
            raise UserError(f"least is {self.least}; no preference is further from 1/2 than 1/2")

    def train(self, run: Run) -> None:
        """Make the preferences in a run."""
        principles, task, policy, judge = self.begin(run)
        made = Rows(run, PREFERENCES)
        trust = self.trusted(run, principles, judge)

        for step in run.resume(self.steps, rows=made):
            examples = task.sample(self.batch, step=step, seed=run.seed)
            drawn = generate(
                policy,
                examples,
                group=2,
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                generator=run.generator("answers", step),
            )
            by = [principles.drawn(run.seed, step, place) for place in range(len(examples))]
            # What is kept is what was drawn: to a prompt that is text the space before an answer belongs to its tokens.
            lines = [
                (messages_of(example.prompt), one.strip(), other.strip(), law)
                for example, (one, other), law in zip(examples, drawn.texts, by, strict=True)
            ]
            straight, swapped = asked_both_ways(judge, lines)
            chances = trust.held([(there + 1 - back) / 2 for there, back in zip(straight, swapped, strict=True)])
            rows = [
                {
                    "prompt": example.prompt,
                    "chosen": one if chance >= 0.5 else other,
                    "rejected": other if chance >= 0.5 else one,
                    "probability": max(chance, 1 - chance),
                    "principle": law.name,
                }
                for example, (one, other), law, chance in zip(examples, drawn.texts, by, chances, strict=True)
                if one.strip() != other.strip() and abs(chance - 0.5) > self.least
            ]
            made.add(rows)
            if step == self.steps and not made.rows:
                raise UserError(
                    "the judge prefers neither of any two answers, so there is nothing to learn: ask another judge, or about more prompts"
                )
            # A judge that finds both answers as good holds no opinion that it could agree with.
            decided = [(there > 0.5) == (back < 0.5) for there, back in zip(straight, swapped, strict=True) if 0.5 not in (there, back)]
            run.log(
                step,
                rows=len(made.rows),
                first_preferred=mean([*straight, *swapped]),
                tokens=int(drawn.mask.sum()),
                **({"agrees_with_itself": mean(decided)} if decided else {}),
                **(trust.told if step == 1 else {}),
            )

    def trusted(self, run: Run, principles: Constitution, judge: Judge) -> "Trust":
        """How far the judge is to be believed, by what it says of pairs that are known."""
        if not self.known:
            return Trust()
        examples, chosen, rejected = pairs_that_are_known(self.known, self.known_pairs, seed=run.seed)
        by = [principles.drawn(run.seed, "known", place) for place in range(len(examples))]
        lines = [
            (messages_of(example.prompt), better.strip(), worse.strip(), law)
            for example, better, worse, law in zip(examples, chosen, rejected, by, strict=True)
        ]
        straight, swapped = asked_both_ways(judge, lines)
        return trust_in(torch.tensor([(there + 1 - back) / 2 for there, back in zip(straight, swapped, strict=True)]))


def pairs_that_are_known(known: str, most: int, *, seed: int) -> tuple[list[Example], list[str], list[str]]:
    """Examples of a task of pairs, none of them twice, with the better and the worse answer of each.

    Args:
        known: the task.
        most: how many; all, where there are fewer.
        seed: which.

    Raises:
        UserError: the task can't be read, or an example has no pair.
    """
    task = load_task(known, seed=seed)
    examples = task.sample(min(most, len(task.split("train"))), step=1, seed=seed)
    return examples, *task.preference(examples)


Line: TypeAlias = tuple[Messages, str, str, Principle]
"""A prompt, two answers, and the principle by which they are compared."""


def asked_both_ways(judge: Judge, lines: Sequence[Line]) -> tuple[list[float], list[float]]:
    """The probability that a judge gives to (A), with the first answer as (A) and with the second."""
    options = {"first": "(A", "second": "(B"}
    straight = judge.choose([comparing(asked, one, other, law) for asked, one, other, law in lines], **options)
    swapped = judge.choose([comparing(asked, other, one, law) for asked, one, other, law in lines], **options)
    return straight, swapped


@dataclass(frozen=True, kw_only=True)
class Trust:
    """How far a judge is believed.

    Attributes:
        scale: what the log-odds of its preferences are multiplied by: the inverse of a temperature.
        told: for the log: its accuracy on known pairs, its calibration error as it speaks (`judge_calibration_error`) and as it is believed
            (`held_calibration_error`: on the pairs that the temperature was fitted to, so it flatters where they are few), and the
            temperature.
    """

    scale: float = 1.0
    told: Mapping[str, float] = field(default_factory=dict)

    def held(self, chances: Sequence[float]) -> list[float]:
        """Probabilities as they are believed."""
        return list(chances) if self.scale == 1 else torch.sigmoid(self.scale * log_odds(torch.tensor(chances))).tolist()


def trust_in(chances: Float[Tensor, " pairs"]) -> Trust:
    """The temperature with which a judge's preferences are likeliest on pairs whose better answer is known (Guo et al. 2017).

    The better answers count as better with probability (n + 1) / (n + 2) and not 1, so that a judge that is always right isn't believed
    without limit (Platt 1999).

    Args:
        chances: that the judge gives to the better answer of each pair.

    Raises:
        UserError: it prefers none of the answers, or on the whole not the better ones.
    """
    odds, wanted = log_odds(chances), (len(chances) + 1) / (len(chances) + 2)
    accuracy = float(rightly_ordered(odds).mean())
    if float(odds.abs().max()) < UNDECIDED:
        raise UserError(f"the judge prefers neither answer in any of {len(chances)} known pairs, asked in both orders: ask another judge")
    if odds.mean() <= 0:
        raise UserError(
            f"the judge finds the better answer in {accuracy:.0%} of {len(chances)} known pairs, and on the whole it doesn't lean to the "
            "better ones: ask another judge"
        )
    low, high = 0.0, 100.0 / float(odds.abs().max())
    # The loss is convex in the scale, and its slope grows from below 0.
    for _ in range(60):
        scale = (low + high) / 2
        slope = (odds * (torch.sigmoid(scale * odds) - wanted)).mean()
        low, high = (scale, high) if slope < 0 else (low, scale)
    told = {
        "judge_accuracy": accuracy,
        "judge_calibration_error": calibration(odds)[1],
        "held_calibration_error": calibration(scale * odds)[1],
        "judge_temperature": 1 / scale,
    }
    return Trust(scale=scale, told=told)


def log_odds(chances: Float[Tensor, " pairs"]) -> Float[Tensor, " pairs"]:
    """log p / (1 - p), short of certainty."""
    return chances.double().clamp(1e-6, 1 - 1e-6).logit()
