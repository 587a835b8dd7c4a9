"""A step of imitation: 16 worked sums on SmolLM2, in fp32, against TRL's SFTTrainer with loss on the answers alone.

All 16 prompts begin with the same 35 tokens, the chat template's and the task's words. rlhub computes those once for all prompts of a row;
beside it the same step with every prompt as a whole, so that one sees what that alone is worth. MODEL in the environment chooses another
model than SmolLM2 (`tiny` to see that the script runs).
"""

import os
import sys
from collections.abc import Callable
from statistics import mean
from typing import Any
from unittest import mock

from harness import compare
from trl_stepping import bare_settings, halted

from rlhub.language import rows
from rlhub.language.model import load_model, load_policy, load_tokenizer, model_source
from rlhub.language.rows import Group, shared
from rlhub.language.sft import SFT, answered, imitation
from rlhub.language.task import load_task
from rlhub.studies.signals import TASKS

MODEL = os.environ.get("MODEL", "smollm2")
EXAMPLES, MICRO = 16, int(os.environ.get("TRL_MICRO_BATCH", "8"))
LEARNING_RATE = 1e-6


def examples() -> list[Group]:
    """The first worked sums."""
    # Only its tokenizer is asked.
    policy: Any = mock.Mock(tokenizer=load_tokenizer(MODEL, model_source(MODEL)), end_ids=())
    return [answered(policy, example) for example in load_task(TASKS["chain_sum"]).split("train")[:EXAMPLES]]


def ours(least: int = rows.BEGINNING) -> Callable[[], Callable[[], dict]]:
    """rlhub's step as `SFT.train` runs it, where prompts of a row share their beginning from so many tokens on."""

    def prepare() -> Callable[[], dict]:
        system = SFT(learning_rate=LEARNING_RATE, steps=1000)
        policy = load_policy(MODEL, learning_rate=LEARNING_RATE, precision="fp32")
        groups = examples()
        tokens = float(sum(len(group.completions[0]) for group in groups))

        def run() -> dict:
            with mock.patch.object(rows, "BEGINNING", least):
                return system.change(policy, groups, imitation, step=1, normaliser=tokens)

        return run

    return prepare


def trl() -> Callable[[], dict]:
    """TRL's trainer, halted at the start of every step until it is asked for the next."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    model, tokenizer = load_model(MODEL)
    given = [
        {"input_ids": group.prompt + group.completions[0], "labels": [-100] * len(group.prompt) + group.completions[0]}
        for group in examples()
    ]
    collator = DataCollatorForLanguageModeling(pad_token_id=0)
    turns = iter(range(10**6))

    def next_rows(asked: list[Any]) -> Any:
        start = next(turns) * len(asked) % EXAMPLES
        return collator(given[start : start + len(asked)])

    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**bare_settings(batch=EXAMPLES, micro=MICRO, learning_rate=LEARNING_RATE), max_length=None),
        train_dataset=Dataset.from_list([{"prompt": "a", "completion": " b"}] * EXAMPLES),
        processing_class=tokenizer,
        data_collator=next_rows,
    )
    return halted(trainer)


if __name__ == "__main__":
    groups = examples()
    compare(
        "language_sft",
        {"rlhub": ours(), "rlhub, prompts whole": ours(sys.maxsize), "trl": trl},
        peer="trl",
        target=1.5,
        repeats=5,
        work=(sum(len(group.prompt) + len(group.completions[0]) for group in groups), "tokens"),
        facts={
            "model": MODEL,
            "examples": EXAMPLES,
            "mean prompt tokens": mean(len(group.prompt) for group in groups),
            "shared beginning": shared([group.prompt for group in groups]),
            "mean answer tokens": mean(len(group.completions[0]) for group in groups),
            "trl micro batch": MICRO,
        },
    )
