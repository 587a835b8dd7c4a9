"""A DPO step, reference log-probs included: 8 pairs of 256-token sequences (128 of prompt) on SmolLM2, against TRL's DPOTrainer in fp32."""

import os
from collections.abc import Callable

import torch
from harness import compare
from trl_stepping import bare_settings, halted

from rlhub.language.dpo import DPO
from rlhub.language.model import load_model, load_policy
from rlhub.language.rows import Group
from rlhub.language.update import load_reference, optimise

PAIRS, PROMPT, RESPONSE = 8, 128, 128
MICRO = int(os.environ.get("TRL_MICRO_BATCH", "8"))
LEARNING_RATE = 1e-6


def pairs() -> list[dict[str, list[int]]]:
    """Random but repeatable token ids."""
    draw = torch.Generator().manual_seed(0)
    sizes = {"prompt_ids": PROMPT, "chosen_ids": RESPONSE, "rejected_ids": RESPONSE}
    return [{name: torch.randint(100, 40_000, (size,), generator=draw).tolist() for name, size in sizes.items()} for _ in range(PAIRS)]


def ours(precision: str) -> Callable[[], Callable[[], dict]]:
    """rlhub's step as `DPO.train` runs it."""

    def prepare() -> Callable[[], dict]:
        system = DPO(learning_rate=LEARNING_RATE)
        policy = load_policy("smollm2", learning_rate=LEARNING_RATE, precision=precision)
        reference = load_reference(policy, "smollm2")
        groups = [Group(prompt=pair["prompt_ids"], completions=[pair["chosen_ids"], pair["rejected_ids"]]) for pair in pairs()]

        def run() -> dict:
            columns = {"reference": system.reference_logprobs(policy, reference, groups)}
            return optimise(policy, groups, system.objective, normaliser=float(PAIRS), columns=columns, learning_rate=LEARNING_RATE)

        return run

    return prepare


def trl() -> Callable[[], dict]:
    """TRL's trainer, halted at the start of every step until it is asked for the next."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    model, tokenizer = load_model("smollm2")
    config = DPOConfig(
        **bare_settings(batch=PAIRS, micro=MICRO, learning_rate=LEARNING_RATE),
        max_length=None,
    )
    text = Dataset.from_list([{"prompt": "a", "chosen": " b", "rejected": " c"}] * PAIRS)
    rows = pairs()
    collator = DataCollatorForPreference(pad_token_id=0)
    trainer = DPOTrainer(
        model=model,
        ref_model=load_model("smollm2")[0],
        args=config,
        train_dataset=text,
        processing_class=tokenizer,
        data_collator=lambda examples: collator(rows[: len(examples)]),
    )
    return halted(trainer)


if __name__ == "__main__":
    compare(
        "language_dpo",
        {"rlhub fp32": ours("fp32"), "trl fp32": trl, "rlhub bf16": ours("bf16")},
        peer="trl fp32",
        target=1.2,
        repeats=3,
        work=(PAIRS * (PROMPT + RESPONSE) * 2, "tokens"),
        facts={"model": "smollm2", "pairs": PAIRS, "prompt tokens": PROMPT, "response tokens": RESPONSE, "trl micro batch": MICRO},
    )
