"""`rlhub book` and `rlhub theory`: exhibits listed, computed, drawn; and what a person gets wrong."""

import json

import pytest

from rlhub.hub.cli import main


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
