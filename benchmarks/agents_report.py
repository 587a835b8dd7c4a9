"""Writes docs/learning.md, the tables in docs/agents/ and all their plots from benchmarks/results: `python benchmarks/agents_report.py`.

With `--check` nothing is written, and the exit code says whether the pages say what the JSON says.
"""

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import torch
from agents_settings import CELLS
from plotly.subplots import make_subplots

from rlhub.core.seeding import generator
from rlhub.core.statistics import bootstrap_interval, interquartile_mean
from rlhub.core.style import band, colour_of, styled, symbol_of, write_images
from rlhub.hub.measured import score, spread, verdict

ROOT = Path(__file__).parent.parent
LEARNING, PEERS, ABLATIONS = (ROOT / "benchmarks/results" / name for name in ("learning", "peers", "ablations"))
PAGE, PLOTS, PAGES = ROOT / "docs/learning.md", ROOT / "docs/learning", ROOT / "docs/agents"
START, END = "<!-- ablations: begin -->", "<!-- ablations: end -->"
SOURCES = {"[Z]": "rl-baselines3-zoo", "[T]": "Tianshou", "[M]": "MinAtar"}
ALGORITHMS = ["VPG", "A2C", "A3C", "TRPO", "PPO", "DQN", "DDPG", "TD3", "SAC"]


def results() -> list[dict[str, Any]]:
    """Every cell that was measured, in the order of the settings."""
    paths = [LEARNING / f"{cell.name}.json" for cell in CELLS]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def row(result: dict[str, Any], why: dict[str, str]) -> str:
    """A line of the table."""
    value, low, high = score(result)
    reference = "" if result["reference"] is None else f"{result['reference'][0]:g} ({result['reference'][1]:,}) {result['source']}"
    note = "; ".join(part for part in (why.get(result["name"], ""), drawn(result), beside(result["name"])) if part)
    return (
        f"| {result['algorithm']} | {result['settings']['steps']:,} | {len(result['seeds'])} | **{value:.1f}** [{low:.1f}, {high:.1f}] "
        f"| {reference} | {verdict(result)}{f': {note}' if note else ''} | {result['seconds']:.0f} | {result['steps_per_second']:,.0f} |"
    )


def drawn(result: dict[str, Any]) -> str:
    """What the same agents reach with actions drawn from their policies, where that was measured."""
    if "drawn_score" not in result["seeds"][0]:
        return ""
    return "with actions drawn as in training {:.1f} [{:.1f}, {:.1f}]".format(*score(result, "drawn_score"))


def beside(name: str) -> str:
    """What the peer learnt here with the reference's own settings, where that was measured."""
    path = PEERS / f"{name}.json"
    if not path.exists():
        return ""
    peer = json.loads(path.read_text())
    value, low, high = score({"name": peer["name"], "seeds": peer["seeds"]})
    return f"{peer['peer']}, {len(peer['seeds'])} seeds here: {value:.1f} [{low:.1f}, {high:.1f}] in {peer['steps']:,} steps"


def page() -> str:
    """The whole page."""
    why = {cell.name: cell.why for cell in CELLS}
    lines = [
        "# What the agents learn",
        "",
        "Written by `python benchmarks/agents_report.py` from `benchmarks/results/learning/`, which `python benchmarks/agents_learning.py` "
        "measures; the settings are in `rlhub.agents.tuned`. A seed's score is its last agent's mean return over whole episodes "
        "in Gymnasium's own environment, with the best action at each step. The table shows the interquartile mean over seeds and its 95% "
        "interval (stratified bootstrap, Agarwal et al. 2021). *Above* and *below* say that the interval leaves the reference out, *at* "
        "that it holds it and the score reaches it. Seconds are of all seeds, "
        "which train side by side in one process (A3C's one after another), some with another training beside them; steps a second count "
        "every seed's. Settings were chosen on some of these very seeds, a few tries each, as the references' were on theirs; on others a "
        "score may be a little lower.",
        "",
        "References: [Z] is rl-baselines3-zoo's table, one training each, on LunarLander-v2 and MuJoCo's v3 environments; where a name "
        "follows, nobody published the algorithm's own number, and that of its relative stands in. [T] is Tianshou's "
        "`examples/mujoco/benchmark`, the mean of ten seeds after as many steps on MuJoCo's v3 environments, the steps at random that its "
        "trainings begin with added. [M] is the height of the curve in MinAtar's repository after as many frames, thirty seeds' returns in "
        "training.",
        "",
    ]
    for env, cells in groupby(results(), key=lambda result: result["env"]):
        found = list(cells)
        picture = f"learning/{found[0]['name'].partition('/')[0]}.png"
        lines += [f"## {env}", "", f"![{env}: return against steps of every algorithm]({picture})", ""]
        lines += [
            "| algorithm | steps | seeds | IQM [95%] | reference (steps) | | seconds | steps/s |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [row(result, why) for result in found] + [""]
    return "\n".join(lines)


def plot(env: str, cells: list[dict[str, Any]]) -> go.Figure:
    """Training returns against steps, interquartile mean and interval over seeds; references as rings where they were reached."""
    figure = go.Figure()
    for result in cells:
        place = ALGORITHMS.index(result["algorithm"])
        colour, name = colour_of(result["algorithm"].lower(), place), result["algorithm"]
        steps, middle, low, high = curve_of(result)
        figure.add_trace(band(name, steps, low, high, colour))
        figure.add_trace(go.Scatter(x=steps, y=middle, mode="lines", name=name, legendgroup=name, line={"color": colour, "width": 2}))
        if result["reference"] and " " not in result["source"]:
            value, at = result["reference"]
            marker = {"symbol": f"{symbol_of(place)}-open", "size": 11, "color": colour, "line": {"width": 2}}
            published = SOURCES[result["source"].partition(" ")[0]]
            figure.add_trace(go.Scatter(x=[at], y=[value], mode="markers", marker=marker, name=f"{name}, {published}", legendgroup=name))
    seeds = sorted({len(result["seeds"]) for result in cells})
    title = f"{env}: return while training<br><sup>interquartile mean of {' or '.join(map(str, seeds))} seeds, 95% bootstrap interval</sup>"
    styled(figure, title=title, width=980, height=540)
    figure.update_xaxes(type="log", title="steps in environments (log scale)")
    figure.update_yaxes(title="return of an episode")
    return figure


def curves_of(algorithm: str, cells: list[dict[str, Any]]) -> go.Figure:
    """An algorithm's training returns, a small plot for each environment."""
    columns = min(3, len(cells))
    rows = -(-len(cells) // columns)
    titles = [f"{cell['env']}, {len(cell['seeds'])} seeds" for cell in cells]
    figure = make_subplots(rows, columns, subplot_titles=titles, vertical_spacing=0.28 / rows, horizontal_spacing=0.08)
    colour = colour_of(algorithm.lower(), ALGORITHMS.index(algorithm))
    for place, cell in enumerate(cells):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        steps, middle, low, high = curve_of(cell)
        figure.add_trace(band(algorithm, steps, low, high, colour), **where)
        line = {"color": colour, "width": 2}
        figure.add_trace(go.Scatter(x=steps, y=middle, mode="lines", name=algorithm, showlegend=False, line=line), **where)
        if cell["reference"]:
            figure.add_hline(y=cell["reference"][0], line={"dash": "dot", "color": "#888888", "width": 1}, **where)
    title = (
        f"{algorithm}: return while training<br><sup>interquartile mean and 95% interval over seeds; dotted: the reference's score</sup>"
    )
    styled(figure, title=title, width=1000, height=90 + 260 * rows)
    figure.update_annotations(font_size=13)
    return figure


def curve_of(result: dict[str, Any]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps, interquartile means over seeds, and the ends of their intervals."""
    steps = [step for step, _ in result["seeds"][0]["curve"]]
    values = torch.tensor([[value for _, value in seed["curve"]] for seed in result["seeds"]], dtype=torch.float64).T
    draws = generator(0, "plot", result["name"])
    ends = [bootstrap_interval(row, interquartile_mean, resamples=500, generator=draws) for row in values]
    return steps, interquartile_mean(values).tolist(), [low for low, _ in ends], [high for _, high in ends]


def ablations(algorithm: str) -> str:
    """The tables of what an algorithm does without each of its details; DQN's of what became Rainbow behind its own."""
    return table(algorithm) + (f"\n\nWith all of Rainbow's options:\n\n{table('rainbow')}" if algorithm == "dqn" else "")


def table(algorithm: str) -> str:
    """The table of one set of details."""
    path = ABLATIONS / f"{algorithm}.json"
    if not path.exists():
        return "Not measured yet."
    told = json.loads(path.read_text())
    env, steps = told["settings"]["env"], told["settings"]["steps"]
    seeds = len(told["cases"][0]["scores"])
    cpus = ", ".join(sorted({case["machine"]["cpu"] for case in told["cases"]}))
    lines = [
        f"{env}, {steps:,} steps, {seeds} seeds: interquartile mean of the agents' returns over {told['episodes']} episodes, its 95% "
        "interval, and every seed's. Leaving a detail out *does harm* where its interval lies below the whole's mean and its mean below "
        f"the whole's interval, and *breaks* the algorithm where that costs more than a tenth of the whole's return. Measured on {cpus}.",
        "",
        "| without | return [95%] | seeds |",
        "|---|---|---|",
    ]
    verdicts: dict[str, list[str]] = {"Breaks it": [], "Does it a little harm": [], "Does it no clear harm here": []}
    whole = spread(told["cases"][0]["scores"], algorithm, told["cases"][0]["detail"])
    for case in told["cases"]:
        value, low, high = spread(case["scores"], algorithm, case["detail"])
        each = ", ".join(f"{one:.0f}" for one in case["scores"])
        lines.append(f"| {case['detail']} | **{value:.0f}** [{low:.0f}, {high:.0f}] | {each} |")
        if case is told["cases"][0]:
            continue
        harm = value < whole[1] and high < whole[0]
        verdict = (
            "Does it no clear harm here" if not harm else "Breaks it" if value < whole[0] - abs(whole[0]) / 10 else "Does it a little harm"
        )
        verdicts[verdict].append(case["detail"].partition(" (")[0])
    return "\n".join([*lines, "", "  \n".join(f"{words}: {'; '.join(details)}." for words, details in verdicts.items() if details)])


def with_ablations(algorithm: str) -> str:
    """An algorithm's page with its table."""
    text = (PAGES / f"{algorithm}.md").read_text()
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{ablations(algorithm)}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    found = results()
    pages = {PAGE: page()} | {PAGES / f"{name.lower()}.md": with_ablations(name.lower()) for name in ALGORITHMS}
    if "--check" in sys.argv:
        stale = [path.name for path, text in pages.items() if path.read_text() != text]
        sys.exit(f"{', '.join(stale)}: not what the JSON says; run python benchmarks/agents_report.py" if stale else 0)
    for path, text in pages.items():
        path.write_text(text)
    by_env = {env: list(cells) for env, cells in groupby(found, key=lambda result: result["env"])}
    plots = {PLOTS / f"{cells[0]['name'].partition('/')[0]}.png": plot(env, cells) for env, cells in by_env.items()}
    for name in ALGORITHMS:
        if cells := [result for result in found if result["algorithm"] == name]:
            plots[PAGES / "curves" / f"{name.lower()}.png"] = curves_of(name, cells)
    for path in plots:
        path.parent.mkdir(exist_ok=True)
    write_images(plots, scale=1.5)
