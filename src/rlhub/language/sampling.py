"""What every system asks alike that learns from completions it samples itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.judged import rewards_of
from rlhub.language.logprobs import Scored
from rlhub.language.model import Policy
from rlhub.language.optimisation import FineTuning
from rlhub.language.rollout import Rollout, generate
from rlhub.language.rule_rewards import check_template
from rlhub.language.task import Task, load_task
from rlhub.language.update import Batch, reference_logprobs, score_all


@dataclass(frozen=True, kw_only=True)
class Sampling(FineTuning):
    """Which completions are sampled in a step, and how often they are gone through.

    Completions are drawn from the whole tempered distribution: with top-p or top-k the ratio's mean would be the mass that was kept, not 1.

    Attributes:
        reward: the task's own (`task`), only its full credit (`right`), a coin's (`random`, the control that holds no information),
            `format`, `language`, `reward-model:RUN`, or `path.py:function`; or several, as in `right+0.2*format`.
        prompts: prompts in one step.
        group: completions per prompt.
        max_new_tokens: longest completion, in tokens.
        temperature: sampling temperature; log-probs are those of the tempered distribution.
        epochs: times each roll-out is gone through.
        minibatches: updates in one epoch, each on its share of the prompts.
    """

    reward: str = "task"
    prompts: int = 8
    group: int = 8
    max_new_tokens: int = 64
    temperature: float = 1.0
    epochs: int = 1
    minibatches: int = 1

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "prompts group max_new_tokens epochs minibatches"})
        if self.temperature <= 0:
            raise UserError(f"temperature is {self.temperature}; greedy completions of one prompt are all the same, so it must be above 0")
        if self.minibatches > self.prompts:
            raise UserError(f"minibatches is {self.minibatches}, but there are only {self.prompts} prompts in a step to share out")

    def rewarded_task(self, run: Run, reward: str = "") -> Task:
        """The task with its reward, or another.

        Raises:
            UserError: there is no such task or reward, or no answer of the model can have the form that is rewarded.
        """
        reward = reward or self.reward
        task = load_task(self.task, seed=run.seed, reward=reward)
        check_template(reward, task.split("train")[0].prompt, model=self.model)
        return task

    def sample(self, policy: Policy, task: Task, run: Run, step: int) -> tuple[Rollout, Float[Tensor, "prompts group"], dict[str, float]]:
        """A step's completions, their rewards, and the means of what the task measures of them."""
        examples = task.sample(self.prompts, step=step, seed=run.seed)
        rollout = generate(policy, examples, generator=run.generator("rollout", step), **self.drawn)
        return rollout, *rewards_of(task, rollout, step=step, seed=run.seed)

    @property
    def drawn(self) -> dict[str, Any]:
        """How completions are drawn."""
        return {"group": self.group, "max_new_tokens": self.max_new_tokens, "temperature": self.temperature}

    @property
    def scoring(self) -> dict[str, Any]:
        """How log-probs of what was drawn are formed."""
        return {"temperature": self.temperature, "micro_tokens": self.micro_tokens}

    def shares(self, batch: Batch, run: Run, step: int) -> Iterator[Batch]:
        """The prompts that each update of a step takes: all of them in each epoch, in another order."""
        for epoch in range(self.epochs):
            order = torch.randperm(len(batch.groups), generator=run.generator(f"minibatches {epoch}", step))
            order = order if self.minibatches > 1 else order.sort().values
            yield from (batch.select(rows) for rows in order.tensor_split(self.minibatches))

    def scored(self, policy: Policy, rollout: Rollout) -> Scored:
        """What the policy that sampled says of a roll-out, as training computes it."""
        return score_all(policy, rollout.groups, **self.scoring)

    def divergence(
        self, policy: Policy, reference: PreTrainedModel | None, rollout: Rollout, before: Scored
    ) -> Float[Tensor, "completions tokens"]:
        """log pi - log pi_ref of each token that was sampled; 0 beyond."""
        return (before.logprobs - reference_logprobs(policy, reference, rollout.groups, **self.scoring)) * before.mask
