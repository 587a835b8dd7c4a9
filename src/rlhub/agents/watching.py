"""A trained agent to look at: an episode as a film, or as a strip of pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as images
import numpy as np
from jaxtyping import UInt8

from rlhub.agents.agent import Agent
from rlhub.agents.backends import make_one
from rlhub.agents.games import Game
from rlhub.core.errors import UserError
from rlhub.core.files import writing
from rlhub.core.seeding import derive, generator

PICTURES, STRIP_HEIGHT = 8, 240


@dataclass(frozen=True, kw_only=True)
class Film:
    """One episode.

    Attributes:
        frames: pictures, the first before the first action.
        rate: pictures a second.
        total: the episode's return; the mean of a game's players'.
    """

    frames: list[UInt8[np.ndarray, "height width 3"]]
    rate: int
    total: float


def film(agent: Agent, env: str, *, seed: int = 0, draw: bool = False, longest: int = 10_000) -> Film:
    """Play one episode and keep what it looks like.

    Args:
        agent: the agent.
        env: an environment or game that can be drawn (`render_mode="rgb_array"`).
        seed: of the environment and of drawn actions.
        draw: draw actions from the policy as in training, instead of taking its best ones.
        longest: steps after which the film ends in any case.

    Raises:
        UserError: the environment can't be drawn.
    """
    environment = make_one(env, render_mode="rgb_array")
    agent.check_fits(environment.observation_space, environment.action_space, env)
    noise = generator(seed, "watching") if draw else None
    agent.begin()
    begins = derive(seed, "watching") % 2**31
    observation = environment.reset(begins) if isinstance(environment, Game) else environment.reset(seed=begins)[0]
    frames, total = [picture(environment, env)], 0.0
    for _ in range(longest):
        if isinstance(environment, Game):
            observation, rewards, _, _ = environment.step(agent.act_each(observation, environment.players, generator=noise))
            total, over = total + float(rewards.mean()), not environment.playing.any()
        else:
            observation, reward, terminated, truncated, _ = environment.step(agent.act(observation, generator=noise))
            total, over = total + float(reward), terminated or truncated
        frames.append(picture(environment, env))
        if over:
            break
    environment.close()
    return Film(frames=frames, rate=int(environment.metadata.get("render_fps", 30)), total=total)


def picture(environment: Any, env: str) -> UInt8[np.ndarray, "height width 3"]:
    """What an environment looks like now, as bytes.

    Raises:
        UserError: it can't be drawn.
    """
    drawn = environment.render()
    if not isinstance(drawn, np.ndarray) or drawn.ndim != 3:
        raise UserError(f"{env} can't be drawn: its render() gave {type(drawn).__name__} and no picture")
    return drawn if drawn.dtype == np.uint8 else (255 * drawn).clip(0, 255).astype(np.uint8)


def write_film(film: Film, path: Path) -> None:
    """Write a film as a video; its format is the one that the path's suffix names (.mp4, .gif, .webm).

    Raises:
        UserError: the suffix names none, or the disk is full.
    """
    if path.suffix not in (".mp4", ".gif", ".webm"):
        raise UserError(f"{path.name} is no video: end it with .mp4, .gif or .webm")
    frames = np.stack([even(magnified(frame)) for frame in film.frames])
    with writing("the video", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        images.imwrite(path, frames, **({"loop": 0, "duration": 1000 / film.rate} if path.suffix == ".gif" else {"fps": film.rate}))


def write_strip(film: Film, path: Path) -> None:
    """Write pictures spread evenly over an episode, side by side, as a PNG."""
    places = np.linspace(0, len(film.frames) - 1, min(PICTURES, len(film.frames))).round().astype(int)
    shown = [magnified(film.frames[place]) for place in places]
    gap = np.full((shown[0].shape[0], 4, 3), 255, dtype=np.uint8)
    row = [part for frame in shown for part in (frame, gap)][:-1]
    with writing("the strip of pictures", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        images.imwrite(path, np.concatenate(row, axis=1))


def magnified(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Tiny pictures (a game of ten by ten cells) enlarged to where one sees them."""
    times = max(1, STRIP_HEIGHT // frame.shape[0])
    return frame.repeat(times, 0).repeat(times, 1) if frame.shape[0] < STRIP_HEIGHT / 2 else frame


def even(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Even numbers of rows and columns, as video formats ask for."""
    return frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
