"""A step of PPO on a reward model beside the passes that it can't do without: 8 prompts x 8 answers x 64 new tokens on SmolLM2.

The floor writes the answers with the same decoder, passes them once through the policy, the reference and the value model without gradient,
then through policy and value model with gradient, and steps both optimisers, minibatch by minibatch. Its passes share prompts in one row as
ours do; its loss is the bare surrogate, without entropies, clipped gradients, divergences or anything that is logged. MODEL in the
environment chooses another model (`tiny` to see that the script runs).
"""

import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from harness import compare
from torch import Tensor

from rlhub.language.hidden import together
from rlhub.language.model import Policy, load_policy
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.rollout import Rollout, complete
from rlhub.language.rows import Group
from rlhub.language.scorer import Scorer, head_of, load_scorer
from rlhub.language.update import load_reference

MODEL = os.environ.get("MODEL", "smollm2")
PROMPTS, GROUP, TOKENS, LENGTH, EPOCHS, MINIBATCHES = 8, 8, 64, 8, 1, 4
LEARNING_RATE = 1e-6
AT_ONCE = 2
"""Prompts in one forward pass of the floor; with 4 it takes longer, as with 1."""


def written(policy: Policy, step: int) -> Rollout:
    """The answers of a step to random but repeatable prompts."""
    most = policy.bare.get_input_embeddings().num_embeddings
    prompts = torch.randint(100, most, (PROMPTS, LENGTH), generator=torch.Generator().manual_seed(0)).tolist()
    draws = torch.Generator().manual_seed(step)
    return complete(policy, prompts, group=GROUP, max_new_tokens=TOKENS, min_new_tokens=TOKENS, generator=draws)


def ours(precision: str) -> Callable[[], Callable[[], dict]]:
    """rlhub's roll-out, advantages and updates, as `PPORLHF.train` runs them."""

    def prepare() -> Callable[[], dict]:
        system = PPORLHF(
            model=MODEL,
            prompts=PROMPTS,
            group=GROUP,
            max_new_tokens=TOKENS,
            epochs=EPOCHS,
            minibatches=MINIBATCHES,
            learning_rate=LEARNING_RATE,
            precision=precision,
        )
        policy, critic = system.policy(), system.critic(SimpleNamespace(seed=0))
        reference = load_reference(policy, MODEL)
        taken = iter(range(1, system.steps))

        def run() -> dict:
            step = next(taken)
            rollout = written(policy, step)
            scores = torch.tensor([[text.count("e") / max(len(text), 1) for text in texts] for texts in rollout.texts])
            batch, _ = system.batch(policy, reference, critic, rollout, scores, kl=system.kl)
            draws = SimpleNamespace(generator=lambda purpose, step: torch.Generator().manual_seed(step))
            for part in system.shares(batch, draws, step):
                metrics = system.update(policy, critic, part, step, shown=[])
            return {**metrics, "tokens": int(rollout.mask.sum())}

        return run

    return prepare


def floor(precision: str) -> Callable[[], Callable[[], dict]]:
    """The bare passes."""

    def prepare() -> Callable[[], dict]:
        policy = load_policy(MODEL, learning_rate=LEARNING_RATE, precision=precision)
        critic = load_scorer(MODEL, fresh=True, learning_rate=LEARNING_RATE, precision=precision)
        reference = load_reference(policy, MODEL)
        taken = iter(range(1, 1000))

        def run() -> dict:
            rollout = written(policy, next(taken))
            with torch.no_grad(), policy.autocast():
                old, _ = (torch.cat([logprobs(model, part) for part in parts(rollout.groups)]) for model in (policy.model, reference))
            with torch.no_grad(), critic.autocast():
                before = torch.cat([values(critic, part) for part in parts(rollout.groups)])
            advantages = torch.randn_like(old)
            for _ in range(EPOCHS):
                for start in range(0, PROMPTS, PROMPTS // MINIBATCHES):
                    groups = rollout.groups[start : start + PROMPTS // MINIBATCHES]
                    rows = slice(start * GROUP * TOKENS, (start + len(groups)) * GROUP * TOKENS)
                    for part, place in zip(parts(groups), torch.arange(len(old))[rows].split(AT_ONCE * GROUP * TOKENS), strict=True):
                        with policy.autocast():
                            ratio = (logprobs(policy.model, part) - old[place]).exp()
                        (-torch.minimum(ratio * advantages[place], ratio.clamp(0.8, 1.2) * advantages[place]).mean()).backward()
                        with critic.autocast():
                            value = values(critic, part)
                        (0.5 * (value - before[place] - advantages[place]).square().mean()).backward()
                    for trained in (policy, critic):
                        trained.optimizer.step()
                        trained.optimizer.zero_grad(set_to_none=True)
            return {"tokens": int(rollout.mask.sum())}

        return run

    return prepare


def parts(groups: Sequence[Group]) -> list[Sequence[Group]]:
    """What passes through a model at once."""
    return [groups[start : start + AT_ONCE] for start in range(0, len(groups), AT_ONCE)]


def logprobs(model: torch.nn.Module, groups: Sequence[Group]) -> Tensor:
    """Log-probs of the groups' answers' tokens, answer after answer."""
    hidden, row = together(model, groups)
    return -F.cross_entropy(model.lm_head(hidden).float(), row.targets, reduction="none")


def values(critic: Scorer, groups: Sequence[Group]) -> Tensor:
    """The value before each token of the groups' answers."""
    hidden, _ = together(critic.bare, groups)
    return head_of(critic.bare)(hidden)[:, 0].float()


if __name__ == "__main__":
    for precision in ("fp32", "bf16"):
        compare(
            f"language_ppo_{precision}",
            {"rlhub": ours(precision), "floor": floor(precision)},
            peer="floor",
            target=1 / 1.4,
            repeats=3,
            work=(PROMPTS * GROUP * TOKENS, "completion tokens"),
            facts={
                "model": MODEL,
                "prompts": PROMPTS,
                "completions per prompt": GROUP,
                "new tokens": TOKENS,
                "prompt tokens": LENGTH,
                "epochs": EPOCHS,
                "minibatches": MINIBATCHES,
            },
        )
