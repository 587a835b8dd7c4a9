"""A GRPO step, roll-out and update: 8 prompts x 8 completions x 64 new tokens on SmolLM2, against TRL's GRPOTrainer, both in fp32.

Both sides get the same prompts (150 or 8 tokens), the same reward and learning rate, no KL term, and write 64 tokens a completion.
TRL runs its own training loop, halted between steps; its fp32 is set explicitly. bf16 autocast of ours is timed beside.
"""

import os
import random
import re
from collections.abc import Callable
from typing import Any

import torch
from harness import compare
from trl_stepping import STEPS, bare_settings, halted

from rlhub.language.advantages import group_advantages
from rlhub.language.grpo import GRPO
from rlhub.language.model import load_model, load_policy
from rlhub.language.rollout import complete

PROMPTS, GROUP, TOKENS = 8, 8, 64
MICRO = int(os.environ.get("TRL_MICRO_BATCH", "8"))
LEARNING_RATE = 1e-6


def prompt_texts(length: int) -> list[str]:
    """Random but repeatable words, each one token, so that both sides read prompts of exactly this many tokens."""
    tokenizer = load_model("smollm2")[1]
    words = [word for token in range(500, 20_000) if re.fullmatch(" [a-z]{3,}", word := tokenizer.decode([token]))]
    draw = random.Random(0)
    texts: list[str] = []
    while len(texts) < PROMPTS:
        text = "".join(draw.choices(words, k=length))
        if len(tokenizer(text)["input_ids"]) == length:
            texts.append(text)
    return texts


def reward(prompts: list[Any], completions: list[str], **_: Any) -> list[float]:
    """Something that differs between completions."""
    return [completion.count("e") / max(len(completion), 1) for completion in completions]


def ours(length: int, precision: str) -> Callable[[], Callable[[], dict]]:
    """rlhub's roll-out, advantages and update, as `GRPO.train` runs them."""

    def prepare() -> Callable[[], dict]:
        system = GRPO(prompts=PROMPTS, group=GROUP, max_new_tokens=TOKENS, learning_rate=LEARNING_RATE)
        policy = load_policy("smollm2", learning_rate=LEARNING_RATE, precision=precision)
        prompts = [list(policy.tokenizer(text)["input_ids"]) for text in prompt_texts(length)]
        steps = iter(range(1, STEPS))

        def run() -> dict:
            step = next(steps)
            rollout = complete(
                policy,
                prompts,
                group=GROUP,
                max_new_tokens=TOKENS,
                min_new_tokens=TOKENS,
                generator=torch.Generator().manual_seed(step),
            )
            texts = [text for texts in rollout.texts for text in texts]
            rewards = torch.tensor(reward([], texts)).unflatten(0, (PROMPTS, GROUP))
            batch = system.batch(policy, None, rollout, group_advantages(rewards))
            return {**system.update(policy, batch, step), "tokens": int(rollout.mask.sum())}

        return run

    return prepare


def trl(length: int) -> Callable[[], Callable[[], dict]]:
    """TRL's trainer, halted at the start of every step until it is asked for the next."""

    def prepare() -> Callable[[], dict]:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        model, tokenizer = load_model("smollm2")
        config = GRPOConfig(
            **bare_settings(batch=PROMPTS * GROUP, micro=MICRO, learning_rate=LEARNING_RATE),
            num_generations=GROUP,
            max_completion_length=TOKENS,
            generation_kwargs={"min_new_tokens": TOKENS},
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            beta=0.0,
            loss_type="grpo",
            shuffle_dataset=False,
            dataloader_num_workers=0,
        )
        data = Dataset.from_list([{"prompt": text} for text in prompt_texts(length)])
        return halted(GRPOTrainer(model=model, reward_funcs=reward, args=config, train_dataset=data, processing_class=tokenizer))

    return prepare


if __name__ == "__main__":
    for length, target in ((8, 1.5), (150, 2.5)):
        compare(
            f"language_grpo_prompt{length}",
            {"rlhub fp32": ours(length, "fp32"), "trl fp32": trl(length), "rlhub bf16": ours(length, "bf16")},
            peer="trl fp32",
            target=target,
            repeats=3,
            work=(PROMPTS * GROUP * TOKENS, "completion tokens"),
            facts={
                "model": "smollm2",
                "prompts": PROMPTS,
                "completions per prompt": GROUP,
                "new tokens": TOKENS,
                "prompt tokens": length,
                "trl micro batch": MICRO,
            },
        )
