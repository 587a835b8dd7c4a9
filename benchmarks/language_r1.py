"""Generation in R1's stages beside the GRPO benchmark's, on the same prompts: 8 prompts x 8 answers x 64 new tokens on SmolLM2.

The stages `reason` and `collect` sample as `R1.train` sets them up, with the rewards of R1's rules; the peer samples and rewards as
language_grpo.py does. On all sides no answer ends before its 64th token. MODEL in the environment chooses another model (`tiny` to see that
the script runs).
"""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from harness import compare
from language_grpo import GROUP, PROMPTS, TOKENS, prompt_texts, reward

from rlhub.language.model import Policy, load_policy
from rlhub.language.r1 import R1
from rlhub.language.rollout import complete
from rlhub.language.task import Example, Task, with_rewards

MODEL = os.environ.get("MODEL", "smollm2")
RUN = SimpleNamespace(seed=0, generator=lambda purpose, step: torch.Generator().manual_seed(step))


def loaded() -> Policy:
    """The model, which never ends a text."""
    policy = load_policy(MODEL, learning_rate=0.0)
    policy.end_ids = ()
    return policy


def grpo(length: int) -> Callable[[], Callable[[], dict]]:
    """The GRPO benchmark's roll-out and rewards."""

    def prepare() -> Callable[[], dict]:
        policy = loaded()
        prompts = [list(policy.tokenizer(text)["input_ids"]) for text in prompt_texts(length)]

        def run() -> dict:
            rollout = complete(policy, prompts, group=GROUP, max_new_tokens=TOKENS, generator=torch.Generator().manual_seed(1))
            reward([], [text for texts in rollout.texts for text in texts])
            return {"tokens": int(rollout.mask.sum())}

        return run

    return prepare


def r1(length: int, stage: str) -> Callable[[], Callable[[], dict]]:
    """A stage's answers and rewards."""

    def prepare() -> Callable[[], dict]:
        policy = loaded()
        recipe = R1(model=MODEL, prompts=PROMPTS, group=GROUP, max_new_tokens=TOKENS)
        system: Any = recipe.system(SimpleNamespace(folder=lambda name: name), stage)
        examples = [Example(text, None) for text in prompt_texts(length)]
        task = with_rewards(Task(name="words", splits={"train": examples}, rewards=[(reward, 1.0)]), recipe.rewarded.split("+"))

        def run() -> dict:
            rollout, *_ = system.collect(RUN, 1, task, policy) if stage == "reason" else system.sample(policy, task, RUN, 1)
            return {"tokens": int(rollout.mask.sum())}

        return run

    return prepare


if __name__ == "__main__":
    for length in (8, 150):
        compare(
            f"language_r1_prompt{length}",
            {"r1 reason": r1(length, "reason"), "r1 collect": r1(length, "collect"), "grpo": grpo(length)},
            peer="grpo",
            target=1.0,
            repeats=5,
            work=(PROMPTS * GROUP * TOKENS, "completion tokens"),
            memory=False,
            facts={
                "model": MODEL,
                "prompts": PROMPTS,
                "completions per prompt": GROUP,
                "new tokens": TOKENS,
                "prompt tokens": length,
            },
        )
