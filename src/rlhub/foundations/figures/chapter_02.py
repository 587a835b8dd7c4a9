"""Chapter 2: multi-armed bandits."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go

from rlhub.core.style import colour_of, styled
from rlhub.foundations.bandits import epsilon_greedy, gradient_bandit, upper_confidence_bound
from rlhub.foundations.exhibit import Exhibit, Results

ARMS, STEPS, RUNS = 10, 1000, 2000


def testbed(runs: int, seed: int, *, mean: float = 0.0) -> np.ndarray:
    """The arms' mean rewards in each task of the 10-armed testbed, [runs, arms]: normal with variance 1 (Sec. 2.3)."""
    return np.random.default_rng(seed).normal(mean, 1, (runs, ARMS))


def luck(runs: int, seed: int) -> np.ndarray:
    """The noise of each run's rewards, [runs, steps]: normal with variance 1 (Sec. 2.3)."""
    return np.random.default_rng((seed, 1)).standard_normal((runs, STEPS))


def rewards_of_one_task(*, runs: int = RUNS, seed: int = 0) -> Results:
    """One task of the testbed: each arm's mean, and as many of its rewards as there are runs."""
    means = testbed(1, seed)[0]
    return {"means": means, "rewards": means + np.random.default_rng((seed, 1)).standard_normal((runs, ARMS))}


def draw_rewards(results: Results) -> go.Figure:
    """A violin of rewards for each arm, and its mean."""
    drawn = go.Figure()
    for arm, rewards in enumerate(results["rewards"].T, 1):
        drawn.add_trace(go.Violin(x0=arm, y=rewards, line_color=colour_of("", 0), points=False, showlegend=False, width=0.9, line_width=1))
    text = [f"q*({arm})" for arm in range(1, ARMS + 1)]
    mark = {"symbol": "line-ew-open", "size": 22, "line_width": 2, "color": colour_of("", 1)}
    drawn.add_trace(go.Scatter(x=list(range(1, ARMS + 1)), y=results["means"], text=text, mode="markers", marker=mark, name="q*, the mean"))
    drawn.update_xaxes(title_text="action", dtick=1, range=[0.4, ARMS + 0.6])
    drawn.update_layout(legend={"x": 0.01, "y": 0.99})
    drawn.update_yaxes(title_text="reward distribution")
    return styled(drawn, title="Figure 2.1: one task of the 10-armed testbed")


def tell_rewards(results: Results) -> dict[str, float]:
    """How wide rewards are, and how far apart the best and the second arm."""
    second, best = np.sort(results["means"])[-2:]
    return {
        "standard deviation of rewards": float(results["rewards"].std(0).mean()),
        "best arm's mean": float(best),
        "second arm's mean": float(second),
    }


def greedy_ways(*, runs: int = RUNS, seed: int = 0) -> Results:
    """The 10-armed testbed under three shares of exploration."""
    values, noise = testbed(runs, seed), luck(runs, seed)
    return {
        f"ε = {epsilon:g}" + ("" if epsilon else " (greedy)"): averaged(
            epsilon_greedy(values, noise, epsilon=epsilon, first=0.0, step_size=0.0, seed=seed)
        )
        for epsilon in (0.0, 0.01, 0.1)
    }


def optimistic_values(*, runs: int = RUNS, seed: int = 0) -> Results:
    """A greedy learner that begins with high hopes beside an exploring one that begins without, both at step size 0.1."""
    values, noise = testbed(runs, seed), luck(runs, seed)
    ways = {"optimistic, greedy: Q₁ = 5, ε = 0": (0.0, 5.0), "realistic, ε-greedy: Q₁ = 0, ε = 0.1": (0.1, 0.0)}
    return {
        name: averaged(epsilon_greedy(values, noise, epsilon=epsilon, first=first, step_size=0.1, seed=seed))
        for name, (epsilon, first) in ways.items()
    }


def confidence_bounds(*, runs: int = RUNS, seed: int = 0) -> Results:
    """Upper confidence bounds beside ε-greedy."""
    values, noise = testbed(runs, seed), luck(runs, seed)
    return {
        "UCB, c = 2": averaged(upper_confidence_bound(values, noise, confidence=2.0, seed=seed)),
        "ε-greedy, ε = 0.1": averaged(epsilon_greedy(values, noise, epsilon=0.1, first=0.0, step_size=0.0, seed=seed)),
    }


def baselines(*, runs: int = RUNS, seed: int = 0) -> Results:
    """The gradient bandit with and without a baseline, where true values are near 4 instead of 0."""
    values, noise = testbed(runs, seed, mean=4.0), luck(runs, seed)
    return {
        f"{'with' if baseline else 'without'} baseline, α = {step_size}": averaged(
            gradient_bandit(values, noise, step_size=step_size, baseline=baseline, seed=seed)
        )
        for baseline in (True, False)
        for step_size in (0.1, 0.4)
    }


def averaged(found: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Rewards and whether the best arm was pulled, [runs, steps], as means over runs."""
    rewards, best = found
    return {"reward": rewards.mean(0), "best": best.mean(0)}


def draw_curves(results: Results, title: str, parts: tuple[str, ...]) -> go.Figure:
    """Average reward, share of best pulls, or both one above the other, against steps."""
    from plotly.subplots import make_subplots

    drawn = make_subplots(len(parts), 1, shared_xaxes=True, vertical_spacing=0.06)
    for place, (name, curves) in enumerate(results.items()):
        line = {"color": colour_of("", place), "width": 1.5}
        for row, part in enumerate(parts, 1):
            y = curves[part] * (100 if part == "best" else 1)
            x = np.arange(1, len(y) + 1)
            drawn.add_trace(go.Scatter(x=x, y=y, name=name, legendgroup=name, showlegend=row == 1, line=line), row=row, col=1)
    for row, part in enumerate(parts, 1):
        named = {"title_text": "best action, %", "range": [0, 100]} if part == "best" else {"title_text": "average reward"}
        drawn.update_yaxes(**named, row=row, col=1)
    drawn.update_xaxes(title_text="steps", row=len(parts), col=1)
    return styled(drawn, title=title, width=760, height=200 + 250 * len(parts))


def draw_greedy_ways(results: Results) -> go.Figure:
    """Average reward and share of best pulls, one above the other as in the book."""
    return draw_curves(results, "Figure 2.2: ε-greedy on the 10-armed testbed", ("reward", "best"))


def draw_optimistic_values(results: Results) -> go.Figure:
    """Share of best pulls."""
    return draw_curves(results, "Figure 2.3: optimistic initial values on the 10-armed testbed", ("best",))


def draw_confidence_bounds(results: Results) -> go.Figure:
    """Average reward."""
    return draw_curves(results, "Figure 2.4: upper confidence bounds on the 10-armed testbed", ("reward",))


def draw_baselines(results: Results) -> go.Figure:
    """Share of best pulls."""
    return draw_curves(results, "Figure 2.5: gradient bandits, true values near 4", ("best",))


def tell_curves(results: Results) -> dict[str, float]:
    """What each earns and chooses over the last hundred steps."""
    return {
        f"{what} at the end, {name}": float(curves[part][-100:].mean())
        for name, curves in results.items()
        for what, part in (("reward", "reward"), ("share of best actions", "best"))
    }


def tell_early_spikes(results: Results) -> dict[str, float]:
    """The same, and the eleventh step, when every arm has been tried once."""
    spikes = {
        f"{what} at step 11, {name}": float(curves[part][10])
        for name, curves in results.items()
        for what, part in (("reward", "reward"), ("share of best actions", "best"))
    }
    return tell_curves(results) | spikes


def parameter_study(*, runs: int = RUNS, seed: int = 0) -> Results:
    """Average reward over the first 1000 steps of each method against its parameter, powers of two."""
    values, noise = testbed(runs, seed), luck(runs, seed)

    def powers(low: int, high: int) -> list[float]:
        return [2.0**power for power in range(low, high + 1)]

    def earned(parameters: list[float], rewards: Iterable[np.ndarray]) -> dict[str, Any]:
        return {"parameter": parameters, "reward": [float(one.mean()) for one in rewards]}

    shares, doubts, steps, hopes = powers(-7, -2), powers(-4, 2), powers(-5, 2), powers(-2, 2)
    settings: dict[str, Any] = {"seed": seed}
    greedy = settings | {"epsilon": 0.0, "step_size": 0.1}
    exploring = settings | {"first": 0.0, "step_size": 0.0}
    return {
        "ε-greedy (ε)": earned(shares, (epsilon_greedy(values, noise, epsilon=share, **exploring)[0] for share in shares)),
        "gradient bandit (α)": earned(
            steps, (gradient_bandit(values, noise, step_size=step, baseline=True, **settings)[0] for step in steps)
        ),
        "UCB (c)": earned(doubts, (upper_confidence_bound(values, noise, confidence=doubt, **settings)[0] for doubt in doubts)),
        "greedy with optimistic values, α = 0.1 (Q₁)": earned(
            hopes, (epsilon_greedy(values, noise, first=hope, **greedy)[0] for hope in hopes)
        ),
    }


def draw_parameter_study(results: Results) -> go.Figure:
    """A curve for each method over its parameter, on a scale of powers of two."""
    drawn = go.Figure()
    for place, (name, curve) in enumerate(results.items()):
        line = {"color": colour_of("", place), "width": 2}
        drawn.add_trace(go.Scatter(x=np.log2(curve["parameter"]), y=curve["reward"], name=name, line=line, mode="lines+markers"))
    powers = list(range(-7, 3))
    names = [f"1/{2**-power}" if power < 0 else f"{2**power}" for power in powers]
    drawn.update_xaxes(title_text="ε, α, c or Q₁", tickvals=powers, ticktext=names, zeroline=False)
    drawn.update_yaxes(title_text="average reward over the first 1000 steps")
    drawn.update_layout(legend={"x": 0.01, "y": 0.01, "yanchor": "bottom"})
    return styled(drawn, title="Figure 2.6: a parameter study of bandit methods")


def tell_parameter_study(results: Results) -> dict[str, float]:
    """Each method's best average reward and where it has it."""
    told: dict[str, float] = {}
    for name, curve in results.items():
        best = int(np.argmax(curve["reward"]))
        told |= {f"best reward, {name}": curve["reward"][best], f"best parameter, {name}": curve["parameter"][best]}
    return told


EXHIBITS = (
    Exhibit(
        key="2.1",
        title="One task of the 10-armed testbed",
        shows="rewards of variance 1 around means of variance 1: arms overlap, and one pull doesn't tell which is best",
        runs=RUNS,
        compute=rewards_of_one_task,
        draw=draw_rewards,
        numbers=tell_rewards,
    ),
    Exhibit(
        key="2.2",
        title="ε-greedy on the 10-armed testbed",
        shows="a greedy learner gets stuck near 1; exploring a tenth of the time finds the best arm four times out of five",
        runs=RUNS,
        compute=greedy_ways,
        draw=draw_greedy_ways,
        numbers=tell_curves,
        code=(epsilon_greedy,),
    ),
    Exhibit(
        key="2.3",
        title="Optimistic initial values",
        shows="high hopes make even a greedy learner try every arm; it begins worse and ends better than ε-greedy",
        runs=RUNS,
        compute=optimistic_values,
        draw=draw_optimistic_values,
        numbers=tell_early_spikes,
        code=(epsilon_greedy,),
    ),
    Exhibit(
        key="2.4",
        title="Upper confidence bounds",
        shows="after the first ten steps, which try each arm once, UCB earns more than ε-greedy",
        runs=RUNS,
        compute=confidence_bounds,
        draw=draw_confidence_bounds,
        numbers=tell_early_spikes,
        code=(upper_confidence_bound,),
    ),
    Exhibit(
        key="2.5",
        title="Gradient bandits with and without a baseline",
        shows="without a baseline, rewards that are all near 4 slow learning down a lot; with one, the offset doesn't matter",
        runs=RUNS,
        compute=baselines,
        draw=draw_baselines,
        numbers=tell_curves,
        code=(gradient_bandit,),
    ),
    Exhibit(
        key="2.6",
        title="A parameter study of bandit methods",
        shows="every method is best at a middle setting, and UCB does best of all on this testbed",
        runs=RUNS,
        compute=parameter_study,
        draw=draw_parameter_study,
        numbers=tell_parameter_study,
        code=(epsilon_greedy, gradient_bandit, upper_confidence_bound),
    ),
)
