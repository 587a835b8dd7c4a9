"""`rlhub lens cka`, `kl` and `record`: what two models make of the same prompts, and the activations themselves."""

from typing import Any

import torch
from torch import Tensor

from rlhub.core.progress import progress, track
from rlhub.hub.measurements.result import Result, Row, mean_row
from rlhub.hub.measurements.subject import Subject, load_pairs, open_base, open_model, place_labels
from rlhub.lens.anatomy import anatomy
from rlhub.lens.contrast import Contrast
from rlhub.lens.divergence import divergence
from rlhub.lens.figures.curves import Curve, similarity_figure
from rlhub.lens.figures.maps import token_map
from rlhub.lens.record import record
from rlhub.lens.similarity import cka_by_site

BATCH = 32


def cka(options: Any) -> Result:
    """Linear CKA of a model's and its base's activations at each prompt's last position."""
    subject = open_model(options)
    base = open_base(options, needed=True)
    assert base is not None  # noqa: S101
    contrast = load_pairs(options, subject)
    sites = options.sites or tuple(f"resid.{layer}" for layer in range(len(anatomy(subject.model).layers) + 1))
    mine, theirs = (_activations(each, contrast, sites, last=True) for each in (subject, base))
    found = cka_by_site(theirs, mine)
    curve = Curve(x=list(range(len(found))), y=[each.value for each in found], intervals=[each.interval for each in found])
    rows = [
        Row(name=each.site, value=each.value, interval=each.interval, unit="debiased CKA", note=f"biased {each.biased:.4g}")
        for each in found
    ]
    return Result(
        title=f"Linear CKA of {subject.name} with {base.name}: {contrast.name}, {len(contrast)} prompts, last position",
        rows=rows,
        data={"base": base.name, "sites": list(sites)},
        figures={
            "cka": similarity_figure(
                {subject.name: curve},
                title=f"Similarity to {base.name} at each prompt's last position: {contrast.name}",
                places=list(sites),
            )
        },
        notes=[
            "The biased estimate is high for unrelated representations too when prompts are fewer than features; the debiased one is 0."
        ],
    )


def kl(options: Any) -> Result:
    """Exact KL to the base on the contrast's clean prompts."""
    subject = open_model(options)
    base = open_base(options, needed=True)
    assert base is not None  # noqa: S101
    contrast = load_pairs(options, subject)
    with progress(f"KL of {subject.name} to {base.name}"):
        # One token beyond the prompt, so that the distribution of the answer itself counts; which token it is changes nothing.
        tokens = torch.cat([contrast.clean, contrast.correct[:, None]], 1)
        mask = torch.cat([contrast.mask, torch.ones_like(contrast.mask[:, :1])], 1)
        found = divergence(base.model, subject.model, tokens, mask)
    rows = [
        mean_row("forward KL(base || model) at the answer", found.forward[:, -1], unit="nats", seed=options.seed),
        mean_row("reverse KL(model || base) at the answer", found.reverse[:, -1], unit="nats", seed=options.seed),
        mean_row("forward KL(base || model), all tokens", found.forward_per_token, unit="nats per token", seed=options.seed),
        mean_row("reverse KL(model || base), all tokens", found.reverse_per_token, unit="nats per token", seed=options.seed),
    ]
    both = torch.stack([_by_place(values, found.counted) for values in (found.forward, found.reverse)])[:, 1:]
    labels = [*place_labels(contrast)[1:], "answer"]
    figure = token_map(
        both,
        labels,
        title=f"KL between {base.name} and {subject.name} at each token: {contrast.name}",
        unit="nats",
        layers=["forward", "reverse"],
    )
    figure.update_yaxes(title_text="")
    return Result(
        title=f"KL of {subject.name} to {base.name}: {contrast.name}, {len(contrast)} prompts",
        rows=rows,
        data={"base": base.name, "labels": labels, "forward": both[0], "reverse": both[1]},
        figures={"kl": figure},
        notes=["Summed over the whole vocabulary at every token of the clean prompts and at the answer's place; nothing is sampled."],
    )


def recorded(options: Any) -> Result:
    """Activations on the contrast's clean prompts."""
    subject = open_model(options)
    contrast = load_pairs(options, subject)
    seen = _activations(subject, contrast, options.sites, last=options.positions == "last")
    rows = [
        Row(name=site, value=float(value.float().norm(dim=-1).mean()), unit="mean norm", note=" x ".join(map(str, value.shape)))
        for site, value in seen.items()
    ]
    return Result(
        title=f"Activations of {subject.name} on {contrast.name}, {len(contrast)} prompts, {options.positions} positions",
        rows=rows,
        data={"sites": list(options.sites), "shapes": {site: list(value.shape) for site, value in seen.items()}},
        tensors={**seen, "tokens": contrast.clean, "mask": contrast.mask.to(torch.uint8)},
    )


def _activations(subject: Subject, contrast: Contrast, sites: tuple[str, ...], *, last: bool) -> dict[str, Tensor]:
    parts = []
    for some in track(list(contrast.batches(BATCH)), f"recording {subject.name}"):
        seen = record(subject.model, some.inputs("clean"), sites, positions=[-1] if last else None)
        parts.append({site: value.cpu() for site, value in seen.items()})
    return {site: torch.cat([part[site] for part in parts]) for site in sites}


def _by_place(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum(0) / counted.sum(0)
