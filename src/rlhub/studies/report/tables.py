"""A report's tables and sentences as plain text cells, shared by the page and by the Markdown."""

import datetime
import math
from collections.abc import Callable, Sequence
from typing import Any

from rlhub.core.progress import clock
from rlhub.studies.circuits import FAITHFUL, HEADS, SHARE
from rlhub.studies.claims import joined_interval
from rlhub.studies.evidence import arms_of, runs_of
from rlhub.studies.instruments import mean
from rlhub.studies.names import CONTROL, NAMES, WORDS
from rlhub.studies.report.words import words_of

Report = dict[str, Any]
Table = list[list[str]]


def outcome(report: Report) -> list[str]:
    """What came out, in sentences made from the numbers."""
    told, base = words_of(report), report["measured"]["base"]["behaviour"]
    rose = ", ".join(f"{NAMES[arm]} {cell(behaviours(report, arm, told.headline), percents)}" for arm in arms_of(report))
    verdicts = [claim["verdict"] for claim in report["claims"]]
    counts = ", ".join(f"{words} {verdicts.count(verdict)}" for verdict, words in VERDICTS.items() if verdict in verdicts)
    return [
        f"{told.splits[told.headline].capitalize()} {told.right}: {cell([base[told.headline]], percents)} before; after training {rose}.",
        f"Of {len(verdicts)} claims of the literature, the numbers {counts}.",
        *report["lacking"],
    ]


VERDICTS = {
    "agrees": "agree with",
    "disagrees": "disagree with",
    "can't tell at this scale": "can't tell of",
    "not tested": "don't touch",
}
"""Verdicts as the sentence above says them."""


def behaviours(report: Report, arm: str, number: str) -> list[dict[str, Any] | None]:
    """A number of behaviour at the end of each of an arm's runs."""
    return [report["measured"][report["last"][run]]["behaviour"][number] for run in runs_of(report, arm)]


def decided(report: Report) -> list[str]:
    """The claims that the numbers agree or disagree with, each with its number and interval."""
    return [
        f"The numbers {claim['verdict'].removesuffix('s')} with “{claim['text']}” ({claim['source']}): {claim['evidence']['value']:.3g} "
        f"{interval_of(claim['evidence']['interval'])}."
        for claim in report["claims"]
        if claim["verdict"] in ("agrees", "disagrees")
    ]


def cost(report: Report) -> str:
    """How long all runs trained together, and on what."""
    machine = report["executions"][-1]["machine"]
    seconds = sum(run["seconds"] for run in report["runs"].values())
    return f"All runs together trained for {clock(seconds)} on {machine['cores']} cores ({machine['cpu']})."


def method(report: Report) -> Table:
    """How it was measured: what, and in which words."""
    asked, execution = report["asked"], report["executions"][-1]
    told = words_of(report)
    pairs = len(report["measured"]["base"]["circuit"]["metric"]["clean"])
    return [
        *told.method,
        ["seeds", ", ".join(str(seed) for seed in range(asked["seeds"]))],
        [
            "pairs",
            f"{pairs} pairs of {told.splits['train']} of one length with different answers that the base tells apart both ways, the same "
            "for all",
        ],
        ["circuits", f"EAP-IG (inputs, 5 steps) over {report['graph']['edges']:,} edges, per-head queries, shared keys and values"],
        [
            "sizes",
            f"circuits are compared at {percent(SHARE)} of the edges and {percent(HEADS)} of the heads; the base's circuit is run in other "
            f"models at {percent(report['reference_size'])}, {first_faithful(report)}",
        ],
        ["KL", "summed over the vocabulary at every token, in nats: forward on the base's samples, reverse on the model's own"],
        ["matching", matching(report)],
        ["weights", "trained and compared in float32 (bfloat16 autocast where the machine has it); lens in float32"],
        ["commit", commits(report) or "not from a checkout"],
        ["versions", ", ".join(f"{name} {version}" for name, version in execution["versions"].items() if version)],
        ["machine", f"{execution['machine']['cpu']}, {execution['machine']['cores']} cores"],
        ["date", datetime.datetime.fromtimestamp(report["created"], tz=datetime.UTC).strftime("%Y-%m-%d")],
    ]


def first_faithful(report: Report) -> str:
    """Why the base's circuit is run in other models at the size at which it is."""
    own = report["measured"]["base"]["circuit"]["own"]
    reached = own["curve"][own["sizes"].index(report["reference_size"])]
    if reached >= FAITHFUL:
        return f"where it first is {FAITHFUL:g} faithful in the base"
    return f"the largest part that is tried, as it is {FAITHFUL:g} faithful at none in the base (there: {reached:.2g})"


def commits(report: Report) -> str:
    """Every commit that trained or measured something, as a study that was interrupted may have gone on with later ones."""
    # Reports that were written before runs told their commits name the last one.
    last = report["executions"][-1].get("commit")
    found = report.get("commits", [last] if last else [])
    return ", ".join(f"{commit['id'][:12]}{' with local changes' if commit['dirty'] else ''}" for commit in found)


def matching(report: Report) -> str:
    """How the matched checkpoints were chosen, and how near they are."""
    words = []
    for number, name in (("train", "accuracy"), ("forward_kl", "forward KL")):
        found = list(report["matched"][number].values())
        if found:
            worst = max(abs(one["value"] - one["target"]) for one in found)
            words.append(f"{name} {found[0]['target']:.3g}, farthest checkpoint {worst:.2g} away")
    told = "each run's nearest checkpoint to what all compared runs reach, nothing interpolated: " + "; ".join(words)
    return told + ("" if any(matched_elsewhere(report, number) for number in report["matched"]) else "; that is its last one everywhere")


def arms_table(report: Report) -> Table:
    """The arms, their settings and what they cost."""
    rows = [["signal", "what it does", "settings", "thousand tokens a run", "minutes a run"]]
    if "warm_up" in report:
        known = f"{report['warmed']['right'][-1]:.0%} of its answers, drawn to training questions, are right"
        rows.append(["warm-up", f"imitates worked answers, then {known}: the base of all", *costs([report["warm_up"]])])
    if "process_reward" in report:
        rows.append(["judge of steps", JUDGES, *costs([report["process_reward"]])])
    return rows + [[NAMES[arm], WORDS[arm], *costs([report["runs"][run] for run in runs_of(report, arm)])] for arm in arms_of(report)]


JUDGES = "labels steps by finishing answers, learns to tell right ones from wrong ones; what process rewards learn from"
SETTINGS = (
    "steps",
    "cold_steps",
    "rl_steps",
    "sft_steps",
    "batches",
    "batch",
    "prompts",
    "group",
    "max_new_tokens",
    "learning_rate",
    "beta",
    "kl",
)


def costs(runs: list[dict[str, Any]]) -> list[str]:
    """Settings of runs of one system, and means of what they cost."""
    fields = runs[0]["fields"]
    settings = [f"{name.replace('_', ' ')} {fields[name]:g}" for name in SETTINGS if isinstance(fields.get(name), int | float)]
    if fields.get("reward"):
        settings.append(f"reward {fields['reward']}")
    tokens = [float(run["tokens"]) for run in runs if run.get("tokens")]
    return [", ".join(settings), f"{mean(tokens) / 1000:.0f}" if tokens else "—", f"{mean([run['seconds'] for run in runs]) / 60:.1f}"]


def conduct_table(report: Report) -> Table:
    """What the base and each arm's last checkpoints do with the constitution's prompts; no rows where that wasn't asked."""
    if "conduct" not in report["measured"]["base"]["inside"]:
        return []
    asked = report["measured"]["base"]["inside"]["conduct"]
    counts = [asked[kind][number]["count"] if kind in asked else 0 for kind, number, _ in CONDUCT]
    rows = [["model", *(f"{words} ({count} prompts)" for (_, _, words), count in zip(CONDUCT, counts, strict=True))]]
    ends = {"base": [report["measured"]["base"]]} | {
        arm: [report["measured"][report["last"][run]] for run in runs_of(report, arm)] for arm in arms_of(report)
    }
    return rows + [[NAMES[arm], *conduct_cells(measured)] for arm, measured in ends.items()]


def conduct_cells(measured: Sequence[dict[str, Any]]) -> list[str]:
    """An arm's row without its name."""
    return [
        cell([one["inside"]["conduct"].get(kind, {}).get(number) for one in measured], percents if number == "refused" else numbers)
        for kind, number, _ in CONDUCT
    ]


CONDUCT = (
    ("harmful", "refused", "harmful prompts refused"),
    ("helpful", "refused", "harmless prompts refused"),
    ("harmful", "leaning", "leaning to refuse harm, nats a token"),
    ("false_premise", "leaning", "leaning to correct a false premise, nats a token"),
)


def cell(found: list[dict[str, Any] | None], shown: Callable[[float, tuple[float, ...] | None], str]) -> str:
    """A number's mean over seeds with its interval over them and over what was asked or, for one run, over that alone."""
    one = [each for each in found if each is not None]
    if not one:
        return "—"
    return shown(mean([each["value"] for each in one]), joined_interval(one))


def behaviour_table(report: Report) -> Table:
    """Behaviour of the base, and of each arm at the end and, where those are other checkpoints, where all have come equally far."""
    rows = [["model", "steps", *words_of(report).splits.values(), "forward KL", "reverse KL", "entropy"]]
    if "start" in report["measured"]:
        shares = [report["measured"]["start"]["answers"][split] for split in ("train", "heldout", "untouched")]
        rows.append(["before the warm-up", "0", *(percents(one["value"], tuple(one["interval"])) for one in shares), "—", "—", "—"])
    rows.append(["base", "0", *cells([report["measured"]["base"]])])
    rows += [
        arm_row(report, f"{NAMES[arm]}, at the end", {run: int(step_of(report, run)) for run in runs_of(report, arm)})
        for arm in arms_of(report)
    ]
    for number, what in (("train", "matched accuracy"), ("forward_kl", "matched forward KL")):
        found = report["matched"][number]
        for arm in arms_of(report) if matched_elsewhere(report, number) else ():
            steps = {run: found[run]["step"] for run in runs_of(report, arm) if run in found}
            if steps:
                rows.append(arm_row(report, f"{NAMES[arm]}, {what}", steps))
    return rows


def matched_elsewhere(report: Report, number: str) -> bool:
    """Whether any run is nearest to what all reach at another checkpoint than its last."""
    return any(f"{run}@{one['step']}" != report["last"][run] for run, one in report["matched"][number].items())


def step_of(report: Report, run: str) -> str:
    """A run's last step."""
    return report["last"][run].partition("@")[2]


def arm_row(report: Report, name: str, steps: dict[str, int]) -> list[str]:
    """One row: an arm's runs at some steps."""
    shown = sorted(set(steps.values()))
    return [name, "/".join(map(str, shown)), *cells([report["measured"][f"{run}@{step}"] for run, step in steps.items()])]


def cells(measured: Sequence[dict[str, Any]]) -> list[str]:
    """Behaviour as cells."""
    shown = {
        "train": percents,
        "heldout": percents,
        "untouched": percents,
        "forward_kl": numbers,
        "reverse_kl": numbers,
        "entropy": numbers,
    }
    return [cell([each["behaviour"][number] for each in measured], form) for number, form in shown.items()]


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
        *words_of(report).limits,
        "Circuits are scored by a gradient's estimate (EAP-IG) and checked by running them; edges within a head, and across positions, are "
        "not told apart, and backup heads hide effects.",
        "With three seeds the interval over seeds is wide (Student's t = 4.3) and pairs of seeds are not independent: a verdict is a hint.",
        "Checkpoints are matched to the nearest kept step; what is left of the difference is told above.",
    ]


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
