"""Policy optimisation with exact gradients on tabular MDPs (Agarwal, Jiang, Kakade & Sun, part 3, "Policy Optimization").

Softmax policies have a logit for each state and action.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from rlhub.foundations.exact_planning import greedy, visits
from rlhub.foundations.mdp import MDP, action_values, policy_values

PerPair = Float[np.ndarray, "states actions"]
PerState = Float[np.ndarray, " states"]


def softmax(logits: PerPair) -> PerPair:
    """Probabilities in proportion to exponentials."""
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def advantages(mdp: MDP, policy: PerPair) -> tuple[PerPair, PerState]:
    """How much better each action is than the policy, and the policy's values."""
    values = policy_values(mdp, policy)
    return action_values(mdp, values) - values[:, None], values


def softmax_gradient(mdp: MDP, policy: PerPair, advantage: PerPair, start: PerState) -> PerPair:
    """The gradient of the value in a softmax policy's logits: d(s) pi(a|s) A(s, a) / (1 - gamma) (AJKS, "Policy Gradient Methods")."""
    return visits(mdp, policy, start)[:, None] * policy * advantage / (1 - mdp.gamma)


def natural_direction(mdp: MDP, policy: PerPair, advantage: PerPair, start: PerState) -> PerPair:
    """The natural gradient: advantages alone, A(s, a) / (1 - gamma), whatever is visited (AJKS, chapter "Optimality")."""
    del policy, start
    return advantage / (1 - mdp.gamma)


def ascend(
    direction: Callable[..., PerPair],
    mdp: MDP,
    start: PerState,
    *,
    step_size: float,
    steps: int,
    enough: float = np.inf,
) -> Float[np.ndarray, " times"]:
    """The value from the start before each step up a direction, from all logits zero, until it is enough.

    Args:
        direction: softmax_gradient or natural_direction.
        mdp: the problem.
        start: distribution of the first state.
        step_size: eta.
        steps: at most so many.
        enough: end as soon as the value is that large.
    """
    logits, worths = np.zeros_like(mdp.rewards), []
    for _ in range(steps):
        policy = softmax(logits)
        advantage, values = advantages(mdp, policy)
        worths.append(float(start @ values))
        if worths[-1] >= enough:
            break
        logits = logits + step_size * direction(mdp, policy, advantage, start)
    return np.array(worths)


def conservative_policy_iteration(
    mdp: MDP, start: PerState, *, steps: int, least: float = 0.0
) -> tuple[Float[np.ndarray, " times"], Float[np.ndarray, " times"]]:
    """Mix a little of the greedy policy in, as much as surely pays (Kakade & Langford 2002; AJKS, chapter "CPI").

    With the policy's advantage A (of the greedy policy over the states that the present one visits), a share of
    (1 - gamma)^2 A / (4 gamma) raises the value by at least (1 - gamma) A^2 / (8 gamma), for rewards in [0, 1].

    Args:
        mdp: the problem, with rewards in [0, 1] and a discount above 0.
        start: distribution of the first state.
        steps: at most so many.
        least: end when the advantage is no more than that.

    Returns:
        The value from the start, and the advantage, before each step.
    """
    policy, worths, gains = mdp.uniform_policy(), [], []
    for _ in range(steps):
        advantage, values = advantages(mdp, policy)
        gain = float(visits(mdp, policy, start) @ advantage.max(1))
        worths.append(float(start @ values))
        gains.append(gain)
        if gain <= least:
            break
        share = min((1 - mdp.gamma) ** 2 * gain / (4 * mdp.gamma), 1.0)
        policy = (1 - share) * policy + share * greedy(advantage)
    return np.array(worths), np.array(gains)
