"""Chapter 10: on-policy control with approximation, on the mountain car and the access-control queue."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.style import SEQUENTIAL, colour_of, styled
from rlhub.foundations.average_reward import access_control, differential_sarsa, optimal_average_reward
from rlhub.foundations.compiled import each_run
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.mountain_car import HIGH, LOW, car_tiles, n_step_sarsa
from rlhub.foundations.tiles import tile_features

LIMIT, TILINGS = 10_000, 8
SNAPSHOTS = {
    "step 428": (1, 428),
    "episode 12": (12, LIMIT),
    "episode 104": (104, LIMIT),
    "episode 1000": (1000, LIMIT),
    "episode 9000": (9000, LIMIT),
}
PRIORITIES = (1, 2, 4, 8)
STEP_SIZES = {
    1: (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5),
    2: (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3),
    4: (0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    8: (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    16: (0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
}


def cost_to_go(*, runs: int = 1, seed: int = 0) -> Results:
    """The expected steps to the goal, as the values have it at five moments of a run that begins anew for each."""
    coding = car_tiles()
    grid = np.stack(np.meshgrid(*(np.linspace(*ends, 40) for ends in zip(LOW, HIGH, strict=True))), -1)
    table = tile_features(coding, grid.reshape(-1, 2))
    found: dict[str, Any] = {"position": grid[0, :, 0], "velocity": grid[:, 0, 1]}
    for name, (episodes, limit) in SNAPSHOTS.items():
        each = [table @ n_step_sarsa(coding, episodes, 1, 0.1 / TILINGS, 0.0, limit, seed, run)[1].T for run in range(runs)]
        found[name] = -np.max(np.mean(each, 0), axis=1).reshape(40, 40)
    return found


def draw_cost_to_go(results: Results) -> go.Figure:
    """A surface for each moment."""
    drawn = make_subplots(
        2, 3, specs=[[{"type": "surface"}] * 3] * 2, subplot_titles=list(SNAPSHOTS), horizontal_spacing=0.02, vertical_spacing=0.06
    )
    for place, name in enumerate(SNAPSHOTS):
        surface = go.Surface(x=results["position"], y=results["velocity"], z=results[name], showscale=False, colorscale=SEQUENTIAL)
        drawn.add_trace(surface, row=1 + place // 3, col=1 + place % 3)
    drawn.update_scenes(
        xaxis_title="position", yaxis_title="velocity", zaxis_title="cost to go", camera={"eye": {"x": -1.8, "y": -1.9, "z": 1.2}}
    )
    return styled(drawn, title="Figure 10.1: the mountain car's cost-to-go function, learned in one run", width=1200, height=860)


def tell_cost_to_go(results: Results) -> dict[str, float]:
    """The highest cost of each moment."""
    return {f"highest cost-to-go, {name}": float(results[name].max()) for name in SNAPSHOTS}


def steps_taken(coding: Any, *, runs: int, seed: int, episodes: int, n: int, step_size: float, limit: int = LIMIT) -> Any:
    """Each episode's steps, averaged over runs; the step size is that of all tilings together."""
    each = each_run(lambda run: n_step_sarsa(coding, episodes, n, step_size / TILINGS, 0.0, limit, seed, run)[0], runs)
    return np.mean(each, 0)


def car_learning(*, runs: int = 100, seed: int = 0, episodes: int = 500) -> Results:
    """One-step Sarsa with three step sizes."""
    return {
        f"\N{GREEK SMALL LETTER ALPHA} = {alpha}/8": steps_taken(car_tiles(), runs=runs, seed=seed, episodes=episodes, n=1, step_size=alpha)
        for alpha in (0.1, 0.2, 0.5)
    }


def car_lookahead(*, runs: int = 100, seed: int = 0, episodes: int = 500) -> Results:
    """One-step and eight-step Sarsa, each with a good step size."""
    return {
        f"n = {n}, \N{GREEK SMALL LETTER ALPHA} = {alpha}/8": steps_taken(
            car_tiles(), runs=runs, seed=seed, episodes=episodes, n=n, step_size=alpha
        )
        for n, alpha in ((1, 0.5), (8, 0.3))
    }


def draw_learning(results: Results, title: str) -> go.Figure:
    """Steps of each episode on a logarithmic scale."""
    drawn = go.Figure()
    for place, (name, curve) in enumerate(results.items()):
        drawn.add_scatter(x=np.arange(1, len(curve) + 1), y=curve, name=name, line={"color": colour_of("", place), "width": 1.5})
    ticks = [100, 200, 400, 1000]
    drawn.update_yaxes(title_text="steps per episode (log scale), averaged over runs", type="log", tickvals=ticks, range=[2, 3.05])
    drawn.update_xaxes(title_text="episode")
    return styled(drawn, title=title, width=860)


def draw_car_learning(results: Results) -> go.Figure:
    """A curve for each step size."""
    return draw_learning(results, "Figure 10.2: mountain car learning curves of semi-gradient Sarsa")


def draw_car_lookahead(results: Results) -> go.Figure:
    """A curve for each n."""
    return draw_learning(results, "Figure 10.3: one-step and 8-step semi-gradient Sarsa on the mountain car")


def tell_learning(results: Results) -> dict[str, float]:
    """Steps over the first fifty and the last hundred episodes."""
    return {
        f"steps over {when}, {name}": float(part.mean())
        for name, curve in results.items()
        for when, part in (("the first 50 episodes", curve[:50]), ("the last 100 episodes", curve[-100:]))
    }


def car_step_sizes(*, runs: int = 100, seed: int = 0, episodes: int = 50) -> Results:
    """Early performance by n and step size."""
    return {
        str(n): {
            alpha: float(steps_taken(car_tiles(), runs=runs, seed=seed, episodes=episodes, n=n, step_size=alpha, limit=1000).mean())
            for alpha in step_sizes
        }
        for n, step_sizes in STEP_SIZES.items()
    }


def draw_car_step_sizes(results: Results) -> go.Figure:
    """A curve for each n."""
    drawn = go.Figure()
    for place, (n, curve) in enumerate(results.items()):
        drawn.add_scatter(x=list(curve), y=list(curve.values()), name=f"n = {n}", line={"color": colour_of("", place)})
    drawn.update_xaxes(title_text="\N{GREEK SMALL LETTER ALPHA} \N{MULTIPLICATION SIGN} number of tilings (8)", range=[0, 1.55])
    drawn.update_yaxes(title_text="steps per episode<br>averaged over first 50 episodes", range=[210, 305])
    return styled(drawn, title="Figure 10.4: n-step Sarsa's early performance on the mountain car", width=820)


def tell_car_step_sizes(results: Results) -> dict[str, float]:
    """The fewest steps of each n."""
    return {f"fewest steps per episode, n = {n}": min(curve.values()) for n, curve in results.items()}


def queue(*, runs: int = 1, seed: int = 0, steps: int = 2_000_000) -> Results:
    """Differential Sarsa on the access-control queue, beside what is optimal."""
    transitions, rewards = access_control()
    best, _ = optimal_average_reward(transitions, rewards)
    each = [differential_sarsa(transitions.cumsum(-1), rewards, steps, 0.01, 0.01, 0.1, seed + run) for run in range(runs)]
    values = np.mean([one[0] for one in each], 0).reshape(11, 4, 2)
    return {"values": values, "average": float(np.mean([one[1] for one in each])), "optimal average": best}


def draw_queue(results: Results) -> go.Figure:
    """Left the policy, right the value of the best action, both against free servers."""
    drawn = make_subplots(1, 2, subplot_titles=["policy", "differential value of the best action"], horizontal_spacing=0.12)
    values = results["values"]
    accepts = (values[1:, :, 1] > values[1:, :, 0]).T.astype(float)
    shades = [[0, "#eeeeee"], [0.5, "#eeeeee"], [0.5, "#92c5de"], [1, "#92c5de"]]
    drawn.add_heatmap(
        z=accepts,
        x=np.arange(1, 11),
        y=[str(one) for one in PRIORITIES],
        colorscale=shades,
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=1,
        ygap=1,
    )
    drawn.add_annotation(x=9, y=3, text="accept", showarrow=False, row=1, col=1)
    drawn.add_annotation(x=1.5, y=0, text="reject", showarrow=False, row=1, col=1)
    for place, priority in enumerate(PRIORITIES):
        line = {"color": colour_of("", place)}
        drawn.add_scatter(x=np.arange(11), y=values[:, place].max(-1), name=f"priority {priority}", line=line, row=1, col=2)
    drawn.update_xaxes(title_text="free servers", dtick=1)
    drawn.update_yaxes(title_text="priority", autorange="reversed", row=1, col=1)
    drawn.update_yaxes(title_text="differential value", row=1, col=2)
    return styled(drawn, title="Figure 10.5: differential Sarsa on the access-control queue", width=1100)


def tell_queue(results: Results) -> dict[str, float]:
    """The average reward learned and the best possible, and the fewest free servers at which each priority is accepted."""
    values = results["values"]
    told = {"average reward": results["average"], "best average reward": results["optimal average"]}
    for place, priority in enumerate(PRIORITIES):
        accepted = np.flatnonzero(values[1:, place, 1] > values[1:, place, 0]) + 1
        told[f"fewest free servers at which priority {priority} is accepted"] = float(accepted.min(initial=11))
    return told


EXHIBITS = (
    Exhibit(
        key="10.1",
        title="The mountain car's cost-to-go function",
        shows="optimistic values make the car explore, and costs spread from where it has been to the whole valley",
        runs=1,
        compute=cost_to_go,
        draw=draw_cost_to_go,
        numbers=tell_cost_to_go,
        code=(n_step_sarsa,),
    ),
    Exhibit(
        key="10.2",
        title="Mountain car learning curves of semi-gradient Sarsa",
        shows="larger step sizes learn faster, all three within 500 episodes to about 120 steps",
        runs=100,
        compute=car_learning,
        draw=draw_car_learning,
        numbers=tell_learning,
        code=(n_step_sarsa,),
    ),
    Exhibit(
        key="10.3",
        title="One-step and 8-step Sarsa on the mountain car",
        shows="eight-step Sarsa learns faster and ends no worse",
        runs=100,
        compute=car_lookahead,
        draw=draw_car_lookahead,
        numbers=tell_learning,
        code=(n_step_sarsa,),
    ),
    Exhibit(
        key="10.4",
        title="n-step Sarsa's early performance on the mountain car",
        shows="an intermediate n is best, here 4, and larger n want smaller step sizes",
        runs=100,
        compute=car_step_sizes,
        draw=draw_car_step_sizes,
        numbers=tell_car_step_sizes,
        code=(n_step_sarsa,),
    ),
    Exhibit(
        key="10.5",
        title="Differential Sarsa on the access-control queue",
        shows="low priorities are turned away while few servers are free, and the average reward comes near the best",
        runs=1,
        compute=queue,
        draw=draw_queue,
        numbers=tell_queue,
        code=(access_control, differential_sarsa),
    ),
)
