"""Advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783), with its workers' environments stepped together instead of apart.

Every few steps one gradient is taken through all environments' rows: the policy's with the n-step return minus the value as its advantage,
the value's towards that return, and the entropy's (Sec. 4, Algorithm S3). `a3c` is the asynchronous original.
"""

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
from rlhub.core.devices import Device
from rlhub.core.processor import with_small_networks
from rlhub.core.run import Run
from rlhub.core.system import check_fields


@dataclass(frozen=True, kw_only=True)
class A2C:
    """Advantage actor-critic.

    Attributes:
        env: Gymnasium id of the environment; options of its constructor follow a question mark.
        steps: steps in environments, of all copies together.
        environments: copies that are stepped together.
        rollout: steps of each copy before each update (t_max).
        updates: updates between two lines of the log.
        learning_rate: RMSProp's step size.
        schedule: how the learning rate goes on: constant, or linear to 0.
        discount: gamma.
        decay: lambda of the advantages; 1 is the paper's n-step return.
        value_weight: the value loss's coefficient.
        entropy_weight: the entropy bonus's coefficient (beta).
        normalise_advantages: scale each update's advantages to mean 0 and standard deviation 1.
        max_norm: gradients are scaled down to this norm; 0 never.
        hidden: widths of the hidden layers, for observations that are vectors.
        activation: tanh, relu, elu or silu.
        normalise_observations: take the mean and variance of all observations so far out of them.
        normalise_rewards: divide rewards by the standard deviation of their discounted sums so far.
        log_std: log standard deviation of continuous actions to begin with.
        device: where to learn; auto is a GPU, where there is one, for agents that see images, and the CPU for all others.
    """

    env: str = "CartPole-v1"
    steps: int = 500_000
    environments: int = 8
    rollout: int = 5
    updates: int = 50
    learning_rate: float = 7e-4
    schedule: Literal["constant", "linear"] = "constant"
    discount: float = 0.99
    decay: float = 1.0
    value_weight: float = 0.5
    entropy_weight: float = 0.0
    normalise_advantages: bool = False
    max_norm: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    normalise_observations: bool = False
    normalise_rewards: bool = False
    log_std: float = 0.0
    device: Device = "auto"

    load_model = staticmethod(load_agent)
    tuned: ClassVar[Any] = classmethod(tuned_for)
    trains_several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        amounts = "discount decay value_weight entropy_weight max_norm"
        check_fields(
            self, at_least={1: "steps environments rollout updates", 0: amounts}, above={0: "learning_rate"}, at_most={1: "discount decay"}
        )

    def agent(self, environments: Environments, seed: int) -> ActorCritic:
        """The first agent of a seed."""
        return first_agent(ActorCritic, self, environments, seed, normalise=self.normalise_observations, log_std=self.log_std)

    @with_small_networks
    def train(self, run: Run) -> None:
        """Train in a run."""
        environments = Environments(self.env, self.environments, seeds=run.seeds)
        crew = Crew([self.agent(environments, seed) for seed in run.seeds], run.seeds, device=self.device)
        agent: ActorCritic = crew.together
        stepper = Stepper(Parameters([agent], len(run.seeds)), self.learning_rate, kind="rmsprop", smoothing=(0.0, 0.99), eps=1e-5)
        rollout = Rollout(environments, agent, steps=self.rollout, scale=self.discount if self.normalise_rewards else None)
        stride = self.updates * rollout.rows

        for step in run.resume(self.steps, by=stride, agent=crew, stepper=stepper, rollout=rollout, environments=environments):
            for update in range(self.updates):
                done = step - stride + update * rollout.rows
                rollout.collect(done)
                batch = rollout.batch(discount=self.discount, decay=self.decay)
                metrics = self.update(agent, stepper, batch, progress=min(done / self.steps, 1.0))
                agent.observe(batch.observations)
            run.log(step, **metrics, **environments.told())

    def update(self, agent: ActorCritic, stepper: Stepper, batch: Batch, progress: float) -> dict[str, Float[Tensor, " seeds"]]:
        """One gradient through all rows, and its metrics for each seed."""
        weights = row_weights(batch.happened)
        advantages = standardised(batch.advantages, weights) if self.normalise_advantages else batch.advantages

        policy, values = agent(batch.observations)
        policy_losses = -agent.distribution.log_prob(policy, batch.actions) * advantages
        value_losses = (values - batch.returns).square()
        entropies = agent.distribution.entropy(policy)
        losses = policy_losses + self.value_weight * value_losses - self.entropy_weight * entropies

        loss = (losses * weights).sum(1)
        rate = self.learning_rate * (1 - progress if self.schedule == "linear" else 1.0)
        norms = stepper.step(loss.sum(), max_norm=self.max_norm, learning_rate=rate)
        with torch.no_grad():
            parts = {"policy_loss": policy_losses, "value_loss": value_losses, "entropy": entropies}
            return {"loss": loss.detach(), **{name: (part * weights).sum(1) for name, part in parts.items()}, "gradient_norm": norms}
