"""How well a trained agent does, in the environment as Gymnasium makes it."""

from dataclasses import dataclass

import numpy as np
import torch

from rlhub.agents.agent import Agent
from rlhub.agents.backends import longest_episode
from rlhub.agents.environments import Environments
from rlhub.core.errors import UserError
from rlhub.core.named import with_option
from rlhub.core.progress import progress
from rlhub.core.seeding import derive, generator

LONGEST = 27_000
"""Steps within which an episode should end, where its environment sets no limit: half an hour of Atari."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Whole episodes of an agent.

    Attributes:
        returns: undiscounted sums of rewards, one an episode.
        lengths: steps, one an episode.
    """

    returns: list[float]
    lengths: list[int]


def evaluate(agent: Agent, env: str, *, episodes: int = 100, seed: int = 0, draw: bool = False) -> Evaluation:
    """Play whole episodes.

    Every copy of the environment plays the same number of episodes to their end: counting whichever end first would favour short ones.
    The environment is Gymnasium's own also where the agent trained in EnvPool's.

    Args:
        agent: the agent.
        env: as `make_backend` takes it.
        episodes: at least how many; a few more where they don't divide evenly.
        seed: of the environments and of drawn actions.
        draw: draw actions from the policy as in training, instead of taking its best ones.
    """
    environments = Environments(env, min(16, episodes), seeds=[derive(seed, "evaluation")], restart_every=2**62, pool=False)
    agent.check_fits(environments.observation_space, environments.action_space, env)
    copies = environments.copies
    each = -(-episodes // copies)
    noise = generator(seed, "evaluation") if draw else None
    counts = np.zeros(copies, dtype=np.int64)
    returns: list[float] = []
    lengths: list[int] = []
    limit = longest_episode(env) or LONGEST
    agent.begin()
    with progress(f"episodes of {env}", copies * each) as task:
        while counts.min() < each:
            with torch.inference_mode():
                actions = agent.actions(torch.from_numpy(environments.observations).to(agent.device), generator=noise)
            after = environments.step(agent.to_environment(actions.cpu().numpy()))
            agent.begin(torch.from_numpy(after.begun).to(agent.device))
            ended = environments.take_episodes()
            for place, total, length in zip(ended.places, ended.returns, ended.lengths, strict=True):
                if counts[place] < each:
                    returns.append(total)
                    lengths.append(length)
                counts[place] += 1
            if ended.places:
                task.update(int(counts.clip(max=each).sum()))
            if environments.longest_running > limit:
                raise UserError(
                    f"an episode of {env} hasn't ended after {limit:,} steps, so the agent may go on for ever: give it a limit, as in "
                    + with_option(env, "max_episode_steps=1000")
                )
    environments.close()
    return Evaluation(returns=returns, lengths=lengths)
