"""Off-policy prediction with linear features: what diverges and what doesn't (Sutton & Barto 2018, chapter 11).

A problem is a `Prediction`: a finite MDP, two policies and a table of features. Methods give their weights at every step, [steps + 1,
features], so that divergence can be looked at.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from rlhub.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Values of a target policy wanted while another one behaves.

    Attributes:
        features: [states, features].
        transitions: [states, actions, states] probabilities.
        rewards: [states, actions] expected rewards.
        target: [states, actions] probabilities of the policy that is evaluated.
        behaviour: [states, actions] probabilities of the one that acts.
        gamma: discount, below 1.

    Raises:
        UserError: probabilities don't sum to 1, the discount isn't in [0, 1), or the target does what the behaviour never does.
    """

    features: np.ndarray
    transitions: np.ndarray
    rewards: np.ndarray
    target: np.ndarray
    behaviour: np.ndarray
    gamma: float

    def __post_init__(self) -> None:
        """Refuse what isn't a problem."""
        for name in ("transitions", "target", "behaviour"):
            given = getattr(self, name)
            if given.min() < 0 or not np.allclose(given.sum(-1), 1):
                raise UserError(f"Prediction's {name} don't sum to 1 in some row: give probabilities")
        if not 0 <= self.gamma < 1:
            raise UserError(f"Prediction's gamma is {self.gamma}: give a discount of at least 0 and below 1")
        if np.any((self.target > 0) & (self.behaviour == 0)):
            raise UserError("Prediction's target takes an action that its behaviour never takes: give the behaviour a chance of it")

    @cached_property
    def ratios(self) -> Float[np.ndarray, "states actions"]:
        """Importance sampling ratios (rho)."""
        return np.divide(self.target, self.behaviour, out=np.zeros_like(self.target), where=self.behaviour > 0)

    @cached_property
    def weighting(self) -> Float[np.ndarray, " states"]:
        """The share of time that the behaviour spends in each state (mu)."""
        chain = np.einsum("sa,sat->st", self.behaviour, self.transitions)
        states = len(chain)
        return np.linalg.lstsq(np.vstack([chain.T - np.eye(states), np.ones(states)]), np.eye(states + 1)[-1], rcond=None)[0]

    @cached_property
    def target_chain(self) -> Float[np.ndarray, "states states"]:
        """The transition probabilities under the target policy."""
        return np.einsum("sa,sat->st", self.target, self.transitions)

    @cached_property
    def target_rewards(self) -> Float[np.ndarray, " states"]:
        """The expected rewards under the target policy."""
        return (self.target * self.rewards).sum(1)

    def bellman_error(self, weights: Float[np.ndarray, "*many features"]) -> Float[np.ndarray, "*many states"]:
        """The expected TD error of each state under the target policy (eq. 11.17)."""
        values = weights @ self.features.T
        return self.target_rewards + self.gamma * values @ self.target_chain.T - values

    def value_error(self, weights: Float[np.ndarray, "*many features"]) -> Float[np.ndarray, "*many"]:
        """The root of the mean square value error under the behaviour's weighting (eq. 9.1)."""
        truth = np.linalg.solve(np.eye(len(self.rewards)) - self.gamma * self.target_chain, self.target_rewards)
        return np.asarray(np.sqrt((weights @ self.features.T - truth) ** 2 @ self.weighting))

    def projected_bellman_error(self, weights: Float[np.ndarray, "*many features"]) -> Float[np.ndarray, "*many"]:
        """The root of the mean square projected Bellman error (eq. 11.26)."""
        weighted = self.features.T * self.weighting
        along = self.bellman_error(weights) @ weighted.T
        return np.asarray(np.sqrt(np.maximum(((along @ np.linalg.pinv(weighted @ self.features)) * along).sum(-1), 0)))


def baird() -> Prediction:
    """Baird's counterexample (Fig. 11.1): 7 states, 8 weights, no reward; dashed leads to one of six states, solid to the seventh."""
    features = np.zeros((7, 8))
    features[np.arange(6), np.arange(6)], features[:6, 7] = 2, 1
    features[6, 6], features[6, 7] = 1, 2
    transitions = np.zeros((7, 2, 7))
    transitions[:, 0, :6], transitions[:, 1, 6] = 1 / 6, 1
    return Prediction(
        features=features,
        transitions=transitions,
        rewards=np.zeros((7, 2)),
        target=np.tile([0.0, 1.0], (7, 1)),
        behaviour=np.tile([6 / 7, 1 / 7], (7, 1)),
        gamma=0.99,
    )


def baird_start() -> Float[np.ndarray, "8"]:
    """The weights that the book starts from."""
    return np.array([1.0, 1, 1, 1, 1, 1, 10, 1])


def semi_gradient_td(
    problem: Prediction, first: Float[np.ndarray, " features"], *, steps: int, step_size: float, seed: int
) -> Float[np.ndarray, "moments features"]:
    """Semi-gradient off-policy TD(0) along the behaviour's path (eq. 11.2)."""
    return gradient_correction(problem, first, steps=steps, step_size=step_size, correction_step_size=0.0, seed=seed)


def gradient_correction(
    problem: Prediction, first: Float[np.ndarray, " features"], *, steps: int, step_size: float, correction_step_size: float, seed: int
) -> Float[np.ndarray, "moments features"]:
    """TDC, or GTD(0), along the behaviour's path (Sec. 11.7); with a correction step size of 0 it is semi-gradient TD."""
    generator = np.random.default_rng(seed)
    weights, second, path = first.astype(float), np.zeros(len(first)), [first.astype(float)]
    ratios, (states, actions) = problem.ratios, problem.rewards.shape
    state = generator.choice(states, p=problem.weighting / problem.weighting.sum())
    for _ in range(steps):
        action = generator.choice(actions, p=problem.behaviour[state])
        following = generator.choice(states, p=problem.transitions[state, action])
        here, there, ratio = problem.features[state], problem.features[following], ratios[state, action]
        error = problem.rewards[state, action] + problem.gamma * there @ weights - here @ weights
        weights = weights + step_size * ratio * (error * here - problem.gamma * there * (here @ second))
        second = second + correction_step_size * ratio * (error - here @ second) * here
        path.append(weights)
        state = following
    return np.array(path)


def expected_semi_gradient(
    problem: Prediction, first: Float[np.ndarray, " features"], *, sweeps: int, step_size: float
) -> Float[np.ndarray, "moments features"]:
    """Semi-gradient dynamic programming: every state's expected update at once, all counted alike (eq. 11.9)."""
    path = [first.astype(float)]
    for _ in range(sweeps):
        path.append(path[-1] + step_size / len(problem.features) * problem.features.T @ problem.bellman_error(path[-1]))
    return np.array(path)


def expected_gradient_correction(
    problem: Prediction, first: Float[np.ndarray, " features"], *, sweeps: int, step_size: float, correction_step_size: float
) -> Float[np.ndarray, "moments features"]:
    """TDC with each update replaced by what is expected under the behaviour's weighting."""
    weighted, second, path = problem.features.T * problem.weighting, np.zeros(len(first)), [first.astype(float)]
    for _ in range(sweeps):
        along, guess = weighted @ problem.bellman_error(path[-1]), problem.features @ second
        correction = problem.gamma * (problem.target_chain @ problem.features).T @ (problem.weighting * guess)
        path.append(path[-1] + step_size * (along - correction))
        second = second + correction_step_size * (along - weighted @ guess)
    return np.array(path)


def expected_emphatic_td(
    problem: Prediction, first: Float[np.ndarray, " features"], *, sweeps: int, step_size: float
) -> Float[np.ndarray, "moments features"]:
    """One-step emphatic TD with interest 1 everywhere, in expectation (Sec. 11.8).

    With the behaviour settled, the expected emphasis of a state times its share of time obeys m_t = mu + gamma P' m_{t-1}, where P
    holds the target's transitions: weighted by the ratios, the behaviour's steps are the target's.
    """
    path, weighting = [first.astype(float)], problem.weighting
    emphasis = weighting
    for _ in range(sweeps):
        path.append(path[-1] + step_size * problem.features.T @ (emphasis * problem.bellman_error(path[-1])))
        emphasis = weighting + problem.gamma * problem.target_chain.T @ emphasis
    return np.array(path)
