"""A trained agent to look at: an episode as a film, and as a strip of pictures."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v2 as films
import imageio.v3 as images
import numpy as np
from gymnasium.error import DependencyNotInstalled
from jaxtyping import UInt8

from rlhub.agents.agent import Agent
from rlhub.agents.games import Game
from rlhub.agents.single import make_single
from rlhub.core.errors import UserError
from rlhub.core.files import check_room, writing
from rlhub.core.seeding import derive, generator

PICTURES, STRIP_HEIGHT = 8, 240
CODECS = {".mp4": "libx264", ".webm": "libvpx-vp9"}
USUAL_RATE = 30
LEFT_OVER = 1 << 16
"""Bytes that are left on a disk which held all that was written."""

# Pictures are drawn and no window opened; without this, SDL complains of the desktop that it doesn't find.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What an environment looks like before or after an action.

    Attributes:
        picture: of it.
        total: the episode's return so far; the mean of a game's players'.
        rate: moments a second.
    """

    picture: UInt8[np.ndarray, "height width 3"]
    total: float
    rate: int


def moments(agent: Agent, env: str, *, seed: int = 0, draw: bool = False, longest: int = 10_000) -> Iterator[Moment]:
    """One episode: how it begins, and every step.

    Args:
        agent: the agent.
        env: an environment or game that can be drawn (`render_mode="rgb_array"`).
        seed: of the environment and of drawn actions.
        draw: draw actions from the policy as in training, instead of taking its best ones.
        longest: steps after which the episode is left in any case.

    Raises:
        UserError: the environment can't be drawn.
    """
    environment = make_single(env, render_mode="rgb_array")
    agent.check_fits(environment.observation_space, environment.action_space, env)
    noise = generator(seed, "watching") if draw else None
    rate = int(environment.metadata.get("render_fps", USUAL_RATE))
    begins = derive(seed, "watching") % 2**31
    agent.begin()
    observation = environment.reset(begins) if isinstance(environment, Game) else environment.reset(seed=begins)[0]
    total, over = 0.0, False
    try:
        yield Moment(picture=picture(environment, env), total=total, rate=rate)
        for _ in range(longest):
            if isinstance(environment, Game):
                observation, rewards, _, _ = environment.step(agent.act_each(observation, environment.players, generator=noise))
                total, over = total + float(rewards.mean()), not environment.playing.any()
            else:
                observation, reward, terminated, truncated, _ = environment.step(agent.act(observation, generator=noise))
                total, over = total + float(reward), bool(terminated or truncated)
            yield Moment(picture=picture(environment, env), total=total, rate=rate)
            if over:
                return
    finally:
        environment.close()


def picture(environment: Any, env: str) -> UInt8[np.ndarray, "height width 3"]:
    """What an environment looks like now, as bytes.

    Raises:
        UserError: it can't be drawn.
    """
    try:
        drawn = environment.render()
    except DependencyNotInstalled as error:
        raise UserError(f"{env} can't be drawn: {error}; pip install 'rlhub[agents]' brings what the usual environments need") from error
    if not isinstance(drawn, np.ndarray) or drawn.ndim != 3:
        raise UserError(f"{env} can't be drawn: its render() gave {type(drawn).__name__} and no picture")
    return drawn if drawn.dtype == np.uint8 else (255 * drawn).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One episode that was filmed.

    Attributes:
        total: its return; the mean of a game's players'.
        steps: how many.
    """

    total: float
    steps: int


def watch(agent: Agent, env: str, *, video: Path, strip: Path, seed: int = 0, draw: bool = False) -> Watched:
    """Film one episode, picture by picture as it is played.

    Args:
        agent: the agent.
        env: see `moments`.
        video: where the film goes, in the format of its suffix (.mp4, .gif, .webm); replaced once it is whole.
        strip: where pictures spread evenly over the episode go, side by side, as a PNG.
        seed: see `moments`.
        draw: see `moments`.

    Raises:
        UserError: the suffix names no format, the environment can't be drawn, or the disk is full.
    """
    check_suffix(video)
    episode = moments(agent, env, seed=seed, draw=draw)
    moment = next(episode)
    album, steps = Album(moment.picture), 0
    with writing("the video", video.parent), camera(video, moment.rate) as shoot:
        shoot(moment.picture)
        for moment in episode:
            steps += 1
            shoot(moment.picture)
            album.add(moment.picture)
    with writing("the strip of pictures", strip.parent):
        strip.parent.mkdir(parents=True, exist_ok=True)
        images.imwrite(strip, album.strip())
    return Watched(total=moment.total, steps=steps)


def check_suffix(video: Path) -> None:
    """Refuse a file whose suffix names no format of films.

    Raises:
        UserError: it doesn't.
    """
    if video.suffix not in (*CODECS, ".gif"):
        raise UserError(f"{video.name} is no video: end it with .mp4, .gif or .webm")


@contextmanager
def camera(path: Path, rate: int) -> Iterator[Callable[[UInt8[np.ndarray, "height width 3"]], None]]:
    """What is called with each picture of a film; the file is there once the block is through.

    Videos are encoded as they go; a GIF's pictures are joined at its end, and lie in memory until then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.partial{path.suffix}")
    joined = io.BytesIO()
    writer: Any
    if path.suffix == ".gif":
        writer = films.get_writer(joined, format="GIF", loop=0, duration=1000 / rate)
    else:
        writer = films.get_writer(beside, fps=rate, codec=CODECS[path.suffix], macro_block_size=2, ffmpeg_log_level="quiet")
    try:
        # The writer's own `with` leaves its process running where the block fails.
        with closing(writer):
            yield lambda frame: writer.append_data(even(magnified(frame)))
        if path.suffix == ".gif":
            beside.write_bytes(joined.getbuffer())
        # The encoder is another process, which writes half a film on a full disk and doesn't tell.
        check_room(path.parent, LEFT_OVER, "the video")
        beside.replace(path)
    except OSError:
        check_room(path.parent, LEFT_OVER, "the video")
        raise
    finally:
        beside.unlink(missing_ok=True)


class Album:
    """Pictures of an episode whose length isn't known, spread evenly over what there was so far."""

    def __init__(self, first: UInt8[np.ndarray, "height width 3"]) -> None:
        """Begin with the first picture."""
        self._kept, self._last = [first], first
        self._count, self._every = 1, 1

    def add(self, picture: UInt8[np.ndarray, "height width 3"]) -> None:
        """One more; every other one of those kept is let go when they are many."""
        if self._count % self._every == 0:
            self._kept.append(picture)
        self._last, self._count = picture, self._count + 1
        if len(self._kept) > 8 * PICTURES:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def strip(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """As many as a strip has, side by side: the first, the last, and those between."""
        last = self._count - 1
        wanted = np.linspace(0, last, min(PICTURES, self._count))
        nearest = [min(round(moment / self._every), len(self._kept) - 1) for moment in wanted[:-1]]
        shown = [magnified(frame) for frame in [*(self._kept[place] for place in nearest), self._last]]
        gap = np.full((shown[0].shape[0], 4, 3), 255, dtype=np.uint8)
        return np.concatenate([part for frame in shown for part in (frame, gap)][:-1], axis=1)


def magnified(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Tiny pictures (a game of ten by ten cells) enlarged to where one sees them."""
    times = max(1, STRIP_HEIGHT // frame.shape[0])
    return frame.repeat(times, 0).repeat(times, 1) if frame.shape[0] < STRIP_HEIGHT / 2 else frame


def even(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Even numbers of rows and columns, as video formats ask for."""
    return frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
