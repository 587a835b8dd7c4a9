"""Long chains of thought against many short ones: small transformers that find their way through bridge graphs.

    python benchmarks/learning_think.py d3               # every seed that has no JSON yet; goes on after a kill
    python benchmarks/learning_think.py d1 --seed 2      # one seed, so that processes can share them; smaller graphs learn sooner
    python benchmarks/think_report.py                    # the page and its figures, from the JSON

A transformer learns one kind of chain of thought (Mirtaheri et al. 2025, arXiv:2505.21825, Sec. 4); its answers to questions that it never
saw are drawn at temperature 1, and best-of-n and majority are counted on them beside the closed forms. What had learnt paths, which a
random walker finds now and then, goes on by four rounds of expert iteration, and by GRPO, rewarded for evidence alone.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, as_json, every_seed, machine
from jaxtyping import Bool, Float
from torch import Tensor

import rlhub
from rlhub.core.progress import use_plain_lines
from rlhub.core.seeding import generator
from rlhub.language.bridges import decides, is_evidence, read
from rlhub.language.expert_iteration import ExpertIteration
from rlhub.language.grpo import GRPO
from rlhub.language.model import load_policy
from rlhub.language.over_optimisation import best_of_n
from rlhub.language.rollout import Rollout, generate
from rlhub.language.task import Task, load_task
from rlhub.language.think import Think

Answers = Float[Tensor, "questions answers"]
OUTPUT = RESULTS / "think"
RUNS = Path(__file__).parent / "runs" / "think"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is trained and measured.

    Attributes:
        blocks: of the graphs (d).
        chains: kinds of chain of thought, the one that goes on by reinforcement first.
        learning: fields of `Think`.
        others: those that differ for the chains after the first, which nothing goes on from.
        expert: fields of `ExpertIteration`.
        grpo: fields of `GRPO`; none leaves it out.
        questions: questions of the test split that are answered.
        answers: answers to each.
        sizes: n of best-of-n and of majorities.
        shown: questions of the training split whose chains are measured.
        room: longest answer, in tokens.
    """

    blocks: int = 3
    chains: tuple[str, ...] = ("path", "dfs", "shortest")
    learning: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    expert: dict[str, Any] = field(default_factory=dict)
    grpo: dict[str, Any] = field(default_factory=dict)
    questions: int = 300
    answers: int = 32
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    shown: int = 2000
    room: int = 128


LEARNING = {"lessons": 900, "steps": 2000, "answers": 8, "test_every": 500, "tested": 100, "micro_tokens": 4096}
EXPERT = {"rounds": 4, "steps": 500, "prompts": 8192, "group": 4, "batch": 32, "learning_rate": 5e-4, "schedule": "cosine"}
SMALLER = Setting(chains=("path",), learning=LEARNING, expert=EXPERT, room=96)
COMPARED = replace(SMALLER, chains=("path", "dfs", "shortest"), others={"steps": 1000})
# Questions are long beside answers, so many answers to each cost little more and hold more of the rare ones that turn back.
DEEPER = replace(
    SMALLER,
    learning=LEARNING | {"steps": 3000},
    expert=EXPERT | {"steps": 1000, "group": 16},
    grpo={"steps": 400, "prompts": 64, "group": 8, "learning_rate": 3e-4, "kl": 0.05},
    room=128,
)
SMOKE = Setting(
    blocks=1,
    chains=("path", "shortest"),
    learning={"lessons": 200, "steps": 100, "test_every": 100, "tested": 4},
    expert={"rounds": 2, "steps": 2, "prompts": 64, "group": 4, "batch": 8, "learning_rate": 3e-4},
    grpo={"steps": 2, "prompts": 4, "group": 4, "learning_rate": 1e-4},
    questions=8,
    answers=4,
    sizes=(1, 2, 4),
    shown=20,
    room=32,
)
SETTINGS = {"d1": replace(SMALLER, blocks=1), "d2": replace(COMPARED, blocks=2), "d3": DEEPER, "smoke": SMOKE}


def measured(setting: Setting, seed: int, folder: Path) -> dict[str, Any]:
    """One seed: what each kind of chain can do, and what reinforcement makes of the first."""
    found: dict[str, Any] = {"chains": {}}
    for chain in setting.chains:
        task = load_task(f"bridges:{setting.blocks}?chain={chain}", seed=seed)
        fields = setting.learning | ({} if chain == setting.chains[0] else setting.others)
        system = Think(blocks=setting.blocks, chain=chain, max_new_tokens=setting.room, **fields)
        run = rlhub.train(system, seed=seed, runs=folder, name=chain)
        lengths = [len(read(example.answer or "").walk) for example in task.split("train")[: setting.shown]]
        told = {"shown": {"mean": sum(lengths) / len(lengths), "longest": max(lengths)}, **answered(setting, str(run.folder), task, seed)}
        found["chains"][chain] = told
        print(f"seed {seed}, {chain}: {sentence(told)}", flush=True)
        if chain == setting.chains[0]:
            found |= reinforced(setting, str(run.folder), task, seed, folder)
    return {"setting": as_json(setting), "seed": seed, **found, **machine()}


def reinforced(setting: Setting, model: str, task: Task, seed: int, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What rounds of expert iteration, and GRPO, make of a model."""
    each = setting.expert["steps"]
    rounds = [each * (turn + 1) for turn in range(setting.expert["rounds"])]
    told: dict[str, list[dict[str, Any]]] = {}
    settings = {"model": model, "task": task.name, "max_new_tokens": setting.room, "precision": "fp32"}
    plans: dict[str, tuple[Any, list[int]]] = {"expert": (ExpertIteration(**settings, **setting.expert), rounds)}
    if setting.grpo:
        last = setting.grpo["steps"]
        plans["grpo"] = GRPO(**settings, **setting.grpo), sorted({math.ceil(last * part / 4) for part in range(1, 5)})
    for name, (system, steps) in plans.items():
        run = rlhub.train(system, seed=seed, runs=folder, name=name, keep=tuple(steps))
        told[name] = [{"step": step} | answered(setting, f"{run.folder}@{step}", task, seed) for step in steps]
        for point in told[name]:
            print(f"seed {seed}, {name} after {point['step']} steps: {sentence(point)}", flush=True)
    return told


def answered(setting: Setting, model: str, task: Task, seed: int) -> dict[str, Any]:
    """How a model answers the test split's questions at temperature 1, one by one and many together."""
    policy = load_policy(model, learning_rate=0.0, precision="fp32")
    examples = list(task.split("test")[: setting.questions])
    drawn = generate(
        policy,
        examples,
        group=setting.answers,
        max_new_tokens=setting.room,
        temperature=1.0,
        generator=generator(seed, "answers", setting.blocks),
    )
    evidence, right, undecided, walks = judged(drawn)
    return {
        "evidence": float(evidence.float().mean()),
        "decision": float(right.mean()),
        "undecided": float(undecided.mean()),
        "walk": float(walks.mean()),
        "longest_walk": int(walks.max()),
        "tokens": float(drawn.lengths.float().mean()),
        # Any answer that is evidence decides rightly, or else a coin.
        "best_of": (0.5 + best_of_n(evidence.double(), evidence.double(), setting.sizes).mean(0) / 2).tolist(),
        "majority": [float(majority(right, size, seed).mean()) for size in setting.sizes],
    }


def judged(drawn: Rollout) -> tuple[Bool[Tensor, "questions answers"], Answers, Answers, Answers]:
    """Of every answer: whether its walk is evidence, whether it decides rightly (half so where it decides nothing), whether it does that,
    and its walk's nodes.
    """
    rows = []
    for example, texts in zip(drawn.examples, drawn.texts, strict=True):
        columns = example.columns
        for text in texts:
            given = read(text)
            rightly, wrongly = decides(given, columns["target"]), decides(given, columns["other"])
            right = 1.0 if rightly else 0.0 if wrongly else 0.5
            shows = is_evidence(given.walk, columns["edges"], columns["start"], columns["target"])
            rows.append([float(shows), right, float(not rightly and not wrongly), float(len(given.walk))])
    evidence, right, undecided, walks = torch.tensor(rows).view(len(drawn.examples), -1, 4).unbind(2)
    return evidence > 0, right, undecided, walks


def majority(right: Answers, size: int, seed: int, draws: int = 200) -> Float[Tensor, " questions"]:
    """The chance that most of so many of the answers decide rightly, a tie broken by a coin, over draws of them without replacement."""
    order = torch.rand(draws, *right.shape, generator=generator(seed, "majority", size)).argsort(-1)[..., :size]
    votes = right.expand(draws, -1, -1).gather(2, order).sub(0.5).sum(-1)
    return ((votes.sign() + 1) / 2).mean(0)


def sentence(told: dict[str, Any]) -> str:
    """A line for whoever waits."""
    return f"evidence {told['evidence']:.3f}, decision {told['decision']:.3f}, walk of {told['walk']:.1f} nodes"


if __name__ == "__main__":
    use_plain_lines(True)
    every_seed(SETTINGS, measured, output=OUTPUT, runs=RUNS, default="d3")
