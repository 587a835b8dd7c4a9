"""A study as a post: whole or not at all, never over something else."""

import json
import re
from pathlib import Path

import pytest

from rlhub.core.errors import UserError
from rlhub.hub import post as posts
from rlhub.hub.cli import main

REPORT = Path(__file__).parents[1] / "studies" / "report.json"
SECTIONS = (
    "Findings",
    "How it was measured",
    "Behaviour",
    "Claims",
    "Nulls, and what is lacking",
    "Limits",
    "How to get these numbers again",
)


@pytest.fixture
def runs(reported):
    return reported


@pytest.fixture
def drawn(monkeypatch):
    """Pictures without a browser."""

    def write_images(figures, *, scale):
        for path, figure in figures.items():
            assert figure.data or figure.layout.annotations
            path.write_bytes(b"PNG")

    monkeypatch.setattr(posts, "write_images", write_images)


def test_a_post_holds_everything_and_every_picture_has_words(runs, drawn, tmp_path, capsys):
    to = tmp_path / "blog" / "mine"
    assert main(["post", "mine", "--to", str(to), "--runs", str(runs), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    text = (to / "index.md").read_text()
    for section in SECTIONS:
        assert f"## {section}" in text
    pictures = re.findall(r"!\[([^\]]+)\]\((figures/[^)]+)\)", text)
    assert len(pictures) == told["pictures"] == len(list((to / "figures").iterdir()))
    for words, path in pictures:
        assert len(words) > 20
        assert (to / path).is_file()
    assert "rlhub study recall --name t2" in text


def test_a_post_is_written_anew_over_itself_but_over_nothing_else(runs, drawn, tmp_path):
    to = tmp_path / "mine"
    posts.post(runs / "mine", to)
    (to / "index.md").write_text("old")
    posts.post(runs / "mine", to)
    assert (to / "index.md").read_text() != "old"
    (to / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds something else \(notes.txt\)"):
        posts.post(runs / "mine", to)
    assert (to / "notes.txt").read_text() == "mine"


def test_a_file_in_the_place_is_left_alone(runs, drawn, tmp_path):
    (tmp_path / "mine").write_text("a file")
    with pytest.raises(UserError, match="no folder"):
        posts.post(runs / "mine", tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "a file"


def test_without_a_browser_it_is_one_sentence_and_nothing_is_left(runs, monkeypatch, tmp_path, capsys):
    def missing(figures, *, scale):
        raise UserError("writing pictures of figures needs kaleido: pip install 'rlhub[figures]'")

    monkeypatch.setattr(posts, "write_images", missing)
    assert main(["post", "mine", "--to", str(tmp_path / "blog"), "--runs", str(runs)]) == 2
    assert "kaleido" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_a_report_is_not_posted(tmp_path, capsys):
    told = json.loads(REPORT.read_text())
    folder = tmp_path / "runs" / "young"
    folder.mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps({name: told[name] for name in ("study", "asked", "created", "executions")}))
    assert main(["post", "young", "--to", str(tmp_path / "blog"), "--runs", str(tmp_path / "runs")]) == 2
    assert "rlhub resume young" in capsys.readouterr().err
    assert not (tmp_path / "blog").exists()
