"""Chapter 5: Monte Carlo methods on blackjack, and importance sampling."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from rlhub.core.style import SEQUENTIAL, colour_of, styled
from rlhub.foundations.blackjack import (
    HIT,
    STICK,
    blackjack_mdp,
    exploring_starts,
    first_visit_prediction,
    off_policy_estimates,
    sticks_from,
)
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.importance_sampling import left_or_right
from rlhub.foundations.mdp import policy_values, value_iteration

CARDS = ["A", *(str(card) for card in range(2, 11))]
SUMS = list(range(12, 22))


def stick_on_20(*, runs: int = 1, seed: int = 0, games: int = 500_000) -> Results:
    """Values of sticking on 20 and 21 only, after 10,000 games and after all, beside the exact ones; runs don't matter."""
    hits = sticks_from(20).reshape(200)
    policy = np.eye(2)[np.append(hits, False).astype(int)]
    few, _ = first_visit_prediction(20, min(10_000, games), seed)
    many, visits = first_visit_prediction(20, games, seed)
    return {
        "few": few,
        "many": many,
        "visits": visits,
        "exact": policy_values(blackjack_mdp(), policy)[:200].reshape(2, 10, 10),
        "games": games,
    }


def surface(values: np.ndarray) -> go.Surface:
    """Values over the dealer's card and the player's sum, from -1 to 1."""
    return go.Surface(x=list(range(10)), y=SUMS, z=values.T, cmin=-1, cmax=1, colorscale=[list(one) for one in SEQUENTIAL], showscale=False)


def seen_from_the_corner(drawn: go.Figure) -> go.Figure:
    """Scenes with the book's axes."""
    drawn.update_scenes(
        xaxis={"title": "dealer showing", "tickvals": [0, 3, 6, 9], "ticktext": CARDS[::3]},
        yaxis={"title": "player sum", "tickvals": SUMS[::3]},
        zaxis={"title": "", "range": [-1, 1], "tickvals": [-1, 0, 1]},
        camera={"eye": {"x": 1.6, "y": -1.8, "z": 0.8}, "center": {"x": 0, "y": 0, "z": -0.2}},
    )
    return drawn


def draw_stick_on_20(results: Results) -> go.Figure:
    """A usable ace above, none below; few games on the left, many on the right."""
    from plotly.subplots import make_subplots

    titles = [
        f"{ace}, after {games:,} games"
        for ace in ("usable ace", "no usable ace")
        for games in (min(10_000, results["games"]), results["games"])
    ]
    drawn = make_subplots(
        2, 2, specs=[[{"type": "surface"}] * 2] * 2, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.06
    )
    for row, ace in enumerate((1, 0), 1):
        for column, name in enumerate(("few", "many"), 1):
            drawn.add_trace(surface(results[name][ace]), row=row, col=column)
    return seen_from_the_corner(styled(drawn, title="Figure 5.1: values of sticking only on 20 and 21", width=900, height=850))


def tell_stick_on_20(results: Results) -> dict[str, float]:
    """How far estimates are from exact values, by how often states are seen, and what 20 and 21 are worth."""
    shares = results["visits"] / results["visits"].sum()
    return {
        f"error after {name} games": float(np.sqrt((shares * (results[name] - results["exact"]) ** 2).sum())) for name in ("few", "many")
    } | {f"mean value of {total}, no ace": float(results["many"][0, :, total - 12].mean()) for total in (19, 20, 21)}


def best_play(*, runs: int = 1, seed: int = 0, games: int = 5_000_000) -> Results:
    """The policy that exploring starts find, beside the exact one; runs don't matter."""
    worth = exploring_starts(games, seed)
    game = blackjack_mdp()
    exact = value_iteration(game)
    hit = (game.rewards + game.transitions @ exact)[:200]
    return {
        "hits": worth[..., HIT] > worth[..., STICK],
        "values": worth.max(-1),
        "exact hits": (hit[:, HIT] > hit[:, STICK]).reshape(2, 10, 10),
        "exact values": exact[:200].reshape(2, 10, 10),
    }


def draw_best_play(results: Results) -> go.Figure:
    """Where to hit on the left, what states are worth on the right; a usable ace above."""
    from plotly.subplots import make_subplots

    kinds = [[{"type": "heatmap"}, {"type": "surface"}]] * 2
    titles = [f"{what}, {ace}" for ace in ("usable ace", "no usable ace") for what in ("π*", "v*")]
    drawn = make_subplots(2, 2, specs=kinds, subplot_titles=titles, horizontal_spacing=0.1, vertical_spacing=0.12)
    for row, ace in enumerate((1, 0), 1):
        hits = results["hits"][ace].T
        words = {"text": np.where(hits, "hit", "stick"), "texttemplate": "%{text}", "textfont_size": 11}
        scale = [[0, "#f7f7f7"], [1, "#92c5de"]]
        cells = go.Heatmap(x=CARDS, y=SUMS, z=hits.astype(int), zmin=0, zmax=1, colorscale=scale, showscale=False, xgap=1, ygap=1, **words)
        drawn.add_trace(cells, row=row, col=1)
        drawn.add_trace(surface(results["values"][ace]), row=row, col=2)
    drawn.update_xaxes(title_text="dealer showing", type="category")
    drawn.update_yaxes(title_text="player sum", dtick=1)
    return seen_from_the_corner(styled(drawn, title="Figure 5.2: optimal blackjack by exploring starts", width=1050, height=950))


def tell_best_play(results: Results) -> dict[str, float]:
    """How many of 200 states differ from the exact policy, how far values are off, and from where to stick against three cards."""
    lowest = {f"{card}": 12 + int((~results["hits"][0, card - 1]).argmax()) for card in (2, 6, 10)}
    return {
        "states that differ from the exact policy": float((results["hits"] != results["exact hits"]).sum()),
        "largest error of a value": float(np.abs(results["values"] - results["exact values"]).max()),
    } | {f"sticks from, against {card}, no ace": float(total) for card, total in lowest.items()}


def off_policy(*, runs: int = 100, seed: int = 0, games: int = 10_000) -> Results:
    """Squared errors of one state's value by both kinds of importance sampling; the state: an ace and a two against a two."""
    policy = np.eye(2)[np.append(sticks_from(20).reshape(200), False).astype(int)]
    exact = policy_values(blackjack_mdp(), policy)[100 + 10 + 1]
    ordinary, weighted = off_policy_estimates(1, 2, 13, 20, runs, games, seed)
    return {
        "exact": float(exact),
        "ordinary": ((ordinary - exact) ** 2).mean(0),
        "weighted": ((weighted - exact) ** 2).mean(0),
        "last": ordinary[:, -1],
    }


def draw_off_policy(results: Results) -> go.Figure:
    """Mean squared errors against games, on a scale of powers of ten."""
    drawn = go.Figure()
    for place, name in enumerate(("ordinary", "weighted")):
        errors = results[name]
        line = {"color": colour_of("", place), "width": 2}
        drawn.add_trace(go.Scatter(x=np.arange(1, len(errors) + 1), y=errors, name=f"{name} importance sampling", line=line))
    drawn.update_xaxes(title_text="episodes", type="log", dtick=1)
    drawn.update_yaxes(title_text="mean square error", range=[0, 5])
    drawn.update_layout(legend={"x": 0.98, "xanchor": "right", "y": 0.98})
    return styled(drawn, title="Figure 5.3: ordinary and weighted importance sampling of a blackjack state")


def tell_off_policy(results: Results) -> dict[str, float]:
    """The state's value and errors after ten and after all games."""
    told = {"exact value": results["exact"]}
    for name in ("ordinary", "weighted"):
        told |= {f"{name}, error after 10": float(results[name][9]), f"{name}, error at the end": float(results[name][-1])}
    return told


def infinite_variance(*, runs: int = 10, seed: int = 0, episodes: int = 100_000_000) -> Results:
    """Ordinary importance sampling of a value that is 1, over a hundred million episodes."""
    marks = np.unique(np.geomspace(1, episodes, 400).astype(int))
    return {"marks": marks, "estimates": left_or_right(marks, runs, seed)}


def draw_infinite_variance(results: Results) -> go.Figure:
    """A curve for each run, that jumps and sinks again."""
    drawn = go.Figure()
    for place, estimates in enumerate(results["estimates"]):
        line: dict[str, Any] = {"color": colour_of("", place), "width": 1.2}
        drawn.add_trace(go.Scatter(x=results["marks"], y=estimates, line=line, name=f"run {place + 1}", showlegend=False))
    drawn.add_hline(y=1, line_dash="dash", line_color="#888888", annotation_text="the true value", annotation_position="top left")
    drawn.update_xaxes(title_text="episodes", type="log", dtick=1)
    drawn.update_yaxes(title_text="estimate by ordinary importance sampling", range=[0, 3.2])
    return styled(drawn, title="Figure 5.4: estimates whose variance is infinite don't settle")


def tell_infinite_variance(results: Results) -> dict[str, float]:
    """How far runs are from 1 at the end, and the highest estimate after the first thousand episodes."""
    last, late = results["estimates"][:, -1], results["marks"] >= 1000
    return {
        "mean at the end": float(last.mean()),
        "farthest from 1 at the end": float(np.abs(last - 1).max()),
        "highest after 1000 episodes": float(results["estimates"][:, late].max(initial=0.0)),
    }


EXHIBITS = (
    Exhibit(
        key="5.1",
        title="Blackjack values by Monte Carlo prediction",
        shows="states with a usable ace come seldom and are learned slowly; sticking only on 20 and 21 is bad everywhere below 20",
        runs=1,
        compute=stick_on_20,
        draw=draw_stick_on_20,
        numbers=tell_stick_on_20,
        code=(first_visit_prediction,),
    ),
    Exhibit(
        key="5.2",
        title="Optimal blackjack by exploring starts",
        shows="Monte Carlo with exploring starts finds Thorp's basic strategy, but for a notch against an ace",
        runs=1,
        compute=best_play,
        draw=draw_best_play,
        numbers=tell_best_play,
        code=(exploring_starts,),
    ),
    Exhibit(
        key="5.3",
        title="Ordinary and weighted importance sampling",
        shows="weighted importance sampling begins with much lower errors; both approach zero",
        runs=100,
        compute=off_policy,
        draw=draw_off_policy,
        numbers=tell_off_policy,
        code=(off_policy_estimates,),
    ),
    Exhibit(
        key="5.4",
        title="Importance sampling with infinite variance",
        shows="estimates of 1 by ordinary importance sampling jump without end, even after a hundred million episodes",
        runs=10,
        compute=infinite_variance,
        draw=draw_infinite_variance,
        numbers=tell_infinite_variance,
        code=(left_or_right,),
    ),
)
