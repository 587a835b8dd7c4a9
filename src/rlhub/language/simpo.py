"""Simple preference optimisation (Meng et al. 2024, arXiv:2405.14734, Eq. 6).

An answer's reward is the mean log-prob of its tokens, which is also what decoding ranks by; so there is no reference model, and a long
answer has no head start. The preferred answer should lead by a margin.
"""

import time
from dataclasses import dataclass

from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.logprobs import Scored
from rlhub.language.optimisation import FineTuning, pace
from rlhub.language.pairs import check_smoothing, mean_logprobs, pairs, per_pair, tokens_of, told
from rlhub.language.preference_losses import simpo_loss
from rlhub.language.task import load_task
from rlhub.language.update import Terms


@dataclass(frozen=True, kw_only=True)
class SimPO(FineTuning):
    """Simple preference optimisation on a task's preference pairs.

    Attributes:
        batch: pairs in one step.
        beta: scale of the difference between the two answers' mean log-probs.
        margin: by how much the preferred answer's reward should lead (gamma).
        label_smoothing: probability that a preference is the wrong way round.
    """

    batch: int = 16
    beta: float = 2.0
    margin: float = 1.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "batch", 0: "margin"}, above={0: "beta"})
        check_smoothing(self.label_smoothing)

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = load_task(self.task, seed=run.seed)
        policy = self.policy()

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            groups = pairs(policy, task, task.sample(self.batch, step=step, seed=run.seed), step=step)
            metrics = self.change(policy, groups, self.objective, step=step, normaliser=float(len(groups)))
            run.log(step, **per_pair(metrics, groups), **pace(tokens_of(groups), started))

    def objective(self, scored: Scored) -> Terms:
        """The losses of a micro-batch's pairs."""
        chosen, rejected = mean_logprobs(scored)
        losses = simpo_loss(chosen, rejected, beta=self.beta, margin=self.margin, label_smoothing=self.label_smoothing)
        return Terms(loss=losses.sum(), sums=told(self.beta * chosen, self.beta * rejected))
