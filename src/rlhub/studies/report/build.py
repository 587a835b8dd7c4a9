"""Write a study's report: report.json (everything), report.html (opens offline), report.md with figures/, and graphs/ for Neuronpedia."""

import json
import math
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.files import writing
from rlhub.core.folder import checked_name
from rlhub.core.style import write_images
from rlhub.lens.graph import Graph
from rlhub.lens.neuronpedia import attribution_graph, write_graph
from rlhub.studies.gathering import gather, matrices
from rlhub.studies.report.figures import Drawn, draw
from rlhub.studies.report.markdown import markdown
from rlhub.studies.report.page import page
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
        written = write_pictures(figures, folder / "figures", pictures)
        (folder / "report.md").write_text(markdown(report, figures, pictures=written), encoding="utf-8")
        write_graphs(report, folder / "graphs")
        path = folder / "report.html"
        path.write_text(page(report, figures), encoding="utf-8")
    return path


def write_pictures(figures: list[Drawn], folder: Path, wanted: bool | None) -> bool:
    """Write the figures as PNG; False where that can't be done and was not demanded."""
    if wanted is False:
        return False
    folder.mkdir(exist_ok=True)
    try:
        write_images({folder / f"{drawn.key}.png": drawn.figure for drawn in figures}, scale=1.5)
    except UserError:
        if wanted:
            raise
        if not any(folder.iterdir()):
            folder.rmdir()
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
