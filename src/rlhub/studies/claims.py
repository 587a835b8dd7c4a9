"""What the literature claims, and whether a study's numbers agree: by a stated rule, never by prose.

A claim says where a number lies (`Rule`); a study brings the number with its interval and its null (`Evidence`); `judge` compares the two:

1. Fewer seeds than the rule asks for (3), no interval, too few null values where a null is needed, or nothing to measure: can't tell.
2. The interval lies entirely where the claim says, and entirely outside the null's interval where a null is needed: agrees.
3. The interval lies entirely where the claim says it does not (and, for a difference between two trainings, outside the null's): disagrees.
4. Anything else: can't tell.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlhub.lens.compare import Comparison, against_null, student_quantile

Verdict = Literal["agrees", "disagrees", "can't tell at this scale", "not tested"]
CANT_TELL: Verdict = "can't tell at this scale"
Null = Literal["none", "needed", "needed both ways"]
SEEDS_NEEDED = 3
NULLS_NEEDED = 3


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Where a claim says that the number lies.

    Attributes:
        low: the claim holds above this.
        high: the claim holds below this.
        null: whether the number must also stand out from its null: not at all, to agree, or to agree and to disagree.
        seeds: seeds it takes to say anything.
    """

    low: float = -math.inf
    high: float = math.inf
    null: Null = "none"
    seeds: int = SEEDS_NEEDED

    @property
    def words(self) -> str:
        """The rule as a person reads it."""
        where = f"in ({self.low:g}, {self.high:g})" if math.isfinite(self.low + self.high) else ""
        where = where or (f"above {self.low:g}" if math.isfinite(self.low) else f"below {self.high:g}")
        beside = {"none": "", "needed": " and outside its null", "needed both ways": " and outside its null (to disagree, too)"}[self.null]
        return f"agrees if the whole interval is {where}{beside}; disagrees if none of it is; needs {self.seeds} seeds"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One row of the table.

    Attributes:
        key: a short name for machines.
        text: what is claimed.
        source: where.
        measured: what this study measured for it.
        rule: what the number must be, or None where nothing was measured.
        contested: who says otherwise.
    """

    key: str
    text: str
    source: str
    measured: str
    rule: Rule | None
    contested: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A study's number for a claim.

    Attributes:
        value: the number.
        interval: its 95% interval, over seeds where there are several; None where there is none to give.
        seeds: how many seeds it is from.
        null: values that the same number takes when nothing happened.
        null_kind: what "nothing happened" means.
        detail: further numbers, by name, shown beside.
        missing: why the number says nothing about the claim, where it does not (nothing was forgotten, so nothing can be predicted).
    """

    value: float
    interval: tuple[float, float] | None
    seeds: int
    null: tuple[float, ...] = ()
    null_kind: str = ""
    detail: tuple[tuple[str, float], ...] = ()
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict with the reason that the rule gives for it, and the number beside its null.

    Attributes:
        verdict: agrees, disagrees, can't tell at this scale, or not tested.
        reason: which part of the rule decided.
        comparison: the value beside its null; None where there was no evidence.
    """

    verdict: Verdict
    reason: str
    comparison: Comparison | None = None


def judge(rule: Rule | None, evidence: Evidence | None) -> Judgement:
    """The verdict on a claim, from numbers alone (see the top of this file)."""
    if rule is None and evidence is None:
        return Judgement(verdict="not tested", reason="this study has no number for it")
    if evidence is None or math.isnan(evidence.value):
        return Judgement(verdict=CANT_TELL, reason="what it takes to measure it is not in this study")
    comparison = against_null(evidence.value, list(evidence.null), interval=evidence.interval)
    if rule is None:
        return Judgement(verdict="not tested", reason="nobody has claimed anything to hold it against", comparison=comparison)
    missing = what_is_missing(rule, evidence)
    if missing:
        return Judgement(verdict=CANT_TELL, reason=missing, comparison=comparison)
    low, high = evidence.interval or (math.nan, math.nan)
    inside, outside = low > rule.low and high < rule.high, high <= rule.low or low >= rule.high
    if not inside and not outside:
        return Judgement(verdict=CANT_TELL, reason="the interval holds both what the claim says and what it denies", comparison=comparison)
    if not comparison.clear and (rule.null == "needed both ways" or (inside and rule.null == "needed")):
        return Judgement(verdict=CANT_TELL, reason="the interval reaches into its null's", comparison=comparison)
    if inside:
        return Judgement(verdict="agrees", reason="the whole interval lies where the claim says", comparison=comparison)
    return Judgement(verdict="disagrees", reason="the whole interval lies where the claim says it does not", comparison=comparison)


def what_is_missing(rule: Rule, evidence: Evidence) -> str:
    """Why nothing can be said, or an empty string."""
    if evidence.missing:
        return evidence.missing
    if evidence.seeds < rule.seeds:
        return f"{evidence.seeds} seed{'s' if evidence.seeds != 1 else ''}, and the rule needs {rule.seeds}"
    if evidence.interval is None or any(map(math.isnan, evidence.interval)):
        return "the number has no interval"
    count = sum(not math.isnan(value) for value in evidence.null)
    if rule.null != "none" and count < NULLS_NEEDED:
        return f"{count} null values, and the rule needs {NULLS_NEEDED}"
    return ""


def seed_interval(values: list[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student's interval of the mean over seeds; None for fewer than two."""
    values = [value for value in values if not math.isnan(value)]
    count = len(values)
    if count < 2:
        return None
    mean = sum(values) / count
    deviation = (sum((value - mean) ** 2 for value in values) / (count - 1)) ** 0.5
    reach = student_quantile(level, count - 1) * deviation / count**0.5
    return mean - reach, mean + reach


def joined_interval(found: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """The interval of a mean over runs that were asked the same questions: over seeds and over questions, added in squares.

    Runs share their questions, so how a mean would change with other questions doesn't shrink with more seeds, and runs that agree in
    every answer (or in none) would have no interval at all by their seeds alone.

    Args:
        found: each run's `value`, with its own `interval` over questions where it has one; one run's is returned as it is.
    """
    known = [one for one in found if not math.isnan(one["value"])]
    own = [(one["interval"][0], one["interval"][1]) for one in known if one.get("interval")]
    ends = seed_interval([one["value"] for one in known])
    if ends is None or not own:
        return ends or (own[0] if own else None)
    reach = math.hypot((ends[1] - ends[0]) / 2, sum(high - low for low, high in own) / (2 * len(own)))
    middle = sum(ends) / 2
    return middle - reach, middle + reach


CLAIMS = (
    Claim(
        key="sparse",
        text="RL updates 5-30% of the parameters",
        source="arXiv:2505.11711",
        contested="arXiv:2511.08567",
        measured="part of GRPO's parameters that moved by more than 1e-5, float32 weights; the random reward as null, shown only",
        rule=Rule(low=0.05, high=0.30),
    ),
    Claim(
        key="sparsity-by-rounding",
        text="The sparsity of RL's update is mostly bfloat16 rounding",
        source="arXiv:2511.08567",
        contested="arXiv:2505.11711",
        measured="part of GRPO's moved float32 parameters that are unchanged once both sides are rounded to bfloat16",
        rule=Rule(low=0.5),
    ),
    Claim(
        key="full-rank",
        text="RL's update is nearly of full rank",
        source="arXiv:2505.11711",
        measured="numerical rank of GRPO's change over the full rank, mean over matrices; the random reward as null, shown only",
        rule=Rule(low=0.95),
    ),
    Claim(
        key="seed-overlap",
        text="RL's updates overlap across seeds",
        source="arXiv:2505.11711",
        measured="part of a GRPO seed's moved parameters (1e-5) that another seed moved, minus chance; null: GRPO against random reward",
        rule=Rule(low=0.0, null="needed"),
    ),
    Claim(
        key="forgetting-by-kl",
        text="Forgetting is predicted by forward KL(base || policy) on the new task (R2 .71-.96)",
        source="arXiv:2509.04259",
        contested="arXiv:2607.04364",
        measured="R2 of the accuracy lost on untouched facts on forward KL over all checkpoints; null: KLs dealt out at random",
        rule=Rule(low=0.71, null="needed"),
    ),
    Claim(
        key="rl-forgets-less",
        text="On-policy RL forgets less than SFT",
        source="arXiv:2509.04259",
        contested="arXiv:2607.04364",
        measured="accuracy on untouched facts, GRPO minus SFT at matched accuracy; null: seed against seed of one signal",
        rule=Rule(low=0.0, null="needed both ways"),
    ),
    Claim(
        key="rl-keeps-heads",
        text="RL keeps the circuit's heads better than SFT",
        source="arXiv:2605.28860",
        measured="part of the base circuit's heads kept in training, GRPO minus SFT at matched accuracy; null: seeds and resampled prompts",
        rule=Rule(low=0.0, null="needed both ways"),
    ),
    Claim(
        key="sft-adds-heads",
        text="SFT adds heads to the circuit, GRPO few",
        source="arXiv:2509.25758",
        measured="heads new to the circuit, SFT minus GRPO at matched accuracy; null: seeds and resampled prompts",
        rule=Rule(low=0.0, null="needed both ways"),
    ),
    Claim(
        key="circuit-reused",
        text="Fine-tuning reuses the base's circuit",
        source="arXiv:2402.14811",
        measured="faithfulness of the base's circuit in the trained model over its own circuit's of that size, worst arm; "
        "null: random circuits of that size",
        rule=Rule(low=0.85, null="needed"),
    ),
    Claim(
        key="nodes-stable",
        text="Fine-tuning keeps the circuit's nodes and changes its edges",
        source="arXiv:2502.11812",
        measured="part of edges lost minus part of nodes lost, each beyond what resampled prompts lose in the base; null: random reward",
        rule=Rule(low=0.0, null="needed both ways"),
    ),
    Claim(
        key="dpo-bypasses",
        text="DPO bypasses rather than removes",
        source="arXiv:2401.01967",
        contested="arXiv:2411.06424",
        measured="how much of the base's preference for its own wrong answers is still read off DPO's middle layers (logit lens) where the "
        "output has dropped it",
        rule=Rule(low=0.5),
    ),
    Claim(
        key="value-vectors-stay",
        text="DPO hardly moves the MLPs' value vectors (cosine above .99)",
        source="arXiv:2401.01967",
        measured="cosine of each MLP output vector before and after DPO, mean over all",
        rule=Rule(low=0.99),
    ),
    Claim(
        key="facts-stay-put",
        text="Post-training leaves facts where they are",
        source="arXiv:2504.02904",
        measured="correlation of causal-tracing maps (MLP and attention, layer by token) before and after, worst arm; "
        "null: the base's own map moved by 3 to 8 layers",
        rule=Rule(low=0.8, null="needed"),
    ),
    Claim(
        key="truth-direction",
        text="The truth direction survives post-training",
        source="arXiv:2504.02904",
        measured="accuracy of the base's true-against-false direction on the trained model's activations, over that of its own direction, "
        "worst arm; null: random directions",
        rule=Rule(low=0.9, null="needed"),
    ),
    Claim(
        key="refusal-direction",
        text="The refusal direction moves in post-training",
        source="arXiv:2504.02904",
        measured="nothing: a model of 135M parameters hardly refuses anything, so there is no direction to follow",
        rule=Rule(high=0.9),
    ),
    Claim(
        key="constitutional",
        text="What Constitutional AI does to circuits",
        source="no circuit study found",
        measured="part of the base circuit's edges that are in the circuit after Constitutional AI; null: random reward",
        rule=None,
    ),
)  # fmt: skip
