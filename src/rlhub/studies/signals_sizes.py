"""How much the study of all signals trains and measures, by its size."""

import dataclasses
from typing import Any

from rlhub.studies.arms import Size

ASKED = {"tiny": 40, "small": 200, "full": 200}
"""Training and test questions that are asked of every checkpoint."""
SEARCHED = {"tiny": 8, "small": 30, "full": 100}
"""Test questions that are searched for answers."""
TASK = {"tiny": "one_digit_sum", "small": "chain_sum", "full": "chain_sum"}
"""What is learnt, if nothing else is asked for."""

ROOM = {"chain_sum": 40, "spell_backward": 48, "number_sorting": 160}
"""Tokens of the longest answer: a third more than the longest worked one, as what hasn't learnt to end takes all of it."""
RL_RATE = 2e-5
"""Step size of what samples from SmolLM2; half of it teaches less in as few steps."""
LONGER = ({"steps": 48, "learning_rate": 1e-4}, {"steps": 96, "learning_rate": 1e-4})
"""SmolLM2's warm-ups where the few steps that are enough for chain_sum aren't."""


def with_room(size: Size, new_tokens: int) -> Size:
    """A size in which all that answers has room for so many tokens."""
    arms = {
        arm: {**fields, "max_new_tokens": new_tokens} if "max_new_tokens" in fields and arm != "constitutional" else fields
        for arm, fields in size.arms.items()
    }
    return dataclasses.replace(size, arms=arms, new_tokens=new_tokens)


def sampling(*, steps: int, prompts: int, group: int, learning_rate: float, new_tokens: int) -> dict[str, dict[str, Any]]:
    """The fields of the arms that sample: as many answers in each step."""
    drawn = {"steps": steps, "max_new_tokens": new_tokens, "learning_rate": learning_rate, "warmup": 2}
    grouped = drawn | {"prompts": prompts, "group": group}
    # PPO's value model stands in for the group, but it gets the same answers to the same prompts, and as many updates as the others.
    valued = grouped | {"epochs": 1, "minibatches": 1, "value_learning_rate": 10 * learning_rate}
    # What only pleases a judge of steps leaves out the tags, and then nothing is right; so right answers count beside.
    judged = grouped | {"credit": "min", "outcome": 1.0}
    return {"ppo": valued, "rloo": grouped, "grpo": grouped, "process": judged}


def few_steps(*, steps: int = 12, prompts: int = 8) -> dict[str, dict[str, Any]]:
    """The arms that see the task, where a CPU trains SmolLM2: 64 answers a step, and so few steps that hours are enough for all.

    Args:
        steps: of what samples.
        prompts: in each of them, with 8 answers each.
    """
    new_tokens = 48  # `with_room` gives a task what its answers need
    grouped = {"prompts": prompts, "group": 8, "max_new_tokens": new_tokens}
    return {
        # In so few steps most weights move by less than bfloat16 shows; whatever begins from the base goes on in its precision.
        "warm-up": {"steps": 4, "batch": 16, "learning_rate": 3e-5, "precision": "fp32"},
        "process-reward": {
            "steps": 5 * steps,
            "solutions": 16 * steps,
            "rollouts": 4,
            "max_new_tokens": new_tokens,
            "learning_rate": 3e-5,
        },
        "sft": {"steps": steps, "batch": 16, "learning_rate": 1e-5},
        "dpo": {"steps": steps // 2, "batch": 16, "learning_rate": 5e-6},
        **sampling(steps=steps, prompts=prompts, group=8, learning_rate=RL_RATE, new_tokens=new_tokens),
        "r1": {
            "cold_steps": steps // 4,
            "rl_steps": steps // 2,
            "collect_steps": 3,
            "sft_steps": steps // 2,
            "learning_rate": 1e-5,
            "rl_learning_rate": RL_RATE,
            **grouped,
        },
    }


SIZES: dict[str, Size] = {
    "tiny": Size(
        model="tiny",
        seeds=1,
        arms={
            "warm-up": {"steps": 140, "batch": 32, "learning_rate": 3e-3},
            "process-reward": {"steps": 4, "solutions": 16, "rollouts": 2, "max_new_tokens": 56, "learning_rate": 3e-4},
            "sft": {"steps": 4, "batch": 16, "learning_rate": 3e-4},
            "dpo": {"steps": 4, "batch": 8, "learning_rate": 3e-4},
            **sampling(steps=4, prompts=4, group=4, learning_rate=3e-4, new_tokens=56),
            "r1": {"cold_steps": 2, "rl_steps": 2, "collect_steps": 4, "sft_steps": 2, "prompts": 8, "group": 8, "max_new_tokens": 56},
            "constitutional": {"batches": 1, "revisions": 1, "sft_steps": 2, "reward_steps": 2, "rl_steps": 1, "max_new_tokens": 12},
        },
        keep={"grpo": (2,), "sft": (2,)},
        new_tokens=56,
        untouched=30,
        pairs=12,
        patched=4,
        corruptions=("replacement",),
        restored=("mlp",),
        draws=1,
    ),
    "small": Size(
        model="smollm2",
        seeds=1,
        arms={
            **few_steps(),
            "constitutional": {"batches": 2, "revisions": 1, "sft_steps": 8, "reward_steps": 8, "rl_steps": 4, "max_new_tokens": 48},
        },
        keep={},
        new_tokens=48,
        untouched=120,
        pairs=16,
        patched=2,
        corruptions=("replacement",),
        restored=("mlp",),
        draws=1,
        longer=LONGER,
    ),
    "full": Size(
        model="smollm2",
        seeds=3,
        arms={
            "warm-up": {"steps": 4, "batch": 16, "learning_rate": 3e-5},
            "process-reward": {"steps": 60, "solutions": 192, "rollouts": 8, "max_new_tokens": 64, "learning_rate": 3e-5},
            "sft": {"steps": 40, "batch": 16, "learning_rate": 1e-5},
            "dpo": {"steps": 24, "batch": 16, "learning_rate": 5e-6},
            **sampling(steps=30, prompts=8, group=8, learning_rate=RL_RATE, new_tokens=64),
            "r1": {
                "cold_steps": 10,
                "rl_steps": 15,
                "collect_steps": 6,
                "sft_steps": 20,
                "prompts": 8,
                "group": 8,
                "learning_rate": 1e-5,
                "rl_learning_rate": RL_RATE,
                "max_new_tokens": 64,
            },
            "constitutional": {"batches": 6, "revisions": 2, "sft_steps": 24, "reward_steps": 24, "rl_steps": 12, "max_new_tokens": 64},
        },
        keep={"sft": (10, 20), "dpo": (8, 16), "ppo": (10, 20), "rloo": (10, 20), "grpo": (10, 20), "process": (10, 20), "random": (15,)},
        new_tokens=64,
        untouched=120,
        pairs=32,
        patched=4,
        corruptions=("replacement",),
        restored=("mlp",),
        draws=1,
        longer=LONGER,
    ),
}
