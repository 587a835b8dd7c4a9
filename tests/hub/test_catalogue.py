import json

import pytest
from hub.folders import made_run

from rlhub.core.errors import UserError
from rlhub.hub.catalogue import Catalogue, Wanted


@pytest.fixture
def runs(tmp_path):
    for seed in range(3):
        made_run(
            tmp_path / f"ppo-{seed}", seed=seed, started=1000.0 + seed, metrics=[{"step": 10, "time": 0, "episode_return": 10.0 * seed}]
        )
    made_run(
        tmp_path / "study" / "dqn", system="rlhub.agents.dqn:DQN", fields={"env": "Acrobot-v1"}, status="failed", reason="the disk is full"
    )
    return tmp_path


def found(catalogue, **wanted):
    return [row["key"] for row in catalogue.find(Wanted(**wanted)).rows]


@pytest.fixture
def catalogue(runs):
    catalogue = Catalogue(runs)
    assert catalogue.refresh()
    return catalogue


def test_runs_are_found_by_words_system_status_and_task(catalogue):
    assert set(found(catalogue)) == {"ppo-0", "ppo-1", "ppo-2", "study/dqn"}
    assert found(catalogue, text="DQN acro") == ["study/dqn"]
    assert found(catalogue, text="dqn cartpole") == []
    assert found(catalogue, system="DQN") == found(catalogue, status="failed") == found(catalogue, task="Acrobot-v1") == ["study/dqn"]


def test_runs_are_sorted_by_columns_and_by_a_metrics_newest_value(catalogue):
    assert found(catalogue, sort="started", order="ascending", text="ppo") == ["ppo-0", "ppo-1", "ppo-2"]
    # A run without the metric comes last, whichever way they are sorted.
    assert found(catalogue, sort="metric:episode_return") == ["ppo-2", "ppo-1", "ppo-0", "study/dqn"]
    assert found(catalogue, sort="metric:episode_return", order="ascending") == ["ppo-0", "ppo-1", "ppo-2", "study/dqn"]
    with pytest.raises(UserError, match="can't be sorted by 'colour'"):
        found(catalogue, sort="colour")


@pytest.mark.parametrize("word", ["'; DROP TABLE runs; --", '"', "%", "\\", "\x00"])
def test_words_are_words_and_no_sql(catalogue, word):
    assert found(catalogue, text=word) == found(catalogue, system=word) == []
    found(catalogue, sort=f"metric:{word}")
    assert len(found(catalogue)) == 4


def test_pages_count_all_that_match(catalogue):
    page = catalogue.find(Wanted(text="ppo", sort="name", order="ascending", limit=2, offset=1))
    assert page.total == 3
    assert [row["key"] for row in page.rows] == ["ppo-1", "ppo-2"]


def test_only_what_changed_is_read_again_and_what_is_gone_is_forgotten(catalogue, runs, monkeypatch):
    read = []
    from rlhub.hub import catalogue as module

    row_of = module.row_of
    monkeypatch.setattr(module, "row_of", lambda key, folder: read.append(key) or row_of(key, folder))
    assert not catalogue.refresh()
    assert read == []
    with (runs / "ppo-1" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 20, "episode_return": 99.0}) + "\n")
    assert catalogue.refresh()
    assert read == ["ppo-1"]
    assert catalogue.run("ppo-1")["metrics"] == {"episode_return": 99.0}
    assert catalogue.run("ppo-1")["step"] == 20
    (runs / "ppo-0").rename(runs / ".trash")
    assert catalogue.refresh()
    assert catalogue.run("ppo-0") is None


def test_a_run_that_is_no_longer_alive_is_seen_as_killed_without_a_change_to_its_files(runs, catalogue, monkeypatch):
    from rlhub.core import records

    monkeypatch.setattr(records, "living", lambda pid, started: object())
    made_run(runs / "going", status="running")
    catalogue.refresh()
    assert catalogue.run("going")["status"] == "running"
    monkeypatch.setattr(records, "living", lambda pid, started: None)
    catalogue.refresh()
    assert catalogue.run("going")["status"] == "killed"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", '{"system": 3, "fields": {}, "seed": "x"}'),
        ("config.json", '{"system": "a:B", "fields": [], "seed": 0}'),
        ("provenance.json", "{}"),
        ("provenance.json", '{"executions": [{"status": "running"}]}'),
        ("provenance.json", '{"executions": 7}'),
        ("metrics.jsonl", "\x00\xff not json\n[1]\n"),
        ("metrics.jsonl", '{"step": "many", "loss": "low"}\n'),
        ("metrics.jsonl", '{"step": 1, "loss": [1, "x"]}\n'),
    ],
)
def test_a_damaged_folder_is_shown_as_damaged_and_hides_no_other(runs, file, content):
    made_run(runs / "broken")
    (runs / "broken" / file).write_bytes(content.encode("latin-1"))
    catalogue = Catalogue(runs)
    catalogue.refresh()
    assert len(found(catalogue)) == 5
    broken = catalogue.run("broken")
    assert broken["status"] == "damaged" if file != "metrics.jsonl" or "step" in content else broken["status"] == "finished"
    assert catalogue.find(Wanted(sort="metric:loss")).total == 5


def test_links_out_of_the_runs_folder_are_not_followed(runs, tmp_path_factory):
    outside = made_run(tmp_path_factory.mktemp("outside") / "secret")
    (runs / "linked").symlink_to(outside)
    inside = made_run(runs / "inside")
    (inside / "config.json").unlink()
    (inside / "config.json").symlink_to(outside / "config.json")
    catalogue = Catalogue(runs)
    catalogue.refresh()
    assert catalogue.run("linked") is None
    assert catalogue.run("inside")["status"] == "damaged"
    assert "link" in catalogue.run("inside")["reason"]


def test_an_absent_folder_has_no_runs(tmp_path):
    catalogue = Catalogue(tmp_path / "nowhere")
    assert not catalogue.refresh()
    assert catalogue.find(Wanted()).total == 0
