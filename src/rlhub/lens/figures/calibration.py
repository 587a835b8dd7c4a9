"""Whether probabilities mean what they say: how often what was said with probability p was so."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.style import INK, POSITIVE, Number, styled
from rlhub.lens.figures.curves import Interval, bars


def calibration_figure(
    said: Sequence[Number],
    right: Sequence[Number],
    intervals: Sequence[Interval],
    counts: Sequence[int],
    *,
    title: str,
    said_unit: str,
    right_unit: str,
) -> go.Figure:
    """A reliability diagram (Niculescu-Mizil & Caruana 2005): what was said against what was so, over how often it was said.

    Args:
        said: mean probability in each part.
        right: share that was so.
        intervals: of that share.
        counts: how many there are.
        title: what is shown.
        said_unit: what lies across.
        right_unit: what lies upwards.
    """
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.78, 0.22], vertical_spacing=0.04)
    low = 0.5 if min(said) >= 0.5 else 0.0  # of two things only the likelier is told, whose probability is at least 1/2
    perfect = {"color": INK, "width": 1, "dash": "dot"}
    figure.add_trace(go.Scatter(x=[low, 1], y=[low, 1], mode="lines", line=perfect, name="perfect", hoverinfo="skip"), row=1, col=1)
    figure.add_trace(
        go.Scatter(
            x=list(said),
            y=list(right),
            mode="markers+lines",
            name="share, 95% interval",
            line={"color": POSITIVE, "width": 1},
            marker={"size": 9, "color": POSITIVE},
            error_y=bars(right, intervals, POSITIVE),
            text=[f"{count:,}" for count in counts],
            hovertemplate="said %{x:.3f}, was so in %{y:.3f} of %{text}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    figure.add_trace(
        go.Bar(
            x=list(said),
            y=list(counts),
            width=0.4 * (1 - low) / 10,
            marker={"color": POSITIVE, "opacity": 0.5},
            text=[f"{count:,}" for count in counts],
            textposition="outside",
            cliponaxis=False,
            showlegend=False,
            hoverinfo="skip",
        ),
        row=2,
        col=1,
    )
    figure.update_xaxes(range=[low - 0.02, 1.02])
    figure.update_xaxes(title_text=said_unit, row=2, col=1)
    figure.update_yaxes(title_text=right_unit, range=[min(low, *(lowest for lowest, _ in intervals)) - 0.02, 1.02], row=1, col=1)
    figure.update_yaxes(title_text="count", range=[0, 1.35 * max(counts)], nticks=3, row=2, col=1)
    styled(figure, title=title, width=720, height=640)
    return figure.update_layout(legend={"x": 0.02, "y": 0.98})
