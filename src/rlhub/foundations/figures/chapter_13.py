"""Chapter 13: policy gradient methods, on the short corridor with switched actions."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from rlhub.core.style import colour_of, styled
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.policy_gradient import policy_values, reinforce, short_corridor

# Moved step by step, REINFORCE may leap to a policy that hardly ever leaves the corridor, so episodes are cut.
EPISODES, LIMIT, EPSILON = 1000, 2000, 0.1
ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
# The book doesn't say where it starts: here from going right with probability 0.05, whose return is near its figures' first.
FIRST = np.array([0.0, np.log(19)])


def corridor(*, runs: int = 1, seed: int = 0) -> Results:
    """The start state's value against the probability of going right, in closed form."""
    follows, rewards, _ = short_corridor()
    right = np.linspace(0.01, 0.99, 981)
    values = np.array([policy_values(follows, rewards, np.tile([1 - one, one], (3, 1)))[0] for one in right])
    return {"right": right, "values": values}


def draw_corridor(results: Results) -> go.Figure:
    """The curve, its top, and the two epsilon-greedy policies."""
    right, values = results["right"], results["values"]
    drawn = go.Figure()
    drawn.add_scatter(x=right, y=values, showlegend=False, line={"color": colour_of("", 0)})
    for at, name, side in (
        (right[values.argmax()], "best stochastic policy", "top center"),
        (EPSILON / 2, "\N{GREEK SMALL LETTER EPSILON}-greedy left", "middle right"),
        (1 - EPSILON / 2, "\N{GREEK SMALL LETTER EPSILON}-greedy right", "middle left"),
    ):
        here = float(np.interp(at, right, values))
        text = [f"{name} ({here:.1f})"]
        drawn.add_scatter(
            x=[at], y=[here], mode="markers+text", text=text, textposition=side, showlegend=False, marker={"color": "#222222", "size": 8}
        )
    drawn.update_xaxes(title_text="probability of right action", range=[0, 1])
    drawn.update_yaxes(title_text="value of the start state", range=[-100, 0])
    return styled(drawn, title="Example 13.1: the short corridor with switched actions", width=820)


def tell_corridor(results: Results) -> dict[str, float]:
    """The best policy, and what it and epsilon-greedy ones are worth."""
    right, values = results["right"], results["values"]
    return {
        "best probability of right": float(right[values.argmax()]),
        "value of the best policy": float(values.max()),
        "value of epsilon-greedy left": float(np.interp(EPSILON / 2, right, values)),
        "value of epsilon-greedy right": float(np.interp(1 - EPSILON / 2, right, values)),
    }


def mean_returns(
    *, runs: int, seed: int, episodes: int, step_size: float, baseline_step_size: float = 0.0, at_once: bool = True
) -> np.ndarray:
    """The return of each episode, averaged over runs."""
    follows, rewards, features = short_corridor()
    each = (
        reinforce(follows, rewards, features, FIRST, episodes, step_size, baseline_step_size, 1.0, LIMIT, seed, run, at_once)[0]
        for run in range(runs)
    )
    return np.mean(list(each), 0)


def step_sizes(*, runs: int = 100, seed: int = 0, episodes: int = EPISODES) -> Results:
    """REINFORCE with three step sizes, moved once an episode, and with the largest also moved after each step of it."""
    settings: dict[str, Any] = {"runs": runs, "seed": seed, "episodes": episodes}
    return {f"{ALPHA} = 2<sup>-{power}</sup>": mean_returns(step_size=2.0**-power, **settings) for power in (12, 13, 14)} | {
        f"{ALPHA} = 2<sup>-12</sup>, moved step by step": mean_returns(step_size=2.0**-12, at_once=False, **settings)
    }


def baseline(*, runs: int = 100, seed: int = 0, episodes: int = EPISODES) -> Results:
    """REINFORCE without and with a baseline."""
    settings: dict[str, Any] = {"runs": runs, "seed": seed, "episodes": episodes}
    return {
        f"REINFORCE with baseline, {ALPHA} = 2<sup>-9</sup>, 2<sup>-6</sup>": mean_returns(
            step_size=2.0**-9, baseline_step_size=2.0**-6, **settings
        ),
        f"REINFORCE, {ALPHA} = 2<sup>-13</sup>": mean_returns(step_size=2.0**-13, **settings),
    }


def draw_returns(results: Results, title: str) -> go.Figure:
    """Returns against episodes, below the dashed line of the best policy."""
    drawn = go.Figure()
    for place, (name, curve) in enumerate(results.items()):
        dashed = "step by step" in name
        line = {"color": colour_of("", 0 if dashed else place), "width": 1.2 if dashed else 1.5, "dash": "dot" if dashed else "solid"}
        drawn.add_scatter(x=np.arange(1, len(curve) + 1), y=curve, name=name, line=line)
    drawn.add_hline(y=best_value(), line={"dash": "dash", "color": "#888888"}, annotation_text="value of the best policy")
    drawn.update_xaxes(title_text="episode")
    drawn.update_yaxes(title_text="total reward of an episode, averaged over runs", range=[-92, -5])
    return styled(drawn, title=title, width=860)


def best_value() -> float:
    """The value of the best policy, with right taken with probability 2 - sqrt(2)."""
    follows, rewards, _ = short_corridor()
    right = 2 - 2**0.5
    return float(policy_values(follows, rewards, np.tile([1 - right, right], (3, 1)))[0])


def draw_step_sizes(results: Results) -> go.Figure:
    """A curve for each step size."""
    return draw_returns(results, "Figure 13.1: REINFORCE on the short corridor")


def draw_baseline(results: Results) -> go.Figure:
    """A curve for each way."""
    return draw_returns(results, "Figure 13.2: a baseline makes REINFORCE learn faster")


def tell_returns(results: Results) -> dict[str, float]:
    """The mean return over the first and the last hundred episodes."""
    return {
        f"return over the {when} 100 episodes, {name.replace('<sup>', '^').replace('</sup>', '')}": float(part.mean())
        for name, curve in results.items()
        for when, part in (("first", curve[:100]), ("last", curve[-100:]))
    }


EXHIBITS = (
    Exhibit(
        key="example 13.1",
        title="The short corridor with switched actions",
        shows="where states can't be told apart, the best policy goes right with probability 0.59 and beats every greedy one",
        runs=1,
        compute=corridor,
        draw=draw_corridor,
        numbers=tell_corridor,
        code=(short_corridor, policy_values),
    ),
    Exhibit(
        key="13.1",
        title="REINFORCE on the short corridor",
        shows="with a good step size the return nears the best; moved step by step in an episode, as boxed, some runs get stuck for good",
        runs=100,
        compute=step_sizes,
        draw=draw_step_sizes,
        numbers=tell_returns,
        code=(reinforce,),
    ),
    Exhibit(
        key="13.2",
        title="REINFORCE with a baseline on the short corridor",
        shows="a baseline allows a larger step size, and learning that takes a fraction of the episodes",
        runs=100,
        compute=baseline,
        draw=draw_baseline,
        numbers=tell_returns,
        code=(reinforce,),
    ),
)
