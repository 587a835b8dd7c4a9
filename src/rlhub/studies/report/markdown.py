"""A study's report as Markdown, ready to post. Nothing here loads torch."""

from typing import Any

Table = list[list[str]]
PAGE = "page.json"
"""The file in a report's folder that holds what `shown` says."""


def markdown(told: dict[str, Any], *, pictures: bool) -> str:
    """The whole report.

    Args:
        told: what `shown` says of a report.
        pictures: whether figures/KEY.png lies beside it.
    """
    parts = [
        f"# {told['title']}",
        told["question"],
        "## Findings",
        bullets(told["findings"]),
        "## How it was measured",
        table([["what", "how"], *told["method"]]),
        "### What was trained, and what it cost",
        table(told["arms"]),
        told["cost"],
        "## Behaviour",
        table(told["behaviour"]),
        INTERVALS,
        *(["### Conduct", table(told["conduct"]), CONDUCT] if told["conduct"] else []),
        "## Claims",
        "Each verdict follows from the number, its interval and its null by a rule that was written before; the rules stand below.",
        table(told["claims"]),
        "### Rules and further numbers",
        bullets([rule(verdict) for verdict in told["verdicts"]]),
    ]
    section = ""
    for drawn in told["figures"]:
        if drawn["section"] != section:
            section = drawn["section"]
            parts.append(f"## Figures: {section}")
        picture = (
            f"![{bare(drawn['alternative'])}](figures/{drawn['key']}.png)\n\n" if pictures else f"**{drawn['key']}** (see report.html)  \n"
        )
        parts.append(f"{picture}{drawn['caption']}")
    parts += [
        "## Nulls, and what is lacking",
        "What the same numbers are when nothing happened: only what lies beyond them was done by a signal.",
        table(told["nulls"]),
        bullets(told["lacking"]) if told["lacking"] else "No null is lacking.",
        "## Limits",
        bullets(told["limits"]),
        "## How to get these numbers again",
        "At the (last) commit and with the versions that stand above:",
        "```\n" + "\n".join(told["reproduce"]) + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


INTERVALS = (
    "In brackets: 95%; for one run Wilson's interval of a share or a bootstrap over answers, for several Student's interval over seeds "
    "joined (in squares) with the runs' own."
)

CONDUCT = (
    "The constitution's test prompts, four answers sampled to each. A refusal is told by its words; a leaning is how much likelier a token "
    "of an opening that refuses, or corrects, is than one that helps, or goes along. In brackets as above, for one run over prompts."
)


def rule(verdict: dict[str, str]) -> str:
    """A claim's rule and the numbers beside its own."""
    return f"**{verdict['text']}**: {verdict['rule'] or 'no rule'}" + (f". Beside: {verdict['beside']}." if verdict["beside"] else ".")


def bare(text: str) -> str:
    """Text that can stand in the brackets of a picture."""
    return text.replace("[", "(").replace("]", ")")


def table(rows: Table) -> str:
    """A table, its first row the head."""
    head, *rest = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rest)])


def bullets(lines: list[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)
