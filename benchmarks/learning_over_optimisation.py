"""How far can a reward model be trusted? Pushes a policy along proxies of a known gold reward, and measures both on the way.

    python benchmarks/learning_over_optimisation.py tiny             # every seed that has no JSON yet; goes on after a kill
    python benchmarks/learning_over_optimisation.py smollm2 --seeds 3
    python benchmarks/over_optimisation_report.py                    # the page and its figures, from the JSON

The set-up is that of Gao, Schulman & Hilton 2022 (arXiv:2210.10760) with a gold reward that can be computed: whether an answer states
the fact. The starting model answers every prompt several times; pairs of a right and a wrong answer, a quarter of them the wrong way round
(as in Coste et al. 2023, arXiv:2310.02743), train a proxy reward model. On the same prompts, most of which have no label where there are
few, the proxy is then maximised, by the best of n and by PPO without a KL term, and the gold reward is looked at.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, as_json, every_seed, machine
from jaxtyping import Float
from torch import Tensor

import rlhub
from rlhub.core.progress import use_plain_lines
from rlhub.core.seeding import generator
from rlhub.language.judged import rewards_of
from rlhub.language.model import Policy, encode, load_model, load_policy
from rlhub.language.over_optimisation import best_of_n, best_of_n_kl
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.reward_model import RewardModel, scores_of
from rlhub.language.rollout import Rollout, generate
from rlhub.language.rows import Group
from rlhub.language.scorer import Scorer, load_scorer
from rlhub.language.sft import response
from rlhub.language.task import Task, load_task
from rlhub.language.update import score_all

OUTPUT = RESULTS / "over_optimisation"
RUNS = Path(__file__).parent / "runs" / "over_optimisation"
FACTS = "capitals+currencies+languages+symbols"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is trained and measured for one model.

    Attributes:
        model: the starting model, of the policy and of the proxies.
        task: all prompts.
        gold: the reward that counts, by its name.
        pairs: how many labelled pairs each proxy learns from.
        wrong: the share of pairs that are labelled the wrong way round.
        labelled: answers to each prompt that pairs are made of.
        prompts: prompts that are measured.
        samples: answers to each of them that the best are taken of (N).
        sizes: n of best-of-n.
        group: answers to each of them at a checkpoint.
        keep: PPO's steps that are measured; the last one is its length.
        proxy: fields of the reward models.
        policy: fields of PPO.
        drawn: how answers are sampled.
    """

    model: str
    task: str
    gold: str
    pairs: tuple[int, ...]
    wrong: float = 0.25
    labelled: int = 16
    prompts: int = 128
    samples: int = 64
    sizes: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    group: int = 8
    keep: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
    proxy: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    drawn: dict[str, Any] = field(default_factory=dict)


TINY = Setting(
    model="tiny",
    task=f"facts:{FACTS}",
    gold="starts_with_answer",
    pairs=(64, 1024),
    proxy={"steps": 60, "batch": 16, "learning_rate": 3e-4},
    policy={"prompts": 64, "learning_rate": 1e-4},
    drawn={"max_new_tokens": 8},
)
SETTINGS = {
    "tiny": TINY,
    "smollm2": Setting(
        model="smollm2",
        task=f"facts:{FACTS}?chat=true",
        gold="contains_answer",
        pairs=(64, 1024),
        prompts=64,
        keep=(1, 2, 4, 8, 12, 16, 24, 32, 48),
        proxy={"steps": 60, "batch": 16, "learning_rate": 2e-5},
        policy={"prompts": 64, "epochs": 1, "learning_rate": 1e-5},
        drawn={"max_new_tokens": 24},
    ),
    "smoke": Setting(
        model="tiny",
        task="facts:capitals",
        gold="starts_with_answer",
        pairs=(8,),
        labelled=4,
        prompts=6,
        samples=4,
        sizes=(1, 2, 4),
        group=2,
        keep=(1, 2),
        proxy={"steps": 2, "batch": 4, "learning_rate": 1e-3, "samples": 8},
        policy={"prompts": 4, "minibatches": 2, "epochs": 1, "learning_rate": 1e-4},
        drawn={"max_new_tokens": 4},
    ),
}


def measured(setting: Setting, seed: int, folder: Path) -> dict[str, Any]:
    """One seed: its labels, its proxies, and what pushing along each does."""
    folder.mkdir(parents=True, exist_ok=True)
    task = every_prompt(setting, folder)
    start = load_policy(setting.model, learning_rate=0.0)
    reference = load_model(setting.model)[0].requires_grad_(False)
    pairs = labels(setting, start, task, seed)
    examples = task.sample(setting.prompts, step=1, seed=seed)
    first = generate(start, examples, group=setting.samples, generator=generator(seed, "best of n"), **setting.drawn)
    gold = rewards_of(task, first, step=0, seed=seed)[0]
    found = []
    for count in setting.pairs:
        rows = write_rows(folder / f"pairs-{count}.jsonl", pairs[:count])
        judge = rlhub.train(
            RewardModel(model=setting.model, task=str(rows), max_new_tokens=setting.drawn["max_new_tokens"], **setting.proxy),
            seed=seed,
            runs=folder,
            name=f"proxy-{count}",
        )
        scorer = load_scorer(str(judge.folder), fresh=False)
        proxy = scored(scorer, first)
        system = PPORLHF(
            model=setting.model,
            task=task.name,
            reward_model=str(judge.folder),
            kl=0.0,
            steps=setting.keep[-1],
            **setting.policy,
            **setting.drawn,
        )
        run = rlhub.train(system, seed=seed, runs=folder, name=f"ppo-{count}", keep=setting.keep)
        found.append(
            {
                "pairs": len(pairs[:count]),
                "accuracy": ordered(proxy, gold),
                "best_of_n": {
                    "n": list(setting.sizes),
                    "kl": [best_of_n_kl(n) for n in setting.sizes],
                    "proxy": best_of_n(proxy, proxy, setting.sizes).mean(0).tolist(),
                    "gold": best_of_n(proxy, gold, setting.sizes).mean(0).tolist(),
                },
                "rl": [pushed(setting, f"{run.folder}@{step}", step, reference, task, scorer, seed) for step in setting.keep],
            }
        )
        print(f"{setting.model} seed {seed}, {count} pairs: {told(found[-1])}", flush=True)
    return {"setting": as_json(setting), "seed": seed, "gold": float(gold.mean()), "proxies": found, **machine()}


def every_prompt(setting: Setting, folder: Path) -> Task:
    """All prompts with their answers, trained and held out, as a task in a file, worth the gold reward."""
    task = load_task(setting.task)
    examples = [example for split in ("train", "heldout") for example in task.examples(split)]
    rows = [{"prompt": example.prompt, "answer": example.answer} for example in examples]
    return load_task(str(write_rows(folder / "prompts.jsonl", rows)), reward=setting.gold)


def labels(setting: Setting, policy: Policy, task: Task, seed: int) -> list[dict[str, Any]]:
    """Pairs of a right and a wrong answer to one prompt, in random order, some the wrong way round; as many as the largest proxy takes."""
    drawn = generate(policy, task.examples("train"), group=setting.labelled, generator=generator(seed, "labels"), **setting.drawn)
    gold = rewards_of(task, drawn, step=0, seed=seed)[0]
    pairs = []
    for example, texts, values in zip(drawn.examples, drawn.texts, gold.tolist(), strict=True):
        right, wrong = (sorted({text for text, value in zip(texts, values, strict=True) if value == kind}) for kind in (1.0, 0.0))
        pairs += [{"prompt": example.prompt, "chosen": one, "rejected": other} for one in right for other in wrong]
    draw = generator(seed, "pairs")
    chosen = [pairs[index] for index in torch.randperm(len(pairs), generator=draw).tolist()[: max(setting.pairs)]]
    swapped = torch.rand(len(chosen), generator=draw) < setting.wrong
    return [
        {**pair, "chosen": pair["rejected"], "rejected": pair["chosen"]} if swap else pair
        for pair, swap in zip(chosen, swapped.tolist(), strict=True)
    ]


def pushed(setting: Setting, model: str, step: int, reference: Any, task: Task, scorer: Scorer, seed: int) -> dict[str, float]:
    """What a checkpoint of PPO has come to: its divergence in nats an answer, and both rewards."""
    policy = load_policy(model, learning_rate=0.0)
    examples = task.sample(setting.prompts, step=1, seed=seed)
    drawn = generate(policy, examples, group=setting.group, generator=generator(seed, "checkpoint", step), **setting.drawn)
    own, before = (score_all(policy, drawn.groups, model=model) for model in (None, reference))
    return {
        "step": step,
        "kl": float(((own.logprobs - before.logprobs) * own.mask).sum(1).mean()),
        "proxy": float(scored(scorer, drawn).mean()),
        "gold": float(rewards_of(task, drawn, step=0, seed=seed)[0].mean()),
        "length": float(drawn.lengths.float().mean()),
        "ended": float(drawn.ended.float().mean()),
    }


def scored(scorer: Scorer, drawn: Rollout) -> Float[Tensor, "prompts group"]:
    """The proxy's reward of every answer."""
    groups = [
        Group(prompt=encode(scorer.tokenizer, example.prompt), completions=[response(scorer, text) for text in texts])
        for example, texts in zip(drawn.examples, drawn.texts, strict=True)
    ]
    return scores_of(scorer, groups).view(len(groups), -1)


def ordered(proxy: Float[Tensor, "prompts group"], gold: Float[Tensor, "prompts group"]) -> float:
    """The share of pairs of a right and a wrong answer to one prompt that a proxy orders rightly; answers scored alike count half."""
    pairs = gold[:, :, None] > gold[:, None, :]
    lead = (proxy[:, :, None] - proxy[:, None, :]).sign()
    return float(((lead[pairs] + 1) / 2).mean())


def told(found: dict[str, Any]) -> str:
    """A line for whoever waits."""
    best, rl = found["best_of_n"], found["rl"]
    return (
        f"the proxy orders {found['accuracy']:.0%}; gold {best['gold'][0]:.3f}, best of {best['n'][-1]} {best['gold'][-1]:.3f}, "
        f"PPO's best {max(point['gold'] for point in rl):.3f}, last {rl[-1]['gold']:.3f} at {rl[-1]['kl']:.1f} nats"
    )


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """JSON lines, the same bytes for the same rows, so that a run that was killed finds its task as it was."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


if __name__ == "__main__":
    use_plain_lines(True)
    every_seed(SETTINGS, measured, output=OUTPUT, runs=RUNS)
