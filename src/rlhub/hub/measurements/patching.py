"""`rlhub lens patch` and `rlhub lens heads`: activation patching over layers and tokens, and over heads."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhub.core.progress import progress
from rlhub.core.seeding import generator
from rlhub.hub.measurements.result import Result, Row, mean_row, weighted_interval
from rlhub.hub.measurements.subject import Subject, load_pairs, open_base, open_model, place_labels
from rlhub.lens.compare import bootstrap_weights
from rlhub.lens.contrast import Contrast
from rlhub.lens.figures.maps import head_change_maps, head_map, token_change_maps, token_map
from rlhub.lens.patch import patch_contribution, patch_heads, patch_residual, unpatched

TOP = 10
RESAMPLES = 2000
UNITS = {"corrupt": "part of the logit difference restored", "clean": "part of the logit difference destroyed"}
KINDS = {"residual": "the residual stream before each layer", "attention": "what attention adds", "mlp": "what MLPs add"}


def patch(options: Any) -> Result:
    """Patch the residual stream, attention's and the MLPs' contributions at each layer and token."""
    subject = open_model(options)
    contrast = load_pairs(options, subject)
    base = open_base(options, needed=False)
    labels = place_labels(contrast)
    mine = _patched(subject, contrast, options)
    theirs = None if base is None else _patched(base, contrast, options)
    unit = UNITS[options.into]
    rows = _ends(subject, contrast, options)
    figures, data = {}, {}
    for kind, what in KINDS.items():
        effect = _effect(mine[kind], mine["start"], mine["end"], contrast.mask)
        rows += _strongest(mine[kind], mine["start"], mine["end"], contrast.mask, labels, kind, options.seed)
        data[kind] = effect
        title = f"Patching {what}: {contrast.name}, {len(contrast)} pairs"
        if theirs is None or base is None:
            figures[f"patch-{kind}"] = token_map(effect, labels, title=f"{title}, {subject.name}", unit=unit)
        else:
            before = _effect(theirs[kind], theirs["start"], theirs["end"], contrast.mask)
            data[f"{kind} in base"] = before
            figures[f"patch-{kind}"] = token_change_maps(
                {f"base ({base.name})": before, subject.name: effect}, labels, title=title, unit=unit
            )
    return Result(
        title=f"Activation patching of {contrast.name} in {subject.name}: {len(contrast)} pairs, into the {options.into} run",
        rows=rows,
        data={"labels": labels, "effects": data},
        figures=figures,
        notes=[
            f"1 means {unit.removeprefix('part of ')} in full. Positions are counted from the prompt's end, and each is averaged over the "
            "pairs that have it. Intervals resample the pairs."
        ],
    )


def heads(options: Any) -> Result:
    """Patch each attention head at all positions at once."""
    subject = open_model(options)
    contrast = load_pairs(options, subject)
    base = open_base(options, needed=False)
    values, start, end = _heads(subject, contrast, options)
    effect = _effect(values, start, end, None)
    unit = UNITS[options.into]
    title = f"Patching each attention head: {contrast.name}, {len(contrast)} pairs"
    names = [[f"a{layer}.h{head}" for head in range(effect.shape[1])] for layer in range(effect.shape[0])]
    rows = _ends(subject, contrast, options) + _top_rows(values, start, end, None, names, unit, options.seed)
    data: dict[str, Any] = {"effects": effect}
    if base is None:
        figure = head_map(effect, title=f"{title}, {subject.name}", unit=unit)
    else:
        before = _effect(*_heads(base, contrast, options), None)
        data["effects in base"] = before
        rows.append(
            Row(
                name=f"correlation with {base.name}'s heads",
                value=float(torch.corrcoef(torch.stack([before.flatten(), effect.flatten()]))[0, 1]),
            )
        )
        figure = head_change_maps({f"base ({base.name})": before, subject.name: effect}, title=title, unit=unit)
    return Result(
        title=f"Patching heads of {contrast.name} in {subject.name}: {len(contrast)} pairs, into the {options.into} run",
        rows=rows,
        data=data,
        figures={"heads": figure},
        notes=["Heads that back up another one show only once that one is gone (backup heads), so a small effect is not no role."],
    )


def _patched(subject: Subject, contrast: Contrast, options: Any) -> dict[str, Any]:
    whole, corrupt = unpatched(subject.model, contrast)
    start, end = (corrupt, whole) if options.into == "corrupt" else (whole, corrupt)
    with progress(f"patching {subject.name}", 3) as task:
        found = {"residual": patch_residual(subject.model, contrast, into=options.into)}
        task.advance()
        for kind in ("attention", "mlp"):
            found[kind] = patch_contribution(subject.model, contrast, kind, into=options.into)
            task.advance()
    return {"start": start, "end": end, **found}


def _heads(subject: Subject, contrast: Contrast, options: Any) -> tuple[Tensor, Tensor, Tensor]:
    whole, corrupt = unpatched(subject.model, contrast)
    start, end = (corrupt, whole) if options.into == "corrupt" else (whole, corrupt)
    with progress(f"patching the heads of {subject.name}"):
        return patch_heads(subject.model, contrast, into=options.into), start, end


def _ends(subject: Subject, contrast: Contrast, options: Any) -> list[Row]:
    whole, corrupt = unpatched(subject.model, contrast)
    return [
        mean_row("clean run", whole, unit="logit difference", seed=options.seed),
        mean_row("corrupt run", corrupt, unit="logit difference", seed=options.seed),
    ]


def _effect(
    values: Float[Tensor, "layers places pairs"],
    start: Float[Tensor, " pairs"],
    end: Float[Tensor, " pairs"],
    mask: Bool[Tensor, "pairs places"] | None,
    weights: Float[Tensor, "resamples pairs"] | None = None,
) -> Float[Tensor, "..."]:
    """(m(patched) - m(start)) / (m(end) - m(start)) with means over the pairs that have the place; NaN where none has."""
    gain, way = (values - start).double(), (end - start).double()
    there = torch.ones(values.shape[1:], dtype=torch.float64, device=values.device) if mask is None else mask.T.double()
    if weights is None:
        return ((gain * there).sum(-1) / (way * there).sum(-1)).float().cpu()
    weights = weights.double().to(values.device)
    return (torch.einsum("rp,lxp->rlx", weights, gain * there) / (weights @ (way * there).T)[:, None]).float().cpu()


def _strongest(
    values: Tensor, start: Tensor, end: Tensor, mask: Tensor, labels: Sequence[str], kind: str, seed: int, count: int = 3
) -> list[Row]:
    names = [[f"{kind} {layer} at {label!r}" for label in labels] for layer in range(values.shape[0])]
    return _top_rows(values, start, end, mask, names, "of the logit difference", seed, count)


def _top_rows(
    values: Tensor, start: Tensor, end: Tensor, mask: Tensor | None, names: list[list[str]], unit: str, seed: int, count: int = TOP
) -> list[Row]:
    """The places of largest effect, with intervals over the pairs."""
    effect = _effect(values, start, end, mask)
    weights = bootstrap_weights(values.shape[-1], RESAMPLES, generator=generator(seed, "lens patching"))
    rows = []
    for place in effect.nan_to_num().abs().flatten().argsort(descending=True)[:count].tolist():
        layer, column = divmod(place, effect.shape[1])
        some = None if mask is None else mask[:, column : column + 1]
        samples = _effect(values[layer : layer + 1, column : column + 1], start, end, some, weights).flatten()
        rows.append(Row(name=names[layer][column], value=float(effect[layer, column]), interval=weighted_interval(samples), unit=unit))
    return rows
