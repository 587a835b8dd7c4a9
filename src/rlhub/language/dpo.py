"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290, Eq. 7), cDPO and IPO.

The policy is its own reward model: beta times a response's log-ratio to the starting model. Each pair's prompt is computed once for both
responses.
"""

import time
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.logprobs import Scored
from rlhub.language.optimisation import FineTuning, pace
from rlhub.language.pairs import check_smoothing, pairs, per_pair, tokens_of, told
from rlhub.language.preference_losses import Preference, log_ratios, preference_loss
from rlhub.language.task import load_task
from rlhub.language.update import Terms, load_reference, reference_logprobs


@dataclass(frozen=True, kw_only=True)
class DPO(FineTuning):
    """Direct preference optimisation on a task's preference pairs; the starting model is also the reference.

    Attributes:
        batch: pairs in one step.
        beta: strength of the pull to the reference (IPO's tau).
        loss: sigmoid (DPO, and cDPO with label smoothing), robust or ipo.
        label_smoothing: probability that a preference is the wrong way round (cDPO, robust DPO).
    """

    batch: int = 16
    beta: float = 0.1
    loss: Preference = "sigmoid"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "batch"}, above={0: "beta"})
        check_smoothing(self.label_smoothing)
        if self.label_smoothing and self.loss == "ipo":
            raise UserError("label_smoothing belongs to the sigmoid loss (cDPO) and the robust one; IPO has none, so set it to 0")

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = load_task(self.task, seed=run.seed)
        policy = self.policy()
        reference = load_reference(policy, self.model)

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            groups = pairs(policy, task, task.sample(self.batch, step=step, seed=run.seed), step=step)
            columns = {"reference": reference_logprobs(policy, reference, groups, micro_tokens=self.micro_tokens)}
            metrics = self.change(policy, groups, self.objective, step=step, normaliser=float(len(groups)), columns=columns)
            run.log(step, **per_pair(metrics, groups), **pace(tokens_of(groups), started))

    def objective(self, scored: Scored, *, reference: Float[Tensor, "completions tokens"]) -> Terms:
        """The losses of a micro-batch's pairs; completions alternate chosen, rejected.

        Args:
            scored: the responses under the policy.
            reference: log-probs of their tokens under the starting model.
        """
        ratios = log_ratios(scored.logprobs, reference, scored.mask, mean=self.loss == "ipo")
        chosen, rejected = ratios.unflatten(0, (-1, 2)).unbind(1)
        losses = preference_loss(chosen, rejected, beta=self.beta, label_smoothing=self.label_smoothing, kind=self.loss)
        return Terms(loss=losses.sum(), sums=told(self.beta * chosen, self.beta * rejected))
