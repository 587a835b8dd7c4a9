"""Run folders written by hand: what the hub reads, without a training."""

import json
from pathlib import Path


def made_run(
    folder: Path, *, fields=None, system="rlhub.agents.ppo:PPO", seed=0, status="finished", metrics=(), started=1000.0, **execution
):
    """A run's folder with so many metrics."""
    folder.mkdir(parents=True)
    config = {
        "system": system,
        "fields": fields or {"env": "CartPole-v1", "steps": 100},
        "seed": seed,
        "checkpoint_every": None,
        "keep": [],
    }
    (folder / "config.json").write_text(json.dumps(config))
    last = {"status": status, "pid": 2**22 + 1, "pid_started": 0.0, "started": started, "ended": started + 5, "steps": 100} | execution
    (folder / "provenance.json").write_text(json.dumps({"executions": [last]}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return folder
