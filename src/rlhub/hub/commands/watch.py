"""``rlhub watch RUN``: a trained agent's episode as a video and as a strip of pictures."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rlhub.core.errors import UserError
from rlhub.core.progress import progress, use_plain_lines
from rlhub.hub.options import parse


@dataclass(frozen=True, kw_only=True)
class Watch:
    """See a trained agent: one episode as a video, and as a strip of pictures.

    Attributes:
        run: the run's name or folder, or RUN@STEP for one of its checkpoints.
        video: where the video goes (.mp4, .gif or .webm); by default episode.mp4 in the run's folder.
        strip: where the strip of pictures goes (.png); by default beside the video.
        seed: of the environment and of drawn actions.
        agent: which agent of a run of several seeds; by default its first.
        draw: draw actions from the policy as in training, instead of taking its best ones.
        env: another environment than the one it was trained in.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print the result as JSON.
        plain: print progress as lines instead of live bars.
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    video: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    strip: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    seed: int = 0
    agent: Annotated[int | None, tyro.conf.arg(metavar="SEED")] = None
    draw: bool = False
    env: str | None = None
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False
    plain: bool = False


def run(arguments: list[str]) -> int:
    """Play, write the video and the strip, and say where they are."""
    options = parse(Watch, arguments, prog="rlhub watch")
    use_plain_lines(options.plain)
    with progress("loading libraries"):
        from rlhub.agents.trained import trained_agents
        from rlhub.agents.watching import watch
    subject = trained_agents(options.run, options.runs)
    seed = next(iter(subject.agents)) if options.agent is None else options.agent
    if seed not in subject.agents:
        raise UserError(f"{subject.name} has no agent of seed {seed}; it has: {', '.join(map(str, subject.agents))}")
    video = Path(options.video) if options.video else subject.folder / "episode.mp4"
    strip = Path(options.strip) if options.strip else video.with_suffix(".png")
    with progress(f"filming an episode of {options.env or subject.env}"):
        agent = subject.agents[seed]
        played = watch(agent, options.env or subject.env, video=video, strip=strip, seed=options.seed, draw=options.draw)
    told = {"run": subject.name, "return": played.total, "steps": played.steps, "video": str(video), "strip": str(strip)}
    text = f"{subject.name}: return {played.total:.4g} in {played.steps} steps\nvideo: {video}\nstrip of pictures: {strip}"
    sys.stdout.write((json.dumps(told) if options.json else text) + "\n")
    return 0
