"""From a study's measurements to one number for each claim, with its interval over seeds and its null. No model is loaded here."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from rlhub.core.seeding import generator
from rlhub.lens.agreement import pearson
from rlhub.studies.claims import CLAIMS, Claim, Evidence, Judgement, joined_interval, judge, seed_interval
from rlhub.studies.instruments import MOVED, mean
from rlhub.studies.names import CONTROL, NAMES

Report = dict[str, Any]
Found = TypeVar("Found")
RESAMPLES = 1000
DROPPED = 0.5
"""What may be left of a preference that has been dropped."""
SHIFTS = (3, 4, 5, 6, 7, 8)
"""Layers by which a tracing map is moved for the null of "facts stay where they are"."""


def judgements(report: Report) -> list[tuple[Claim, Evidence | None, Judgement]]:
    """Every claim with this study's evidence and the verdict of its rule."""
    found = []
    for claim in CLAIMS:
        measure = MEASURES.get(claim.key)
        evidence = measure(report) if measure else None
        found.append((claim, evidence, judge(claim.rule, evidence)))
    return found


def runs_of(report: Report, arm: str) -> list[str]:
    """An arm's runs, in the order of their seeds."""
    return [run for run in report["last"] if run.rpartition("-seed")[0] == arm]


def arms_of(report: Report) -> list[str]:
    """The arms that were trained, in the order in which they are told."""
    return [arm for arm in NAMES if runs_of(report, arm)]


def signals_of(report: Report) -> list[str]:
    """The same without the control."""
    return [arm for arm in arms_of(report) if arm != CONTROL]


def at_the_end(report: Report, arm: str, read: Callable[[dict[str, Any]], float]) -> list[float]:
    """A number of each of an arm's last checkpoints."""
    return [read(report["measured"][report["last"][run]]) for run in runs_of(report, arm)]


def at_equal_accuracy(report: Report, arm: str, read: Callable[[dict[str, Any]], Found]) -> list[Found]:
    """What was found in each of an arm's checkpoints nearest to the common accuracy."""
    matched = report["matched"]["train"]
    return [read(report["measured"][f"{run}@{matched[run]['step']}"]) for run in runs_of(report, arm) if run in matched]


def over_seeds(
    values: Sequence[float],
    null: Sequence[float] = (),
    null_kind: str = "",
    *,
    seeds: int | None = None,
    detail: dict[str, float] | None = None,
) -> Evidence | None:
    """The mean over seeds with Student's interval; None without any value."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return None
    return Evidence(
        value=mean(known),
        interval=seed_interval(known),
        seeds=len(values) if seeds is None else seeds,
        null=tuple(null),
        null_kind=null_kind,
        detail=tuple((detail or {}).items()),
    )


def difference(
    report: Report, first: str, second: str, read: Callable[[dict[str, Any]], dict[str, Any]], *, resampled: str = ""
) -> Evidence | None:
    """One arm minus another, seed by seed, at matched accuracy; the interval is over seeds and over what each number was measured on.

    The null is one seed minus another of the same arm and, for a circuit's number named in `resampled`, one minus another sample of
    prompts in the base: seeds share their prompts, so their agreement alone says nothing of what other prompts would give.
    """
    sides = [at_equal_accuracy(report, arm, read) for arm in (first, second)]
    ours, theirs = ([one["value"] for one in side] for side in sides)
    null = [one - other for values in (ours, theirs) for one, other in itertools.permutations(values, 2)]
    kind = "seed minus seed of one signal"
    if resampled:
        drawn = report["measured"]["base"]["circuit"]["resampled"][resampled]["values"]
        null += [one - other for one, other in itertools.pairwise(drawn)]
        kind += ", and base minus base on resampled prompts"
    paired = [apart(one, other) for one, other in zip(*sides, strict=False)]
    found = over_seeds([one["value"] for one in paired], null, kind, detail={first: mean(ours), second: mean(theirs)})
    return found and replace(found, interval=joined_interval(paired), missing=not_matched(report, (first, second)))


def apart(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The difference of two numbers, as far as their own intervals let it vary if they vary apart from one another."""
    value = one["value"] - other["value"]
    reach = math.hypot(*((end[1] - end[0]) / 2 for end in (one["interval"], other["interval"])))
    return {"value": value, "interval": (value - reach, value + reach)}


def not_matched(report: Report, arms: Sequence[str]) -> str:
    """Why arms can't be compared at one accuracy, where a run's nearest checkpoint lies farther from it than the base's own interval."""
    low, high = report["measured"]["base"]["behaviour"]["train"]["interval"]
    matched = report["matched"]["train"]
    found = [matched[run] for arm in arms for run in runs_of(report, arm) if run in matched]
    far = max(found, key=lambda one: abs(one["value"] - one["target"]), default=None)
    if far is None or abs(far["value"] - far["target"]) <= (high - low) / 2:
        return ""
    return f"accuracies don't match: {far['run']}'s nearest checkpoint is at {far['value']:.2f}, where {far['target']:.2f} was aimed at"


def worst_arm(report: Report, read: Callable[[dict[str, Any]], float]) -> tuple[str, list[float]]:
    """The arm whose last checkpoints have the smallest mean, and its values."""
    found = {arm: at_the_end(report, arm, read) for arm in signals_of(report)}
    return min(found.items(), key=lambda item: mean(item[1])) if found else ("", [])


def means_by_arm(report: Report, read: Callable[[dict[str, Any]], float]) -> dict[str, float]:
    """The mean over seeds of every arm's last checkpoints."""
    found = {arm: at_the_end(report, arm, read) for arm in arms_of(report)}
    means = {arm: mean([value for value in values if not math.isnan(value)]) for arm, values in found.items()}
    return {arm: value for arm, value in means.items() if not math.isnan(value)}


def moved(measured: dict[str, Any]) -> float:
    """The part of the parameters that moved."""
    return measured["weights"]["absolute"][f"{MOVED:g}"]


def rounded_away(measured: dict[str, Any]) -> float:
    """The part of the parameters that moved in float32 and is unchanged in bfloat16."""
    weights = measured["weights"]
    return 1 - weights["bfloat16"] / weights["absolute"]["0"] if weights["absolute"]["0"] else math.nan


def sparse(report: Report) -> Evidence | None:
    """Part of parameters moved by GRPO."""
    null = at_the_end(report, CONTROL, moved)
    return over_seeds(at_the_end(report, "grpo", moved), null, "random reward", detail=means_by_arm(report, moved))


def by_rounding(report: Report) -> Evidence | None:
    """Part of GRPO's changes that bfloat16 would hide."""
    return over_seeds(at_the_end(report, "grpo", rounded_away), detail=means_by_arm(report, rounded_away))


def full_rank(report: Report) -> Evidence | None:
    """Numerical rank of GRPO's change."""

    def rank(measured: dict[str, Any]) -> float:
        return measured["inside"]["spectra"]["numerical_rank"]

    detail = means_by_arm(report, lambda measured: measured["inside"]["spectra"]["energy_rank"])
    return over_seeds(
        at_the_end(report, "grpo", rank),
        at_the_end(report, CONTROL, rank),
        "random reward",
        detail={f"rank to 99% energy, {arm}": value for arm, value in detail.items()},
    )


def seed_overlap(report: Report) -> Evidence | None:
    """Overlap of GRPO seeds' changes beyond chance."""

    def beyond_chance(first: list[str], second: list[str]) -> list[float]:
        names = {f"{one}~{other}" for one in first for other in second} | {f"{other}~{one}" for one in first for other in second}
        return [pair["moved"]["shared"] - pair["moved"]["chance"] for name, pair in report["pairs"].items() if name in names]

    runs = runs_of(report, "grpo")
    same = beyond_chance(runs, runs)
    return over_seeds(same, beyond_chance(runs, runs_of(report, CONTROL)), "GRPO against random reward", seeds=len(runs))


def forgetting_by_kl(report: Report) -> Evidence | None:
    """Signed R2 of forgetting on forward KL over all checkpoints; runs are drawn anew for the interval, KLs dealt out for the null."""
    before = report["measured"]["base"]["behaviour"]["untouched"]["value"]
    points: dict[str, list[tuple[float, float]]] = {}
    for name, found in report["measured"].items():
        if "@" in name:
            behaviour = found["behaviour"]
            points.setdefault(name.partition("@")[0], []).append(
                (behaviour["forward_kl"]["value"], before - behaviour["untouched"]["value"])
            )
    everything = torch.tensor([point for run in points.values() for point in run], dtype=torch.float64)
    if len(everything) < 4:
        return None
    draws, runs = generator(0, "forgetting"), list(points.values())
    resampled = []
    for _ in range(RESAMPLES):
        chosen = torch.randint(len(runs), (len(runs),), generator=draws).tolist()
        resampled.append(signed_r2(torch.tensor([point for run in chosen for point in runs[run]], dtype=torch.float64)))
    kept = torch.tensor([value for value in resampled if not math.isnan(value)], dtype=torch.float64)
    shuffled = [
        signed_r2(torch.stack([everything[torch.randperm(len(everything), generator=draws), 0], everything[:, 1]], 1)) for _ in range(200)
    ]
    most = float(everything[:, 1].max())
    ends = kept.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist() if len(kept) else None
    return Evidence(
        value=signed_r2(everything),
        interval=(ends[0], ends[1]) if ends else None,
        seeds=report["asked"]["seeds"],
        null=tuple(value for value in shuffled if not math.isnan(value)),
        null_kind="KLs dealt out at random",
        detail=(("checkpoints", float(len(everything))), ("largest loss of accuracy", most)),
        missing=nothing_forgotten(report, most),
    )


def nothing_forgotten(report: Report, most: float) -> str:
    """Why nothing can be said of forgetting where the largest loss of accuracy on untouched facts lies within the base's interval."""
    low, high = report["measured"]["base"]["behaviour"]["untouched"]["interval"]
    if most > (high - low) / 2:
        return ""
    if most <= 0:
        return "nothing was forgotten: no checkpoint compared loses anything"
    return f"nothing was forgotten: no checkpoint compared loses more than {most:.2g}, within the base's interval"


def signed_r2(points: Float[Tensor, "points 2"]) -> float:
    """The squared correlation of two columns, negative where they go opposite ways; NaN where one is constant."""
    correlation = pearson(points[:, 0], points[:, 1])
    return correlation * abs(correlation)


def rl_forgets_less(report: Report) -> Evidence | None:
    """Accuracy on untouched relations."""

    def untouched(measured: dict[str, Any]) -> dict[str, Any]:
        return measured["behaviour"]["untouched"]

    found = difference(report, "grpo", "sft", untouched)
    reached = [one["value"] for arm in ("grpo", "sft") for one in at_equal_accuracy(report, arm, untouched)]
    if found is None:
        return None
    most = untouched(report["measured"]["base"])["value"] - min(reached)
    return replace(found, missing=found.missing or nothing_forgotten(report, most))


def rl_keeps_heads(report: Report) -> Evidence | None:
    """Heads of the base's circuit that are kept."""
    return difference(report, "grpo", "sft", lambda measured: measured["circuit"]["alike"]["heads"], resampled="heads")


def sft_adds_heads(report: Report) -> Evidence | None:
    """Heads that come into the circuit."""
    return difference(report, "sft", "grpo", lambda measured: measured["circuit"]["alike"]["added"], resampled="added")


def circuit_reused(report: Report) -> Evidence | None:
    """The base's circuit in the trained models."""

    def at_reference(found: dict[str, Any], number: str) -> float:
        return found[number][found["sizes"].index(report["reference_size"])]

    def ratio(measured: dict[str, Any]) -> float:
        return at_reference(measured["circuit"]["bases"], "curve") / at_reference(measured["circuit"]["own"], "curve")

    def right(measured: dict[str, Any]) -> float:
        return at_reference(measured["circuit"]["bases"], "right") / measured["circuit"]["bases"]["whole_right"]

    arm, values = worst_arm(report, ratio)
    null = [
        value / at_reference(report["measured"][report["last"][run]]["circuit"]["own"], "curve")
        for run in runs_of(report, arm)
        for value in report["measured"][report["last"][run]]["circuit"]["random"]
    ]
    detail = means_by_arm(report, ratio) | {f"accuracy ratio, {name}": value for name, value in means_by_arm(report, right).items()}
    return over_seeds(values, null, "random circuits of that size", detail=detail)


def nodes_stable(report: Report) -> Evidence | None:
    """Edges lost minus nodes lost, beyond what resampling loses."""
    null = report["measured"]["base"]["circuit"]["resampled"]

    def gap(measured: dict[str, Any]) -> float:
        alike = measured["circuit"]["alike"]
        return (null["edges"]["mean"] - alike["edges"]["value"]) - (null["nodes"]["mean"] - alike["nodes"]["value"])

    by_arm = [at_the_end(report, arm, gap) for arm in signals_of(report)]
    by_seed = [mean(list(values)) for values in zip(*by_arm, strict=True)]
    return over_seeds(by_seed, at_the_end(report, CONTROL, gap), "random reward", detail=means_by_arm(report, gap))


def dpo_bypasses(report: Report) -> Evidence | None:
    """What is left of the base's preference for its own wrong answers in DPO's middle layers, and at its output."""
    if "wrong" not in report["measured"]["base"]["inside"]:
        return None
    base = torch.tensor(report["measured"]["base"]["inside"]["wrong"]["preference"]).mean(1)
    depths = len(base) - 1
    middle = [depth for depth in range(depths // 2, depths - max(1, depths // 8)) if base[depth] > 0]
    if not middle or base[-1] <= 0:
        return None

    def left(measured: dict[str, Any]) -> float:
        preference = torch.tensor(measured["inside"]["wrong"]["preference"]).mean(1)
        return float(preference[middle].sum() / base[middle].sum())

    def output(measured: dict[str, Any]) -> float:
        return float(torch.tensor(measured["inside"]["wrong"]["preference"]).mean(1)[-1] / base[-1])

    detail = {f"left at the output, {arm}": value for arm, value in means_by_arm(report, output).items()}
    detail |= {f"left in the middle, {arm}": value for arm, value in means_by_arm(report, left).items()}
    found = over_seeds(at_the_end(report, "dpo", left), at_the_end(report, CONTROL, left), "random reward", detail=detail)
    kept = detail.get("left at the output, dpo", 0.0)
    if found and kept > DROPPED:
        return replace(found, missing=f"nothing was bypassed: {kept:.2f} of the preference is still there at DPO's output, too")
    return found


def value_vectors(report: Report) -> Evidence | None:
    """Cosine of the MLPs' output vectors before and after."""

    def cosine(measured: dict[str, Any]) -> float:
        return measured["weights"]["value_vector_cosine"]

    return over_seeds(
        at_the_end(report, "dpo", cosine), at_the_end(report, CONTROL, cosine), "random reward", detail=means_by_arm(report, cosine)
    )


def facts_stay(report: Report) -> Evidence | None:
    """Correlation of causal-tracing maps; the null moves the base's map by 3 to 8 layers."""
    if "tracing" not in report["measured"]["base"]["inside"]:
        return None
    base = tracing_map(report["measured"]["base"])

    def alike(measured: dict[str, Any]) -> float:
        return correlation(base, tracing_map(measured))

    shifts = [shift for shift in SHIFTS if shift < base.shape[1]] or [1]
    null = [correlation(base, base.roll(sign * shift, dims=1)) for shift in shifts for sign in (1, -1)]
    _, values = worst_arm(report, alike)
    return over_seeds(values, null, "the base's own map moved by 3 to 8 layers", detail=means_by_arm(report, alike))


def tracing_map(measured: dict[str, Any]) -> Float[Tensor, "maps layers roles"]:
    """All tracing maps of one model, NaN where there is no such token."""
    return torch.stack(
        [
            torch.tensor([[math.nan if value is None else value for value in row] for row in found["effect"]])
            for found in measured["inside"]["tracing"]
        ]
    )


def correlation(first: Float[Tensor, "maps layers roles"], second: Float[Tensor, "maps layers roles"]) -> float:
    """Pearson's correlation over the cells that both have."""
    both = ~(first.isnan() | second.isnan())
    return pearson(first[both], second[both])


def truth_direction(report: Report) -> Evidence | None:
    """The base's truth direction in the trained models."""

    def ratio(measured: dict[str, Any]) -> float:
        return measured["inside"]["truth"]["ratio"]

    arm, values = worst_arm(report, ratio)
    found = [report["measured"][report["last"][run]]["inside"]["truth"] for run in runs_of(report, arm)]
    null = [value for one in found for value in one["random_ratios"]]
    detail = {
        f"cosine, {name}": value for name, value in means_by_arm(report, lambda measured: measured["inside"]["truth"]["cosine"]).items()
    }
    base = {"accuracy in the base": found[0]["base_accuracy"]} if found else {}
    return over_seeds(values, null, "random directions", detail=base | detail)


def constitutional(report: Report) -> Evidence | None:
    """Edges of the base's circuit that Constitutional AI keeps."""

    def kept(measured: dict[str, Any]) -> float:
        return measured["circuit"]["alike"]["edges"]["value"]

    return over_seeds(at_the_end(report, "constitutional", kept), at_the_end(report, CONTROL, kept), "random reward")


MEASURES: dict[str, Callable[[Report], Evidence | None]] = {
    "sparse": sparse,
    "sparsity-by-rounding": by_rounding,
    "full-rank": full_rank,
    "seed-overlap": seed_overlap,
    "forgetting-by-kl": forgetting_by_kl,
    "rl-forgets-less": rl_forgets_less,
    "rl-keeps-heads": rl_keeps_heads,
    "sft-adds-heads": sft_adds_heads,
    "circuit-reused": circuit_reused,
    "nodes-stable": nodes_stable,
    "dpo-bypasses": dpo_bypasses,
    "value-vectors-stay": value_vectors,
    "facts-stay-put": facts_stay,
    "truth-direction": truth_direction,
    "constitutional": constitutional,
}
