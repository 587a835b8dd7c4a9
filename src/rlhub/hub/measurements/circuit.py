"""`rlhub lens circuit`: edges scored, circuits of every size run, one circuit shown; with a base, what changed beside its null."""

import dataclasses
from typing import Any

import torch

from rlhub.core.errors import UserError
from rlhub.core.progress import track
from rlhub.core.seeding import generator
from rlhub.hub.measurements.result import Result, Row, mean_row, slug
from rlhub.hub.measurements.subject import Subject, load_pairs, open_base, open_model
from rlhub.lens.attribution import Attribution, attribute
from rlhub.lens.circuit import Circuit, run_circuits, select_edges
from rlhub.lens.compare import Agreement, against_null, agreement, quantiles, resampled_pairs
from rlhub.lens.contrast import Contrast, probability
from rlhub.lens.faithfulness import Faithfulness, faithfulness
from rlhub.lens.figures.circuit import circuit_change_figure, circuit_figure
from rlhub.lens.figures.curves import Curve, faithfulness_figure
from rlhub.lens.graph import Graph
from rlhub.lens.neuronpedia import attribution_graph
from rlhub.lens.patch import unpatched
from rlhub.lens.record import record

SHOWN = 45
RESAMPLES = 200
COMPARED = {"jaccard": "edges shared (Jaccard)", "node_jaccard": "nodes shared (Jaccard)", "node_recall": "base's nodes kept"} | {
    "weighted": "weighted overlap of all edges",
    "spearman": "rank correlation of all edges",
}


def circuit(options: Any) -> Result:
    """Score edges on contrastive pairs, run circuits of growing size, and show the smallest that is faithful enough."""
    subject = open_model(options)
    contrast = load_pairs(options, subject)
    there = Graph.of(subject.model, ungroup=options.ungroup).edge_count
    if options.edges is not None and not 0 < options.edges <= there:
        raise UserError(f"--edges is {options.edges:,}, and the graph of {subject.name} has {there:,} edges: choose between 1 and that")
    scored, measured = _measure(subject, contrast, options)
    chosen, share = _choose(scored, measured, options)
    graph = scored.graph
    spread = measured.intervals(generator(options.seed, "lens circuit"))
    shown, reached = _faithfulness_of(subject, contrast, chosen, measured)
    rows = [
        mean_row("whole model", measured.whole, unit="logit difference", seed=options.seed),
        mean_row("every edge corrupted", measured.empty, unit="logit difference", seed=options.seed),
        *(
            Row(
                name=f"circuit of {100 * size:g}% of edges",
                value=float(value),
                interval=interval,
                unit="faithfulness",
                note=f"{kept.edge_count:,} edges",
            )
            for size, value, interval, kept in zip(measured.sizes, measured.curve, spread.curve, measured.circuits, strict=True)
        ),
        Row(name="CPR", value=measured.cpr, interval=spread.cpr, unit="area under faithfulness"),
        Row(name="CMD", value=measured.cmd, interval=spread.cmd, unit="area under |1 - faithfulness|"),
        Row(name="circuit shown", value=chosen.edge_count, unit="edges", note=f"{len(chosen.nodes)} nodes, faithfulness {reached:.3g}"),
    ]
    title = f"Circuit of {contrast.name} in {subject.name}: {options.method}, {len(contrast)} pairs, {graph.edge_count:,} edges"
    curves = {subject.name: _curve(measured, spread.curve)}
    figures = {}
    if chosen.edge_count:
        figures["circuit"] = circuit_figure(
            graph.sources,
            graph.destinations,
            scored.scores.cpu(),
            mask=chosen.edges.cpu(),
            title=f"Circuit of {contrast.name} in {subject.name}",
            unit="logits",
            edges=SHOWN,
            slider=True,
        )
    data: dict[str, Any] = {
        "edges": graph.edge_count,
        "sizes": measured.sizes,
        "faithfulness": measured.curve,
        "intervals": spread.curve,
        "circuit": {"share": share, "edges": _named(chosen), "nodes": chosen.nodes, "faithfulness": reached},
    }
    base = open_base(options, needed=False)
    notes = ["Faithfulness 0 is every edge corrupted and 1 the whole model; intervals resample the pairs, with the circuits as they are."]
    if base is not None:
        compared = _compare(subject, base, contrast, scored, measured, chosen, options)
        rows += compared.rows
        curves |= compared.curves
        data["compared"] = compared.data
        figures |= compared.figures
        notes += compared.notes
    if options.edges is None and reached < options.faithful:
        notes.append(f"No circuit short of the whole model is {options.faithful:g} faithful: the one shown is the largest that was run.")
    figures["faithfulness"] = faithfulness_figure(
        curves, edges=graph.edge_count, title=f"Faithfulness of circuits of {contrast.name}, {len(contrast)} pairs"
    )
    files = {} if not chosen.edge_count else {"circuit-neuronpedia": _export(subject, contrast, scored, chosen, options)}
    return Result(
        title=title,
        rows=rows,
        data=data,
        figures=figures,
        files=files,
        tensors={"scores": scored.scores.float(), "circuit": shown},
        notes=notes,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Compared:
    rows: list[Row]
    curves: dict[str, Curve]
    data: dict[str, Any]
    figures: dict[str, Any]
    notes: list[str]


def _measure(subject: Subject, contrast: Contrast, options: Any) -> tuple[Attribution, Faithfulness]:
    scored = attribute(
        subject.model, contrast, method=options.method, steps=options.steps, ungroup=options.ungroup, per_pair=options.base is not None
    )
    return scored, faithfulness(subject.model, contrast, scored, selection=options.selection)


def _choose(scored: Attribution, measured: Faithfulness, options: Any) -> tuple[Circuit, float]:
    """The circuit of as many edges as asked for, else the smallest that is faithful enough, the whole model not among them."""
    if options.edges is not None:
        return select_edges(scored, options.edges, selection=options.selection), options.edges / scored.graph.edge_count
    parts = [place for place, size in enumerate(measured.sizes) if size < 1]
    place = next((place for place in parts if measured.curve[place] >= options.faithful), parts[-1])
    return measured.circuits[place], measured.sizes[place]


def _faithfulness_of(subject: Subject, contrast: Contrast, chosen: Circuit, measured: Faithfulness) -> tuple[torch.Tensor, float]:
    values = run_circuits(subject.model, contrast, [chosen])[0]
    reached = (values - measured.empty).mean() / (measured.whole - measured.empty).mean()
    return chosen.edges.to(torch.uint8), float(reached)


def _compare(
    subject: Subject, base: Subject, contrast: Contrast, scored: Attribution, measured: Faithfulness, chosen: Circuit, options: Any
) -> _Compared:
    """The base's circuit of the same size beside the model's, each number beside the base on resampled prompts."""
    before, base_measured = _measure(base, contrast, options)
    graph = before.graph
    size = max(1, options.edges or round(graph.edge_count * _share(chosen, measured)))
    exists = graph.exists
    first, second = before.scores.cpu(), scored.scores.cpu()
    found = agreement(first, second, exists=exists, size=size)
    rows, nulls = [], {}
    assert before.per_pair is not None and scored.per_pair is not None  # noqa: S101
    again = _resampled(before.per_pair, scored.per_pair, exists, size, options, paired=True)
    null = _resampled(before.per_pair, before.per_pair, exists, size, options, paired=False)
    for field, name in COMPARED.items():
        interval = quantiles(torch.tensor([getattr(each, field) for each in again], dtype=torch.float64))
        compared = against_null(getattr(found, field), [getattr(each, field) for each in null], interval=interval)
        nulls[field] = dataclasses.asdict(compared)
        low, high = compared.null_interval
        rows.append(
            Row(
                name=name,
                value=compared.value,
                interval=compared.interval,
                unit=f"{size:,} edges each" if field in ("jaccard", "node_jaccard", "node_recall") else "",
                note=f"{compared.side} base resampled ({low:.3g} … {high:.3g})",
            )
        )
    base_chosen = select_edges(before, size, selection=options.selection)
    spread = base_measured.intervals(generator(options.seed, "lens circuit"))
    crossed = {
        f"{base.name}'s circuit in {subject.name}": (subject, base_chosen, measured),
        f"{subject.name}'s circuit in {base.name}": (base, select_edges(scored, size, selection=options.selection), base_measured),
        f"{base.name}'s circuit in {base.name}": (base, base_chosen, base_measured),
    }
    across = {name: _faithfulness_of(host, contrast, kept, own)[1] for name, (host, kept, own) in crossed.items()}
    rows += [Row(name=name, value=value, unit="faithfulness") for name, value in across.items()]
    figure = circuit_change_figure(
        graph.sources,
        graph.destinations,
        first,
        second,
        before_mask=base_chosen.edges.cpu(),
        after_mask=select_edges(scored, size, selection=options.selection).edges.cpu(),
        title=f"Circuit of {contrast.name}: {base.name} against {subject.name}",
        unit="logits",
        edges=SHOWN,
    )
    names = graph.sources, graph.destinations
    return _Compared(
        rows=rows,
        curves={f"base ({base.name})": _curve(base_measured, spread.curve)},
        data={
            "base": base.name,
            "size": size,
            "agreement": nulls,
            "cross_faithfulness": across,
            "gained": [f"{names[0][source]}->{names[1][destination]}" for source, destination in found.gained],
            "lost": [f"{names[0][source]}->{names[1][destination]}" for source, destination in found.lost],
        },
        figures={"circuit-change": figure},
        notes=[
            "The null is the base against itself on two bootstrap samples of the pairs. It says what other prompts would change, not what "
            "another training seed would: for that, compare runs of several seeds (rlhub study)."
        ],
    )


def _resampled(
    first: torch.Tensor, second: torch.Tensor, exists: torch.Tensor, size: int, options: Any, *, paired: bool
) -> list[Agreement]:
    draws = generator(options.seed, "lens circuit", "interval" if paired else "null")
    samples = resampled_pairs(first.cpu(), second.cpu(), generator=draws, resamples=RESAMPLES, paired=paired)
    what = "resampling prompts" if paired else "resampling the base's prompts"
    return [agreement(one, other, exists=exists, size=size) for one, other in track(samples, what, RESAMPLES)]


def _share(chosen: Circuit, measured: Faithfulness) -> float:
    return next((size for size, kept in zip(measured.sizes, measured.circuits, strict=True) if kept is chosen), measured.sizes[-1])


def _curve(measured: Faithfulness, intervals: Any) -> Curve:
    return Curve(x=measured.sizes, y=measured.curve.tolist(), intervals=intervals)


def _named(chosen: Circuit) -> dict[str, float]:
    scores = chosen.scores
    return {
        name: float(scores[source, destination]) if scores is not None else 1.0
        for source, destination, name in chosen.graph.edges(chosen.edges)
    }


def _export(subject: Subject, contrast: Contrast, scored: Attribution, chosen: Circuit, options: Any) -> dict[str, Any]:
    example = contrast.clean[0][contrast.mask[0]].tolist()
    logits = record(subject.model, contrast.inputs("clean"), ["logits"], positions=[-1])["logits"]
    whole, empty = unpatched(subject.model, contrast)
    return attribution_graph(
        scored.graph.sources,
        scored.graph.destinations,
        scored.scores.cpu(),
        mask=chosen.edges.cpu(),
        tokens=[subject.tokenizer.decode([token]) for token in example],
        model=subject.name,
        slug=f"{contrast.name}-{slug(subject.name)}",
        answer=f"the correct answer of {contrast.name}",
        probability=float(probability(logits, contrast).mean()),
        description=(
            f"Circuit of {contrast.name} in {subject.name}: {chosen.edge_count} edges by {options.method} on {len(contrast)} pairs, metric "
            f"logit difference ({float(whole.mean()):.3g} clean, {float(empty.mean()):.3g} corrupt). The prompt is one example of them."
        ),
        settings={"method": options.method, "steps": options.steps, "pairs": len(contrast), "selection": options.selection},
    )
