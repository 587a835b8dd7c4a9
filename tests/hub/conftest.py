"""A finished study of the tiny model on disk, without its runs, made once for all tests that tell of studies."""

import json
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[1] / "studies" / "report.json"


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """The runs folder with the study `mine`; not to be changed."""
    from rlhub.studies.report.build import write_pages

    runs = tmp_path_factory.mktemp("runs")
    report = json.loads(REPORT.read_text())
    write_pages(report, runs / "mine", pictures=False)
    told = {name: report[name] for name in ("study", "asked", "created", "executions")}
    (runs / "mine" / "study.json").write_text(json.dumps(told))
    return runs
