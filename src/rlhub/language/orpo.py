"""Odds ratio preference optimisation (Hong et al. 2024, arXiv:2403.07691, Eq. 6).

Imitation of the preferred answer and, in the same step, a push of its odds above the other's: no reference model, and no SFT before.
"""

import time
from dataclasses import dataclass

from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.logprobs import Scored
from rlhub.language.optimisation import FineTuning, pace
from rlhub.language.pairs import mean_logprobs, pairs, per_pair, tokens_of, told
from rlhub.language.preference_losses import orpo_loss
from rlhub.language.task import load_task
from rlhub.language.update import Terms


@dataclass(frozen=True, kw_only=True)
class ORPO(FineTuning):
    """Odds ratio preference optimisation on a task's preference pairs.

    Attributes:
        batch: pairs in one step.
        weight: of the odds ratio's loss beside the imitation's (lambda).
    """

    batch: int = 16
    weight: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "batch", 0: "weight"})

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
        """The losses of a micro-batch's pairs: - mean log p(chosen) + weight * the odds ratio's."""
        chosen, rejected = mean_logprobs(scored)
        odds = orpo_loss(chosen, rejected)
        sums = told(chosen, rejected) | {"odds_loss": odds.detach().sum()}
        return Terms(loss=(-chosen + self.weight * odds).sum(), sums=sums)
