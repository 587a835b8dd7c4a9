"""A study's figures, drawn from its report's JSON alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from rlhub.core.style import INK, colour_of, styled, symbol_of
from rlhub.lens.compare import Comparison, against_null
from rlhub.lens.figures.circuit import circuit_change_figure, circuit_figure
from rlhub.lens.figures.curves import Curve, accuracy_against_kl_figure, faithfulness_figure, null_figure, similarity_figure
from rlhub.lens.figures.maps import head_change_maps, token_change_maps
from rlhub.lens.figures.weights import sparsity_figure, spectra_figure
from rlhub.lens.graph import Graph
from rlhub.lens.spectra import Spectrum
from rlhub.lens.weights import Sparsity
from rlhub.studies.evidence import arms_of, runs_of
from rlhub.studies.gathering import matrices
from rlhub.studies.instruments import mean
from rlhub.studies.names import NAMES
from rlhub.studies.report.words import words_of

Report = dict[str, Any]
CIRCUITS_DRAWN = "circuits drawn"
BESIDE = 4
"""Arms that are drawn beside the base in one figure of maps."""
GREYS = ("#999999", "#5f5f5f", "#7d7d7d", "#222222", "#444444")
"""Strategies of search, beside arms, which have colours."""
LEAST = 20.0
"""Points that an axis of right answers spans at least, so that two questions more or less do not look like a finding."""
TELLING = 0.05
"""A token is drawn where some layer restores this part of the most that any does."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One figure.

    Attributes:
        key: its file's name.
        section: what part of the report it belongs to.
        caption: what to see in it.
        figure: the figure.
    """

    key: str
    section: str
    caption: str
    figure: go.Figure


def draw(report: Report) -> list[Drawn]:
    """All figures, in the order in which they are read."""
    figures: list[Drawn] = []

    def add(key: str, section: str, caption: str, figure: go.Figure) -> None:
        figures.append(Drawn(key=key, section=section, caption=caption, figure=figure))

    several = report["asked"]["seeds"] > 1
    banded = None if len(arms_of(report)) <= BESIDE else [NAMES["base"]]
    bands = "Bands: 95% over pairs of prompts, the widest over seeds." if several else "Bands: 95% over pairs of prompts."
    bands = bands if banded is None else "Band: the base's, 95% over pairs of prompts; the others' are in report.json."
    shown = "mean over seeds" if several else "seed 0"
    add("accuracy-against-kl", "behaviour", PATHS, accuracy_against_kl(report))
    add("forgetting-against-kl", "behaviour", FORGETTING, forgetting_against_kl(report))
    if "search" in report:
        add("search", "behaviour", SEARCH, search_figure(report))
    edges = report["graph"]["edges"]
    own = {NAMES[arm]: arm_faithfulness(report, arm, "own") for arm in arms_and_base(report)}
    add("faithfulness", "circuits", f"{OWN} {bands}", faithfulness_figure(own, edges=edges, banded=banded))
    bases = {NAMES[arm]: arm_faithfulness(report, arm, "bases") for arm in arms_of(report)}
    sizes = next(iter(bases.values())).x if bases else None
    bases = {NAMES["base"]: arm_faithfulness(report, "base", "own", sizes), **bases}
    title = "The base's circuit, run in every model"
    add("bases-circuit", "circuits", f"{BASES} {bands}", faithfulness_figure(bases, edges=edges, title=title, banded=banded))
    add("overlap", "circuits", OVERLAP, overlap_figure(report))
    figures += map_figures(report, shown)
    figures += circuit_figures(report)
    add("sparsity", "weights", SPARSITY, sparsity_figure({NAMES[arm]: arm_sparsity(report, arm) for arm in arms_of(report)}))
    add("norms", "weights", "Norm of the change over the norm of the weights, layer by layer.", norm_figure(report))
    spectra = {NAMES[arm]: spectra_of(report, arm) for arm in arms_of(report)}
    if any(spectra.values()):
        add("spectra", "weights", SPECTRA, spectra_figure(spectra))
    similar = {NAMES[arm]: arm_cka(report, arm) for arm in arms_of(report)}
    add("cka", "weights", f"{CKA} ({shown})", similarity_figure(similar, banded=banded))
    if "wrong" in report["measured"]["base"]["inside"]:
        add("wrong-answers", "weights", WRONG, wrong_figure(report))
    return figures


PATHS = "Every checkpoint of every run, joined in the order of training. What lies higher recalls more at the same distance from the base."
FORGETTING = "The same checkpoints: accuracy on what was not trained. Below the base is forgetting."
SEARCH = (
    "The base with more tokens a question: the commonest answer, the one that the judge of steps likes best, votes weighted by it, a beam "
    "of steps; `any` is what no choice among these answers can surpass. These answers are drawn; dashes are likeliest answers to the same "
    "questions, the base's and each arm's (mean over seeds), where the base's cost. Bars: Wilson's 95%."
)
OWN = "Each model's own circuit, found by EAP-IG on the same pairs, grown edge by edge."
BASES = "The base's circuit put into every model: where the curves coincide, training has left the circuit at work."
OVERLAP = (
    "How much of the base's circuit is in the circuit after training, beside what the base's circuit keeps of itself when the prompts are "
    "drawn anew (grey): only what lies outside the grey was changed by training."
)
HEADS = "Each head's clean value put into the corrupt run: 1 restores the whole logit difference. Below: the change from the base."
TOKENS = "The same for the residual stream before each layer, at the tokens where it restores anything."
TRACING = "Causal tracing: how much probability of the right answer comes back when a window of layers is restored at one kind of token."
SPARSITY = "How many parameters moved depends on the tolerance; squares show what rounding to bfloat16 hides."
SPECTRA = "A change along few directions falls off fast; the dotted line is a random matrix of the same shape."
CKA = "Linear CKA (debiased) of the residual stream at the last token with the base's."
WRONG = (
    "What the base gets wrong: how much the logit lens prefers the base's wrong answer to the right one at each depth. What training "
    "has removed is gone at all depths; what it bypasses is still there in the middle."
)


def arms_and_base(report: Report) -> list[str]:
    """The base, and the arms that were trained."""
    return ["base", *arms_of(report)]


def ends(report: Report, arm: str) -> list[dict[str, Any]]:
    """What was measured at the end of each of an arm's runs; of the base, in the base."""
    return [report["measured"]["base"]] if arm == "base" else [report["measured"][report["last"][run]] for run in runs_of(report, arm)]


def run_name(run: str) -> str:
    """A run's name in a figure."""
    arm, _, seed = run.partition("-seed")
    return f"{NAMES[arm]} seed {seed}"


def paths(report: Report, y: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Curve]:
    """Each run's way from the base: forward KL across, a share in percent upwards."""
    curves = {}
    bars = report["asked"]["seeds"] == 1
    for run in sorted(report["last"], key=lambda run: (list(NAMES).index(run.rpartition("-seed")[0]), run)):
        steps = sorted(int(name.partition("@")[2]) for name in report["measured"] if name.partition("@")[0] == run)
        found = [report["measured"]["base"]["behaviour"], *(report["measured"][f"{run}@{step}"]["behaviour"] for step in steps)]
        curves[run_name(run)] = Curve(
            x=[one["forward_kl"]["value"] for one in found],
            y=[100 * y(one)["value"] for one in found],
            intervals=[(100 * y(one)["interval"][0], 100 * y(one)["interval"][1]) for one in found] if bars else (),
            labels=["base", *(f"step {step}" for step in steps)],
        )
    return curves


def accuracy_against_kl(report: Report) -> go.Figure:
    """Accuracy on trained facts against forward KL."""
    return paths_figure(report, "train", "Accuracy reached at each distance from the base")


def forgetting_against_kl(report: Report) -> go.Figure:
    """Accuracy on what was not trained against forward KL."""
    return paths_figure(report, "untouched", f"{words_of(report).splits['untouched'].capitalize()} at each distance from the base")


def paths_figure(report: Report, split: str, title: str) -> go.Figure:
    """A split's right answers along each run's way from the base."""
    curves = paths(report, lambda one: one[split])
    kinds = {run_name(run): NAMES[run.rpartition("-seed")[0]] for run in report["last"]}
    figure = accuracy_against_kl_figure(curves, title=title, x_unit=KL, y_unit=unit_of(report, split), kinds=kinds)
    heights = [height for curve in curves.values() for height in (*curve.y, *(end for ends in curve.intervals for end in ends))]
    low, high = min(heights), max(heights)
    if high - low < LEAST:
        middle = (low + high) / 2
        figure.update_yaxes(range=[middle - LEAST / 2, middle + LEAST / 2])
    return figure


def search_figure(report: Report) -> go.Figure:
    """Right answers against tokens sampled a question, by strategy, beside the likeliest answers of the base and of each arm.

    All are asked the same questions, the first of those that are held out.
    """
    figure = go.Figure()
    for place, (strategy, points) in enumerate(report["search"]["strategies"].items()):
        values = [100 * point["right"]["value"] for point in points]
        intervals = [point["right"]["interval"] for point in points]
        colour = INK if strategy == "any" else GREYS[place % len(GREYS)]
        figure.add_trace(
            go.Scatter(
                x=[point["tokens"] for point in points],
                y=values,
                error_y={
                    "array": [100 * high - value for (_, high), value in zip(intervals, values, strict=True)],
                    "arrayminus": [value - 100 * low for (low, _), value in zip(intervals, values, strict=True)],
                    "thickness": 1,
                    "width": 3,
                },
                name=strategy,
                mode="lines+markers",
                line={"color": colour, "dash": "dot" if strategy == "any" else "solid"},
                marker={"symbol": symbol_of(place), "size": 9},
            )
        )
    votes, likeliest = report["search"]["strategies"]["majority"], report["search"]["likeliest"]
    for arm in ("base", *arms_of(report)):
        each = [end["behaviour"]["heldout"]["each"][: report["search"]["questions"]] for end in ends(report, arm)]
        reached = 100 * mean([sum(hits) / len(hits) for hits in each])
        marker = {"color": INK if arm == "base" else colour_of(NAMES[arm], 0), "symbol": "line-ew-open", "size": 16, "line_width": 3}
        name = f"{NAMES[arm]}, likeliest: {reached:.0f}%"  # alike ones hide each other
        figure.add_trace(go.Scatter(x=[likeliest["tokens"]], y=[reached], name=name, mode="markers", marker=marker))
    ticks = [f"{point['tokens']:.0f}<br>({point['answers']} answer{'s' if point['answers'] > 1 else ''})" for point in votes]
    figure.update_xaxes(type="log", title_text="tokens sampled a question", tickvals=[point["tokens"] for point in votes], ticktext=ticks)
    figure.update_yaxes(title_text=unit_of(report, "heldout"), rangemode="tozero")
    return styled(figure, title="More tokens or more training", width=1000, height=560)


def unit_of(report: Report, split: str) -> str:
    """What an axis of right answers says."""
    told = words_of(report)
    return f"{told.splits[split]}, {told.right}, %"


KL = "forward KL(base ‖ policy) on the new task's prompts, nats per token"


def arm_faithfulness(report: Report, arm: str, which: str, sizes: Sequence[float] | None = None) -> Curve:
    """The mean over seeds of faithfulness at each size, or at some; the interval reaches over all seeds' intervals."""
    found = [end["circuit"][which] for end in ends(report, arm)]
    places = [place for place, size in enumerate(found[0]["sizes"]) if sizes is None or size in sizes]
    return Curve(
        x=[found[0]["sizes"][place] for place in places],
        y=[mean([one["curve"][place] for one in found]) for place in places],
        intervals=[
            (min(one["intervals"][place][0] for one in found), max(one["intervals"][place][1] for one in found)) for place in places
        ],
    )


def overlap_figure(report: Report) -> go.Figure:
    """What of the base's circuit is left after training, beside the base on resampled prompts."""
    nulls = report["measured"]["base"]["circuit"]["resampled"]
    compared: dict[str, Comparison] = {}
    for what in ("edges", "nodes", "heads"):
        null = nulls[what]
        for arm in arms_of(report):
            found = [end["circuit"]["alike"][what] for end in ends(report, arm)]
            low, high = min(one["interval"][0] for one in found), max(one["interval"][1] for one in found)
            compared[f"{what}, {NAMES[arm]}"] = against_null(mean([one["value"] for one in found]), null["values"], interval=(low, high))
    unit = "part of the base's circuit that is in the circuit after training"
    return null_figure(compared, title="What is left of the base's circuit", unit=unit).update_xaxes(range=[0, 1.03])


def arm_map(report: Report, arm: str, read: Callable[[dict[str, Any]], list[list[float]]]) -> Float[Tensor, "rows columns"]:
    """The mean over seeds of a map."""
    # A run that knows no fact any more has no map; its cells are NaN.
    return torch.stack([torch.tensor(read(end["inside"])) for end in ends(report, arm)]).nanmean(0)


def map_figures(report: Report, shown: str) -> list[Drawn]:
    """Heads, tokens and causal tracing in the base and in a few arms at a time beside it."""
    drawn: list[Drawn] = []
    arms = arms_of(report)
    groups = [arms[start : start + BESIDE] for start in range(0, len(arms), BESIDE)]

    def add(key: str, caption: str, draw_some: Callable[[Sequence[str]], go.Figure]) -> None:
        for place, group in enumerate(groups):
            suffix = f"-{place + 1}" if place else ""
            drawn.append(Drawn(key=key + suffix, section="heads and tokens", caption=caption, figure=draw_some(["base", *group])))

    # Measurements of earlier versions don't say over how many pairs.
    pairs = report["measured"]["base"]["inside"]["heads"].get("pairs")
    shown += f", over {pairs} pair{'s' if pairs > 1 else ''} of prompts" if pairs else ""
    add("heads", f"{HEADS} ({shown})", lambda arms: heads_figure(report, arms))
    add("tokens", f"{TOKENS} ({shown})", lambda arms: tokens_figure(report, arms))
    for place, found in enumerate(report["measured"]["base"]["inside"].get("tracing", [])):
        add(f"tracing-{found['corruption']}-{found['restored']}", TRACING, lambda arms, place=place: tracing_figure(report, place, arms))  # type: ignore[misc]
    return drawn


def heads_figure(report: Report, arms: Sequence[str]) -> go.Figure:
    """How much each head restores."""
    heads = {NAMES[arm]: arm_map(report, arm, lambda inside: inside["heads"]["recovery"]) for arm in arms_and_base(report)}
    return head_change_maps(heads, title="Attention heads that restore the answer", unit="recovery", shown=[NAMES[arm] for arm in arms])


def tokens_figure(report: Report, arms: Sequence[str]) -> go.Figure:
    """How much the residual stream restores at each token, from the first at which a pair's prompts differ on."""
    tokens = {NAMES[arm]: arm_map(report, arm, lambda inside: inside["tokens"]["recovery"]) for arm in arms_and_base(report)}
    base = tokens[NAMES["base"]].abs()
    tells = (base >= TELLING * base.max()).any(0)
    labels = report["measured"]["base"]["inside"]["tokens"]["labels"]
    return token_change_maps(
        {name: values[:, tells] for name, values in tokens.items()},
        [label for label, told in zip(labels, tells.tolist(), strict=True) if told],
        title="Residual stream by layer and token: where the clean value restores the answer",
        unit="recovery",
        shown=[NAMES[arm] for arm in arms],
    )


def tracing_figure(report: Report, place: int, arms: Sequence[str]) -> go.Figure:
    """One kind of causal tracing in some models."""

    def effect(inside: dict[str, Any]) -> list[list[float]]:
        return [[math.nan if value is None else value for value in row] for row in inside["tracing"][place]["effect"]]

    found = report["measured"]["base"]["inside"]["tracing"][place]
    maps = {NAMES[arm]: arm_map(report, arm, effect) for arm in arms_and_base(report)}
    there = ~maps[NAMES["base"]].isnan().all(0)
    roles = [role for role, kept in zip(found["roles"], there.tolist(), strict=True) if kept]
    what = {"mlp": "the MLPs", "attention": "attention", "resid": "the residual stream"}[found["restored"]]
    corruption = {"noise": "noise on the subject", "replacement": "another subject"}[found["corruption"]]
    return token_change_maps(
        {name: values[:, there] for name, values in maps.items()},
        roles,
        title=f"Causal tracing: {what} restored, {corruption} ({found['prompts']} prompts)",
        unit="indirect effect",
        shown=[NAMES[arm] for arm in arms],
    )


def circuit_figures(report: Report) -> list[Drawn]:
    """The circuit of the base, and of the first run of each arm beside it."""
    graph = Graph(**report["graph"]["shape"])
    before, before_mask = matrices(report["circuits"]["base"], graph)
    caption = "The strongest edges of the base's circuit. Dotted: values, dashed: keys, solid: queries and MLPs."
    figure = circuit_figure(graph.sources, graph.destinations, before, mask=before_mask, title="The base's circuit", unit="logits")
    drawn = [Drawn(key="circuit-base", section=CIRCUITS_DRAWN, caption=caption, figure=figure)]
    for arm in arms_of(report):
        run = runs_of(report, arm)[0]
        after, after_mask = matrices(report["circuits"][report["last"][run]], graph)
        figure = circuit_figure(
            graph.sources, graph.destinations, after, mask=after_mask, title=f"The circuit of {run_name(run)}", unit="logits"
        )
        caption = f"The strongest edges of the circuit of {run_name(run)}, at the end of training."
        drawn.append(Drawn(key=f"circuit-{arm}", section=CIRCUITS_DRAWN, caption=caption, figure=figure))
        figure = circuit_change_figure(
            graph.sources,
            graph.destinations,
            before,
            after,
            before_mask=before_mask,
            after_mask=after_mask,
            title=f"From the base's circuit to that of {run_name(run)}",
            unit="logits",
        )
        caption = f"The same over the base's: the strongest edges that stayed, and the strongest that {NAMES[arm]} gained and lost."
        drawn.append(Drawn(key=f"circuit-change-{arm}", section=CIRCUITS_DRAWN, caption=caption, figure=figure))
    return drawn


def arm_sparsity(report: Report, arm: str) -> Sparsity:
    """The fractions that changed, mean over seeds."""
    found = [end["weights"] for end in ends(report, arm)]
    return Sparsity(
        parameters=found[0]["parameters"],
        absolute={float(key): mean([one["absolute"][key] for one in found]) for key in found[0]["absolute"]},
        relative={float(key): mean([one["relative"][key] for one in found]) for key in found[0]["relative"]},
        bfloat16=mean([one["bfloat16"] for one in found]),
        relative_norm=mean([one["relative_norm"] for one in found]),
    )


def norm_figure(report: Report) -> go.Figure:
    """How far each layer's weights moved."""
    curves = {}
    for arm in arms_of(report):
        found = [end["weights"]["by_layer"] for end in ends(report, arm)]
        layers = sorted(found[0], key=int)
        curves[NAMES[arm]] = Curve(x=[int(layer) for layer in layers], y=[100 * mean([one[layer] for one in found]) for layer in layers])
    return similarity_figure(curves, title="How far the weights moved, by layer", unit="‖ΔW‖ / ‖W‖, %")


def spectra_of(report: Report, arm: str) -> list[Spectrum]:
    """The lowest, median and highest spectrum of each kind of matrix in the arm's first run."""
    found = ends(report, arm)[0]["inside"]["spectra"]["kinds"]
    return [
        Spectrum(name=kind, layer=None, kind=kind, shape=tuple(one["shape"]), singular_values=torch.tensor(one[which]))
        for kind, one in found.items()
        if one
        for which in ("low", "median", "high")
    ]


def arm_cka(report: Report, arm: str) -> Curve:
    """CKA by layer, mean over seeds."""
    found = [end["inside"]["cka"] for end in ends(report, arm)]
    places = range(len(found[0]["layers"]))
    return Curve(
        x=found[0]["layers"],
        y=[mean([one["cka"][place] for one in found]) for place in places],
        intervals=[
            (min(one["intervals"][place][0] for one in found), max(one["intervals"][place][1] for one in found)) for place in places
        ],
    )


def wrong_figure(report: Report) -> go.Figure:
    """The preference for the base's wrong answers, depth by depth."""
    curves = {}
    for arm in arms_and_base(report):
        values = torch.stack([torch.tensor(end["inside"]["wrong"]["preference"]).mean(1) for end in ends(report, arm)]).mean(0)
        curves[NAMES[arm]] = Curve(x=list(range(len(values))), y=values.tolist())
    title = "What the base would wrongly say, read off every depth"
    return similarity_figure(curves, title=title, unit="logit of the wrong answer minus the right one's").update_xaxes(title_text="depth")
