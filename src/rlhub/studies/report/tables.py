"""A report's tables and sentences as plain text cells, shared by the page and by the Markdown."""

import datetime
import math
from collections.abc import Sequence
from typing import Any

from rlhub.core.progress import clock
from rlhub.studies.arms import CONTROL, SIGNALS
from rlhub.studies.circuits import FAITHFUL, HEADS, SHARE
from rlhub.studies.claims import seed_interval
from rlhub.studies.evidence import runs_of
from rlhub.studies.instruments import mean

Report = dict[str, Any]
Table = list[list[str]]
NAMES = {"base": "base", "sft": "SFT", "dpo": "DPO", "grpo": "GRPO", CONTROL: "random reward"}
SIGNAL_WORDS = {
    "sft": "imitates the right answers",
    "dpo": "learns to prefer the right answer to what the base says instead",
    "grpo": "tries a group of answers, is rewarded for right ones",
    CONTROL: "GRPO rewarded by a coin: the control",
}


def arms_of(report: Report) -> list[str]:
    """The arms that were trained."""
    return [arm for arm in (*SIGNALS, CONTROL) if runs_of(report, arm)]


def question(report: Report) -> str:
    """What was asked, in a sentence."""
    asked = report["asked"]
    signals = ", ".join(NAMES[arm] for arm in arms_of(report))
    return (
        f"One model ({asked['model']}) was trained to recall {asked['relation']} by {len(arms_of(report))} signals ({signals}), "
        f"{asked['seeds']} run{'s' if asked['seeds'] > 1 else ''} each. What did each signal do to the circuits that recall facts?"
    )


def outcome(report: Report) -> list[str]:
    """What came out, in sentences made from the numbers."""
    base = report["measured"]["base"]["behaviour"]
    rose = ", ".join(f"{NAMES[arm]} {percent(mean(values(report, arm, 'train')))}" for arm in arms_of(report))
    verdicts = [claim["verdict"] for claim in report["claims"]]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    return [
        f"Trained facts recalled: {percent(base['train']['value'])} before; after training {rose}.",
        f"Of {len(verdicts)} claims of the literature: {counts}.",
        *report["lacking"],
    ]


def values(report: Report, arm: str, number: str) -> list[float]:
    """A number of behaviour at the end of each of an arm's runs."""
    return [report["measured"][report["last"][run]]["behaviour"][number]["value"] for run in runs_of(report, arm)]


def method(report: Report) -> Table:
    """How it was measured: what, and in which words."""
    asked, execution = report["asked"], report["executions"][-1]
    commit = execution.get("commit")
    base = report["measured"]["base"]
    pairs = len(base["circuit"]["metric"]["clean"])
    behaviour = base["behaviour"]
    counts = {split: behaviour[split]["count"] for split in ("train", "heldout", "untouched")}
    drawn = f"{counts['train']} trained, {counts['heldout']} held-out, {counts['untouched']} of other relations"
    return [
        ["base", asked["model"]],
        ["facts", f"{asked['relation']}: {drawn}; a fact is recalled when the greedy completion begins with its answer"],
        ["seeds", ", ".join(str(seed) for seed in range(asked["seeds"]))],
        [
            "pairs",
            f"{pairs} pairs of trained facts of one length with different answers that the base tells apart both ways, the same for all",
        ],
        ["metric", "logit of the right answer's first token minus that of the other prompt's answer, at the last token"],
        ["circuits", f"EAP-IG (inputs, 5 steps) over {report['graph']['edges']:,} edges, per-head queries, shared keys and values"],
        [
            "sizes",
            f"circuits are compared at {percent(SHARE)} of the edges and {percent(HEADS)} of the heads; the base's circuit is run in other "
            f"models at {percent(report['reference_size'])}, where it first is {FAITHFUL:g} faithful in the base",
        ],
        ["KL", "summed over the vocabulary at every token, in nats: forward on the base's samples, reverse on the model's own"],
        ["matching", matching(report)],
        ["weights", "trained and compared in float32 (bfloat16 autocast where the machine has it); lens in float32"],
        ["commit", f"{commit['id'][:12]}{' with local changes' if commit['dirty'] else ''}" if commit else "not from a checkout"],
        ["versions", ", ".join(f"{name} {version}" for name, version in execution["versions"].items() if version)],
        ["machine", f"{execution['machine']['cpu']}, {execution['machine']['cores']} cores"],
        ["date", datetime.datetime.fromtimestamp(report["created"], tz=datetime.UTC).strftime("%Y-%m-%d")],
    ]


def matching(report: Report) -> str:
    """How the matched checkpoints were chosen, and how near they are."""
    words = []
    for number, name in (("train", "accuracy"), ("forward_kl", "forward KL")):
        found = list(report["matched"][number].values())
        if found:
            worst = max(abs(one["value"] - one["target"]) for one in found)
            words.append(f"{name} {found[0]['target']:.3g}, farthest checkpoint {worst:.2g} away")
    return "each run's nearest checkpoint to what all runs but the control reach, nothing interpolated: " + "; ".join(words)


def arms_table(report: Report) -> Table:
    """The arms and their settings."""
    rows = [["signal", "what it does", "settings", "minutes a run"]]
    for arm in arms_of(report):
        runs = [report["runs"][run] for run in runs_of(report, arm)]
        fields = runs[0]["fields"]
        names = [name for name in ("steps", "batch", "prompts", "group", "max_new_tokens", "learning_rate", "beta") if name in fields]
        settings = ", ".join(f"{name.replace('_', ' ')} {fields[name]:g}" for name in names)
        rows.append([NAMES[arm], SIGNAL_WORDS[arm], settings, f"{mean([run['seconds'] for run in runs]) / 60:.1f}"])
    return rows


def behaviour_table(report: Report) -> Table:
    """Behaviour of the base, and of each arm at the end and where all have come equally far."""
    rows = [["model", "steps", "trained facts", "held-out facts", "untouched relations", "forward KL", "reverse KL", "entropy"]]
    rows.append(["base", "0", *cells([report["measured"]["base"]])])
    rows += [
        arm_row(report, f"{NAMES[arm]}, at the end", {run: int(step_of(report, run)) for run in runs_of(report, arm)})
        for arm in arms_of(report)
    ]
    for number, what in (("train", "matched accuracy"), ("forward_kl", "matched forward KL")):
        for arm in arms_of(report):
            found = report["matched"][number]
            steps = {run: found[run]["step"] for run in runs_of(report, arm) if run in found}
            if steps:
                rows.append(arm_row(report, f"{NAMES[arm]}, {what}", steps))
    return rows


def step_of(report: Report, run: str) -> str:
    """A run's last step."""
    return report["last"][run].partition("@")[2]


def arm_row(report: Report, name: str, steps: dict[str, int]) -> list[str]:
    """One row: an arm's runs at some steps."""
    shown = sorted(set(steps.values()))
    return [name, "/".join(map(str, shown)), *cells([report["measured"][f"{run}@{step}"] for run, step in steps.items()])]


def cells(measured: Sequence[dict[str, Any]]) -> list[str]:
    """Behaviour as cells: mean over seeds, with Student's interval over seeds or, for one run, its own."""
    found = []
    for number, shown in (
        ("train", percents),
        ("heldout", percents),
        ("untouched", percents),
        ("forward_kl", numbers),
        ("reverse_kl", numbers),
        ("entropy", numbers),
    ):
        one = [each["behaviour"][number] for each in measured]
        value = mean([each["value"] for each in one])
        interval = tuple(one[0]["interval"]) if len(one) == 1 else seed_interval([each["value"] for each in one])
        found.append(shown(value, interval))
    return found


def claims_table(report: Report) -> Table:
    """The claims, this study's numbers, and the verdicts of the rules."""
    rows = [["claim", "source", "measured", "value", "95% interval", "null (95%)", "verdict"]]
    for claim in report["claims"]:
        evidence, comparison = claim["evidence"], claim["comparison"]
        contested = f"; contested by {claim['contested']}" if claim["contested"] else ""
        null = "—"
        if evidence and evidence["null"]:
            low, high = comparison["null_interval"] if comparison else (math.nan, math.nan)
            ends = interval_of((low, high)) if comparison and comparison["null_count"] > 1 else f"{comparison['null_mean']:.3g}"
            count = comparison["null_count"]
            null = f"{ends} ({evidence['null_kind']}, {count} value{'s' if count != 1 else ''})"
        rows.append(
            [
                claim["text"],
                f"{claim['source']}{contested}",
                claim["measured"],
                f"{evidence['value']:.3g}" if evidence else "—",
                interval_of(evidence["interval"]) if evidence and evidence["interval"] else "—",
                null,
                f"{claim['verdict']}: {claim['reason']}",
            ]
        )
    return rows


def details(claim: dict[str, Any]) -> str:
    """The numbers beside a claim's own, in a line."""
    evidence = claim["evidence"]
    return ", ".join(f"{name} {value:.3g}" for name, value in evidence["detail"]) if evidence else ""


def nulls_table(report: Report) -> Table:
    """What nothing gives: the base on resampled prompts, seed against seed, random reward."""
    resampled = report["measured"]["base"]["circuit"]["resampled"]
    rows = [["null", "edges kept", "nodes kept", "heads kept", "heads added"]]
    names = ("edges", "nodes", "heads", "added")
    rows.append(
        [
            "base against base, prompts drawn anew",
            *(f"{resampled[name]['mean']:.3g} {interval_of(resampled[name]['interval'])}" for name in names),
        ]
    )
    for arm in arms_of(report):
        same = [
            pair["circuits"] for name, pair in report["pairs"].items() if {side.rpartition("-seed")[0] for side in name.split("~")} == {arm}
        ]
        shown = [f"{mean([one[name] for one in same]):.3g}" if same else "— (one seed)" for name in names]
        rows.append([f"{NAMES[arm]}, seed against seed", *shown])
    if runs_of(report, CONTROL):
        found = [report["measured"][report["last"][run]]["circuit"]["alike"] for run in runs_of(report, CONTROL)]
        rows.append(["random reward against base", *(f"{mean([one[name]['value'] for one in found]):.3g}" for name in names)])
    return rows


def limits(report: Report) -> list[str]:
    """What this study can't say."""
    return [
        f"One model ({report['asked']['model']}), one relation, one recipe a signal: numbers are about these, not about a signal as such.",
        "Part of what is learnt is the form of the answer, which carries over to held-out facts and other relations; recall is counted at "
        "the start of the completion and does not tell form from knowledge.",
        "Circuits are scored by a gradient's estimate (EAP-IG) and checked by running them; edges within a head, and across positions, are "
        "not told apart, and backup heads hide effects.",
        "With three seeds the interval over seeds is wide (Student's t = 4.3) and pairs of seeds are not independent: a verdict is a hint.",
        "Checkpoints are matched to the nearest kept step; what is left of the difference is told above.",
    ]


def training_time(report: Report) -> str:
    """How long all runs trained together."""
    return clock(sum(run["seconds"] for run in report["runs"].values()))


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.3g}%"


def percents(value: float, interval: tuple[float, ...] | None) -> str:
    """A share in percent with its interval."""
    return f"{100 * value:.0f}%" + (f" [{100 * max(0.0, interval[0]):.0f}, {100 * min(1.0, interval[1]):.0f}]" if interval else "")


def numbers(value: float, interval: tuple[float, ...] | None) -> str:
    """A number with its interval."""
    return f"{value:.2g}" + (f" {interval_of(interval)}" if interval and any(interval) else "")


def interval_of(interval: Sequence[float]) -> str:
    """An interval as text."""
    # What only rounding keeps from zero is zero.
    low, high = (0.0 if abs(end) < 1e-6 else end for end in interval)
    return f"[{low:.3g}, {high:.3g}]"
