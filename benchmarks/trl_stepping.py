"""TRL's own training loop, a step at a time, in float32 and with nothing but training in it."""

import tempfile
import threading
from collections.abc import Callable
from typing import Any

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
    """Start the trainer's loop, halted before its first step; each call of what is returned lets it make one step."""
    asked, done = threading.Semaphore(0), threading.Semaphore(0)
    failure: list[BaseException] = []

    class Halt(TrainerCallback):
        """Waits at every step's start to be asked."""

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            """Wait."""
            asked.acquire()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Tell."""
            done.release()

    def loop() -> None:
        try:
            trainer.train()
        except BaseException as error:  # handed to the thread that waits
            failure.append(error)
            done.release()

    trainer.add_callback(Halt())
    threading.Thread(target=loop, daemon=True).start()

    def step() -> dict:
        asked.release()
        done.acquire()
        if failure:
            raise failure[0]
        return {}

    return step
