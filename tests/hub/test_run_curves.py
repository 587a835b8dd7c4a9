"""The curves of runs: planted metrics in stages come out at their steps, and what can't be drawn is said."""

import json

import pytest

import rlhub
from rlhub.hub.cli import main
from rlhub.hub.curve import accuracy_of, learning_curve, stages_of
from rlhub.hub.curve_figure import curves_figure, smooth
from rlhub.language.sft import SFT


def plant(folder, lines, *, started=1.0):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"system": "rlhub.language.r1:R1", "fields": {}, "seed": 0, "keep": []}))
    (folder / "provenance.json").write_text(json.dumps({"executions": [{"started": started, "status": "finished"}]}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": step, **line}) + "\n" for step, line in enumerate(lines, start=1)))
    return folder


def answers(values):
    return [{"reward": 9.0, "solved": value, "length": 10 * value, "reflections": None if value > 0.5 else value} for value in values]


@pytest.fixture
def run(tmp_path):
    """Four steps of imitation, three of reinforcement, two of sampling; made in an order that is not that of their names."""
    folder = plant(tmp_path / "whole", [{"reason_solved": 0.3}])
    plant(folder / "stages" / "reason", answers([0.1, 0.2, 0.3]), started=3.0)
    plant(folder / "stages" / "cold-start", [{"loss": 1.0, "length": 99.0}] * 4, started=2.0)
    plant(folder / "stages" / "collect", answers([0.6, 0.7]), started=4.0)
    return folder


def drawn(figure, row):
    """The raw points of one small plot; every second line is the smoothed one."""
    axis = "y" if row == 1 else f"y{row}"
    traces = [trace for trace in figure.data if trace.yaxis == axis][::2]
    return {trace.name: (list(trace.x), list(trace.y)) for trace in traces}


def test_stages_follow_one_another_in_the_order_they_were_begun(run):
    stages = stages_of(run)
    assert [(stage.name, stage.begins, stage.ends) for stage in stages] == [("cold-start", 0, 4), ("reason", 4, 7), ("collect", 7, 9)]
    assert [stage.samples for stage in stages] == [False, True, True]
    assert accuracy_of(stages) == "solved"


def test_accuracy_length_and_second_thoughts_are_drawn_over_all_stages(run):
    figure = curves_figure(run)
    assert drawn(figure, 1) == {"reason": ([5, 6, 7], [0.1, 0.2, 0.3]), "collect": ([8, 9], [0.6, 0.7])}
    assert drawn(figure, 2)["collect"] == ([8, 9], [6.0, 7.0])
    assert drawn(figure, 3)["reason"] == ([5, 6, 7], [0.1, 0.2, 0.3])
    assert drawn(figure, 3)["collect"] == ([], [])
    assert {note.text for note in figure.layout.annotations} == {"cold-start", "reason", "collect"}
    shades = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert {(shape.x0, shape.x1) for shape in shades} == {(0, 4)} and len(shades) == 3


def test_the_line_is_a_mean_of_neighbours():
    assert smooth([1.0, 2.0, 6.0]) == [3.0, 3.0, 3.0]
    line = [float(value) for value in range(100)]
    assert smooth(line)[10:90] == line[10:90]
    assert smooth([]) == []


def test_the_terminal_shows_how_many_are_solved(run):
    assert "share of answers solved, over all stages" in learning_curve(run)


def test_a_run_that_imitates_shows_its_loss(tmp_path, capsys):
    run = rlhub.train(SFT(model="tiny", steps=2, batch=2), runs=tmp_path, name="mine")
    assert learning_curve(run.folder) is None
    page = tmp_path / "mine.html"
    assert main(["runs", "mine", "--runs", str(tmp_path), "--plot", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plot"] == str(page)
    assert ">loss" in page.read_text() or '"loss"' in page.read_text()


def test_an_agents_returns_are_drawn_with_their_interval(tmp_path):
    folder = plant(tmp_path / "agent", [{"episode_return": [1.0, 2.0]}, {"episode_return": [3.0, 4.0]}])
    band, line = curves_figure(folder).data
    assert list(line.y) == [1.5, 3.5]
    assert band.fill == "toself"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["empty", "--plot", "a.html"], "has logged nothing to draw"),
        (["empty", "--plot", "a.txt"], "ends in .html"),
        (["--plot", "a.html"], "one run's curves"),
    ],
)
def test_what_cant_be_drawn_is_one_sentence(words, sentence, tmp_path, capsys):
    plant(tmp_path / "empty", [])
    assert main(["runs", *words, "--runs", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err
