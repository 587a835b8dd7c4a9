"""Preference pairs as every loss on pairs takes them: one group a prompt, with the preferred answer first."""

from collections.abc import Sequence

from jaxtyping import Float, Num
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.language.logprobs import Scored
from rlhub.language.model import Policy, encode
from rlhub.language.rows import Group
from rlhub.language.sft import response
from rlhub.language.task import Example, Task


def pairs(policy: Policy, task: Task, examples: Sequence[Example], *, step: int) -> list[Group]:
    """Each example's prompt with its preferred and its other answer, each with the token that ends it."""
    return [
        Group(
            prompt=encode(policy.tokenizer, example.prompt),
            completions=[response(policy, answer, to=example.prompt) for answer in (chosen, rejected)],
        )
        for example, chosen, rejected in zip(examples, *task.preference(examples, step=step), strict=True)
    ]


def told(chosen: Float[Tensor, " pairs"], rejected: Float[Tensor, " pairs"]) -> dict[str, Num[Tensor, ""]]:
    """What the log says of pairs, summed over them: of the rewards that the loss gives the two answers."""
    chosen, rejected = chosen.detach(), rejected.detach()
    return {
        "accuracy": (chosen > rejected).sum(),
        "margin": (chosen - rejected).sum(),
        "chosen_reward": chosen.sum(),
        "rejected_reward": rejected.sum(),
    }


def per_pair(metrics: dict[str, float], groups: Sequence[Group]) -> dict[str, float]:
    """A step's metrics, with the means of what `told` summed."""
    summed = ("accuracy", "margin", "chosen_reward", "rejected_reward", "odds_loss")
    return {name: value / len(groups) if name in summed else value for name, value in metrics.items()}


def mean_logprobs(scored: Scored) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
    """The mean log-prob of the tokens of each pair's preferred answer, and of its other one."""
    means = (scored.logprobs * scored.mask).sum(1) / scored.mask.sum(1).clamp(min=1)
    chosen, rejected = means.unflatten(0, (-1, 2)).unbind(1)
    return chosen, rejected


def tokens_of(groups: Sequence[Group]) -> int:
    """Tokens of all answers."""
    return sum(len(completion) for group in groups for completion in group.completions)


def check_smoothing(label_smoothing: float) -> None:
    """Refuse what is no share of wrong preferences.

    Raises:
        UserError: it lies outside [0, 0.5).
    """
    if not 0 <= label_smoothing < 0.5:
        raise UserError(f"label_smoothing is {label_smoothing}; it is the share of wrong preferences and must lie in [0, 0.5)")
