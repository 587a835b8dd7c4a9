"""Writes docs/think.md and its figures from benchmarks/results/think: `python benchmarks/think_report.py`.

With `--check` nothing is written, and the exit code says whether the page says what the JSON says.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from over_optimisation_report import spread
from plotly.subplots import make_subplots

from rlhub.core.style import colour_of, styled, transparent, write_images
from rlhub.language.bridges import best_of, majority, path_chance, shortest_chance

ROOT = Path(__file__).parent.parent
RESULTS, PAGE, FIGURES = ROOT / "benchmarks/results/think", ROOT / "docs/think.md", ROOT / "docs/think"
WALKERS = {"path": path_chance, "shortest": shortest_chance}
"""Chains that a walker who can't look ahead happens on, and how often."""
PAPER = {1: (0.68, 1.0), 2: (0.38, 0.99), 3: (0.21, 0.92)}
"""By blocks: evidence after learning paths, and after four rounds of expert iteration."""
ROUNDS = 4
SHARES = (("evidence", ".2f"), ("decision", ".2f"), ("undecided", ".2f"), ("walk", ".1f"))
"""Columns of the tables of one depth."""
WAYS = {"expert": "expert iteration", "grpo": "GRPO"}


def results(blocks: int) -> list[dict[str, Any]]:
    """Every seed that was measured on graphs of so many blocks."""
    return [json.loads(path.read_text()) for path in sorted((RESULTS / f"d{blocks}").glob("seed*.json"))]


def measured() -> dict[int, list[dict[str, Any]]]:
    """Every seed, by blocks."""
    return {blocks: seeds for blocks in PAPER if (seeds := results(blocks))}


def mean(values: list[float]) -> float:
    """Of seeds."""
    return sum(values) / len(values)


def together(seeds: list[dict[str, Any]]) -> go.Figure:
    """Best-of-n and majority by how many answers, with the closed forms; and by how many tokens they take."""
    sizes = seeds[0]["setting"]["sizes"]
    titles = ["best of n: any answer that is evidence, else a coin", "majority of n decisions", "best of n at equal tokens"]
    drawn = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.06, shared_yaxes=True)
    for place, chain in enumerate(seeds[0]["setting"]["chains"]):
        colour = colour_of(chain, place)
        found = [seed["chains"][chain] for seed in seeds]
        tokens = [size * mean([each["tokens"] for each in found]) for size in sizes]
        undecided = mean([each["undecided"] for each in found])
        rightly = mean([each["decision"] for each in found]) - undecided / 2
        forms = {
            1: [best_of(mean([each["evidence"] for each in found]), size) for size in sizes],
            2: [majority(rightly, size, undecided=undecided) for size in sizes],
        }
        for column, which, x in ((1, "best_of", sizes), (2, "majority", sizes), (3, "best_of", tokens)):
            for number, each in enumerate(found):
                drawn.add_trace(
                    go.Scatter(
                        x=x,
                        y=each[which],
                        mode="lines+markers",
                        name=chain,
                        legendgroup=chain,
                        line={"color": transparent(colour, 0.6), "width": 1},
                        marker={"size": 5, "color": colour},
                        showlegend=number == 0 and column == 1,
                    ),
                    row=1,
                    col=column,
                )
            if column in forms:
                line = {"color": colour, "dash": "dot", "width": 2}
                drawn.add_trace(go.Scatter(x=x, y=forms[column], mode="lines", line=line, showlegend=False, name=chain), row=1, col=column)
    drawn.update_xaxes(type="log", title_text="answers (log scale)", tickvals=sizes)
    drawn.update_xaxes(
        type="log", title_text="tokens of all answers to a question (log scale)", tickvals=None, dtick=math.log10(4), row=1, col=3
    )
    drawn.update_yaxes(range=[0.48, 1.02])
    drawn.update_yaxes(title_text="chance of a right decision", row=1, col=1)
    note = f"Bridge({seeds[0]['setting']['blocks']}), a line a seed; dotted: closed forms at the seeds' mean chance"
    styled(drawn, title=f"Many answers together<br><sup>{note}</sup>", width=1200, height=480)
    drawn.update_annotations(font_size=13)
    return drawn


def growing(seeds: list[dict[str, Any]]) -> go.Figure:
    """Evidence and the walk's length over rounds of expert iteration and over GRPO."""
    first = seeds[0]["setting"]["chains"][0]
    drawn = make_subplots(1, 2, subplot_titles=["answers that are evidence", "nodes of a walk"], horizontal_spacing=0.1)
    for place, (way, words) in enumerate(WAYS.items()):
        if way not in seeds[0]:
            continue
        colour = colour_of(way, place)
        for number, seed in enumerate(seeds):
            points = [seed["chains"][first], *seed[way]]
            for column, which in ((1, "evidence"), (2, "walk")):
                drawn.add_trace(
                    go.Scatter(
                        x=list(range(len(points))),
                        y=[point[which] for point in points],
                        mode="lines+markers",
                        line={"color": colour, "width": 1.5},
                        name=words,
                        legendgroup=way,
                        showlegend=number == 0 and column == 1,
                    ),
                    row=1,
                    col=column,
                )
    longest = max(seed["chains"][first]["shown"]["longest"] for seed in seeds)
    drawn.add_hline(
        y=longest,
        line={"dash": "dot", "color": "#888888"},
        annotation_text="longest that was shown",
        annotation_position="bottom right",
        row=1,
        col=2,
    )
    across = "rounds of expert iteration" + (", quarters of GRPO" if "grpo" in seeds[0] else "")
    drawn.update_xaxes(title_text=across, dtick=1, zeroline=False)
    drawn.update_yaxes(title_text="share", rangemode="tozero", row=1, col=1)
    drawn.update_yaxes(title_text="nodes", rangemode="tozero", row=1, col=2)
    note = f"Bridge({seeds[0]['setting']['blocks']}), a line a seed; 0 is the model that learnt chains of the kind {first}"
    styled(drawn, title=f"Rewarded for evidence alone<br><sup>{note}</sup>", width=1000, height=440)
    drawn.update_annotations(font_size=13)
    return drawn


def deepening(found: dict[int, list[dict[str, Any]]]) -> go.Figure:
    """Evidence over rounds of expert iteration, for each number of blocks, beside the paper's first and last."""
    drawn = go.Figure()
    for place, (blocks, seeds) in enumerate(found.items()):
        colour = colour_of("", place)
        for number, seed in enumerate(seeds):
            shares = [point["evidence"] for point in (seed["chains"]["path"], *seed["expert"])]
            line, name = {"color": colour, "width": 1.5}, f"Bridge({blocks})"
            drawn.add_scatter(
                x=list(range(len(shares))), y=shares, mode="lines+markers", line=line, name=name, legendgroup=name, showlegend=number == 0
            )
        star = {"symbol": "star-open", "size": 13, "color": colour, "line": {"width": 2}}
        drawn.add_scatter(x=[0, ROUNDS], y=PAPER[blocks], mode="markers", marker=star, name=f"the paper's Bridge({blocks})")
    drawn.update_xaxes(title_text="rounds of expert iteration", dtick=1, zeroline=False)
    drawn.update_yaxes(title_text="answers that are evidence", rangemode="tozero")
    return styled(drawn, title="Rewarded for evidence alone, by the graph's blocks<br><sup>a line a seed</sup>", width=900, height=480)


def depths(found: dict[int, list[dict[str, Any]]]) -> list[str]:
    """The table of all numbers of blocks: what four rounds make of a model that learnt paths, beside the paper."""
    told = [
        "| graph | seeds | a walker's chance | evidence after paths | the paper's | after four rounds | the paper's | nodes of its walk |",
        "|---" * 8 + "|",
    ]
    for blocks, seeds in found.items():
        first, last = [seed["chains"]["path"] for seed in seeds], [seed["expert"][-1] for seed in seeds]
        shares = [spread([each["evidence"] for each in points], ".2f") for points in (first, last)]
        nodes = " to ".join(f"{mean([each['walk'] for each in points]):.1f}" for points in (first, last))
        before, after = PAPER[blocks]
        columns = [f"{path_chance(blocks):.3f}", shares[0], f"{before:.2f}", shares[1], f"{after:.2f}", nodes]
        told.append(f"| Bridge({blocks}) | {len(seeds)} | {' | '.join(columns)} |")
    return told


def rows(seeds: list[dict[str, Any]]) -> list[str]:
    """The tables' lines: each kind of chain, and what reinforcement made of the first."""
    blocks, chains = seeds[0]["setting"]["blocks"], seeds[0]["setting"]["chains"]
    told = [
        "| chain | evidence | a walker's chance | decision | no decision | nodes of its walk | nodes shown, longest | tokens an answer |",
        "|---" * 8 + "|",
    ]
    for chain in chains:
        found = [seed["chains"][chain] for seed in seeds]
        walker = f"{WALKERS[chain](blocks):.3f}" if chain in WALKERS else ""
        columns = [spread([each[which] for each in found], form) for which, form in SHARES]
        shown = f"{mean([each['shown']['mean'] for each in found]):.1f}, {max(each['shown']['longest'] for each in found)}"
        tokens = spread([each["tokens"] for each in found], ".1f")
        told.append(f"| `{chain}` | {columns[0]} | {walker} | {' | '.join(columns[1:])} | {shown} | {tokens} |")
    told += ["", f"| `{chains[0]}`, then | after | evidence | decision | no decision | nodes of its walk | longest |", "|---" * 7 + "|"]
    for way, words in WAYS.items():
        for number in range(len(seeds[0].get(way, ()))):
            found = [seed[way][number] for seed in seeds]
            columns = [spread([each[which] for each in found], form) for which, form in SHARES]
            longest = max(each["longest_walk"] for each in found)
            told.append(f"| {words} | {found[0]['step']} steps | {' | '.join(columns)} | {longest} |")
    return told


PREFACE = """# Long thoughts or many short ones

Mirtaheri et al. (2025, "Let Me Think!", [arXiv:2505.21825](https://arxiv.org/abs/2505.21825)) ask whether a model should think once and
long or often and shortly, on a task where it can be proved: which of two nodes can be reached in a graph of bridges. Whoever looks at no
edge is right half of the time. A chain of thought that is a way to the target is *evidence*, and a walker who can't look ahead happens on
one with a chance that halves with each further block for any path, 2/3 (1/2)^(d-1), and quarters for the shortest one, 1/3 (1/4)^(d-1).
So many short answers help as little as their chance is small, while one search with steps back always arrives.

`rlhub train think --blocks 3 --chain path` trains the paper's transformer (4 layers, 4 heads, width 128). The paper takes half a million
questions and many epochs; here the first layer begins by looking at a token's neighbours, positions tell the first node of an edge from
the second, and lessons teach to read edges before any question is asked (`rlhub.language.think`), which brings it within reach of one
core.

`python benchmarks/learning_think.py` measures this page's numbers again, and `python benchmarks/think_report.py` writes it from the JSON
in `benchmarks/results/think/`.
"""


def page() -> str:
    """The whole page; nothing before anything was measured."""
    if not (found := measured()):
        return ""
    seeds = found[max(found)]
    setting, machine = seeds[0]["setting"], seeds[0]["machine"]
    return "\n".join(
        [
            PREFACE,
            "## Rewarded for evidence alone, by depth",
            "",
            *depths(found),
            "",
            f"Mean (lowest to highest seed) over {setting['answers']} answers at temperature 1 to each of {setting['questions']} questions "
            f"that were never shown. {machine['cpu']}, {seeds[0]['torch_threads']} torch thread(s). The walker neither looks ahead nor "
            "turns back; a model that learnt paths does the one or the other where it finds more. Walks longer than the paths that were "
            "shown tell that it turns back where a way ends, which no path shows.",
            "",
            "![Evidence over rounds by depth](think/deepening.png)",
            "",
            "Below, decision is the share of answers that decide for the target, where what decides for neither node counts half, as a "
            "coin would. Reinforcement asks for evidence alone, so that answers may end without deciding.",
            "",
            *(line for blocks, seeds in found.items() for line in section(blocks, seeds)),
        ]
    )


def section(blocks: int, seeds: list[dict[str, Any]]) -> list[str]:
    """What was measured on graphs of so many blocks."""
    return [
        f"## Bridge({blocks})",
        "",
        *rows(seeds),
        "",
        f"![Best-of-n and majority by answers and by tokens](think/together-{blocks}.png)",
        "",
        f"![Evidence and length over rounds](think/growing-{blocks}.png)",
        "",
    ]


if __name__ == "__main__":
    if "--check" in sys.argv:
        said = PAGE.read_text() if PAGE.exists() else ""
        sys.exit(0 if said == page() else f"{PAGE.name}: not what the JSON says; run python benchmarks/think_report.py")
    if not (found := measured()):
        sys.exit(f"there is nothing in {RESULTS} yet: run python benchmarks/learning_think.py first")
    PAGE.write_text(page())
    FIGURES.mkdir(exist_ok=True)
    figures = {f"together-{blocks}": together(seeds) for blocks, seeds in found.items()}
    figures |= {f"growing-{blocks}": growing(seeds) for blocks, seeds in found.items()}
    figures |= {"deepening": deepening(found)}
    write_images({FIGURES / f"{name}.png": figure for name, figure in figures.items()}, scale=1.5)
