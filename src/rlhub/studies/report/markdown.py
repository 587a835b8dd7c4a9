"""A study's report as Markdown, ready to post."""

from typing import Any

from rlhub.studies.report import tables
from rlhub.studies.report.figures import Drawn
from rlhub.studies.report.tables import Table
from rlhub.studies.report.words import words_of

Report = dict[str, Any]


def markdown(report: Report, figures: list[Drawn], *, pictures: bool) -> str:
    """The whole report.

    Args:
        report: everything that was measured.
        figures: the figures, in order.
        pictures: whether figures/KEY.png lies beside it.
    """
    told = words_of(report)
    parts = [
        f"# {told.title}",
        told.question,
        bullets(tables.outcome(report)),
        "## How it was measured",
        table([["what", "how"], *tables.method(report)]),
        table(tables.arms_table(report)),
        f"All runs together trained for {tables.training_time(report)}.",
        "## Behaviour",
        table(tables.behaviour_table(report)),
        INTERVALS,
        *(["### Conduct", table(tables.conduct_table(report)), CONDUCT] if tables.conduct_table(report) else []),
    ]
    section = ""
    for drawn in figures:
        if drawn.section != section:
            section = drawn.section
            parts.append(f"## Figures: {section}")
        picture = f"![{drawn.key}](figures/{drawn.key}.png)\n\n" if pictures else f"**{drawn.key}** (see report.html)  \n"
        parts.append(f"{picture}{drawn.caption}")
    parts += [
        "## Claims",
        "Each verdict follows from the number, its interval and its null by the rule beside it.",
        table(tables.claims_table(report)),
        "### Rules and further numbers",
        bullets([rule(claim) for claim in report["claims"]]),
        "## Nulls, and what is lacking",
        table(tables.nulls_table(report)),
        bullets(report["lacking"]) if report["lacking"] else "No null is lacking.",
        "## Limits",
        bullets(tables.limits(report)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


INTERVALS = (
    "In brackets: 95%; for one run Wilson's interval of a share or a bootstrap over tokens, for several Student's interval over seeds."
)

CONDUCT = (
    "The constitution's test prompts, four answers sampled to each. A refusal is told by its words; a leaning is how much likelier a token "
    "of an opening that refuses, or corrects, is than one that helps, or goes along. In brackets as above, for one run over prompts."
)


def rule(claim: dict[str, Any]) -> str:
    """A claim's rule and the numbers beside its own."""
    beside = tables.details(claim)
    return f"**{claim['text']}**: {claim['rule'] or 'no rule'}" + (f". Beside: {beside}." if beside else ".")


def table(rows: Table) -> str:
    """A table, its first row the head."""
    head, *rest = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rest)])


def bullets(lines: list[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)
