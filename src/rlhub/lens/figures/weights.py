"""Figures of what training did to the weights: how many parameters changed, how far by layer and kind, along how many directions."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from rlhub.core.style import band, colour_of, styled, symbol_of
from rlhub.lens.spectra import Spectrum, random_spectrum
from rlhub.lens.weights import Change, Sparsity, sparsity_by_kind, sparsity_by_layer


def change_norm_figure(
    changes: Mapping[str, Sequence[Change]], *, title: str = "How far the weights moved, by layer and by kind"
) -> go.Figure:
    """Norm of the change relative to the weight's, in percent: by layer above, by kind of matrix below; one colour a run.

    Args:
        changes: run -> its changes from the base.
        title: what is shown.
    """
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.17)
    for index, (name, tensors) in enumerate(changes.items()):
        for row, groups in ((1, sparsity_by_layer(tensors)), (2, sparsity_by_kind(tensors))):
            figure.add_trace(
                go.Scatter(
                    x=[str(group) for group in groups],
                    # A logarithmic axis has no place for a group that did not move.
                    y=[100 * sparsity.relative_norm or None for sparsity in groups.values()],
                    name=name,
                    legendgroup=name,
                    showlegend=row == 1,
                    mode="lines+markers" if row == 1 else "markers",
                    line={"color": colour_of(name, index), "width": 2},
                    marker={"size": 7 if row == 1 else 11, "symbol": symbol_of(index)},
                    hovertemplate=f"<b>{name}</b> %{{x}}: %{{y:.4g}}%<extra></extra>",
                ),
                row=row,
                col=1,
            )
    figure.update_xaxes(title_text="layer", row=1, col=1, type="category")
    figure.update_xaxes(row=2, col=1, type="category")
    figure.update_yaxes(title_text="‖ΔW‖ / ‖W‖, %", type="log", exponentformat="power", nticks=6)
    return styled(figure, title=title, height=680)


def sparsity_figure(
    sparsities: Mapping[str, Sparsity], *, title: str = "Parameters changed, by the tolerance that a change has to exceed"
) -> go.Figure:
    """Percent of parameters that moved by more than each absolute tolerance; squares on the left: after rounding both sides to bfloat16.

    Args:
        sparsities: run -> the fractions that changed.
        title: what is shown.
    """
    figure = go.Figure()
    for index, (name, sparsity) in enumerate(sparsities.items()):
        colour = colour_of(name, index)
        figure.add_trace(
            go.Scatter(
                x=[_tolerance(tolerance) for tolerance in sparsity.absolute],
                y=[100 * fraction for fraction in sparsity.absolute.values()],
                name=name,
                legendgroup=name,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker_size=8,
                hovertemplate=f"<b>{name}</b> |Δw| > %{{x}}: %{{y:.3g}}%<extra></extra>",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=["bfloat16"],
                y=[100 * sparsity.bfloat16],
                legendgroup=name,
                showlegend=False,
                mode="markers",
                marker={"size": 12, "symbol": "square", "color": colour, "line": {"color": "white", "width": 1}},
                hovertemplate=f"<b>{name}</b> as bfloat16: %{{y:.3g}}%<extra></extra>",
            )
        )
    tolerances = [_tolerance(tolerance) for tolerance in next(iter(sparsities.values())).absolute]
    figure.update_xaxes(
        type="category",
        categoryorder="array",
        categoryarray=["bfloat16", *tolerances],
        title_text="after rounding to bfloat16, any difference  |  in float32, |Δw| larger than",
    )
    figure.update_yaxes(title_text="parameters changed, %", range=[-3, 103])
    return styled(figure, title=title)


def spectra_figure(
    spectra: Mapping[str, Sequence[Spectrum]],
    *,
    kinds: Sequence[str] = ("query", "attention output", "mlp up", "mlp down"),
    title: str = "Singular values of the weight change",
    seed: int = 0,
) -> go.Figure:
    """Singular values relative to the largest against their rank, for each kind of matrix: median and range over layers, one colour a run.

    The dotted line is a random matrix of the same shape, which is what a change without any preferred direction would look like.

    Args:
        spectra: run -> the spectra of its changes.
        kinds: which kinds of matrix, a panel each; kinds that the model lacks are left out.
        title: what is shown.
        seed: of the random matrix.
    """
    present = {spectrum.kind for tensors in spectra.values() for spectrum in tensors}
    kinds = [kind for kind in kinds if kind in present] or sorted(present)[:4]
    figure = make_subplots(rows=1, cols=len(kinds), subplot_titles=kinds, shared_yaxes=True, horizontal_spacing=0.03)
    for column, kind in enumerate(kinds, start=1):
        shape: tuple[int, ...] | None = None
        for index, (name, tensors) in enumerate(spectra.items()):
            chosen = [spectrum for spectrum in tensors if spectrum.kind == kind and spectrum.singular_values.any()]
            if not chosen:
                continue
            shape = chosen[0].shape
            values = torch.stack([spectrum.singular_values for spectrum in chosen if spectrum.shape == shape])
            values = values / values.max(1, keepdim=True).values
            low, middle, high = values.quantile(torch.tensor([0.0, 0.5, 1.0]), dim=0)
            rank = [100 * (place + 1) / len(middle) for place in range(len(middle))]
            colour = colour_of(name, index)
            figure.add_trace(band(name, rank, low.tolist(), high.tolist(), colour), row=1, col=column)
            figure.add_trace(
                go.Scatter(
                    x=rank,
                    y=middle.tolist(),
                    name=name,
                    legendgroup=name,
                    showlegend=column == 1,
                    mode="lines",
                    line={"color": colour, "width": 2},
                    hovertemplate=f"<b>{name}</b> at %{{x:.0f}}% of full rank: %{{y:.3g}}<extra></extra>",
                ),
                row=1,
                col=column,
            )
        if shape is not None:
            chance = random_spectrum(shape[0], shape[1], generator=torch.Generator().manual_seed(seed))
            figure.add_trace(
                go.Scatter(
                    x=[100 * (place + 1) / len(chance) for place in range(len(chance))],
                    y=(chance / chance.max()).tolist(),
                    name="random matrix",
                    legendgroup="random matrix",
                    showlegend=column == 1,
                    mode="lines",
                    line={"color": "#777777", "width": 1.5, "dash": "dot"},
                    hoverinfo="skip",
                ),
                row=1,
                col=column,
            )
    figure.update_yaxes(type="log", range=[-4, 0.1], dtick=1, exponentformat="power")
    figure.update_yaxes(title_text="singular value / largest", row=1, col=1)
    figure.update_xaxes(title_text="rank, % of full", range=[0, 100])
    return styled(figure, title=title, width=1100, height=460).update_layout(margin_t=90)


def rank_figure(spectra: Mapping[str, Sequence[Spectrum]], *, title: str = "Directions that hold 99% of the weight change") -> go.Figure:
    """Rank to 99% of the energy in percent of the full rank: every matrix a point, grouped by kind; one colour a run.

    Args:
        spectra: run -> the spectra of its changes.
        title: what is shown.
    """
    figure = go.Figure()
    for index, (name, tensors) in enumerate(spectra.items()):
        figure.add_trace(
            go.Box(
                x=[spectrum.kind for spectrum in tensors],
                y=[100 * spectrum.energy_rank / spectrum.full_rank for spectrum in tensors],
                name=name,
                marker={"color": colour_of(name, index), "size": 4},
                boxpoints="all",
                jitter=0.5,
                pointpos=0,
                text=[spectrum.name for spectrum in tensors],
                hovertemplate=f"<b>{name}</b> %{{text}}: %{{y:.3g}}%<extra></extra>",
            )
        )
    figure.update_yaxes(title_text="rank to 99% energy, % of full rank", rangemode="tozero")
    return styled(figure, title=title).update_layout(boxmode="group")


def _tolerance(tolerance: float) -> str:
    return "0" if tolerance == 0 else f"{tolerance:.0e}".replace("e-0", "e-")
