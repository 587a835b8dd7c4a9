"""Everything that a report says and draws as JSON, so that pages and posts are made of it without loading a model or torch."""

import shlex
from typing import Any

import plotly.io

from rlhub.lens.figures.circuit_view import circuit_view
from rlhub.lens.graph import Graph
from rlhub.studies.evidence import arms_of
from rlhub.studies.names import NAMES
from rlhub.studies.report import tables
from rlhub.studies.report.alternative import alternative
from rlhub.studies.report.figures import CIRCUITS_DRAWN, Drawn, run_name
from rlhub.studies.report.words import words_of

Report = dict[str, Any]


def shown(report: Report, figures: list[Drawn]) -> dict[str, Any]:
    """What is said: sentences, tables (rows of text, the first one the head), and which figures and circuits there are.

    Args:
        report: everything that was measured.
        figures: the figures, in order.

    Returns:
        title, question, findings, method, arms, cost, behaviour, conduct, claims, verdicts, nulls, lacking, limits, reproduce, figures
        (key, section, caption, alternative text), circuits (key, arm, seed, title, caption) and runs; `executions` tells how often the
        study had been begun when this was written.
    """
    told = words_of(report)
    return {
        "study": report["study"],
        "name": report["name"],
        "title": told.title,
        "question": told.question,
        "created": report["created"],
        "executions": len(report["executions"]),
        "findings": [*tables.outcome(report), *tables.decided(report)],
        "method": tables.method(report),
        "arms": tables.arms_table(report),
        "cost": tables.cost(report),
        "behaviour": tables.behaviour_table(report),
        "conduct": tables.conduct_table(report),
        "claims": tables.claims_table(report),
        "verdicts": [
            {name: claim[name] for name in ("key", "text", "verdict", "reason", "rule")} | {"beside": tables.details(claim)}
            for claim in report["claims"]
        ],
        "nulls": tables.nulls_table(report),
        "lacking": report["lacking"],
        "limits": tables.limits(report),
        "reproduce": commands(report),
        "figures": [figure(drawn) for drawn in figures],
        "circuits": [circuit(report, run) for arm in arms_of(report) for run in tables.runs_of(report, arm)],
        "runs": [
            {
                "key": run,
                "arm": NAMES[run.rpartition("-seed")[0]],
                "seed": told["seed"],
                "seconds": told["seconds"],
                "tokens": told["tokens"],
            }
            for arm in arms_of(report)
            for run in tables.runs_of(report, arm)
            for told in [{"tokens": None} | report["runs"][run]]
        ],
    }


def figure(drawn: Drawn) -> dict[str, Any]:
    """What is said of one figure."""
    told = alternative(drawn.figure.to_plotly_json())
    # A page draws circuits from their own data, with a slider; pictures of them are for what can't move.
    return {
        "key": drawn.key,
        "section": drawn.section,
        "caption": drawn.caption,
        "alternative": told,
        "still": drawn.section == CIRCUITS_DRAWN,
    }


def circuit(report: Report, run: str) -> dict[str, Any]:
    """What is said of one run's circuit."""
    arm, _, seed = run.rpartition("-seed")
    name = run_name(run)
    caption = (
        f"The circuit before and after training: the base's and that of {name}, found by EAP-IG on the same pairs. "
        "Read it upwards; width is the root of the magnitude."
    )
    return {"key": run, "arm": NAMES[arm], "seed": int(seed), "title": f"The circuit, before and after: {name}", "caption": caption}


def figure_json(drawn: Drawn) -> str:
    """One figure as Plotly's JSON, without the template, which the layout says all of."""
    plain = drawn.figure.to_dict()
    plain["layout"].pop("template", None)
    return str(plotly.io.to_json(plain, validate=False))


def circuit_json(report: Report, run: str) -> dict[str, Any]:
    """A run's circuit beside the base's as `circuit_view` gives it, with the names of both and how faithful circuits of each size are."""
    graph = Graph(**report["graph"]["shape"])
    before, after = (
        {(int(source), int(destination)): float(score) for source, destination, score in report["circuits"][name]}
        for name in ("base", report["last"][run])
    )
    base, trained = report["measured"]["base"]["circuit"], report["measured"][report["last"][run]]["circuit"]
    return {
        **circuit(report, run),
        "unit": "logits",
        "names": {"before": NAMES["base"], "after": f"{run_name(run)}, step {tables.step_of(report, run)}"},
        "total": report["graph"]["edges"],
        "faithfulness": {
            "before": measured(base["own"]),
            "after": measured(trained["own"]),
            "carried": measured(trained["bases"]),
        },
        **circuit_view(graph.sources, graph.destinations, before, after),
    }


def measured(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Faithfulness at each size that was run: edges, value and 95% interval over pairs; sizes that leave no edge are left out."""
    return [
        {"edges": edges, "value": value, "interval": list(interval)}
        for edges, value, interval in zip(found["edges"], found["curve"], found["intervals"], strict=True)
        if edges
    ]


def commands(report: Report) -> list[str]:
    """What to type to get the same numbers again."""
    words = ["rlhub", "study", report["study"], "--name", report["name"]]
    for name, value in report["asked"].items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words += [] if value else [f"--no-{option}"]
        elif value is not None:
            words += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    return [shlex.join(words), shlex.join(["rlhub", "post", report["name"], "--to", f"{report['name']}-post"])]
