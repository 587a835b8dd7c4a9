"""Imitation of an expert on a track: behaviour cloning and DAgger (Agarwal, Jiang, Kakade & Sun; Ross, Gordon & Bagnell 2011).

Each step shows one of many contexts, on the track or off it, and each context has one right action. A right action leads to the track, a
wrong one off it, where a step costs 1. A learner knows the right action of every context that an expert labelled for it, and is wrong
elsewhere. Its mistakes are thus known exactly: the share of contexts without a label.
"""

import numpy as np
from jaxtyping import Bool

from rlhub.core.errors import UserError

Known = Bool[np.ndarray, "2 contexts"]
"""Which contexts are labelled: on the track first, then off it."""


def expert_labels(contexts: int, labels: int, generator: np.random.Generator) -> Known:
    """What behaviour cloning knows: labels from where the expert goes, which is on the track only."""
    check_sizes(contexts, labels)
    known = np.zeros((2, contexts), dtype=bool)
    known[0, generator.integers(contexts, size=labels)] = True
    return known


def dagger_labels(contexts: int, labels: int, horizon: int, generator: np.random.Generator) -> Known:
    """What DAgger knows: half of the labels from the expert's own episodes, the rest from where the learner goes (Alg. 3.1).

    After each episode, the learner's policy is that of all labels so far.
    """
    check_sizes(contexts, labels)
    known, used = expert_labels(contexts, labels // 2, generator), labels // 2
    while used < labels:
        policy, off = known.copy(), 0
        for context in generator.integers(contexts, size=min(horizon, labels - used)):
            known[off, context] = True
            off = 0 if policy[off, context] else 1
            used += 1
    return known


def cost_of(known: Known, horizon: int) -> tuple[float, float]:
    """The expected cost of an episode that begins on the track, and the mistakes a step where the expert goes."""
    wrong_on, wrong_off = 1 - known.mean(1)
    off, cost = 0.0, 0.0
    for _ in range(horizon):
        off = (1 - off) * wrong_on + off * wrong_off
        cost += off
    return float(cost), float(wrong_on)


def check_sizes(contexts: int, labels: int) -> None:
    """Refuse sizes without any context or label.

    Raises:
        UserError: one is below 1.
    """
    if contexts < 1 or labels < 1:
        raise UserError(f"can't learn from {labels} labels of {contexts} contexts; give at least 1 of each")
