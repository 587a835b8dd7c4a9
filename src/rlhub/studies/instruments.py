"""The lens pointed at one checkpoint: each function takes a model and gives numbers as JSON, the same for every model of a study."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlhub.core.seeding import generator
from rlhub.language.facts import RELATIONS, facts
from rlhub.lens.anatomy import anatomy
from rlhub.lens.contrast import Contrast
from rlhub.lens.overlap import changed_overlap
from rlhub.lens.patch import patch_heads, patch_residual, recovery, unpatched
from rlhub.lens.record import record
from rlhub.lens.similarity import cka_by_site
from rlhub.lens.spectra import Spectrum, weight_change_spectra
from rlhub.lens.tracing import ROLES, Corruption, Restored, trace_facts
from rlhub.lens.weights import Weights, kind_of, paired, sparsity_by_kind, sparsity_by_layer, update_sparsity, weight_change

MOVED = 1e-5
"""A parameter counts as moved beyond this: the tolerance at which arXiv:2505.11711 calls an update sparse."""
STATEMENTS = 4
"""One of so many facts makes a true and a false statement."""
SPECTRA_OF = ("query", "attention output", "mlp up", "mlp down")


def kept_pairs(model: nn.Module, contrast: Contrast, *, pairs: int) -> list[int]:
    """The first pairs that the base tells apart: it prefers each prompt's own answer over the other's, clean and corrupt alike."""
    clean, corrupt = unpatched(model, contrast)
    good = ((clean > 0) & (corrupt < 0)).nonzero()[:, 0].tolist()
    return good[:pairs]


def metric(model: nn.Module, contrast: Contrast) -> dict[str, Any]:
    """The logit difference of the clean and of the corrupt run, pair by pair."""
    clean, corrupt = unpatched(model, contrast)
    return {"clean": clean.tolist(), "corrupt": corrupt.tolist()}


def heads(model: nn.Module, contrast: Contrast) -> dict[str, Any]:
    """How much of the logit difference each attention head restores when its clean value is put into the corrupt run, [layers, heads]."""
    clean, corrupt = unpatched(model, contrast)
    return {"recovery": recovery(patch_heads(model, contrast), corrupt, clean).tolist(), "pairs": len(contrast)}


def tokens(model: nn.Module, contrast: Contrast) -> dict[str, Any]:
    """The same for the residual stream before each layer at each position, [layers, positions]."""
    clean, corrupt = unpatched(model, contrast)
    restored = recovery(patch_residual(model, contrast), corrupt, clean)
    return {"recovery": restored.tolist(), "labels": list(contrast.labels), "pairs": len(contrast)}


def tracing(
    model: nn.Module, contrast: Contrast, *, corruptions: tuple[Corruption, ...], restored: tuple[Restored, ...], draws: int
) -> list[dict[str, Any]]:
    """Causal tracing, one entry for each corruption and each kind of place; no effects where the model knows none of the facts any more."""
    if not known(model, contrast):
        nothing = [[None] * len(ROLES) for _ in anatomy(model).layers]
        return [
            {"corruption": corruption, "restored": place, "effect": nothing, "roles": list(ROLES), "prompts": 0, "dropped": len(contrast)}
            for corruption in corruptions
            for place in restored
        ]
    return [
        {
            "corruption": traced.corruption,
            "restored": traced.restored,
            "effect": blank(traced.effect),
            "low": blank(traced.low),
            "high": blank(traced.high),
            "roles": list(traced.roles),
            "total_effect": traced.total_effect,
            "total_interval": list(traced.total_interval),
            "prompts": traced.per_prompt.shape[-1],
            "dropped": traced.dropped,
        }
        for traced in trace_facts(model, contrast, corruptions=corruptions, restored=restored, draws=draws)
    ]


def known(model: nn.Module, contrast: Contrast) -> list[int]:
    """The pairs on which the model's first choice is the right answer."""
    with torch.no_grad():
        logits = model(**contrast.inputs("clean")).logits[:, -1]
    return (logits.argmax(-1) == contrast.correct).nonzero()[:, 0].tolist()


def weights(base: Weights, trained: Weights) -> dict[str, Any]:
    """How many parameters moved, how far, and whether the MLPs' value vectors turned."""
    changes = weight_change(base, trained)
    whole = update_sparsity(changes)
    return {
        "parameters": whole.parameters,
        "absolute": {f"{tolerance:g}": share for tolerance, share in whole.absolute.items()},
        "relative": {f"{tolerance:g}": share for tolerance, share in whole.relative.items()},
        "bfloat16": whole.bfloat16,
        "relative_norm": whole.relative_norm,
        "by_layer": {str(layer): sparsity.relative_norm for layer, sparsity in sparsity_by_layer(changes).items()},
        "by_kind": {kind: sparsity.relative_norm for kind, sparsity in sparsity_by_kind(changes).items()},
        "value_vector_cosine": value_vector_cosine(base, trained),
    }


def value_vector_cosine(base: Weights, trained: Weights) -> float:
    """Mean cosine of each MLP output vector (a column of the down projection) before and after training."""
    cosines = [
        torch.cosine_similarity(old, new, dim=0 if old.shape[0] < old.shape[1] else 1)
        for name, old, new in paired(base, trained)
        if kind_of(name) == "mlp down" and old.ndim == 2
    ]
    return float(torch.cat(cosines).mean()) if cosines else math.nan


def spectra(base: Weights, trained: Weights) -> dict[str, Any]:
    """Ranks of every matrix's change, and the median spectrum of each kind, relative to the largest singular value."""
    found = weight_change_spectra(base, trained, kinds=SPECTRA_OF)
    return {
        "numerical_rank": mean([spectrum.numerical_rank / spectrum.full_rank for spectrum in found]),
        "energy_rank": mean([spectrum.energy_rank / spectrum.full_rank for spectrum in found]),
        "effective_rank": mean([spectrum.effective_rank / spectrum.full_rank for spectrum in found]),
        "kinds": {kind: kind_spectrum([spectrum for spectrum in found if spectrum.kind == kind]) for kind in SPECTRA_OF},
    }


def kind_spectrum(found: list[Spectrum]) -> dict[str, Any]:
    """The median over layers of the singular values over the largest, at 61 places from the first to the last."""
    if not found or not any(spectrum.singular_values.any() for spectrum in found):
        return {}
    rows, columns = found[0].shape
    scaled = torch.stack([spectrum.singular_values / spectrum.singular_values.max().clamp(min=1e-30) for spectrum in found])
    places = torch.linspace(0, scaled.shape[1] - 1, min(61, scaled.shape[1])).round().long()
    return {
        "shape": [rows, columns],
        "rank": [100 * (place + 1) / scaled.shape[1] for place in places.tolist()],
        "low": scaled.amin(0)[places].tolist(),
        "median": scaled.median(0).values[places].tolist(),
        "high": scaled.amax(0)[places].tolist(),
    }


def overlap(base: Weights, first: Weights, second: Weights) -> dict[str, float]:
    """Of the parameters that one run moved, the part that another run moved too, and what chance gives."""
    found = changed_overlap(base, first, second, tolerance=MOVED)["all"]
    return {"shared": found.shared, "chance": found.shared_chance, "jaccard": found.jaccard, "jaccard_chance": found.jaccard_chance}


def similarity(base: nn.Module, trained: nn.Module, contrast: Contrast) -> dict[str, Any]:
    """Debiased linear CKA with the base of the residual stream at the last position, before each layer and at the end."""
    sites = [f"resid.{layer}" for layer in range(1, len(anatomy(base).layers))]
    found = cka_by_site(*(record(model, contrast.inputs("clean"), sites, positions=[-1]) for model in (base, trained)))
    return {
        "layers": [int(one.site.partition(".")[2]) for one in found],
        "cka": [one.value for one in found],
        "intervals": [list(one.interval) for one in found],
    }


def wrong_answers(
    model: nn.Module, inputs: dict[str, Tensor], right: Int[Tensor, " prompts"], wrong: Int[Tensor, " prompts"]
) -> dict[str, list[list[float]]]:
    """How much each depth prefers a wrong answer to the right one: the difference of their logits in the logit lens, [depths, prompts]."""
    parts = anatomy(model)
    depths = [f"resid.{depth}" for depth in range(len(parts.layers))]
    seen = record(model, inputs, [*depths, "logits"], positions=[-1])
    readings = [*(parts.unembed(seen[depth][:, 0]) for depth in depths), seen["logits"][:, 0]]
    gaps = [logits.gather(1, wrong[:, None]) - logits.gather(1, right[:, None]) for logits in readings]
    return {"preference": [gap[:, 0].tolist() for gap in gaps]}


def statements(tokenizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """True and false statements of the same facts, false ones with the next fact's answer, each ending in a full stop."""
    sides: tuple[list[str], list[str]] = ([], [])
    for relation in RELATIONS:
        known = facts(relation)
        for place, fact in enumerate(known):
            other = next(one for one in known[place + 1 :] + known if one.answer != fact.answer)
            sides[0].append(fact.prompt + fact.answer + ".")
            sides[1].append(fact.prompt + other.answer + ".")
    true, false = (tokenizer(list(side[::STATEMENTS]), return_tensors="pt", padding=True, padding_side="left") for side in sides)
    return dict(true), dict(false)


def truth(model: nn.Module, tokenizer: Any) -> dict[str, Tensor]:
    """What tells true statements from false ones: the difference of their activations at the full stop, [layers, statements, width]."""
    sites = [f"resid.{layer}" for layer in range(2, len(anatomy(model).layers), 2)] or ["resid.1"]
    sides = []
    device = next(model.parameters()).device
    for side in statements(tokenizer):
        mask = side["attention_mask"].to(device)
        inputs = {"input_ids": side["input_ids"].to(device), "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
        seen = record(model, inputs, sites, positions=[-1])
        sides.append(torch.stack([seen[site][:, 0] for site in sites]))
    return {"difference": sides[0] - sides[1]}


def truth_transfer(base: Float[Tensor, "layers statements width"], trained: Float[Tensor, "layers statements width"]) -> dict[str, Any]:
    """Whether the base's direction from false to true still tells them apart in the trained model.

    A direction is the mean difference over every other statement; its accuracy is the part of the others whose true version lies further
    along it than the false one. The layer is where the base's own direction fits best on the statements that it is made from.
    """
    fit, rest = base[:, ::2], base[:, 1::2]
    directions = fit.mean(1)
    layer = int(torch.stack([along(fit[place], directions[place]) for place in range(len(fit))]).argmax())
    own = trained[layer, ::2].mean(0)
    tested = trained[layer, 1::2]
    random = torch.randn(40, tested.shape[-1], generator=generator(0, "random directions"))
    own_accuracy = along(tested, own)
    return {
        "layer": layer,
        "base_accuracy": float(along(rest[layer], directions[layer])),
        "own_accuracy": float(own_accuracy),
        "transfer_accuracy": float(along(tested, directions[layer])),
        "cosine": float(torch.cosine_similarity(own, directions[layer], dim=0)),
        "ratio": float(along(tested, directions[layer]) / own_accuracy),
        "random_ratios": [float(along(tested, direction) / own_accuracy) for direction in random],
    }


def along(differences: Float[Tensor, "statements width"], direction: Float[Tensor, " width"]) -> Float[Tensor, ""]:
    """The part of the differences that point along a direction."""
    return (differences @ direction > 0).float().mean()


def blank(values: Float[Tensor, "..."]) -> Any:
    """Nested lists with None for NaN, which JSON lacks."""
    if values.ndim == 0:
        return None if values.isnan() else float(values)
    return [blank(value) for value in values]


def mean(values: list[float]) -> float:
    """The mean of numbers; NaN of none."""
    return sum(values) / len(values) if values else math.nan
