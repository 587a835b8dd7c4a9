"""A run's learning curves as one figure: of a run in stages, all its stages one after another."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.errors import UserError
from rlhub.core.records import read_metrics
from rlhub.core.style import INK, POSITIVE, band, colour_of, styled
from rlhub.hub.curve import Stage, accuracy_of, curve, stages_of
from rlhub.hub.metric_log import ACCURACIES

BESIDE = {"length": "tokens<br>an answer", "reflections": "words of second<br>thoughts an answer"}
BEFORE_ANSWERS = {"accuracy": "accuracy", "loss": "loss"}
SMOOTHED, LEAST = 20, 5  # the thick line is a mean over this part of a stage's values, or over this many


def curves_figure(folder: Path) -> go.Figure:
    """What a run learnt, against its steps: its return, or how good, how long and how thoughtful its answers were.

    A language model's answers are measured where it samples them; stages that imitate are shaded. A run without answers shows its
    accuracy or loss.

    Raises:
        UserError: the run has logged nothing of all that.
    """
    episodes = curve(read_metrics(folder))
    if episodes:
        return returns_figure(folder.name, episodes)
    stages = stages_of(folder)
    accuracy = accuracy_of(stages)
    if accuracy is None:
        known = next((name for name in BEFORE_ANSWERS if any(stage.points(name)[0] for stage in stages)), None)
        if known is None:
            raise UserError(f"run {folder.name} has logged nothing to draw a curve of yet")
        return panels(folder.name, stages, {known: BEFORE_ANSWERS[known]})
    shown = {accuracy: ACCURACIES[accuracy].replace(" answers ", " answers<br>")}
    shown |= {name: words for name, words in BESIDE.items() if any(stage.samples and stage.points(name)[0] for stage in stages)}
    return panels(folder.name, stages, shown, only_samples=True)


def panels(name: str, stages: list[Stage], shown: dict[str, str], *, only_samples: bool = False) -> go.Figure:
    """One small plot for each metric, one below the other over the same steps.

    Args:
        name: the run's.
        stages: what is drawn side by side.
        shown: metric -> what its axis says.
        only_samples: draw and tell apart only stages in which the model gives answers.
    """
    figure = make_subplots(len(shown), 1, shared_xaxes=True, vertical_spacing=0.06)
    for row, (metric, words) in enumerate(shown.items(), start=1):
        for stage in stages:
            if only_samples and not stage.samples:
                shade = {"fillcolor": "#eeeeee", "layer": "below", "line_width": 0, "exclude_empty_subplots": False}
                figure.add_vrect(x0=stage.begins, x1=stage.ends, row=row, col=1, **shade)
                continue
            steps, values = stage.points(metric)
            raw = {"color": POSITIVE, "width": 1}
            figure.add_trace(go.Scatter(x=steps, y=values, mode="lines", line=raw, opacity=0.35, name=stage.name), row=row, col=1)
            line = {"color": POSITIVE, "width": 2.5}
            figure.add_trace(go.Scatter(x=steps, y=smooth(values), mode="lines", line=line, name=stage.name), row=row, col=1)
        figure.update_yaxes(title_text=words, rangemode="tozero", row=row, col=1)
        for stage in stages[1:]:
            figure.add_vline(x=stage.begins, line={"color": "#888888", "width": 1, "dash": "dot"}, row=row, col=1)
    if len(stages) > 1:
        last = stages[-1].ends
        for place, stage in enumerate(stages):
            # names of neighbours on two lines, so that those of short stages stay apart
            figure.add_annotation(
                x=(stage.begins + stage.ends) / 2 / max(last, 1),
                y=1.0 + 0.045 * (place % 2),
                xref="x domain",
                yref="paper",
                yanchor="bottom",
                text=stage.name,
                showarrow=False,
                font={"size": 12, "color": INK},
            )
        figure.update_xaxes(range=[0, last])
    figure.update_xaxes(title_text="step" + (", over all stages" if len(stages) > 1 else ""), row=len(shown), col=1)
    note = "thick: mean over neighbouring steps" + ("; grey: imitation, where the model gives no answers" if len(stages) > 1 else "")
    styled(figure, title=f"{name}<br><sup>{note}</sup>", height=150 + 190 * len(shown))
    return figure.update_layout(showlegend=False, margin_t=115 if len(stages) > 1 else 90)


def returns_figure(name: str, points: list[dict[str, Any]]) -> go.Figure:
    """An agent's return against its steps, with the 95% interval over seeds where there are several."""
    figure, steps = go.Figure(), [point["step"] for point in points]
    seeds = points[0]["seeds"]
    if seeds > 1:
        figure.add_trace(band(name, steps, [point["low"] for point in points], [point["high"] for point in points], POSITIVE))
    figure.add_trace(go.Scatter(x=steps, y=[point["value"] for point in points], mode="lines", line={"color": POSITIVE, "width": 2}))
    figure.update_xaxes(title_text="steps in environments")
    figure.update_yaxes(title_text="return of an episode")
    about = f"interquartile mean of {seeds} seeds, 95% bootstrap interval" if seeds > 1 else "mean of the episodes that ended"
    return styled(figure, title=f"{name}<br><sup>{about}</sup>").update_layout(showlegend=False)


def comparison_figure(metric: str, lines: list[dict[str, Any]]) -> go.Figure:
    """Curves of several runs, as `rlhub.hub.comparison.curves_of` tells them, with their intervals."""
    figure = go.Figure()
    for place, line in enumerate(lines):
        colour, name = colour_of("", place), f"{line['label']} ({line['seeds']} seeds)" if line["seeds"] > 1 else line["label"]
        if line["seeds"] > 1 and "low" in line:
            figure.add_trace(band(name, line["steps"], line["low"], line["high"], colour))
        stroke = {"color": colour, "width": 2}
        figure.add_trace(go.Scatter(x=line["steps"], y=line["values"], mode="lines", line=stroke, name=name, legendgroup=name))
    figure.update_xaxes(title_text="step")
    figure.update_yaxes(title_text=metric)
    title = f"{metric}<br><sup>interquartile means over seeds, 95% bootstrap intervals</sup>"
    styled(figure, title=title, width=960)
    return figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.18, "yanchor": "top", "x": 0}, margin_b=90)


def smooth(values: list[float]) -> list[float]:
    """Each value's mean with its neighbours, a twentieth of all together but at least 5, fewer at the ends."""
    reach = max(len(values) // SMOOTHED, LEAST) // 2
    parts = [values[max(0, place - reach) : place + reach + 1] for place in range(len(values))]
    return [sum(part) / len(part) for part in parts]
