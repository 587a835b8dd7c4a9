"""Write a study's report.

report.json (everything), report.html (opens offline), report.md with figures/, graphs/ for Neuronpedia, and for the hub's pages page.json
with figures/KEY.json and circuits/RUN.json.
"""

import json
import math
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.files import write_json, writing
from rlhub.core.folder import checked_name
from rlhub.core.style import write_images
from rlhub.lens.graph import Graph
from rlhub.lens.neuronpedia import attribution_graph, write_graph
from rlhub.studies.gathering import gather, matrices
from rlhub.studies.report.figures import Drawn, draw
from rlhub.studies.report.markdown import PAGE, markdown
from rlhub.studies.report.page import page
from rlhub.studies.report.shown import circuit_json, figure_json, shown
from rlhub.studies.report.words import words_of

Report = dict[str, Any]


def write_report(folder: Path, *, to: Path | None = None, pictures: bool | None = None) -> Path:
    """Write the report of a measured study.

    Args:
        folder: the study's.
        to: where the report goes; by default into the study's folder.
        pictures: whether to write the figures as images for the Markdown; by default where kaleido and a browser are there.

    Returns:
        The page's path.
    """
    return write_pages(gather(folder), to or folder, pictures=pictures)


def write_pages(report: Report, folder: Path, *, pictures: bool | None = None) -> Path:
    """Write a report from its JSON alone (see `write_report`)."""
    figures = draw(report)
    with writing("the report", folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(strict(report), ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        told = strict(shown(report, figures))
        written = write_figures(report, figures, folder, pictures)
        (folder / "report.md").write_text(markdown(told, pictures=written), encoding="utf-8")
        write_graphs(report, folder / "graphs")
        path = folder / "report.html"
        path.write_text(page(report, figures), encoding="utf-8")
        # The last one: where it is there, all it tells of is.
        write_json(folder / PAGE, told)
    return path


def write_figures(report: Report, figures: list[Drawn], folder: Path, pictures: bool | None) -> bool:
    """Write figures and circuits as data that pages draw, and as PNG; False where there are no pictures."""
    for name in ("figures", "circuits"):
        (folder / name).mkdir(exist_ok=True)
    for drawn in figures:
        (folder / "figures" / f"{drawn.key}.json").write_text(figure_json(drawn), encoding="utf-8")
    for run in report["last"]:
        text = json.dumps(strict(circuit_json(report, run)), ensure_ascii=False, allow_nan=False)
        (folder / "circuits" / f"{run}.json").write_text(text, encoding="utf-8")
    return write_pictures(figures, folder / "figures", pictures)


def write_pictures(figures: list[Drawn], folder: Path, wanted: bool | None) -> bool:
    """Write the figures as PNG; False where that can't be done and was not demanded."""
    if wanted is False:
        return False
    try:
        write_images({folder / f"{drawn.key}.png": drawn.figure for drawn in figures}, scale=1.5)
    except UserError:
        if wanted:
            raise
        return False
    return True


def write_graphs(report: Report, folder: Path) -> None:
    """A graph that Neuronpedia reads for every drawn circuit."""
    folder.mkdir(exist_ok=True)
    graph = Graph(**report["graph"]["shape"])
    tokens, told = report["measured"]["base"]["inside"]["tokens"]["labels"], words_of(report)
    for name, edges in report["circuits"].items():
        scores, mask = matrices(edges, graph)
        slug = name.replace("@", "-step")
        value = attribution_graph(
            graph.sources,
            graph.destinations,
            scores,
            mask=mask,
            tokens=tokens,
            model=report["asked"]["model"],
            slug=checked_name(slug).lower(),
            answer="right answer",
            probability=report["measured"][name]["behaviour"]["train"]["value"],
            description=f"EAP-IG circuit of {name}. {told.title}; probability: share of {told.splits['train']} {told.right}",
            settings={"method": "eap-ig", "steps": 5, "pairs": len(report["measured"][name]["circuit"]["metric"]["clean"])},
        )
        write_graph(value, folder / f"{slug}.json")


def strict(value: Any) -> Any:
    """The same with None for NaN and infinity, which strict JSON has not got."""
    if isinstance(value, dict):
        return {str(key): strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [strict(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
