"""Finite Markov decision processes whose dynamics are known, and dynamic programming on them (Sutton & Barto 2018, chapters 3 and 4)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from rlhub.core.errors import UserError
from rlhub.foundations.compiled import compiled

Policy = Float[np.ndarray, "states actions"]
"""The probability of each action in each state."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MDP:
    """What happens after every action in every state.

    A state in which all actions stay without reward ends an episode: its value is 0.

    Attributes:
        transitions: p(s' | s, a).
        rewards: r(s, a), the expected reward.
        gamma: the discount, in [0, 1]; 1 needs policies that come to an end.
        allowed: which actions a state has; by default all.
    """

    transitions: Float[np.ndarray, "states actions states"]
    rewards: Float[np.ndarray, "states actions"]
    gamma: float
    allowed: Bool[np.ndarray, "states actions"] | None = None
    possible: Bool[np.ndarray, "states actions"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no MDP.

        Raises:
            UserError: shapes don't fit, a state has no action, a row is no distribution, a reward isn't finite, gamma is outside [0, 1].
        """
        shape = self.transitions.shape
        if len(shape) != 3 or 0 in shape or shape[0] != shape[2]:
            raise UserError(f"transitions have the shape {shape}; give [states, actions, states] with at least one of each")
        object.__setattr__(self, "possible", np.ones(shape[:2], dtype=np.bool_) if self.allowed is None else self.allowed)
        for name, array in (("rewards", self.rewards), ("allowed", self.possible)):
            if array.shape != shape[:2]:
                raise UserError(f"{name} have the shape {array.shape} where transitions have {shape}; give {shape[:2]}, [states, actions]")
        if not 0 <= self.gamma <= 1:
            raise UserError(f"gamma is {self.gamma:g}; give a discount between 0 and 1")
        if not self.possible.any(1).all():
            raise UserError(f"state {int(self.possible.any(1).argmin())} has no allowed action; give each state at least one")
        check_distributions(self.transitions, where=self.possible, name="transitions")
        if not np.isfinite(self.rewards[self.possible]).all():
            raise UserError("a reward isn't finite; give each allowed action a finite expected reward")

    @cached_property
    def terminal(self) -> Bool[np.ndarray, " states"]:
        """Which states end an episode."""
        states = np.arange(len(self.rewards))
        stays = (self.transitions[states, :, states] == 1) & (self.rewards == 0)
        return (stays | ~self.possible).all(1)

    def uniform_policy(self) -> Policy:
        """Every allowed action with the same probability."""
        return self.possible / self.possible.sum(1, keepdims=True)

    def deterministic_policy(self, actions: Int[np.ndarray, " states"]) -> Policy:
        """One action in each state, with probability 1."""
        return np.eye(self.rewards.shape[1])[actions]


def check_discount(gamma: float) -> None:
    """Refuse a discount under which endless sums may have no value.

    Raises:
        UserError: it is outside [0, 1).
    """
    if not 0 <= gamma < 1:
        raise UserError(f"the discount (gamma) is {gamma:g}; sums without an end need one in [0, 1)")


def check_distributions(probabilities: Float[np.ndarray, "*rows outcomes"], *, where: Bool[np.ndarray, "*rows"], name: str) -> None:
    """Refuse rows that are no probability distributions.

    Args:
        probabilities: the rows.
        where: which rows count.
        name: what they are called, for the sentence.

    Raises:
        UserError: a probability is negative or not a number, or a row's sum isn't 1.
    """
    sums = probabilities.sum(-1)
    wrong = where & ~((np.abs(sums - 1) < 1e-8) & (probabilities >= 0).all(-1))
    if wrong.any():
        row = tuple(int(place) for place in np.argwhere(wrong)[0])
        raise UserError(f"{name} at {row} sum to {sums[row]:g} or hold a negative probability; give probabilities that sum to 1")


def under_policy(mdp: MDP, policy: Policy) -> tuple[Float[np.ndarray, "states states"], Float[np.ndarray, " states"]]:
    """The Markov chain and the expected rewards that a policy makes of an MDP.

    Raises:
        UserError: the policy's rows are no distributions over allowed actions, or its shape isn't [states, actions].
    """
    if policy.shape != mdp.rewards.shape:
        raise UserError(f"the policy has the shape {policy.shape}; give {mdp.rewards.shape}, [states, actions]")
    check_distributions(np.where(mdp.possible, policy, 0), where=np.ones(len(policy), dtype=np.bool_), name="the policy's allowed actions")
    return (policy[:, None] @ mdp.transitions)[:, 0], (policy * np.where(mdp.possible, mdp.rewards, 0)).sum(1)


def policy_values(mdp: MDP, policy: Policy) -> Float[np.ndarray, " states"]:
    """What states are worth under a policy: Bellman's equation solved as the linear system that it is (Eq. 3.14).

    Raises:
        UserError: with gamma = 1, the policy can go on for ever.
    """
    chain, rewards = under_policy(mdp, policy)
    going = ~mdp.terminal
    values = np.zeros(len(rewards))
    system = np.eye(int(going.sum())) - mdp.gamma * chain[np.ix_(going, going)]
    if mdp.gamma == 1:
        _check_ends(chain, going)
    values[going] = np.linalg.solve(system, rewards[going])
    return values


def evaluation_sweeps(mdp: MDP, policy: Policy) -> Iterator[Float[np.ndarray, " states"]]:
    """Iterative policy evaluation, sweep after sweep without end: v_0 = 0, v_1, v_2, ... (Eq. 4.5, each from the one before)."""
    chain, rewards = under_policy(mdp, policy)
    values = np.zeros(len(rewards))
    while True:
        yield values
        values = rewards + mdp.gamma * chain @ values


def policy_evaluation(mdp: MDP, policy: Policy, *, accuracy: float = 1e-10) -> Float[np.ndarray, " states"]:
    """Sweeps until none moves a value by more than `accuracy` (Sec. 4.1's box).

    Raises:
        UserError: with gamma = 1, the policy can go on for ever.
    """
    if mdp.gamma == 1:
        _check_ends(under_policy(mdp, policy)[0], ~mdp.terminal)
    before = None
    for values in evaluation_sweeps(mdp, policy):
        if before is not None and np.abs(values - before).max() <= accuracy:
            break
        before = values
    return values


def _check_ends(chain: Float[np.ndarray, "states states"], going: Bool[np.ndarray, " states"]) -> None:
    """Refuse a chain that doesn't reach an end from everywhere, whose values without a discount may be infinite."""
    ends, found = ~going, -1
    while ends.sum() != found:
        found = int(ends.sum())
        ends = ends | (chain[:, ends] > 0).any(1)
    if not ends.all():
        raise UserError(f"from state {int(ends.argmin())} this policy never comes to an end: give a gamma below 1 or another policy")


def action_values(mdp: MDP, values: Float[np.ndarray, " states"]) -> Float[np.ndarray, "states actions"]:
    """q(s, a) = r(s, a) + gamma E[v(S')]; minus infinity where an action isn't allowed."""
    return np.where(mdp.possible, mdp.rewards + mdp.gamma * mdp.transitions @ values, -np.inf)


def greedy_actions(mdp: MDP, values: Float[np.ndarray, " states"], *, tolerance: float = 1e-9) -> Bool[np.ndarray, "states actions"]:
    """All actions within `tolerance` of their state's best: rounding must not hide a tie."""
    worth = action_values(mdp, values)
    return worth >= worth.max(1, keepdims=True) - tolerance


def policy_iteration(
    mdp: MDP,
    first: Int[np.ndarray, " states"],
    *,
    evaluate: Callable[[MDP, Policy], Float[np.ndarray, " states"]] = policy_evaluation,
    tolerance: float = 1e-9,
) -> Iterator[tuple[Int[np.ndarray, " states"], Float[np.ndarray, " states"]]]:
    """Evaluate, then be greedy, until nothing changes (Sec. 4.3's box): each deterministic policy and its values, the optimal ones last.

    Args:
        mdp: the problem.
        first: the policy to begin with, an action a state.
        evaluate: by sweeps as in the box, or exactly, by `policy_values`.
        tolerance: by how much more than an evaluation's error a better action must be better.
    """
    actions = first
    states = np.arange(len(first))
    while True:
        values = evaluate(mdp, mdp.deterministic_policy(actions))
        yield actions, values
        best = greedy_actions(mdp, values, tolerance=tolerance)
        # An action that is as good as the best stays, or two policies of equal worth would take turns for ever.
        improved = np.where(best[states, actions], actions, best.argmax(1))
        if np.array_equal(improved, actions):
            return
        actions = improved


def value_iteration_sweeps(mdp: MDP) -> Iterator[Float[np.ndarray, " states"]]:
    """Value iteration in place, sweep after sweep without end, from 0 (Sec. 4.4's box)."""
    values = np.zeros(len(mdp.rewards))
    while True:
        yield values.copy()
        _optimality_sweep(mdp.transitions, mdp.rewards, mdp.possible, mdp.gamma, values)


def value_iteration(mdp: MDP, *, accuracy: float = 1e-10, sweeps: int = 100_000) -> Float[np.ndarray, " states"]:
    """The optimal values: sweeps until none moves a value by more than `accuracy`.

    Raises:
        UserError: that many sweeps weren't enough, as where rewards without a discount never end.
    """
    values = np.zeros(len(mdp.rewards))
    for _ in range(sweeps):
        if _optimality_sweep(mdp.transitions, mdp.rewards, mdp.possible, mdp.gamma, values) <= accuracy:
            return values
    raise UserError(f"value iteration moved by more than {accuracy:g} after {sweeps} sweeps: give a gamma below 1 or more sweeps")


@compiled
def _optimality_sweep(
    transitions: Float[np.ndarray, "states actions states"],
    rewards: Float[np.ndarray, "states actions"],
    possible: Bool[np.ndarray, "states actions"],
    gamma: float,
    values: Float[np.ndarray, " states"],
) -> float:
    """Give each state in turn its best action's worth, in place; the largest change."""
    change = 0.0
    for state in range(len(values)):
        best = -np.inf
        for action in range(rewards.shape[1]):
            if possible[state, action]:
                worth = 0.0
                for successor in range(len(values)):
                    worth += transitions[state, action, successor] * values[successor]
                best = max(best, rewards[state, action] + gamma * worth)
        change = max(change, abs(best - values[state]))
        values[state] = best
    return change
