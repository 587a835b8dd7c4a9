"""What a study begins from: warm-ups are tried until the model knows enough, and none of them twice."""

import pytest

from rlhub.core.run import Run
from rlhub.language.task import Task, load_task
from rlhub.studies import warming
from rlhub.studies.question import Asked
from rlhub.studies.store import Store
from rlhub.studies.warming import KNOWN, known, warmed

WARM_UPS = [{"steps": steps, "batch": 2, "learning_rate": 1e-4} for steps in (1, 2, 3)]
NAMES = ["warm-up", "warm-up-2", "warm-up-3"]


def begun(folder, monkeypatch, shares):
    """What warming returns and keeps where runs know such shares of answers, and which of them were asked."""
    asked = []

    def scripted(run, _):
        asked.append(run.name)
        return shares[NAMES.index(run.name)]

    monkeypatch.setattr(warming, "known", scripted)
    store = Store.open(folder, "signals", {})
    run = warmed(store, "tiny", "facts:capitals", WARM_UPS, new_tokens=4)
    return run, store.measured("study", "warmed", dict), asked


@pytest.mark.parametrize(
    ("shares", "count"), [((KNOWN, 0, 0), 1), ((KNOWN - 0.01, KNOWN + 0.3, 0), 2), ((0, 0, 0.02), 3)], ids=["first", "second", "last"]
)
def test_the_first_warm_up_that_teaches_enough_is_taken_or_else_the_last(tmp_path, monkeypatch, shares, count):
    run, told, _ = begun(tmp_path, monkeypatch, shares)
    assert run.name == NAMES[count - 1]
    assert told == {"runs": NAMES[:count], "steps": [1, 2, 3][:count], "right": list(shares[:count])}
    assert [(tmp_path / name).is_dir() for name in NAMES] == [place < count for place in range(3)]


def test_each_begins_from_the_model_that_was_asked_for(tmp_path, monkeypatch):
    begun(tmp_path, monkeypatch, (0, 0, 0))
    assert [Run.open(tmp_path / name).config["fields"]["model"] for name in NAMES] == ["tiny"] * 3


def test_what_was_tried_is_not_tried_again(tmp_path, monkeypatch):
    begun(tmp_path, monkeypatch, (0, 0.5, 0))
    steps = (tmp_path / "warm-up" / "metrics.jsonl").read_text()
    run, told, asked = begun(tmp_path, monkeypatch, (0.9, 0.9, 0.9))
    assert (run.name, told["right"], asked) == ("warm-up-2", [0, 0.5], [])
    assert (tmp_path / "warm-up" / "metrics.jsonl").read_text() == steps


def test_a_model_knows_what_its_drawn_answers_are_right_about(tmp_path, monkeypatch):
    run, _, _ = begun(tmp_path, monkeypatch, (1, 0, 0))
    monkeypatch.undo()
    task = load_task("facts:capitals")
    asked = Asked(task=task, examples=list(task.split("train")[:20]), new_tokens=4)
    monkeypatch.setattr(Task, "right", lambda _, examples, texts: [place % 4 == 0 for place in range(len(texts))])
    assert known(run, asked) == 0.25
