"""`rlhub lens weights`: what training did to the parameters themselves."""

import dataclasses
from typing import Any

from rlhub.core.progress import progress
from rlhub.hub.measurements.result import Result, Row
from rlhub.hub.measurements.subject import base_name, label, source_of
from rlhub.language.model import load_model
from rlhub.lens.figures.weights import change_norm_figure, rank_figure, sparsity_figure, spectra_figure
from rlhub.lens.spectra import Spectrum, random_spectrum, weight_change_spectra
from rlhub.lens.spectra import effective_rank as effective
from rlhub.lens.weights import Change, sparsity_by_kind, sparsity_by_layer, update_sparsity, weight_change


def weights(options: Any) -> Result:
    """Compare a model's parameters with its base's: sparsity at several tolerances, norms, singular values of the change."""
    base_spec = base_name(options, needed=True)
    assert base_spec is not None  # noqa: S101
    name, base = label(options.model, options.runs), label(base_spec, options.runs)
    before, after = (_weights(spec, options) for spec in (base_spec, options.model))
    with progress("comparing parameters"):
        changes = weight_change(before, after)
    rows = _sparsity_rows(changes)
    figures = {
        "weights-sparsity": sparsity_figure({name: update_sparsity(changes)}, title=f"Parameters of {name} changed from {base}"),
        "weights-norms": change_norm_figure({name: changes}, title=f"How far the weights of {name} moved from {base}"),
    }
    data: dict[str, Any] = {
        "base": base,
        "all": dataclasses.asdict(update_sparsity(changes)),
        "by_kind": {kind: dataclasses.asdict(sparsity) for kind, sparsity in sparsity_by_kind(changes).items()},
        "by_layer": {layer: dataclasses.asdict(sparsity) for layer, sparsity in sparsity_by_layer(changes).items()},
    }
    if options.spectra == "yes":
        with progress("singular values of each matrix's change"):
            spectra = weight_change_spectra(before, after)
        rows += _rank_rows(spectra, options.seed)
        figures["weights-spectra"] = spectra_figure({name: spectra}, title=f"Singular values of the change from {base} to {name}")
        figures["weights-rank"] = rank_figure({name: spectra}, title=f"Directions that hold 99% of the change from {base} to {name}")
        data["spectra"] = [_told(spectrum) for spectrum in spectra]
    return Result(
        title=f"Weights of {name} against {base}: {update_sparsity(changes).parameters:,} parameters",
        rows=rows,
        data=data,
        figures=figures,
        notes=[
            "Both sides are compared in float32. How many parameters count as changed depends on the tolerance, and rounding to bfloat16 "
            "hides small changes (2511.08567): read no single figure alone.",
            "A random matrix of a shape is the yardstick for the ranks: nearly full rank is what noise has too.",
        ],
    )


def _weights(spec: str, options: Any) -> Any:
    with progress(f"loading {spec}"):
        return load_model(source_of(spec, options.runs), device="cpu")[0]


def _sparsity_rows(changes: list[Change]) -> list[Row]:
    whole = update_sparsity(changes)
    rows = [
        Row(name=f"|Δw| > {tolerance:g}" if tolerance else "not bit-equal", value=100 * fraction, unit="% of parameters")
        for tolerance, fraction in whole.absolute.items()
    ]
    rows += [
        Row(name=f"|Δw| > {tolerance:g} of |w|", value=100 * fraction, unit="% of parameters")
        for tolerance, fraction in whole.relative.items()
        if tolerance >= 1e-5
    ]
    rows.append(Row(name="differs as bfloat16", value=100 * whole.bfloat16, unit="% of parameters"))
    rows.append(Row(name="‖ΔW‖ / ‖W‖", value=100 * whole.relative_norm, unit="%"))
    rows += [
        Row(name=f"‖ΔW‖ / ‖W‖, {kind}", value=100 * sparsity.relative_norm, unit="%")
        for kind, sparsity in sparsity_by_kind(changes).items()
    ]
    return rows


def _rank_rows(spectra: list[Spectrum], seed: int) -> list[Row]:
    import torch

    rows = []
    for kind in dict.fromkeys(spectrum.kind for spectrum in spectra):
        chosen = [spectrum for spectrum in spectra if spectrum.kind == kind]
        if max(chosen[0].shape) > 10_000:
            continue
        share = torch.tensor([100 * spectrum.effective_rank / spectrum.full_rank for spectrum in chosen], dtype=torch.float64)
        chance = effective(random_spectrum(*chosen[0].shape[:2], generator=torch.Generator().manual_seed(seed))) / chosen[0].full_rank
        rows.append(
            Row(
                name=f"effective rank of ΔW, {kind}",
                value=float(share.median()),
                unit="% of full, median of layers",
                note=f"{float(share.min()):.3g} to {float(share.max()):.3g}; random matrix {100 * chance:.3g}",
            )
        )
    return rows


def _told(spectrum: Spectrum) -> dict[str, Any]:
    return {
        "name": spectrum.name,
        "layer": spectrum.layer,
        "kind": spectrum.kind,
        "shape": spectrum.shape,
        "effective_rank": spectrum.effective_rank,
        "stable_rank": spectrum.stable_rank,
        "energy_rank": spectrum.energy_rank,
        "numerical_rank": spectrum.numerical_rank,
        "largest": float(spectrum.singular_values.max()),
    }
