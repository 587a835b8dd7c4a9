"""Chapter 2: multi-armed bandits."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from rlhub.core.style import colour_of, styled
from rlhub.foundations.bandits import epsilon_greedy
from rlhub.foundations.exhibit import Exhibit, Results

ARMS, STEPS, RUNS = 10, 1000, 2000


def greedy_ways(*, runs: int = RUNS, seed: int = 0) -> Results:
    """The 10-armed testbed under three shares of exploration."""
    values = np.random.default_rng(seed).standard_normal((runs, ARMS))
    found: dict[str, Any] = {}
    for epsilon in (0.0, 0.01, 0.1):
        rewards, best = epsilon_greedy(values, STEPS, epsilon=epsilon, first=0.0, step_size=0.0, seed=seed)
        found[f"{epsilon:g}"] = {"reward": rewards.mean(0), "best": best.mean(0)}
    return found


def draw_greedy_ways(results: Results) -> go.Figure:
    """Average reward and share of best pulls against steps, one above the other as in the book."""
    from plotly.subplots import make_subplots

    drawn = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.06)
    for place, (epsilon, curves) in enumerate(results.items()):
        line = {"color": colour_of("", place), "width": 1.5}
        name = f"ε = {epsilon}" + (" (greedy)" if epsilon == "0" else "")
        for row, (part, scale) in enumerate((("reward", 1), ("best", 100)), 1):
            drawn.add_trace(go.Scatter(y=curves[part] * scale, name=name, legendgroup=name, showlegend=row == 1, line=line), row=row, col=1)
    drawn.update_yaxes(title_text="average reward", row=1, col=1)
    drawn.update_yaxes(title_text="best action, %", range=[0, 100], row=2, col=1)
    drawn.update_xaxes(title_text="steps", row=2, col=1)
    return styled(drawn, title="Figure 2.2: ε-greedy on the 10-armed testbed", width=760, height=700)


def tell_greedy_ways(results: Results) -> dict[str, float]:
    """What each earns and chooses over the last hundred steps."""
    return {
        f"{what} at the end, epsilon {epsilon}": float(curves[part][-100:].mean())
        for epsilon, curves in results.items()
        for what, part in (("reward", "reward"), ("share of best actions", "best"))
    }


EXHIBITS = (
    Exhibit(
        key="2.2",
        title="ε-greedy on the 10-armed testbed",
        shows="a greedy learner gets stuck near 1; exploring a tenth of the time finds the best arm four times out of five",
        runs=RUNS,
        compute=greedy_ways,
        draw=draw_greedy_ways,
        numbers=tell_greedy_ways,
        code=(epsilon_greedy,),
    ),
)
