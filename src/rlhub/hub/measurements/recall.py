"""`rlhub lens trace` and `rlhub lens logit-lens`: where a fact is recalled, and at which depth the answer appears."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from rlhub.core.progress import progress
from rlhub.core.seeding import generator
from rlhub.core.statistics import bootstrap_interval
from rlhub.hub.measurements.result import Result, Row, mean_row
from rlhub.hub.measurements.subject import Subject, load_pairs, open_base, open_model
from rlhub.lens.contrast import Contrast
from rlhub.lens.figures.curves import Curve, similarity_figure
from rlhub.lens.figures.maps import token_change_maps, token_map
from rlhub.lens.logit_lens import Readout, logit_lens
from rlhub.lens.tracing import Traced, trace_facts

WORDS = {"resid": "the residual stream before one layer", "attention": "attention in ten layers", "mlp": "MLPs in ten layers"}


def trace(options: Any) -> Result:
    """Corrupt the subject, restore one place at a time."""
    subject = open_model(options)
    contrast = load_pairs(options, subject)
    base = open_base(options, needed=False)
    mine = _traced(subject, contrast, options)
    theirs = [] if base is None else _traced(base, contrast, options)
    rows, figures, data = [], {}, {}
    for place, found in enumerate(mine):
        key = f"{found.corruption}-{found.restored}"
        unit = "probability of the answer"
        if found.restored == "resid":
            note = f"{found.per_prompt.shape[-1]} prompts answered rightly, {found.dropped} left out"
            rows.append(
                Row(
                    name=f"total effect of {found.corruption}",
                    value=found.total_effect,
                    interval=found.total_interval,
                    unit=unit,
                    note=note,
                )
            )
        layer, role = divmod(int(found.effect.nan_to_num().argmax()), found.effect.shape[1])
        interval = float(found.low[layer, role]), float(found.high[layer, role])
        name = f"{found.corruption}: restoring {found.restored} most at layer {layer}"
        rows.append(Row(name=name, value=float(found.effect[layer, role]), interval=interval, unit=unit, note=found.roles[role]))
        data[key] = {"effect": found.effect, "low": found.low, "high": found.high, "total_effect": found.total_effect}
        title = f"Restoring {WORDS[found.restored]} after {found.corruption} on the subject: {contrast.name}"
        if base is None:
            figures[f"trace-{key}"] = token_map(
                found.effect, found.roles, title=f"{title}, {subject.name}", unit="indirect effect, probability"
            )
        else:
            maps = {f"base ({base.name})": theirs[place].effect, subject.name: found.effect}
            figures[f"trace-{key}"] = token_change_maps(maps, found.roles, title=title, unit="indirect effect, probability")
    return Result(
        title=f"Causal tracing of {contrast.name} in {subject.name}, {len(contrast)} prompts",
        rows=rows,
        data={"roles": mine[0].roles, "traced": data},
        figures=figures,
        notes=[
            "Only prompts whose first choice is the right answer are traced. Noise leaves the model's usual path: where it and another "
            "subject in its place disagree, trust the latter."
        ],
    )


def depths(options: Any) -> Result:
    """Read the answer off the residual stream after each layer."""
    subject = open_model(options)
    contrast = load_pairs(options, subject)
    base = open_base(options, needed=False)
    readings = {subject.name: _read(subject, contrast)} | ({} if base is None else {f"base ({base.name})": _read(base, contrast)})
    rows, curves, data = [], {}, {}
    for name, readout in readings.items():
        chance = readout.probability[:, :, 0]
        first = (readout.rank[:, :, 0] == 0).float()
        top_half = _first_depth(first)
        rows += [
            mean_row(f"{name}: probability of the answer at the end", chance[-1], unit="probability", seed=options.seed),
            mean_row(f"{name}: answer is first choice at the end", first[-1], unit="part of prompts", seed=options.seed),
            Row(name=f"{name}: first depth where it is first choice on half as many", value=top_half, unit=f"of {len(first) - 1} layers"),
        ]
        draws = generator(options.seed, "lens depths")
        curves[name] = Curve(
            x=list(range(len(chance))),
            y=chance.mean(1).tolist(),
            intervals=[bootstrap_interval(depth.cpu(), generator=draws) for depth in chance],
        )
        data[name] = {
            "probability": chance.mean(1),
            "first_choice": first.mean(1),
            "median_rank": readout.rank[:, :, 0].float().median(1).values,
        }
    figure = similarity_figure(
        curves, title=f"Logit lens: probability of the answer after each layer, {contrast.name}", unit="probability of the answer"
    )
    figure.update_xaxes(title_text="layers passed")
    return Result(
        title=f"Logit lens on {contrast.name} in {subject.name}, {len(contrast)} prompts",
        rows=rows,
        data={"depths": data},
        figures={"logit-lens": figure},
        notes=[
            "Depth 0 is before the first layer, the last one is the model's own output; between, the model's final norm and unembedding "
            "are applied to a stream they were not trained for."
        ],
    )


def _traced(subject: Subject, contrast: Contrast, options: Any) -> list[Traced]:
    with progress(f"tracing {subject.name}"):
        return trace_facts(subject.model, contrast, draws=options.draws, seed=options.seed)


def _read(subject: Subject, contrast: Contrast) -> Readout:
    with progress(f"reading {subject.name} at every depth"):
        return logit_lens(subject.model, contrast.inputs("clean"), contrast.correct)


def _first_depth(first: Float[Tensor, "depths prompts"]) -> int | str:
    share = first.mean(1)
    if not share[-1]:
        return "never"
    return int((share >= share[-1] / 2).nonzero()[0])
