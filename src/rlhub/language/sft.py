"""Supervised fine-tuning: the model is shown answers and made to give each of their tokens more probability.

L = - (1 / tokens of the step) sum over answers' tokens of log p(y_t | x, y_<t), the end token included; the prompt's tokens are never
targets.
"""

import time
from dataclasses import dataclass

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.logprobs import Scored
from rlhub.language.losses import negative_log_likelihood
from rlhub.language.model import Policy, encode, encode_completion, turn_end
from rlhub.language.optimisation import FineTuning, pace
from rlhub.language.rewards import Text
from rlhub.language.rows import Group
from rlhub.language.task import Example, load_task
from rlhub.language.update import Terms


@dataclass(frozen=True, kw_only=True)
class SFT(FineTuning):
    """Supervised fine-tuning on a task's answers.

    Attributes:
        batch: examples in one step; they are packed, so their lengths may differ freely.
    """

    batch: int = 32

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "batch"})

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = load_task(self.task, seed=run.seed)
        policy = self.policy()

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            groups = [answered(policy, example) for example in task.sample(self.batch, step=step, seed=run.seed)]
            tokens = sum(len(answer) for group in groups for answer in group.completions)
            metrics = self.change(policy, groups, imitation, step=step, normaliser=float(max(tokens, 1)))
            metrics["entropy"] /= max(tokens, 1)
            run.log(step, **metrics, length=tokens / len(groups), **pace(tokens, started))


def imitation(scored: Scored) -> Terms:
    """The negative log-likelihood of a micro-batch."""
    return Terms(loss=negative_log_likelihood(scored.logprobs, scored.mask), sums={"entropy": scored.entropy.sum()})


def answered(policy: Policy, example: Example) -> Group:
    """An example's prompt with its answer, the end token after it.

    Raises:
        UserError: the example has no answer.
    """
    if example.answer is None:
        raise UserError(f"the task's example {str(example.prompt)[:60]!r} has no answer to imitate; SFT needs a task with answers")
    return Group(prompt=encode(policy.tokenizer, example.prompt), completions=[response(policy, example.answer, to=example.prompt)])


def response(policy: Policy, text: str, *, to: Text = "") -> list[int]:
    """A response's tokens with the token that ends it.

    Args:
        policy: whose tokens.
        text: the response.
        to: the prompt. To messages a turn ends as the chat template ends it, which may be another token than the end of a text.
    """
    turn = None if isinstance(to, str) else turn_end(policy.tokenizer, policy.end_ids)
    end = policy.tokenizer.eos_token_id if turn is None else turn
    return encode_completion(policy.tokenizer, text) + ([end] if end is not None else list(policy.end_ids[:1]))
