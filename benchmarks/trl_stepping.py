"""TRL's own training loop, a step at a time, in float32 and with nothing but training in it."""

import tempfile
from collections.abc import Callable
from typing import Any

import greenlet
import torch
from transformers import TrainerCallback

STEPS = 1000
"""More than any benchmark takes."""


def bare_settings(*, batch: int, micro: int, learning_rate: float) -> dict[str, Any]:
    """What every TRL trainer is told: float32, a constant learning rate, and no logs, checkpoints or bars beside the training."""
    return {
        "output_dir": tempfile.mkdtemp(),
        "use_cpu": not torch.cuda.is_available(),
        "bf16": False,
        "fp16": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": batch // micro,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "constant",
        "max_steps": STEPS,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def halted(trainer: Any) -> Callable[[], dict]:
    """Start the trainer's loop, halted before its first step; each call of what is returned lets it make one step.

    The loop runs in a greenlet of the caller's own thread: a second thread would bring a second pool of OpenMP workers, and with more
    workers than cores OpenMP puts them all to sleep between products, which slows down both sides by up to a half.
    """
    caller = greenlet.getcurrent()

    class Halt(TrainerCallback):
        """Goes back to the caller before every step."""

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            """Wait to be asked for this step."""
            caller.switch()

    trainer.add_callback(Halt())
    loop = greenlet.greenlet(trainer.train)
    loop.switch()

    def step() -> dict:
        if loop.dead:
            raise RuntimeError(f"TRL's loop ended before its {STEPS} steps")
        loop.switch()
        return {}

    return step
