"""Chapter 12: eligibility traces, on the 19-state random walk and the mountain car."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rlhub.core.style import colour_of, styled
from rlhub.foundations.compiled import each_run
from rlhub.foundations.exhibit import Exhibit, Results
from rlhub.foundations.linear_prediction import (
    n_step_td,
    offline_lambda_return,
    random_walks,
    root_mean_square_error,
    td_lambda,
    true_online_td_lambda,
    walk_truth,
)
from rlhub.foundations.mountain_car import ACCUMULATING, CLEARING, DUTCH, REPLACING, car_tiles, sarsa_lambda

STATES, EPISODES, TILINGS = 19, 10, 8
ALPHA, LAMBDA = "\N{GREEK SMALL LETTER ALPHA}", "\N{GREEK SMALL LETTER LAMDA}"
DECAYS = (0.0, 0.4, 0.8, 0.9, 0.95, 0.975, 0.99, 1.0)
LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
STEP_SIZES = (0.0, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CAR_DECAYS = (0.0, 0.68, 0.84, 0.92, 0.96, 0.98, 0.99)
CAR_STEP_SIZES = (0.5, 0.7, 0.9, 1.2, 1.5)
KINDS = {
    f"true online Sarsa({LAMBDA})": DUTCH,
    f"Sarsa({LAMBDA}) with replacing traces": REPLACING,
    f"Sarsa({LAMBDA}) with replacing traces, others cleared": CLEARING,
    f"Sarsa({LAMBDA}) with accumulating traces": ACCUMULATING,
}
SUMMARY_STEP_SIZES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)


def walk_errors(method: Any, parameters: tuple[float, ...] | tuple[int, ...], *, runs: int, seed: int) -> dict[Any, Any]:
    """A method's error at the end of an episode, averaged over the first ten and over runs, by parameter and step size."""
    features, (values, _) = np.eye(STATES), walk_truth(STATES, 1)
    alike = np.full(STATES, 1 / STATES)
    errors: dict[Any, Any] = {parameter: np.zeros(len(STEP_SIZES)) for parameter in parameters}
    for run in range(runs):
        walks = random_walks(states=STATES, jump=1, episodes=EPISODES, seed=seed, run=run)
        for parameter, row in errors.items():
            for column, step_size in enumerate(STEP_SIZES):
                weights = np.zeros(STATES)
                for visited, reward in zip(walks.visited, walks.rewards, strict=True):
                    method(weights, features, visited, reward, step_size, parameter)
                    row[column] += root_mean_square_error(weights, features, values, alike) / EPISODES / runs
    return errors


def offline(*, runs: int = 100, seed: int = 0) -> Results:
    """The off-line lambda-return algorithm and n-step TD on the same walks."""
    return {
        f"off-line {LAMBDA}-return algorithm": walk_errors(offline_lambda_return, DECAYS, runs=runs, seed=seed),
        "n-step TD": walk_errors(n_step_td, LENGTHS, runs=runs, seed=seed),
    }


def backward(*, runs: int = 100, seed: int = 0) -> Results:
    """TD(lambda) and the off-line algorithm that it approximates."""
    return {
        f"TD({LAMBDA})": walk_errors(td_lambda, DECAYS, runs=runs, seed=seed),
        f"off-line {LAMBDA}-return algorithm": walk_errors(offline_lambda_return, DECAYS, runs=runs, seed=seed),
    }


def online(*, runs: int = 100, seed: int = 0) -> Results:
    """True online TD(lambda), which is the on-line lambda-return algorithm, and the off-line one."""
    return {
        f"on-line {LAMBDA}-return algorithm = true online TD({LAMBDA})": walk_errors(true_online_td_lambda, DECAYS, runs=runs, seed=seed),
        f"off-line {LAMBDA}-return algorithm": walk_errors(offline_lambda_return, DECAYS, runs=runs, seed=seed),
    }


def draw_errors(results: Results, title: str) -> go.Figure:
    """A panel a method, a curve a parameter."""
    drawn = make_subplots(1, 2, subplot_titles=list(results), shared_yaxes=True, horizontal_spacing=0.05)
    for column, (method, curves) in enumerate(results.items(), 1):
        letter = "n" if method.startswith("n-step") else LAMBDA
        for place, (parameter, errors) in enumerate(curves.items()):
            legend = "legend" if column == 1 else "legend2"
            drawn.add_scatter(
                x=STEP_SIZES,
                y=errors,
                name=f"{letter} = {parameter:g}",
                legend=legend,
                line={"color": colour_of("", place), "dash": "dot" if place == 9 else "solid"},
                row=1,
                col=column,
            )
        drawn.update_xaxes(title_text=f"step size {ALPHA}", range=[0, 1], row=1, col=column)
    drawn.update_yaxes(range=[0.24, 0.56])
    drawn.update_yaxes(title_text="RMS error at the end of an episode<br>over the first 10 episodes", row=1, col=1)
    drawn = styled(drawn, title=title, width=1240, height=640)
    beside: dict[str, Any] = {"x": 1.01, "yanchor": "top", "font": {"size": 12}, "tracegroupgap": 0}
    left, right = ({"title": {"text": f"<b>{side}</b>"}} for side in ("left", "right"))
    return drawn.update_layout(margin={"t": 90}, legend=beside | left | {"y": 1}, legend2=beside | right | {"y": 0.5})


def draw_offline(results: Results) -> go.Figure:
    """The off-line algorithm beside n-step TD."""
    return draw_errors(results, f"Figure 12.3: the off-line {LAMBDA}-return algorithm and n-step TD on the 19-state random walk")


def draw_backward(results: Results) -> go.Figure:
    """TD(lambda) beside the off-line algorithm."""
    return draw_errors(results, f"Figure 12.6: TD({LAMBDA}) and the off-line {LAMBDA}-return algorithm on the 19-state random walk")


def draw_online(results: Results) -> go.Figure:
    """The on-line algorithm beside the off-line one."""
    return draw_errors(results, f"Figure 12.8: the on-line and the off-line {LAMBDA}-return algorithm on the 19-state random walk")


def tell_errors(results: Results) -> dict[str, float]:
    """Each parameter's lowest error."""
    return {f"lowest error, {method}, {one:g}": float(np.nanmin(row)) for method, curves in results.items() for one, row in curves.items()}


def steps_taken(kind: int, decay: float, alpha: float, *, runs: int, seed: int, episodes: int, limit: int) -> float:
    """Steps an episode, averaged over episodes and runs; alpha is that of all tilings together."""
    coding = car_tiles()
    each = each_run(lambda run: sarsa_lambda(coding, episodes, kind, decay, alpha / TILINGS, 0.0, limit, seed, run)[0], runs)
    return float(np.mean(each))


def car_traces(*, runs: int = 100, seed: int = 0, episodes: int = 50) -> Results:
    """Sarsa(lambda) with replacing traces on the mountain car: steps an episode by lambda and step size."""
    settings: dict[str, Any] = {"runs": runs, "seed": seed, "episodes": episodes, "limit": 1000}
    return {
        f"{LAMBDA} = {decay:g}": {alpha: steps_taken(REPLACING, decay, alpha, **settings) for alpha in CAR_STEP_SIZES}
        for decay in CAR_DECAYS
    }


def car_summary(*, runs: int = 100, seed: int = 0, episodes: int = 20) -> Results:
    """Four kinds of trace with lambda = 0.9 on the mountain car: reward an episode by step size."""
    settings: dict[str, Any] = {"runs": runs, "seed": seed, "episodes": episodes, "limit": 2000}
    return {name: {alpha: -steps_taken(kind, 0.9, alpha, **settings) for alpha in SUMMARY_STEP_SIZES} for name, kind in KINDS.items()}


def draw_car(results: Results, title: str, y: str, shown: list[int]) -> go.Figure:
    """A curve for each way against step sizes."""
    drawn = go.Figure()
    for place, (name, curve) in enumerate(results.items()):
        drawn.add_scatter(x=list(curve), y=list(curve.values()), name=name, line={"color": colour_of("", place)})
    drawn.update_xaxes(title_text=f"{ALPHA} \N{MULTIPLICATION SIGN} number of tilings (8)")
    drawn.update_yaxes(title_text=y, range=shown)
    return styled(drawn, title=title, width=980)


def draw_car_traces(results: Results) -> go.Figure:
    """A curve for each lambda."""
    y = "steps per episode<br>averaged over first 50 episodes"
    return draw_car(results, f"Figure 12.10: Sarsa({LAMBDA}) with replacing traces on the mountain car, early performance", y, [170, 305])


def draw_car_summary(results: Results) -> go.Figure:
    """A curve for each kind of trace."""
    y = "reward per episode<br>averaged over first 20 episodes"
    return draw_car(results, f"Figure 12.11: kinds of Sarsa({LAMBDA}) on the mountain car, {LAMBDA} = 0.9", y, [-560, -140])


def tell_car_traces(results: Results) -> dict[str, float]:
    """Each lambda's fewest steps."""
    return {f"fewest steps per episode, {name}": min(curve.values()) for name, curve in results.items()}


def tell_car_summary(results: Results) -> dict[str, float]:
    """Each kind's best reward, and what is left at the largest step size."""
    told = {f"best reward, {name}": max(curve.values()) for name, curve in results.items()}
    return told | {f"reward at the largest step size, {name}": list(curve.values())[-1] for name, curve in results.items()}


EXHIBITS = (
    Exhibit(
        key="12.3",
        title="The off-line lambda-return algorithm on the 19-state random walk",
        shows="the off-line lambda-return algorithm does as well as n-step TD, a little better at its best",
        runs=100,
        compute=offline,
        draw=draw_offline,
        numbers=tell_errors,
        code=(offline_lambda_return, n_step_td),
    ),
    Exhibit(
        key="12.6",
        title="TD(lambda) on the 19-state random walk",
        shows="TD(lambda) is nearly its off-line ideal at small step sizes and much worse at large ones",
        runs=100,
        compute=backward,
        draw=draw_backward,
        numbers=tell_errors,
        code=(td_lambda, offline_lambda_return),
    ),
    Exhibit(
        key="12.8",
        title="True online TD(lambda) on the 19-state random walk",
        shows="the on-line lambda-return algorithm does a little better than the off-line one",
        runs=100,
        compute=online,
        draw=draw_online,
        numbers=tell_errors,
        code=(true_online_td_lambda, offline_lambda_return),
    ),
    Exhibit(
        key="12.10",
        title="Sarsa(lambda) with replacing traces on the mountain car",
        shows="with traces the car learns in fewer steps than with any n-step Sarsa",
        runs=100,
        compute=car_traces,
        draw=draw_car_traces,
        numbers=tell_car_traces,
        code=(sarsa_lambda,),
    ),
    Exhibit(
        key="12.11",
        title="Kinds of Sarsa(lambda) on the mountain car",
        shows="true online Sarsa(lambda) earns the most, and accumulating traces fail at large step sizes",
        runs=100,
        compute=car_summary,
        draw=draw_car_summary,
        numbers=tell_car_summary,
        code=(sarsa_lambda,),
    ),
)
