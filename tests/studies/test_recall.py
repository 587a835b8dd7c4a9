"""The study of recall, whole, on the tiny model: trained, measured, interrupted, resumed, reported."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlhub.core.errors import UserError
from rlhub.studies import study
from rlhub.studies.arms import arms
from rlhub.studies.recall import SIZES, Recall
from rlhub.studies.store import Store
from rlhub.studies.study import run_study

QUICK = dataclasses.replace(
    SIZES["tiny"],
    arms={
        "sft": {"steps": 3, "batch": 16, "learning_rate": 1e-3},
        "dpo": {"steps": 3, "batch": 16, "learning_rate": 1e-3},
        "grpo": {"steps": 3, "prompts": 8, "group": 4, "max_new_tokens": 3, "learning_rate": 1e-3},
    },
    keep={"sft": (1,), "dpo": (1,), "grpo": (1,), "random": ()},
    untouched=20,
    pairs=8,
    patched=4,
    corruptions=("replacement",),
    restored=("mlp",),
    draws=1,
)


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(SIZES, "tiny", QUICK)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick):
    return run_study(Recall(size="tiny"), runs=tmp_path_factory.mktemp("runs"), name="whole", pictures=False)


def measurements(folder: Path) -> dict[str, object]:
    return {str(path.relative_to(folder)): json.loads(path.read_text()) for path in sorted((folder / "measurements").rglob("*.json"))}


def test_it_ends_in_a_report_with_a_verdict_for_every_claim(whole):
    report = json.loads((whole / "report.json").read_text())
    assert {claim["verdict"] for claim in report["claims"]} <= {"can't tell at this scale", "not tested"}
    assert set(report["last"]) == {"sft-seed0", "dpo-seed0", "grpo-seed0", "random-seed0"}
    assert (whole / "report.html").stat().st_size > 1_000_000
    assert (whole / "report.md").is_file()
    assert len(list((whole / "graphs").glob("*.json"))) == 5


def test_one_seed_says_which_nulls_it_lacks(whole):
    report = json.loads((whole / "report.json").read_text())
    assert any("seed against seed" in sentence for sentence in report["lacking"])


def test_interrupted_and_resumed_it_measures_the_same(whole, tmp_path, monkeypatch):
    taken = 0
    measured = Store.measured

    def interrupted(self, *arguments):
        nonlocal taken
        taken += 1
        if taken in (3, 30, 60):
            raise KeyboardInterrupt
        return measured(self, *arguments)

    monkeypatch.setattr(Store, "measured", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_study(Recall(size="tiny"), runs=tmp_path, name="whole", pictures=False)
    folder = run_study(Recall(size="tiny"), runs=tmp_path, name="whole", pictures=False)
    assert measurements(folder) == measurements(whole)


def test_a_finished_study_measures_nothing_again(whole, monkeypatch):
    monkeypatch.setattr(study, "measure", lambda *_: None)
    before = measurements(whole)
    assert run_study(Recall(size="tiny"), runs=whole.parent, name="whole", pictures=False) == whole
    assert measurements(whole) == before


def test_the_report_alone_can_be_written_again(whole):
    (whole / "report.html").unlink()
    run_study(Recall(size="tiny"), runs=whole.parent, name="whole", report_only=True, pictures=False)
    assert (whole / "report.html").is_file()


def test_other_settings_under_the_same_name_are_refused(whole):
    with pytest.raises(UserError, match=r"other settings \(relation\)"):
        run_study(Recall(size="tiny", relation="symbols"), runs=whole.parent, name="whole", pictures=False)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"signals": ("ppo",)}, "no signal 'ppo'"),
        ({"signals": ()}, "at least one signal"),
    ],
)
def test_what_cannot_be_studied_is_refused_in_one_sentence(fields, said):
    with pytest.raises(UserError, match=said):
        Recall(**fields)


def test_a_missing_model_leaves_no_folder_behind(tmp_path):
    with pytest.raises(UserError):
        run_study(Recall(size="tiny", model=str(tmp_path / "nowhere")), runs=tmp_path / "runs", pictures=False)
    assert not (tmp_path / "runs").exists()


KNOWN = Recall.known


def test_the_control_comes_by_itself_and_last():
    assert arms(("grpo", "sft"), known=KNOWN, control=True) == ("grpo", "sft", "random")
    assert arms(("grpo", "random", "sft"), known=KNOWN, control=False) == ("grpo", "sft", "random")
    assert arms(("dpo",), known=KNOWN, control=False) == ("dpo",)


def test_a_disk_too_small_for_it_is_said_before_a_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10_000_000))
    with pytest.raises(UserError, match=r"needs about \d+ MiB in .*whole, whose disk has 10 MiB left"):
        run_study(Recall(size="tiny"), runs=tmp_path / "runs", name="whole")
    assert not (tmp_path / "runs").exists()


def test_a_place_for_the_report_belongs_to_writing_only_the_report(tmp_path):
    with pytest.raises(UserError, match="--to says where --report-only writes"):
        run_study(Recall(size="tiny"), runs=tmp_path, to=tmp_path / "elsewhere")
