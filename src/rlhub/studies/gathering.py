"""A study's folder as one JSON value: everything that was asked, done and measured. Pages and verdicts are made from it alone."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.files import read_json
from rlhub.core.records import read_metrics, seconds_of
from rlhub.core.system import load_system
from rlhub.language.process_reward import LABELS
from rlhub.language.stages import STAGES
from rlhub.lens.attribution import Attribution
from rlhub.lens.circuit import Circuit, select_edges
from rlhub.lens.graph import Graph
from rlhub.studies.claims import SEEDS_NEEDED
from rlhub.studies.evidence import judgements
from rlhub.studies.names import CONTROL

Edges = list[list[float | int]]
"""Source, destination and score of each edge."""
DRAWN_EDGES = 300
"""Edges of each circuit that the report keeps, before pruning."""
INSIDE = ("heads", "tokens", "tracing", "wrong", "conduct", "cka", "spectra", "transfer")
MEASURED = "measured"
"""What a study writes down last: everything before is there."""
CIRCUIT = {"metric": "metric", "faithfulness": "own", "resampled": "resampled", "bases-circuit": "bases", "alike": "alike"}


def gather(folder: Path) -> dict[str, Any]:
    """Everything in a study's folder, and what follows from it.

    Raises:
        UserError: the study has not been measured to its end.
    """
    told = read_json(folder / "study.json")
    place = folder / "measurements"
    if not (place / "study" / f"{MEASURED}.json").is_file():
        raise UserError(f"{folder} has not been measured to its end: `rlhub study {told['study']} --name {folder.name}` goes on")
    measured = {path.name: read_subject(path) for path in sorted(place.iterdir()) if path.name not in ("study", "pairs")}
    last: dict[str, str] = {}
    for name in sorted(measured, key=lambda name: int(name.partition("@")[2] or 0)):
        if "@" in name:
            last[name.partition("@")[0]] = name
    report: dict[str, Any] = {
        "study": told["study"],
        "name": folder.name,
        "asked": told["asked"],
        "created": told["created"],
        "executions": told["executions"],
        "runs": {run: run_of(folder / run) for run in sorted(last)},
        "last": dict(sorted(last.items())),
        "matched": read_json(place / "study" / "matched.json"),
        "graph": read_json(place / "study" / "graph.json"),
        "reference_size": read_json(place / "study" / "reference.json"),
        "measured": measured,
        "pairs": {path.stem: read_json(path) for path in sorted((place / "pairs").glob("*.json"))},
    }
    if (place / "study" / "warmed.json").is_file():
        report["warmed"] = read_json(place / "study" / "warmed.json")
        report["warm_up"] = run_of(folder / report["warmed"]["runs"][-1])
    if (folder / "process-reward").is_dir():
        report["process_reward"] = run_of(folder / "process-reward")
    if (place / "study" / "search.json").is_file():
        report["search"] = read_json(place / "study" / "search.json")
    told_runs = [*report["runs"].values(), *(report[name] for name in ("warm_up", "process_reward") if name in report)]
    report["commits"] = distinct([*commits_of(told["executions"]), *(commit for run in told_runs for commit in run["commits"])])
    graph = Graph(**report["graph"]["shape"])
    report["circuits"] = {name: drawn_circuit(place / name, graph) for name in ("base", *report["last"].values())}
    report["lacking"] = lacking(report)
    report["claims"] = [
        {
            **asdict(claim),
            "rule": claim.rule.words if claim.rule else "",
            "evidence": asdict(evidence) if evidence else None,
            **asdict(judgement),
        }
        for claim, evidence, judgement in judgements(report)
    ]
    return report


def read_subject(folder: Path) -> dict[str, Any]:
    """All measurements of one model."""
    files = {path.stem: read_json(path) for path in folder.glob("*.json")}
    found: dict[str, Any] = {name: files[name] for name in ("answers", "behaviour", "weights") if name in files}
    circuit = {key: files[name] for name, key in CIRCUIT.items() if name in files}
    if "random-circuits" in files:
        circuit["random"] = files["random-circuits"]
    inside = {"truth" if name == "transfer" else name: rounded(files[name]) for name in INSIDE if name in files}
    return found | ({"circuit": circuit} if circuit else {}) | ({"inside": inside} if inside else {})


def rounded(value: Any) -> Any:
    """The same with five significant digits: maps are most of a report, and digits beyond what anybody can see most of a map."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def run_of(folder: Path) -> dict[str, Any]:
    """What was trained, and how long it took."""
    config, record = read_json(folder / "config.json"), read_json(folder / "provenance.json")
    # A study's folder can be moved, so what lies in it is told from there.
    fields = {
        name: Path(value).name if isinstance(value, str) and Path(value).parent.name == folder.parent.name else value
        for name, value in config["fields"].items()
    }
    if fields.get("reward") == "":  # the system's default, which follows from its other fields
        fields["reward"] = load_system(config).rewarded
    told = {"system": config["system"].rpartition(":")[2], "fields": fields, "seed": config["seed"]}
    return told | {
        "seconds": seconds_of(folder, times_of(folder)),
        "tokens": tokens_of(folder),
        "commits": commits_of(record["executions"]),
    }


def commits_of(executions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The commits that worked on a run or a study, each once, in order; none where it came from no checkout."""
    return distinct([execution["commit"] for execution in executions if execution.get("commit")])


def distinct(commits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each commit once; with local changes it is another."""
    return list({(commit["id"], commit["dirty"]): commit for commit in commits}.values())


def stages_of(folder: Path) -> list[Path]:
    """The runs that a run is made of."""
    return sorted((folder / STAGES).iterdir()) if (folder / STAGES).is_dir() else []


def times_of(folder: Path) -> list[float]:
    """When a run's stages were at work."""
    return [time for stage in stages_of(folder) for time in (*(line["time"] for line in read_metrics(stage)), *times_of(stage))]


def tokens_of(folder: Path) -> int:
    """Tokens of the completions that a run sampled or imitated, those of its stages and of labels that it made among them."""
    labels = (folder / LABELS).read_text().splitlines() if (folder / LABELS).is_file() else []
    spent = sum(line.get("tokens") or 0 for line in read_metrics(folder)) + sum(json.loads(line)["tokens"] for line in labels)
    return int(spent) + sum(map(tokens_of, stages_of(folder)))


def drawn_circuit(folder: Path, graph: Graph) -> Edges:
    """The strongest edges of a model's circuit on paths from input to logits, as [source, destination, score]."""
    circuit = strongest(load_file(folder / "scores.safetensors")["per_pair"].mean(0), graph)
    assert circuit.scores is not None  # noqa: S101
    places = circuit.edges.nonzero().tolist()
    return [[source, destination, float(circuit.scores[source, destination])] for source, destination in places]


def strongest(scores: Float[Tensor, "sources destinations"], graph: Graph) -> Circuit:
    """The circuit that is drawn: grown backwards from the logits, so that every edge lies on a path."""
    return select_edges(Attribution(graph=graph, scores=scores), min(DRAWN_EDGES, graph.edge_count), selection="greedy")


def matrices(edges: Edges, graph: Graph) -> tuple[Float[Tensor, "sources destinations"], Tensor]:
    """A drawn circuit's scores and mask."""
    scores = torch.zeros(graph.exists.shape)
    for source, destination, score in edges:
        scores[int(source), int(destination)] = score
    return scores, scores != 0


def lacking(report: dict[str, Any]) -> list[str]:
    """The nulls that this study has not got, in sentences."""
    missing = []
    seeds = report["asked"]["seeds"]
    if seeds < SEEDS_NEEDED:
        count = "Only one run" if seeds == 1 else f"Only {seeds} runs"
        missing.append(
            f"{count} of each signal: there is no spread over seeds (seed against seed), so no claim can be confirmed or denied; "
            f"the rules ask for {SEEDS_NEEDED}."
        )
    if not any(run.startswith(CONTROL) for run in report["last"]):
        missing.append("No run on a random reward: what training moves without any signal is not known.")
    return missing
