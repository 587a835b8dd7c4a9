"""A language model's training, killed with -9 at random moments and resumed, ends with the very bits of one that was not."""

import json
import random

import pytest

MODEL = ["--model", "tiny", "--checkpoint-every", "1", "--name", "run", "--plain"]
SMALL = [*MODEL, "--steps", "4", "--task", "facts:capitals"]
SAMPLED = ["--prompts", "2", "--group", "2", "--max-new-tokens", "4"]
STAGES = [
    "--task",
    "facts:capitals",
    "--reward",
    "task",
    "--cold-steps",
    "2",
    "--rl-steps",
    "2",
    "--collect-steps",
    "1",
    "--sft-steps",
    "2",
]
SYSTEMS = {
    "sft": (SMALL, "sft", 4),
    "dpo": (SMALL, "dpo", 4),
    "grpo": ([*SMALL, *SAMPLED, "--kl", "0.1"], "grpo", 4),
    "ppo-rlhf": ([*SMALL, *SAMPLED, "--epochs", "2", "--minibatches", "2", "--kl-target", "1"], "ppo_rlhf", 4),
    "reward-model": ([*SMALL, "--samples", "4", "--max-new-tokens", "4"], "reward_model", 4),
    "r1": ([*MODEL, *STAGES, "--prompts", "8", "--group", "4", "--max-new-tokens", "4"], "r1", 5),
}
CLOCKS = ("time", "tokens_per_second", "seconds")


def outcome(folder, last):
    final = folder / "checkpoints" / str(last)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    told = [{name: line[name] for name in line if not name.endswith(CLOCKS)} for line in lines]
    return (final / "model.safetensors").read_bytes(), told


@pytest.mark.parametrize("system", SYSTEMS)
def test_killed_and_resumed_it_ends_with_the_same_weights_and_metrics(rlhub, tmp_path, system):
    options, module, last = SYSTEMS[system]
    command = ["train", system, *options]
    whole = rlhub(*command, "--runs", tmp_path / "whole", root=str(tmp_path), preload=f"rlhub.language.{module}")
    assert whole["code"] == 0, whole["err"]
    moments, killed = random.Random(system), 0
    ended = rlhub(*command, "--runs", tmp_path, root=str(tmp_path), kill_at=whole["operations"] // 2)
    for _ in range(4):
        killed += ended["code"] == -9
        ended = rlhub("resume", tmp_path / "run", root=str(tmp_path), kill_at=moments.randrange(20, 120))
    assert killed >= 2
    ended = rlhub("resume", tmp_path / "run")
    assert ended["code"] == 0, ended["err"]
    assert outcome(tmp_path / "run", last) == outcome(tmp_path / "whole" / "run", last)
