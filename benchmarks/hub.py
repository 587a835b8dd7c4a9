"""The web site over thousands of runs: how long pages take, how soon a live curve moves, with how many viewers, in how much memory.

python benchmarks/hub.py                   # makes 2,000 runs of 10,000 points in a temporary folder; writes results/hub/site.json
python benchmarks/hub.py --runs FOLDER     # over runs that are there
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from harness import RESULTS, machine

RUNS, POINTS, LONG, VIEWERS, REPEATS = 2_000, 10_000, 100_000, 50, 15


def metrics(points: int, seed: int) -> str:
    """A run's metrics.jsonl."""
    draws = np.random.default_rng(seed)
    returns = 500 * (1 - np.exp(-np.arange(points) / 2000)) + draws.normal(size=points) * 30
    loss, kl, entropy = draws.random(points), draws.random(points) / 50, draws.random(points)
    lines = (
        {
            "step": 128 * (place + 1),
            "time": 1e9 + place,
            "loss": loss[place],
            "kl": kl[place],
            "entropy": entropy[place],
            "episode_return": value,
        }
        for place, value in enumerate(returns)
    )
    return "".join(json.dumps({name: round(float(value), 5) for name, value in line.items()}) + "\n" for line in lines)


def made(folder: Path, place: int, text: str, *, status: str = "finished") -> Path:
    """A run's folder."""
    run = folder / f"ppo-{place}"
    run.mkdir(parents=True)
    fields = {"env": f"Env-v{place % 7}", "steps": 128 * POINTS, "learning_rate": 3e-4 * (1 + place % 2)}
    config = {"system": "rlhub.agents.ppo:PPO", "fields": fields, "seed": place, "checkpoint_every": None, "keep": []}
    process = psutil.Process()
    execution = {
        "status": status,
        "pid": process.pid,
        "pid_started": process.create_time(),
        "started": 1e9 + place,
        "ended": 1e9 + place + 60,
    }
    (run / "config.json").write_text(json.dumps(config))
    (run / "provenance.json").write_text(json.dumps({"executions": [execution | {"steps": 128 * POINTS}]}))
    (run / "metrics.jsonl").write_text(text)
    return run


def asked(address: str) -> tuple[float, int]:
    """How long an answer takes, in milliseconds, and its bytes."""
    began = time.perf_counter()
    with urllib.request.urlopen(address) as answer:
        size = len(answer.read())
    return 1000 * (time.perf_counter() - began), size


def timed(address: str) -> dict[str, float]:
    """The median and the slowest of several answers, in milliseconds."""
    asked(address)
    times = [asked(address)[0] for _ in range(REPEATS)]
    return {"median_ms": round(statistics.median(times), 1), "slowest_ms": round(max(times), 1), "bytes": asked(address)[1]}


def watched(address: str, run: Path) -> dict[str, Any]:
    """Viewers of a live run: how long after a line was written each of them gets it."""
    curves = json.loads(urllib.request.urlopen(f"{address}/api/curves/{run.name}").read())
    counts = urllib.request.quote(json.dumps(curves["counts"]))
    # Curves are sent with seven digits, which for the seconds since 1970 are minutes.
    delays, base = [], time.time() - 1
    ready = threading.Barrier(VIEWERS + 1)

    def view() -> None:
        with urllib.request.urlopen(f"{address}/api/events/{run.name}?counts={counts}&generation={curves['generation']}") as stream:
            for line in stream:
                if line.startswith(b"event: state"):
                    break
            ready.wait()
            for line in stream:
                if line.startswith(b"data: ["):
                    told = {metric["name"]: metric["seeds"][0]["values"] for metric in json.loads(line[6:])}
                    delays.extend(time.time() - base - sent for sent in told.get("sent", []) if sent > 0)
                    if -1 in told.get("sent", []):
                        return

    viewers = [threading.Thread(target=view, daemon=True) for _ in range(VIEWERS)]
    for viewer in viewers:
        viewer.start()
    ready.wait(60)
    for place in range(20):
        with (run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": 10**7 + place, "sent": time.time() - base if place < 19 else -1}) + "\n")
        time.sleep(0.25)
    for viewer in viewers:
        viewer.join(30)
    return {"viewers": VIEWERS, "updates": len(delays), "median_s": round(statistics.median(delays), 3), "slowest_s": round(max(delays), 3)}


def measured(runs: Path) -> dict[str, Any]:
    """Everything, on a site of its own."""
    command = [sys.executable, "-m", "rlhub.hub.cli", "serve", "--port", "0", "--runs", str(runs)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as site:
        assert site.stdout is not None
        address = re.search(r"(http://\S+)/", site.stdout.readline())[1]  # type: ignore[index]
        told: dict[str, Any] = {"seconds until it answers": round(time.perf_counter() - began, 2)}
        while True:
            count = json.loads(urllib.request.urlopen(f"{address}/api/runs?limit=1").read())["total"]
            if count >= RUNS:
                break
            time.sleep(0.2)
        told["seconds until all runs were read"] = round(time.perf_counter() - began, 2)
        time.sleep(5)
        process = psutil.Process(site.pid)
        pages = {
            "first page": "/",
            "runs": "/runs",
            "runs, searched and sorted by a metric": "/runs?text=env-v3&sort=metric:episode_return",
            "a run": "/runs/ppo-0",
            "curves of 10,000 points": "/api/curves/ppo-0",
            "curves of 100,000 points": "/api/curves/ppo-100000",
            "comparison of 8 runs": "/api/compare?" + "&".join(f"run=ppo-{place}" for place in range(8)),
        }
        told["pages"] = {name: timed(address + path) for name, path in pages.items()}
        told["live"] = watched(address, runs / "ppo-100001")
        told["memory_mib"] = round(process.memory_info().rss / 2**20)
        site.terminate()
    return told


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else Path(temporary)
        if "--runs" not in sys.argv:
            texts = [metrics(POINTS, seed) for seed in range(4)]
            for place in range(RUNS - 2):
                made(folder, place, texts[place % 4])
            made(folder, LONG, metrics(LONG, 9))
            made(folder, LONG + 1, texts[0], status="running")
        told = {"runs": RUNS, "points of each": POINTS, **measured(folder), **machine()}
    place = RESULTS / "hub" / "site.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))
