"""Trust region policy optimisation (Schulman et al. 2015, arXiv:1502.05477).

Each roll-out's policy step maximises the surrogate E[ratio * A] under E[KL(old || new)] <= delta (Eq. 14): along the natural gradient,
found by conjugate gradients on Fisher-vector products (App. C), as far as the quadratic model of the KL allows, then shortened until the KL
itself holds and the surrogate has risen. The value function is fitted to the returns by least squares.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.agent import Crew, first_agent, load_agent
from rlhub.agents.environments import Environments
from rlhub.agents.parameters import Parameters, Stepper
from rlhub.agents.rollout import Batch, Rollout, row_weights, standardised
from rlhub.agents.tuned import tuned_for
from rlhub.core.processor import with_small_networks
from rlhub.core.run import Run
from rlhub.core.system import check_fields


@dataclass(frozen=True, kw_only=True)
class TRPO:
    """Trust region policy optimisation.

    Attributes:
        env: Gymnasium id of the environment; options of its constructor follow a question mark.
        steps: steps in environments, of all copies together.
        environments: copies that are stepped together.
        rollout: steps of each copy between two updates of the policy.
        kl: largest mean KL from the policy that acted (delta).
        conjugate_steps: iterations of the conjugate gradients.
        damping: what is added to the Fisher matrix's diagonal.
        backtracks: most times that the step is shortened; then there is none.
        shrink: by how much each time.
        value_learning_rate: Adam's step size for the value function.
        value_updates: gradient steps of the value function for each roll-out, each on its share of the rows.
        discount: gamma.
        decay: lambda of the advantages.
        hidden: widths of the hidden layers, for observations that are vectors.
        activation: tanh, relu, elu or silu.
        normalise_observations: take the mean and variance of all observations so far out of them.
        normalise_rewards: divide rewards by the standard deviation of their discounted sums so far.
        log_std: log standard deviation of continuous actions to begin with.
    """

    env: str = "CartPole-v1"
    steps: int = 100_000
    environments: int = 8
    rollout: int = 128
    kl: float = 0.01
    conjugate_steps: int = 15
    damping: float = 0.1
    backtracks: int = 10
    shrink: float = 0.8
    value_learning_rate: float = 1e-3
    value_updates: int = 80
    discount: float = 0.99
    decay: float = 0.95
    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    normalise_observations: bool = False
    normalise_rewards: bool = False
    log_std: float = 0.0

    load_model = staticmethod(load_agent)
    tuned: ClassVar[Any] = classmethod(tuned_for)
    trains_several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        counts = "steps environments rollout conjugate_steps value_updates"
        check_fields(
            self,
            at_least={1: counts, 0: "discount decay damping backtracks"},
            above={0: "kl shrink value_learning_rate"},
            at_most={1: "discount decay shrink"},
        )

    def agent(self, environments: Environments, seed: int) -> ActorCritic:
        """The first agent of a seed."""
        return first_agent(ActorCritic, self, environments, seed, normalise=self.normalise_observations, log_std=self.log_std)

    @with_small_networks
    def train(self, run: Run) -> None:
        """Train in a run."""
        environments = Environments(self.env, self.environments, seeds=run.seeds)
        crew = Crew([self.agent(environments, seed) for seed in run.seeds], run.seeds)
        agent: ActorCritic = crew.together
        policy = Parameters(agent.policy_parts, len(run.seeds))
        value = Stepper(Parameters([agent.critic], len(run.seeds)), self.value_learning_rate)
        rollout = Rollout(environments, agent, steps=self.rollout, scale=self.discount if self.normalise_rewards else None)

        for step in run.resume(self.steps, by=rollout.rows, agent=crew, value=value, rollout=rollout, environments=environments):
            rollout.collect(step)
            batch = rollout.batch(discount=self.discount, decay=self.decay)
            metrics = self.improve(agent, policy, batch)
            for rows in batch.minibatches(8, epochs=-(-self.value_updates // 8), seeds=run.seeds, step=step):
                weights = row_weights(rows.happened)
                errors = ((agent.value(rows.observations) - rows.returns).square() * weights).sum(1)
                value.step(errors.sum())
            agent.observe(batch.observations)
            run.log(step, **metrics, value_loss=errors.detach(), **environments.told())

    def improve(self, agent: ActorCritic, parameters: Parameters, batch: Batch) -> dict[str, Float[Tensor, " seeds"]]:
        """The policy's step, and what it did: surrogate, KL and the part of the full step taken, for each seed."""
        weights = row_weights(batch.happened)
        advantages = standardised(batch.advantages, weights)
        old = agent.policy(batch.observations).detach()

        def surrogate() -> Float[Tensor, " seeds"]:
            log_probs = agent.distribution.log_prob(agent.policy(batch.observations), batch.actions)
            return ((log_probs - batch.log_probs).exp() * advantages * weights).sum(1)

        def divergence() -> Float[Tensor, " seeds"]:
            return (agent.distribution.kl(old, agent.policy(batch.observations)) * weights).sum(1)

        before = surrogate()
        gradient = parameters.gradient(before.sum())
        slope = parameters.gradient(divergence().sum(), twice=True)

        def fisher(vector: Float[Tensor, " numbers"]) -> Float[Tensor, " numbers"]:
            return parameters.gradient((slope * vector).sum(), keep=True) + self.damping * vector

        direction = conjugate_gradients(fisher, gradient, parameters, steps=self.conjugate_steps)
        curvature = parameters.sum(direction * fisher(direction))
        full = direction * parameters.spread((2 * self.kl / curvature.clamp(min=1e-12)).sqrt())
        taken = self.search(parameters, full, surrogate, divergence, before.detach())
        with torch.no_grad():
            entropy = (agent.distribution.entropy(agent.policy(batch.observations)) * weights).sum(1)
            return {"loss": -surrogate(), "kl": divergence(), "step_size": taken, "entropy": entropy}

    @torch.no_grad()
    def search(
        self,
        parameters: Parameters,
        full: Float[Tensor, " numbers"],
        surrogate: Callable[[], Float[Tensor, " seeds"]],
        divergence: Callable[[], Float[Tensor, " seeds"]],
        before: Float[Tensor, " seeds"],
    ) -> Float[Tensor, " seeds"]:
        """Shorten each seed's step until its KL holds and its surrogate has risen; the part of the step that was taken, 0 if none was."""
        start = parameters.values.clone()
        taken = torch.zeros_like(before)
        searching = torch.ones_like(before, dtype=torch.bool)
        for backtrack in range(self.backtracks + 1):
            trial = torch.where(searching, torch.full_like(taken, self.shrink**backtrack), taken)
            parameters.values.copy_(start + full * parameters.spread(trial))
            found = searching & (divergence() <= self.kl) & (surrogate() > before)
            taken = torch.where(found, trial, taken)
            searching &= ~found
            if not searching.any():
                break
        parameters.values.copy_(start + full * parameters.spread(taken))
        return taken


def conjugate_gradients(
    product: Callable[[Float[Tensor, " numbers"]], Float[Tensor, " numbers"]],
    target: Float[Tensor, " numbers"],
    parameters: Parameters,
    *,
    steps: int,
    tolerance: float = 1e-10,
) -> Float[Tensor, " numbers"]:
    """x with A x = target, for a positive definite A known by its products with vectors (Hestenes & Stiefel 1952).

    Args:
        product: v -> A v; seeds don't touch each other.
        target: the right-hand side.
        parameters: tell whose number is whose.
        steps: most iterations.
        tolerance: a seed whose squared residual is below this stays where it is.
    """
    found, residual, direction = torch.zeros_like(target), target.clone(), target.clone()
    left = parameters.sum(residual.square())
    for _ in range(steps):
        going = left > tolerance
        image = product(direction)
        length = torch.where(going, left / parameters.sum(direction * image).clamp(min=1e-30), 0.0)
        found = found + parameters.spread(length) * direction
        residual = residual - parameters.spread(length) * image
        after = parameters.sum(residual.square())
        direction = residual + parameters.spread(torch.where(going, after / left.clamp(min=1e-30), 0.0)) * direction
        left = after
    return found
