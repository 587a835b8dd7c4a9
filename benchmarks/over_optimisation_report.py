"""Writes docs/over_optimisation.md and its figures from benchmarks/results/over_optimisation.

    python benchmarks/over_optimisation_report.py

With `--check` nothing is written, and the exit code says whether the page says what the JSON says.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from rlhub.core.style import colour_of, styled, transparent, write_images
from rlhub.language.over_optimisation import Law, Push

ROOT = Path(__file__).parent.parent
RESULTS, PAGE, FIGURES = ROOT / "benchmarks/results/over_optimisation", ROOT / "docs/over_optimisation.md", ROOT / "docs/over_optimisation"
PUSHES: dict[Push, str] = {"best-of-n": "best of n", "rl": "PPO"}
MODELS = {"tiny": "the tiny model", "smollm2": "SmolLM2-135M-Instruct"}
RISES_AND_FALLS = "first rises and then falls"
Line = tuple[list[float], list[float], list[float]]  # distance, proxy, gold


def results(model: str) -> list[dict[str, Any]]:
    """Every seed that was measured."""
    return [json.loads(path.read_text()) for path in sorted((RESULTS / model).glob("seed*.json"))]


def line(found: dict[str, Any], push: Push) -> Line:
    """One seed's path along one proxy: the root of the KL, the proxy's reward and the gold one."""
    if push == "best-of-n":
        best = found["best_of_n"]
        return [math.sqrt(kl) for kl in best["kl"]], best["proxy"], best["gold"]
    points = found["rl"]
    return [math.sqrt(max(point["kl"], 0.0)) for point in points], [each["proxy"] for each in points], [each["gold"] for each in points]


def lines(seeds: list[dict[str, Any]], place: int, push: Push) -> list[Line]:
    """Every seed's path along its proxy of one size; PPO's begins where the starting model is."""
    found = []
    for seed in seeds:
        distance, proxy, gold = line(seed["proxies"][place], push)
        if push == "rl":
            start = seed["proxies"][place]["best_of_n"]
            distance, proxy, gold = [0.0, *distance], [start["proxy"][0], *proxy], [start["gold"][0], *gold]
        found.append((distance, proxy, gold))
    return found


def law(seeds: list[dict[str, Any]], place: int, push: Push) -> Law:
    """The law of all seeds' points together, each seed's gold reward counted from its starting model's."""
    paths = lines(seeds, place, push)
    distances = [value for distance, _, _ in paths for value in distance]
    rewards = [value - gold[0] for _, _, gold in paths for value in gold]
    return Law.fit(push, torch.tensor(distances, dtype=torch.float64), torch.tensor(rewards, dtype=torch.float64))


def course(fitted: Law) -> str:
    """What a law's signs say becomes of the gold reward."""
    return "never falls" if math.isinf(fitted.peak) else RISES_AND_FALLS if fitted.peak else "falls from the start"


def courses(laws: Sequence[Law]) -> str:
    """What the laws say becomes of the gold reward, the most frequent first."""
    counted = Counter(map(course, laws)).most_common()
    if len(counted) == 1:
        return f"{counted[0][0]} in every case"
    return " and ".join(f"{words} in {count}" for words, count in counted) + f" of {len(laws)} cases"


def figure(model: str, seeds: list[dict[str, Any]]) -> go.Figure:
    """Proxy above, gold below; best-of-n left, PPO right; a line a seed, and the law of all seeds together."""
    names = [f"{words}, {reward}" for reward in ("proxy", "gold") for words in PUSHES.values()]
    drawn = make_subplots(2, 2, subplot_titles=names, vertical_spacing=0.12, horizontal_spacing=0.09, shared_yaxes="rows")
    sizes = seeds[0]["setting"]["pairs"]
    for column, push in enumerate(PUSHES, start=1):
        for place, pairs in enumerate(sizes):
            colour = colour_of(f"{pairs} pairs", place)
            for number, (distance, proxy, gold) in enumerate(lines(seeds, place, push)):
                gained = [value - proxy[0] for value in proxy]
                for row, values in enumerate((gained, gold), start=1):
                    trace = go.Scatter(
                        x=distance,
                        y=values,
                        mode="lines+markers",
                        line={"color": transparent(colour, 0.55), "width": 1},
                        marker={"size": 4, "color": transparent(colour, 0.55)},
                        name=f"{pairs:,} pairs",
                        legendgroup=str(pairs),
                        showlegend=number == 0 and row == 1 and column == 1,
                    )
                    drawn.add_trace(trace, row=row, col=column)
            farthest = max(max(distance) for distance, _, _ in lines(seeds, place, push))
            x = torch.linspace(0, farthest, 100, dtype=torch.float64)
            start = sum(gold[0] for _, _, gold in lines(seeds, place, push)) / len(seeds)
            fitted = go.Scatter(
                x=x.tolist(),
                y=(law(seeds, place, push)(x) + start).tolist(),
                mode="lines",
                line={"color": colour, "width": 3},
                legendgroup=str(pairs),
                showlegend=False,
            )
            drawn.add_trace(fitted, row=2, col=column)
    drawn.update_xaxes(title_text="√KL to the starting model (KL in nats an answer)", row=2)
    drawn.update_yaxes(title_text="proxy reward gained, in s.d. of<br>the starting model's answers", row=1, col=1)
    drawn.update_yaxes(title_text="share of right answers", rangemode="tozero", row=2, col=1)
    note = f"thin: {len(seeds)} seeds; thick: Gao et al.'s law fitted to all of them; colours: labelled pairs the proxy learnt from"
    styled(drawn, title=f"Pushed along a proxy, {MODELS[model]}<br><sup>{note}</sup>", width=1000, height=720)
    drawn.update_annotations(font_size=14)
    return drawn


def spread(values: Sequence[float], form: str) -> str:
    """A mean over seeds, and from where to where they reach."""
    low, high, middle = (format(value, form) for value in (min(values), max(values), sum(values) / len(values)))
    return f"{middle} ({low} to {high})"


def rows(seeds: list[dict[str, Any]]) -> list[str]:
    """The table's lines: one for each proxy and way of pushing."""
    told = []
    for place, pairs in enumerate(seeds[0]["setting"]["pairs"]):
        accuracy = spread([seed["proxies"][place]["accuracy"] for seed in seeds], ".0%")
        for push, words in PUSHES.items():
            paths = lines(seeds, place, push)
            mean = [sum(values) / len(values) for values in zip(*(gold for _, _, gold in paths), strict=True)]
            highest = max(range(len(mean)), key=lambda index: mean[index])
            there = sum(distance[highest] for distance, _, _ in paths) / len(paths)
            last = spread([gold[-1] for _, _, gold in paths], ".0%")
            farthest = sum(distance[-1] for distance, _, _ in paths) / len(paths)
            gained = spread([proxy[-1] - proxy[0] for _, proxy, _ in paths], ".2f")
            fitted = law(seeds, place, push)
            rounded = "below 0.01" if fitted.peak < 0.01 else f"{fitted.peak:.2g}"
            peak = rounded if course(fitted) == RISES_AND_FALLS else course(fitted)
            golds = f"{mean[0]:.0%} | {mean[highest]:.0%} at {there:.2f} | {last} at {farthest:.2f}"
            told.append(f"| {pairs:,} | {accuracy} | {words} | {golds} | {gained} | {fitted.alpha:.3f}, {fitted.beta:.3f} | {peak} |")
    return told


def section(model: str, seeds: list[dict[str, Any]]) -> list[str]:
    """What was measured with one model."""
    setting, machine = seeds[0]["setting"], seeds[0]["machine"]
    return [
        f"## {MODELS[model][0].upper()}{MODELS[model][1:]}",
        "",
        f"![Proxy and gold reward against the root of the KL]({FIGURES.name}/{model}.png)",
        "",
        "| pairs | proxy's accuracy | pushed by | gold at first | gold at its highest, at √KL | gold in the end, at √KL | proxy gained "
        "| alpha, beta | law's peak, √KL |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows(seeds),
        "",
        f"{len(seeds)} seeds, as mean (lowest to highest); `{setting['task']}`, gold `{setting['gold']}`, {setting['wrong']:.0%} of the "
        f"pairs labelled the wrong way round; {setting['prompts']} prompts with {setting['samples']} answers each for best-of-n, "
        f"{setting['group']} at each checkpoint of PPO. Accuracy is the share of pairs of a right and a wrong answer to those prompts that "
        f"the proxy orders rightly. Highest is that of the seeds' mean. {machine['cpu']}, {seeds[0]['torch_threads']} torch thread(s).",
        "",
    ]


PREFACE = """# Over-optimisation

A reward model is a proxy: it was trained on some labels, and is right about what they cover. Push a policy along it and its own score
keeps rising, while what the answers are really worth need not: Goodhart's law. Gao, Schulman & Hilton measured that it first rises and
then falls (2022, [arXiv:2210.10760](https://arxiv.org/abs/2210.10760)). By the laws fitted here it
{courses}.

Here what answers are really worth, the gold reward, can be computed: whether they state the fact that was asked for. Pairs of a right
and a wrong answer of the starting model, some labelled the wrong way round, train reward models (`reward-model`); each is then
maximised on the same prompts, by taking the best of n answers and by `ppo-rlhf` without a KL term. How hard it is pushed is told by d =
√KL(policy || starting model): log n - (n - 1)/n for best-of-n, an upper bound where answers repeat, and for PPO the mean of log π - log
π₀ over its answers. The laws are the paper's, R(d) = d (alpha - beta d) for best-of-n and d (alpha - beta log d) for reinforcement
learning, fitted by least squares to the gold reward less the starting model's.

`python benchmarks/learning_over_optimisation.py tiny` measures it again, and `python benchmarks/over_optimisation_report.py` writes
this page from the JSON in `benchmarks/results/over_optimisation/`.
"""


def page() -> str:
    """The whole page."""
    measured = {model: seeds for model in MODELS if (seeds := results(model))}
    laws = [law(seeds, place, push) for seeds in measured.values() for place in range(len(seeds[0]["proxies"])) for push in PUSHES]
    return "\n".join(
        [PREFACE.format(courses=courses(laws)), *(part for model, seeds in measured.items() for part in section(model, seeds))]
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(
            0 if PAGE.read_text() == page() else f"{PAGE.name}: not what the JSON says; run python benchmarks/over_optimisation_report.py"
        )
    PAGE.write_text(page())
    FIGURES.mkdir(exist_ok=True)
    write_images({FIGURES / f"{model}.png": figure(model, seeds) for model in MODELS if (seeds := results(model))}, scale=1.5)
