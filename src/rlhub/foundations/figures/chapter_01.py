"""Chapter 1: tic-tac-toe learned by playing oneself."""

import numpy as np
import plotly.graph_objects as go

from rlhub.core.style import band, colour_of, styled
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.tic_tac_toe import first_values, match, perfect_values, self_play

GAMES, MATCH = 30_000, 200


def learning(*, runs: int = 20, seed: int = 0, games: int = GAMES, step_size: float = 0.1, epsilon: float = 0.1) -> Results:
    """What greedy play by learned values loses to a perfect player, and wins against one that moves at random."""
    marks = np.unique(np.geomspace(10, max(games, 10), 15).astype(int))
    perfect, random = perfect_values(), np.zeros_like(first_values())
    lost, won = np.empty((2, runs, len(marks))), np.empty((2, runs, len(marks)))
    for run in range(runs):
        own = seed * 1_000_003 + run
        for place, values in enumerate(self_play(marks, step_size, epsilon, own)):
            lost[0, run, place] = match(values, perfect, MATCH, own)[1]
            lost[1, run, place] = match(perfect, values, MATCH, own)[0]
            won[0, run, place] = match(values, random, MATCH, own)[0]
            won[1, run, place] = match(random, values, MATCH, own)[1]
    return {"games": marks, "lost to a perfect player": lost, "won against a random player": won}


def draw_learning(results: Results) -> go.Figure:
    """Shares over games of self-play, for each seat; shades are where the middle half of the runs are."""
    drawn = go.Figure()
    place = 0
    for what in ("lost to a perfect player", "won against a random player"):
        for seat, shares in zip(("first", "second"), results[what], strict=True):
            name, colour = f"{what}, moving {seat}", colour_of("", place)
            low, middle, high = np.quantile(100 * shares, (0.25, 0.5, 0.75), axis=0).tolist()
            drawn.add_trace(band(name, results["games"].tolist(), low, high, colour))
            line = {"color": colour, "width": 2}
            drawn.add_trace(go.Scatter(x=results["games"], y=middle, name=name, legendgroup=name, line=line))
            place += 1
    drawn.update_xaxes(title_text="games of self-play", type="log", dtick=1)
    drawn.update_yaxes(title_text="games, %", range=[-2, 102])
    return styled(drawn, title="Tic-tac-toe learned by self-play: median over runs of the greedy player", width=1180)


def tell_learning(results: Results) -> dict[str, float]:
    """Shares before learning and at the end, means over runs."""
    return {
        f"{what} {when}, moving {seat}": float(shares[:, place].mean())
        for what in ("lost to a perfect player", "won against a random player")
        for seat, shares in zip(("first", "second"), results[what], strict=True)
        for when, place in (("at the beginning", 0), ("at the end", -1))
    }


EXHIBITS = (
    Exhibit(
        key="tic-tac-toe",
        title="Tic-tac-toe by self-play",
        shows="from nothing but games against oneself come values by which a perfect player is seldom lost to",
        runs=20,
        compute=learning,
        draw=draw_learning,
        numbers=tell_learning,
        code=(self_play, match),
    ),
)
