"""Agents killed with SIGKILL in the midst of training, from the command line: resumed, they end with the bits of an uninterrupted run."""

import pytest

COMMANDS = {
    "ppo": ["--env", "CartPole-v1", "--steps", "2000", "--environments", "4", "--rollout", "25", "--epochs", "2", "--lstm", "8"],
    "dqn": ["--env", "MinAtar/Breakout-v1", "--steps", "900", "--rollout", "30", "--updates", "4", "--warmup", "60", "--n-step", "2"],
    "sac": ["--env", "Pendulum-v1", "--steps", "900", "--batch", "16", "--warmup", "60", "--log-every", "50", "--hidden", "16"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_that_was_killed_goes_on_to_the_same_bits(name, rlhub, tmp_path):
    command = ["train", name, *COMMANDS[name], "--seed", "3", "--checkpoint-every", "200", "--name", "run", "--plain", "--runs"]
    whole = rlhub(*command, tmp_path / "whole", root=str(tmp_path))
    assert whole["code"] == 0, whole["err"]
    ended = rlhub(*command, tmp_path / "killed", root=str(tmp_path), kill_at=whole["operations"] * 2 // 3)
    assert ended["code"] == -9
    folders = [tmp_path / which / "run" for which in ("whole", "killed")]
    steps = [{int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdecimal()} for folder in folders]
    assert steps[1] and max(steps[1]) < max(steps[0])
    again = rlhub("resume", folders[1])
    assert again["code"] == 0, again["err"]
    first, second = (sorted(folder.rglob("model.safetensors"))[-1].read_bytes() for folder in folders)
    assert first == second
