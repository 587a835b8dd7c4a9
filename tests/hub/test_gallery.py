"""`rlhub book` and `rlhub theory`: exhibits listed, computed, drawn; and what a person gets wrong."""

import json
import re

import plotly.graph_objects as go
import pytest

from rlhub.core import style
from rlhub.foundations.exhibit import exhibits
from rlhub.hub.cli import main
from rlhub.hub.gallery import Gallery, Shown, group_of, sheet


def test_a_figure_is_computed_drawn_and_told(tmp_path, capsys):
    assert main(["book", "figure", "2.2", "--runs", "20", "--to", str(tmp_path), "--page-only", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["key"] == "2.2"
    assert told["asked"]["runs"] == 20
    assert "reward at the end, ε = 0 (greedy)" in told["numbers"]
    assert "Figure 2.2" in (tmp_path / "figure-2.2.html").read_text()


def test_the_list_says_what_each_shows(capsys):
    assert main(["book", "list", "--json"]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["2.2"]["runs"] == 2000
    assert rows["2.2"]["shows"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["book", "figure", "2.222"], "there is no figure '2.222' (did you mean 2.2"),
        (["book", "figure", "2.2", "--runs", "0"], "runs is 0"),
        (["book", "figure", "2.2", "--seed", "-1"], "seed is -1"),
        (["book", "figure", "2.2", "--runs", "many"], "--runs takes a whole number, not 'many'"),
        (["book", "figure", "2.2", "--epsilon", "2"], "rlhub book figure 2.2 has no option --epsilon"),
        (["book", "figure", "2.2", "--rums", "5"], "has no option --rums (did you mean --runs?)"),
        (["book", "2.2"], "takes list, all, or figure and its key"),
        (["theory", "everything"], "there is no experiment 'everything'"),
    ],
)
def test_what_can_not_be_drawn_is_said_in_one_sentence(arguments, sentence, capsys):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1


def test_a_folder_that_can_not_be_written_is_said_before_anything_is_computed(tmp_path, capsys, monkeypatch):
    def computed(*_, **__):
        raise AssertionError("computed although nothing can be written")

    monkeypatch.setattr(Gallery, "made", computed)
    (tmp_path / "file").write_text("")
    for command in (["book", "figure", "2.2"], ["book", "all"]):
        assert main([*command, "--page-only", "--to", str(tmp_path / "file")]) == 2
        told = capsys.readouterr().err
        assert "a file is where a folder should be: choose another folder with --to" in told
        assert told.count("\n") == 1


def test_a_missing_browser_is_said_before_anything_is_computed(tmp_path, capsys, monkeypatch):
    chromium = pytest.importorskip("choreographer.browsers.chromium")
    monkeypatch.setattr(chromium.Chromium, "find_browser", lambda **_: None)
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setattr(Gallery, "made", None)
    assert main(["book", "figure", "2.2", "--to", str(tmp_path)]) == 2
    assert "needs Chrome or Chromium" in capsys.readouterr().err


def exhibit_told(key, group, picture="picture.png"):
    return {
        "key": key,
        "group": group,
        "title": f"title <of> {key}",
        "shows": f"what {key} shows",
        "seconds": 1.25,
        "numbers": {},
        "page": f"/somewhere/figure {key}.html",
        "picture": picture,
        "figure": go.Figure(),
    }


def test_the_sheet_groups_by_chapter_and_each_figure_is_a_link_with_its_words():
    told = [
        exhibit_told("2.2", "Chapter 2: bandits"),
        exhibit_told("6.2", "Chapter 6: prediction"),
        exhibit_told("6.4", "Chapter 6: control"),
    ]
    page = sheet("All figures", told)
    assert re.findall("<h2.*?>(.*?)</h2>", page) == ["Chapter 2: bandits", "Chapter 6: prediction"]
    assert page.count('<a href="figure%20') == 3
    assert 'alt="title &lt;of&gt; 6.4: what 6.4 shows"' in page
    assert page.count("1.2 s<") == 3
    targets = re.findall('<a href="#(.*?)"', page)
    assert targets
    assert all(f'id="{target}"' in page for target in targets)
    assert not re.search("(src|href)=.?(https?:)?//", page)


def test_without_pictures_the_sheet_is_words_and_one_subject_needs_no_contents():
    page = sheet("One figure", [exhibit_told("2.2", "Chapter 2: bandits", picture=None)])
    assert "<img" not in page
    assert "<nav" not in page
    assert "title &lt;of&gt; 2.2" in page


def test_every_exhibit_stands_in_a_chapter_or_under_a_subject():
    for one in exhibits("rlhub.foundations.figures").values():
        assert re.fullmatch(r"Chapter \d+: [^,:]+", group_of(one))
        assert re.match(r"\D*(\d*)", one.key)[1] in ("", re.match(r"Chapter (\d+)", group_of(one))[1])
    assert all(group_of(one) for one in exhibits("rlhub.foundations.theory").values())


def test_pages_side_by_side_share_one_plotly_and_a_single_one_holds_its_own(tmp_path):
    gallery = Gallery(command="book", package="rlhub.foundations.figures", item="figure", about="All figures")
    told = [exhibit_told(key, "Chapter 2: bandits", picture=None) | {"page": str(tmp_path / f"{key}.html")} for key in ("one", "two")]
    (tmp_path / "plotly.min.js").write_text("an old one")
    gallery.drawn_all(told, Shown(to=str(tmp_path), page_only=True))
    assert all((tmp_path / f"{key}.html").stat().st_size < 50_000 for key in ("one", "two"))
    assert (tmp_path / "plotly.min.js").stat().st_size > 1_000_000
    assert 'src="plotly.min.js"' in (tmp_path / "one.html").read_text()
    assert style.write_html(go.Figure(), tmp_path / "alone.html").stat().st_size > 1_000_000
