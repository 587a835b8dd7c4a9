"""The agents that a run has trained."""

from dataclasses import dataclass
from pathlib import Path

from rlhub.agents.agent import Agent, load_agent
from rlhub.core.checkpoint import find_checkpoint
from rlhub.core.errors import UserError
from rlhub.core.files import read_json


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Agents out of one checkpoint.

    Attributes:
        name: the run's.
        folder: the run's.
        step: of the checkpoint.
        env: what they were trained in.
        agents: by seed.
    """

    name: str
    folder: Path
    step: int
    env: str
    agents: dict[int, Agent]


def trained_agents(spec: str, runs: str | Path | None = None) -> Trained:
    """The agents of a run's newest good checkpoint, or of ``RUN@STEP``.

    Raises:
        UserError: there is no such run or checkpoint, or it holds no agents.
    """
    checkpoint = find_checkpoint(spec, runs)
    if checkpoint is None:
        raise UserError(f"there is no run {spec!r}: `rlhub runs` lists them")
    config = read_json(checkpoint.parent.parent / "config.json")
    first, count, env = config["seed"], config.get("seeds", 1), config["fields"].get("env")
    if env is None:
        raise UserError(f"{spec} is a run of {config['system'].rpartition(':')[2]}, which trains no agent in an environment")
    folders = {first + place: checkpoint / f"seed{first + place}" if count > 1 else checkpoint for place in range(count)}
    agents = {seed: load_agent(folder) for seed, folder in folders.items()}
    folder = checkpoint.parent.parent
    return Trained(name=folder.name, folder=folder, step=int(checkpoint.name), env=env, agents=agents)
