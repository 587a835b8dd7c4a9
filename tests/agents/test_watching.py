"""Films: whole, of any length, in every format, of environments out of a person's own file as well."""

import tracemalloc

import imageio.v3 as images
import numpy as np
import pytest

from rlhub.agents import watching
from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.agent import first_agent
from rlhub.agents.environments import Environments
from rlhub.agents.ppo import PPO
from rlhub.agents.single import make_single
from rlhub.agents.watching import Album, Moment, moments, watch
from rlhub.core.errors import UserError

OWN = """
import gymnasium

def poles(count, render_mode=None):
    return gymnasium.make_vec("CartPole-v1", num_envs=count, vectorization_mode="sync", vector_kwargs={}, render_mode=render_mode)

def blind(count):
    return gymnasium.make_vec("CartPole-v1", num_envs=count)
"""


@pytest.fixture(scope="module")
def agent():
    return first_agent(ActorCritic, PPO(), Environments("CartPole-v1", 1, seeds=[0]), 0)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webm"])
def test_a_film_has_every_moment_at_the_environments_own_size(suffix, agent, tmp_path):
    video = tmp_path / "deep" / f"film{suffix}"
    seen = watch(agent, "CartPole-v1", video=video, strip=tmp_path / "strip.png")
    film = images.imread(video)
    # A GIF joins pictures that are the same.
    assert film.shape == (seen.steps + 1, 400, 600, 3) or (suffix == ".gif" and seen.steps >= len(film) > seen.steps / 2)
    assert [path.name for path in video.parent.iterdir()] == [video.name]
    shown = list(moments(agent, "CartPole-v1"))
    assert len(shown) == seen.steps + 1 and shown[-1].total == seen.total
    assert np.abs(film[-1].astype(int) - shown[-1].picture).mean() < 8


@pytest.mark.parametrize("length", [1, 5, 8, 63, 64, 65, 1000])
def test_a_strip_is_spread_evenly_whatever_the_episodes_length(length):
    album = Album(np.full((300, 2, 3), 0, np.uint8))
    for moment in range(1, length):
        album.add(np.full((300, 2, 3), 250 * moment // (length - 1), np.uint8))
    strip = album.strip()
    shown = strip[0, ::6, 0].astype(int)
    assert len(shown) == min(8, length)
    assert shown[0] == 0 and shown[-1] == (250 if length > 1 else 0)
    assert length < 8 or np.abs(np.diff(shown) - 250 / 7).max() < 5


def test_a_long_film_is_not_held_in_memory(agent, tmp_path, monkeypatch):
    def long(*_, **__):
        for step in range(400):
            yield Moment(picture=np.full((240, 320, 3), step % 255, np.uint8), total=0.0, rate=30)

    monkeypatch.setattr(watching, "moments", long)
    tracemalloc.start()
    watch(agent, "CartPole-v1", video=tmp_path / "film.mp4", strip=tmp_path / "strip.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 240 * 320 * 3


def test_an_environment_of_ones_own_file_is_watched(agent, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    env = f"{tmp_path}/own.py:poles"
    single = make_single(env, render_mode="rgb_array")
    observation, _ = single.reset(seed=3)
    assert single.observation_space.contains(observation) and single.render().shape == (400, 600, 3)
    assert watch(agent, env, video=tmp_path / "film.mp4", strip=tmp_path / "strip.png").steps > 5
    with pytest.raises(UserError, match="let the function take render_mode"):
        watch(agent, f"{tmp_path}/own.py:blind", video=tmp_path / "film.mp4", strip=tmp_path / "strip.png")


def test_a_film_that_fails_half_way_leaves_the_one_that_was_there(agent, tmp_path, monkeypatch):
    def breaks(*_, **__):
        yield Moment(picture=np.zeros((40, 40, 3), np.uint8), total=0.0, rate=30)
        raise UserError("the environment broke down")

    (tmp_path / "film.mp4").write_bytes(b"as it was")
    monkeypatch.setattr(watching, "moments", breaks)
    with pytest.raises(UserError, match="broke down"):
        watch(agent, "CartPole-v1", video=tmp_path / "film.mp4", strip=tmp_path / "strip.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"as it was"]


@pytest.mark.parametrize(
    ("video", "words"), [("film.avi", "is no video"), ("film", "is no video"), ("file/film.mp4", "could not write the video")]
)
def test_where_no_film_can_be_is_said_in_a_sentence(video, words, agent, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=words):
        watch(agent, "CartPole-v1", video=tmp_path / video, strip=tmp_path / "strip.png")
