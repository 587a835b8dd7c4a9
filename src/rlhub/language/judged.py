"""What a roll-out's completions are worth."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rlhub.language.advantages import tied
from rlhub.language.rollout import Rollout
from rlhub.language.task import Task, columns_of


def rewards_of(task: Task, rollout: Rollout, *, step: int, seed: int) -> tuple[Float[Tensor, "prompts group"], dict[str, float]]:
    """The task's reward of each completion, NaN where none applies, and the means of what it measures beside."""
    group = rollout.ids.shape[1]
    prompts = [example.prompt for example in rollout.examples for _ in range(group)]
    completions = [text for texts in rollout.texts for text in texts]
    tokens = [ids[mask].tolist() for ids, mask in zip(rollout.ids.flatten(0, 1), rollout.mask.flatten(0, 1), strict=True)]
    told = {"completion_ids": tokens, "ended": rollout.ended.flatten().tolist(), "step": step, "seed": seed}
    columns = {**columns_of(rollout.examples, repeat=group), **told}
    rewards = torch.tensor([math.nan if reward is None else reward for reward in task.score(prompts, completions, **columns)])
    measured = {
        name: [value for value in values if value is not None] for name, values in task.measure(prompts, completions, **columns).items()
    }
    return rewards.unflatten(0, (-1, group)), {name: sum(values) / len(values) for name, values in measured.items() if values}


def describe(rollout: Rollout, rewards: Float[Tensor, "prompts group"]) -> dict[str, Float[Tensor, ""]]:
    """What the log says of a roll-out."""
    scored = rewards[rewards.isfinite()]
    return {
        "reward": scored.mean(),
        "reward_std": scored.std(correction=0),
        "tied_groups": tied(rewards).float().mean(),
        "length": rollout.lengths.float().mean(),
        "truncated": (~rollout.ended).float().mean(),
    }
