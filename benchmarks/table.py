"""Writes docs/benchmarks.md and the table between the README's markers from benchmarks/results/*.json: `python benchmarks/table.py`.

With `--check` nothing is written, and the exit code says whether the pages say what the JSON says.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WORDS = {
    "agents_dqn_updates": "DQN on CartPole, 4,600 updates of 64 rows, 256 x 256",
    "agents_ppo_cartpole": "PPO on CartPole, 100,000 steps of training",
    "agents_ppo_cartpole_threshold": "PPO on CartPole until the last episodes' mean is 475",
    "agents_ppo_lunarlander": "PPO on LunarLander, 100,000 steps of training",
    "agents_ppo_lunarlander_threshold": "PPO on LunarLander until the last episodes' mean is 200",
    "agents_sac_updates": "SAC on Pendulum, 1,900 updates of 256 rows, 256 x 256",
    "agents_td3_updates": "TD3 on Pendulum, 1,900 updates of 256 rows, 256 x 256",
    "agents_ten_seeds": "PPO on CartPole: ten seeds in one process",
    "foundations_bandits": "Figure 2.2, 50 of its 2,000 runs, beside public Python code",
    "foundations_bias": "Figure 6.5, 100 of its 10,000 runs, beside public Python code",
    "foundations_cliff": "Figure 6.4, 6 of its 100 runs, beside public Python code",
    "foundations_testbed": "the 10-armed testbed: 4 methods, 2,000 runs, 1,000 steps",
    "language_decoding": "decoding, 64 prompts by 64 tokens",
    "language_dpo": "DPO step, 8 pairs of 256 tokens",
    "language_grpo_prompt8": "GRPO step, 8 x 8 completions of 64 tokens, prompts of 8",
    "language_grpo_prompt150": "GRPO step, 8 x 8 completions of 64 tokens, prompts of 150",
    "language_ppo_bf16": "PPO-RLHF step, 8 x 8 answers of 64 tokens, bf16; the floor is its own passes",
    "language_ppo_fp32": "PPO-RLHF step, 8 x 8 answers of 64 tokens, fp32; the floor is its own passes",
    "language_r1_prompt8": "generation in R1's stages, 8 x 8 answers of 64 tokens, prompts of 8",
    "language_r1_prompt150": "generation in R1's stages, 8 x 8 answers of 64 tokens, prompts of 150",
    "language_sft": "imitation step, 16 worked sums",
    "language_step_labels": "labels of steps of 4 worked sums, 8 continuations each, beside independent roll-outs by the same decoder",
    "language_step_labels_generate": "labels of steps of 4 worked sums, 8 continuations each, beside independent roll-outs by transformers",
    "lens_attribution": "EAP-IG, 5 steps, 64 pairs; the floor is 5 forward and backward passes",
    "lens_patching": "480 residual patches of a 16-token prompt",
}
START, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def results() -> list[dict[str, Any]]:
    """Every recorded comparison, by name."""
    return [json.loads(path.read_text()) for path in sorted((ROOT / "benchmarks/results").glob("*.json"))]


def rows(result: dict[str, Any]) -> list[str]:
    """One table row for each side that is not the peer."""
    peer = result["peer"]
    theirs = result["sides"][peer]
    target = "" if result["target"] is None else f"{result['target']:.2g}"
    told = theirs.get("returned", {})
    least = "at least " if told.get("seeds that reached the bar", 0) < told.get("seeds", 0) else ""
    beside = ("cleanrl",)  # to be seen; the bar is not theirs
    return [
        f"| {WORDS.get(result['name'], result['name'])} | {side.replace('_', ' ')} {seconds(ours)} "
        f"| {peer.replace('_', ' ')} {seconds(theirs)} "
        f"| **{least}{ours['times_faster_than_peer']:.2f}x** | {'' if side in beside else target} "
        f"| {gibibytes(ours)} / {gibibytes(theirs)} |"
        for side, ours in result["sides"].items()
        if side != peer
    ]


def seconds(side: dict[str, Any]) -> str:
    """A side's median and its spread."""
    times = side["seconds"]
    return f"{side['median_seconds']:.2f} s ({min(times):.2f} to {max(times):.2f})"


def gibibytes(side: dict[str, Any]) -> str:
    """A side's peak memory."""
    peak = side["peak_memory_gib"]
    return "not measured" if peak is None else f"{peak:.1f}"


def table() -> str:
    """All rows under one head."""
    head = ["| what | side: median (range) | peer: median (range) | faster | bar | peak GiB |", "|---|---|---|---|---|---|"]
    return "\n".join(head + [row for result in results() for row in rows(result)])


def page() -> str:
    """docs/benchmarks.md."""
    lines = [
        "# Speed, beside peers",
        "",
        "Both sides of a row ran in one process, in turns (A B A B ...), on one machine; the ratio is that of the medians.",
        "Peak memory was measured in a process of its own for each side. `make bench` measures again and writes the JSON in",
        "`benchmarks/results/`, from which `python benchmarks/table.py` writes this page.",
        "",
        table(),
        "",
        "| measurement | date | processor | cores | torch threads | torch | transformers | repeats |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results():
        machine, versions = result["machine"], result["versions"]
        repeats = len(next(iter(result["sides"].values()))["seconds"])
        lines.append(
            f"| {result['name']} | {result['date'][:10]} | {machine['cpu']} | {machine['cores']} | {result['torch_threads']} "
            f"| {versions['torch']} | {versions['transformers']} | {repeats} |"
        )
    floors = [floor(result) for result in results() if "arithmetic" in result["facts"]]
    if floors:
        lines += ["", "What an update takes, and what of it is arithmetic (its products counted, at the rate of a large one):", "", *floors]
    return "\n".join(lines) + "\n"


def floor(result: dict[str, Any]) -> str:
    """An update's milliseconds on each side, beside those of its matrix products alone."""
    alone = result["facts"]["arithmetic"]["milliseconds an update of the arithmetic alone"]
    sides = ", ".join(f"{name} {1000 / side['rate_per_second']:.1f} ms" for name, side in result["sides"].items())
    return f"- {result['name']}: arithmetic {alone:.1f} ms; {sides}"


def readme() -> str:
    """The README with its table renewed."""
    text = (ROOT / "README.md").read_text()
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


def main() -> int:
    """Write both pages, or check them."""
    pages = {ROOT / "docs/benchmarks.md": page(), ROOT / "README.md": readme()}
    if "--check" in sys.argv[1:]:
        stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
        for path in stale:
            print(f"{path.relative_to(ROOT)} does not say what benchmarks/results says; run: python benchmarks/table.py")
        return 1 if stale else 0
    for path, text in pages.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
