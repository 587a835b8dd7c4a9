"""Writes docs/signals.md and its figures from benchmarks/results/signals: `python benchmarks/signals_report.py`.

With `--check` nothing is written, and the exit code says whether the page says what the JSON says.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from learning_signals import FORMED, LONGER
from plotly.subplots import make_subplots
from torch import Tensor

from rlhub.core.style import INK, colour_of, styled, symbol_of, write_images
from rlhub.studies.names import NAMES, WORDS
from rlhub.studies.report.tables import costs
from rlhub.studies.task_question import TRIES

ROOT = Path(__file__).parent.parent
RESULTS, PAGE, FIGURES = ROOT / "benchmarks/results/signals", ROOT / "docs/signals.md", ROOT / "docs/signals"
TITLES = NAMES | {LONGER: "longer GRPO", FORMED: "longer GRPO + form"}
TOLD = WORDS | {
    LONGER: "GRPO with several times as many steps",
    FORMED: "the same, and 0.2 of a reward for a thought and an answer in their tags and nothing else",
}
RESAMPLES = 4000
Gain = tuple[float, float, float]


def results() -> list[dict[str, Any]]:
    """Every task that was measured."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def arms(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Each arm's runs, in the order of the seeds."""
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in result["asked"]["signals"]}
    for run in sorted(result["runs"], key=lambda run: run["seed"]):
        found[run["arm"]].append(run)
    return {arm: runs for arm, runs in found.items() if runs}


def outcomes(answers: dict[str, Any], asked: str) -> Float[Tensor, " questions"]:
    """1 for each held-out question that was answered rightly."""
    return torch.tensor([float(digit) for digit in answers[asked]["each"]], dtype=torch.float64)


def gain(result: dict[str, Any], runs: list[dict[str, Any]], asked: str = "heldout") -> Gain:
    """What training added to the share of right answers, and the 95% bootstrap interval over seeds and over questions, both drawn anew.

    A question is compared with itself: the base answers the same ones.

    Args:
        result: of a task.
        runs: of a signal.
        asked: heldout for the likeliest answers, drawn for those at temperature 1.
    """
    before = outcomes(result["base"], asked)
    changes = torch.stack([outcomes(run["answers"], asked) - before for run in runs])
    seeds, questions = changes.shape
    draws = torch.Generator().manual_seed(0)
    each = torch.randint(seeds, (RESAMPLES, seeds), generator=draws)
    asked = torch.randint(questions, (RESAMPLES, questions), generator=draws)
    means = changes[each].mean(1).gather(1, asked).mean(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return float(changes.mean()), low, high


def percent(value: float) -> str:
    """A share in whole percent."""
    return f"{100 * value:.0f}%"


def rows(result: dict[str, Any]) -> list[str]:
    """A task's table: a line an arm."""
    told = [
        "| signal | likeliest, each seed | gain [95%] | drawn, each seed | gain [95%] | facts kept |",
        "|---" * 6 + "|",
    ]
    for arm, runs in arms(result).items():
        splits = {asked: [run["answers"][asked]["value"] for run in runs] for asked in ("heldout", "drawn", "untouched")}
        columns = [
            TITLES[arm],
            ", ".join(map(percent, splits["heldout"])),
            gained(result, runs, "heldout"),
            ", ".join(map(percent, splits["drawn"])),
            gained(result, runs, "drawn"),
            percent(mean(splits["untouched"])),
        ]
        told.append(f"| {' | '.join(columns)} |")
    return told


def recipes(result: dict[str, Any]) -> list[str]:
    """What each signal was trained with, and what that took: a line an arm, and one each for what comes before."""
    told = ["| training | settings | tokens a run | time a run |", "|---" * 4 + "|"]
    before = {"warm-up": [result["before"]["warm-up"]], "judge of steps": [result["before"]["process-reward"]]}
    for name, runs in {**before, **{TITLES[arm]: runs for arm, runs in arms(result).items()}}.items():
        settings, tokens, minutes = costs(runs)
        told.append(f"| {name} | {settings} | {tokens} thousand | {minutes} minutes |")
    return told


def commits(result: dict[str, Any]) -> str:
    """The commits that trained a task's runs."""
    found = {commit["id"][:7] + ("+" if commit["dirty"] else "") for run in result["runs"] for commit in run["commits"]}
    return ", ".join(sorted(found))


def gained(result: dict[str, Any], runs: list[dict[str, Any]], asked: str) -> str:
    """A gain with its interval, in points; in bold where the interval is clear of 0."""
    value, low, high = (100 * number for number in gain(result, runs, asked))
    clear = "**" if low > 0 or high < 0 else ""
    middle, begin, end = map(points, (value, low, high))
    return f"{clear}{middle} [{begin}, {end}]{clear}"


def points(number: float) -> str:
    """A difference in points; with a decimal where it rounds to 0, which would not say on which side of 0 an interval stops."""
    digits = 0 if round(number) else 1
    return f"{number:+.{digits}f}" if round(number, digits) else "0"


def spoken(result: dict[str, Any]) -> list[str]:
    """What models say to the first held-out question, word for word, and how many of each signal's do."""
    by_model = {"the base": [result["said"]], **{TITLES[arm]: [run["said"] for run in runs] for arm, runs in arms(result).items()}}
    models: dict[str, list[str]] = {}
    for name, said in by_model.items():
        for says, count in Counter(answers[0]["says"] for answers in said).items():
            models.setdefault(says, []).append(name if count == len(said) else f"{name} ({count} of {len(said)})")
    told = [f"| likeliest answer to: {quoted(result['said'][0]['asked'])} | models |", "|---|---|"]
    return told + [f"| {quoted(says)} | {', '.join(names)} |" for says, names in models.items()]


def quoted(text: str, most: int = 160) -> str:
    """A text as it is, on one line of a table."""
    line = text.strip().replace("\n", " ⏎ ").replace("|", "\\|")
    return f"`{line if len(line) <= most else line[: most - 1] + '…'}`"


def searched(result: dict[str, Any]) -> list[str]:
    """What the base reaches with several answers to a question."""
    strategies = result["search"]["strategies"]
    sizes = [point["answers"] for point in strategies["majority"]]
    heads = [f"the base, {result['search']['questions']} questions", *(f"{size} answer{'s' if size > 1 else ''}" for size in sizes)]
    told = [f"| {' | '.join(heads)} |"]
    told.append("|---" * (1 + len(sizes)) + "|")
    for strategy, points in strategies.items():
        if len(points) == len(sizes):
            told.append(f"| {strategy} | {' | '.join(percent(point['right']['value']) for point in points)} |")
    told.append(f"| tokens a question | {' | '.join(format(point['tokens'], '.0f') for point in strategies['majority'])} |")
    reach = max(end - point["right"]["value"] for points in strategies.values() for point in points for end in point["right"]["interval"])
    likeliest = result["search"]["likeliest"]["right"]["value"]
    return [
        *told,
        "",
        f"Answers drawn at temperature {result['search']['temperature']:g}; the likeliest answer to the same questions is right in "
        f"{percent(likeliest)}, with {result['search']['likeliest']['tokens']:.0f} tokens. Wilson's intervals reach up to {percent(reach)} "
        "beyond these shares.",
    ]


def figure(result: dict[str, Any]) -> go.Figure:
    """Held-out right answers of every seed, by signal, beside the base and the model before it: the likeliest above, drawn ones below."""
    drawn = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.08, subplot_titles=("likeliest answers", "drawn at temperature 1"))
    found = arms(result)
    names = [TITLES[arm] for arm in found]
    for row, split in enumerate(("heldout", "drawn"), start=1):
        base = 100 * result["base"][split]["value"]
        for place, (arm, runs) in enumerate(found.items()):
            value, low, high = (100 * number for number in gain(result, runs, split))
            colour = colour_of(TITLES[arm], place)
            mean_of = go.Scatter(
                x=[TITLES[arm]],
                y=[base + value],
                error_y={"array": [high - value], "arrayminus": [value - low], "thickness": 2, "width": 8},
                mode="markers",
                marker={"color": colour, "size": 14, "symbol": "line-ew-open", "line_width": 3},
                showlegend=False,
            )
            seeds = go.Scatter(
                x=[TITLES[arm]] * len(runs),
                y=[100 * run["answers"][split]["value"] for run in runs],
                mode="markers",
                marker={"color": colour, "size": 8, "symbol": symbol_of(place)},
                showlegend=False,
            )
            drawn.add_traces([mean_of, seeds], rows=row, cols=1)
        # The model before the base is asked for its likeliest answers alone.
        for name, words, dash in (("base", "base", "solid"), ("start", "before", "dot")):
            if split in result[name]:
                style = {"mode": "lines", "line": {"color": INK, "dash": dash, "width": 1.5}, "name": words, "showlegend": row == 1}
                height = 100 * result[name][split]["value"]
                drawn.add_trace(go.Scatter(x=[names[0], names[-1]], y=[height, height], **style), row=row, col=1)
    top = max(run["answers"][split]["value"] for run in result["runs"] for split in ("heldout", "drawn"))
    drawn.update_yaxes(title_text="right, %", range=[-3, 100 * min(1.03, top + 0.1)])
    drawn.update_xaxes(title_text="training signal", row=2)
    note = (
        f"{result['asked']['model']}, {result['base']['heldout']['count']} held-out questions; dots: seeds; bars: mean and 95% interval "
        "of the gain over the base, over seeds and questions"
    )
    return styled(drawn, title=f"{result['asked']['task']}: what each signal teaches<br><sup>{note}</sup>", width=1000, height=760)


PREFACE = """# Does every signal teach?

One base: SmolLM2-135M-Instruct after a short imitation of worked answers to a task of reasoning-gym. From there every signal goes on by
itself, with the settings and at the cost that its task's second table tells: signals are not made equal in updates, answers, step size or
penalty, so a row says what its recipe does, not which signal is best. Each is then asked the same held-out questions, for its likeliest
answer and for one that is drawn at temperature 1, as in training. The gain is paired question by question with the base; its interval is a
bootstrap's over seeds and over questions. In bold: an interval without 0. What the base reaches without further training, by spending
tokens on many answers and a judge of steps, stands below.

`python benchmarks/learning_signals.py` measures this page's numbers again, and `python benchmarks/signals_report.py` writes it from the
JSON in `benchmarks/results/signals/`. `rlhub study signals` asks what the signals do to the circuits inside ([studies.md](studies.md)).
"""


def section(result: dict[str, Any]) -> list[str]:
    """A task's part of the page."""
    asked, base, start, drawn = result["asked"], result["base"]["heldout"], result["start"]["heldout"], result["base"]["drawn"]
    missing = [f"`{name}` failed: {reason}" for name, reason in result["failed"].items()]
    return [
        f"## {asked['task']}",
        "",
        f"`{result['prompt']}`. Before anything {percent(start['value'])} of {start['count']} held-out questions, after "
        f"{result['warmed']['steps'][-1]} steps of imitation {percent(base['value'])} (drawn: {percent(drawn['value'])}; facts: "
        f"{percent(result['base']['untouched']['value'])}): the base. {asked['seeds']} seeds, "
        f"{result['machine']['gpu'] or result['machine']['cpu']}.",
        "",
        *rows(result),
        "",
        *recipes(result),
        "",
        f"Tokens: of completions that were drawn or imitated. DPO's wrong answers were drawn before ({TRIES} answers to each training "
        "question), which its row leaves out. Times are of runs that shared the machine and may have been halted meanwhile; those of "
        f"resumed runs leave out what a kill undid. Commits (+: with local changes): {commits(result)}.",
        "",
        *([*missing, ""] if missing else []),
        *spoken(result),
        "",
        *searched(result),
        "",
        f"![{asked['task']}: held-out right answers by signal](signals/{slug(result)}.png)",
        "",
    ]


def slug(result: dict[str, Any]) -> str:
    """A task's figure's name."""
    return f"{result['asked']['task']}-{result['asked']['size']}".replace("_", "-")


def page() -> str:
    """The whole page; nothing before anything was measured."""
    found = results()
    if not found:
        return ""
    asked = {arm for result in found for arm in result["asked"]["signals"]}
    words = [f"- {TITLES[arm]}: {told}" for arm, told in TOLD.items() if arm in asked]
    return "\n".join([PREFACE, *words, "", *(line for result in found for line in section(result))])


if __name__ == "__main__":
    if "--check" in sys.argv:
        said = PAGE.read_text() if PAGE.exists() else ""
        sys.exit(0 if said == page() else f"{PAGE.name}: not what the JSON says; run python benchmarks/signals_report.py")
    if not results():
        sys.exit(f"there is nothing in {RESULTS} yet: run python benchmarks/learning_signals.py first")
    PAGE.write_text(page())
    FIGURES.mkdir(exist_ok=True)
    write_images({FIGURES / f"{slug(result)}.png": figure(result) for result in results()}, scale=1.5)
