"""Agents from the command line: trained, measured, watched, opened."""

import json

import imageio.v3 as images
import pytest
from safetensors.torch import load_file

from rlhub.hub.cli import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of two seeds with discrete actions, and one of one seed with continuous ones."""
    folder = tmp_path_factory.mktemp("runs")
    few = ["--steps", "800", "--environments", "4", "--rollout", "50", "--hidden", "8", "--plain", "--runs", str(folder)]
    assert main(["train", "ppo", "--env", "CartPole-v1", "--seeds", "2", "--name", "pole", *few]) == 0
    assert main(["train", "trpo", "--env", "Pendulum-v1", "--name", "pendulum", *few]) == 0
    return folder


def told(capsys, *words):
    capsys.readouterr()
    assert main([*words, "--json", "--plain"]) == 0
    return json.loads(capsys.readouterr().out)


def test_training_ends_with_a_curve_in_the_terminal(tmp_path, capsys):
    few = ["--steps", "800", "--environments", "4", "--rollout", "50", "--plain", "--runs", str(tmp_path)]
    assert main(["train", "ppo", "--env", "CartPole-v1", *few]) == 0
    assert "return of the episodes that ended" in capsys.readouterr().out


def test_evaluation_tells_mean_iqm_and_interval_over_seeds_or_episodes(runs, capsys):
    several = told(capsys, "evaluate", "pole", "--episodes", "8", "--runs", str(runs))
    assert several["over"] == "seeds" and set(several["seeds"]) == {"0", "1"} and several["episodes"] == 16
    one = told(capsys, "evaluate", "pendulum", "--episodes", "8", "--runs", str(runs))
    assert one["over"] == "episodes" and one["interval"][0] <= one["iqm"] <= one["interval"][1] < 0
    assert one == told(capsys, "evaluate", "pendulum", "--episodes", "8", "--runs", str(runs))


def test_an_agent_is_watched_as_a_film_and_as_a_strip(runs, tmp_path, capsys):
    film = tmp_path / "films" / "pole.mp4"
    assert main(["watch", "pole", "--video", str(film), "--runs", str(runs), "--plain"]) == 0
    frames = images.imread(film)
    strip = images.imread(film.with_suffix(".png"))
    assert len(frames) > 8 and frames[0].shape[2] == 3 and strip.shape[1] > strip.shape[0]
    assert frames.std() > 1


@pytest.mark.parametrize(("name", "unit"), [("pole", "share of actions that change"), ("pendulum", "mean change of the action")])
def test_the_lens_says_what_each_unit_decides(name, unit, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = told(capsys, "lens", "units", "--model", name, "--observations", "64", "--runs", str(runs))
    assert [row["unit"] for row in found["numbers"]] == [unit] * 8
    values = [row["value"] for row in found["numbers"]]
    assert values == sorted(values, reverse=True) and values[0] > 0
    kept = load_file(next((runs / name / "lens").rglob("*.safetensors")))
    assert kept["observations"].shape[0] == 64 and kept["actor.1"].shape == (64, 8)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["evaluate", "nothing"], "there is no run 'nothing'"),
        (["evaluate", "pole", "--episodes", "0"], "episodes is 0"),
        (["evaluate", "pole@7"], "7"),
        (["watch", "nothing"], "there is no run 'nothing'"),
        (["train", "ppo", "--env", "CartPole-v9"], "CartPole-v9"),
        (["train", "dqn", "--env", "Pendulum-v1"], "dqn can't act in Pendulum-v1"),
        (["train", "td3", "--env", "CartPole-v1"], "CartPole-v1"),
        (["train", "ppo", "--clip", "-1"], "clip is -1.0"),
        (["train", "ppo", "--clap", "1"], "--clap"),
        (["lens", "units", "--model", "pole", "--sites", "nowhere"], "no place named 'nowhere'"),
        (["lens", "units", "--model", "pole", "--of", "9"], "has no seed 9"),
    ],
)
def test_what_can_not_be_done_is_one_sentence_and_exit_code_2(words, sentence, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    extra = [] if words[0] == "train" else ["--runs", str(runs)]
    assert main([*words, *extra]) == 2
    printed = capsys.readouterr().err
    assert sentence in printed and "Traceback" not in printed
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())
