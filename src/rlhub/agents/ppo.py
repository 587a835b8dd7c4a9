"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347, Algorithm 1).

The policy is improved by several epochs on its last roll-out. What keeps it near the policy that acted is the clip of the ratio between the
two (Eq. 7); advantages are those of Schulman et al. 2016 (Eq. 11 here).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.agent import Crew, first_agent, load_agent
from rlhub.agents.environments import Environments
from rlhub.agents.parameters import Parameters, Stepper
from rlhub.agents.recurrent import RecurrentActorCritic
from rlhub.agents.rollout import Batch, Rollout, row_weights, standardised
from rlhub.agents.tuned import tuned_for
from rlhub.core.devices import Device
from rlhub.core.errors import UserError
from rlhub.core.processor import with_small_networks
from rlhub.core.returns import clipped_value_error
from rlhub.core.run import Run
from rlhub.core.system import check_fields


@dataclass(frozen=True, kw_only=True)
class PPO:
    """Proximal policy optimisation.

    Attributes:
        env: Gymnasium id of the environment; options of its constructor follow a question mark, as in `LunarLander-v3?enable_wind=true`.
        steps: steps in environments, of all copies together.
        environments: copies that are stepped together.
        rollout: steps of each copy between two updates of the policy (T).
        epochs: times each roll-out is gone through (K).
        minibatches: updates in one epoch.
        learning_rate: Adam's step size.
        schedule: how the learning rate goes on: constant, or linear to 0.
        discount: gamma.
        decay: lambda of the advantages.
        clip: how far from 1 the ratio counts (epsilon).
        clip_schedule: how the clip goes on: constant, or linear to 0.
        value_clip: how far a value may move from what it was in the roll-out; 0 as far as it likes.
        value_weight: the value loss's coefficient (c1).
        entropy_weight: the entropy bonus's coefficient (c2).
        normalise_advantages: scale each minibatch's advantages to mean 0 and standard deviation 1.
        kl_stop: end the epochs once the KL from the policy that acted is 1.5 times this; 0 never.
        max_norm: gradients are scaled down to this norm; 0 never.
        hidden: widths of the hidden layers, for observations that are vectors.
        activation: tanh, relu, elu or silu.
        normalise_observations: take out their running mean and variance.
        normalise_rewards: divide rewards by the running standard deviation of their discounted sum.
        log_std: log standard deviation of continuous actions to begin with.
        lstm: cells of an LSTM before policy and value function, for tasks where one observation doesn't tell enough; 0 has none.
        device: where to learn; auto is a GPU, where there is one, for agents that see images, and the CPU for all others.
    """

    env: str = "CartPole-v1"
    steps: int = 100_000
    environments: int = 32
    rollout: int = 32
    epochs: int = 10
    minibatches: int = 4
    learning_rate: float = 1e-3
    schedule: Literal["constant", "linear"] = "linear"
    discount: float = 0.99
    decay: float = 0.95
    clip: float = 0.2
    clip_schedule: Literal["constant", "linear"] = "constant"
    value_clip: float = 0.0
    value_weight: float = 0.5
    entropy_weight: float = 0.0
    normalise_advantages: bool = True
    kl_stop: float = 0.0
    max_norm: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    normalise_observations: bool = False
    normalise_rewards: bool = False
    log_std: float = 0.0
    lstm: int = 0
    device: Device = "auto"

    load_model = staticmethod(load_agent)
    tuned: ClassVar[Any] = classmethod(tuned_for)
    trains_several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        counts = "steps environments rollout epochs minibatches"
        amounts = "discount decay value_clip value_weight entropy_weight kl_stop max_norm lstm"
        check_fields(self, at_least={1: counts, 0: amounts}, above={0: "learning_rate clip"}, at_most={1: "discount decay"})
        whole, what = (self.environments, "environments") if self.lstm else (self.rollout * self.environments, "rows")
        if self.minibatches > whole:
            raise UserError(f"minibatches is {self.minibatches}, but a roll-out has only {whole} {what} to share out")

    def agent(self, environments: Environments, seed: int) -> ActorCritic:
        """The first agent of a seed."""
        settings = {"normalise": self.normalise_observations, "log_std": self.log_std}
        if self.lstm:
            return first_agent(RecurrentActorCritic, self, environments, seed, lstm=self.lstm, **settings)
        return first_agent(ActorCritic, self, environments, seed, **settings)

    @with_small_networks
    def train(self, run: Run) -> None:
        """Train in a run."""
        environments = Environments(self.env, self.environments, seeds=run.seeds)
        crew = Crew([self.agent(environments, seed) for seed in run.seeds], run.seeds, device=self.device)
        agent: ActorCritic = crew.together
        stepper = Stepper(Parameters([agent], len(run.seeds)), self.learning_rate, eps=1e-5)
        rollout = Rollout(environments, agent, steps=self.rollout, scale=self.discount if self.normalise_rewards else None)

        for step in run.resume(self.steps, by=rollout.rows, agent=crew, stepper=stepper, rollout=rollout, environments=environments):
            rollout.collect(step)
            batch = rollout.batch(discount=self.discount, decay=self.decay)
            near = torch.ones(len(run.seeds), dtype=torch.bool)
            for rows in batch.minibatches(self.minibatches, epochs=self.epochs, seeds=run.seeds, step=step):
                near = self.update(agent, stepper, rows, progress=(step - rollout.rows) / self.steps, near=near)
                if self.kl_stop and not near.any():
                    break
            run.log(step, **self.describe(agent, rows), **environments.told())
            agent.observe(batch.observations)

    def update(
        self, agent: ActorCritic, stepper: Stepper, batch: Batch, *, progress: float, near: Bool[Tensor, " seeds"]
    ) -> Bool[Tensor, " seeds"]:
        """One optimisation step on one minibatch, with the loss of Eq. 9, by the seeds that are still near the policy that acted.

        Args:
            agent: the agents of all seeds.
            stepper: their optimiser.
            batch: the minibatch.
            progress: part of the training that is done.
            near: seeds that may still move; with `kl_stop`, those beyond it stop.

        Returns:
            `near` with this minibatch's KL taken into account.
        """
        clip = self.clip * (1 - progress if self.clip_schedule == "linear" else 1.0)
        rate = self.learning_rate * (1 - progress if self.schedule == "linear" else 1.0)
        weights = row_weights(batch.happened)
        advantages = standardised(batch.advantages, weights) if self.normalise_advantages else batch.advantages

        policy, values = agent.read(batch.observations, batch.memory, batch.happened)
        log_ratio = agent.distribution.log_prob(policy, batch.actions) - batch.log_probs
        losses = clipped_surrogate(log_ratio, advantages, clip=clip)
        losses = losses + self.value_weight * clipped_value_error(values, batch.values, batch.returns, clip=self.value_clip)
        if self.entropy_weight:
            losses = losses - self.entropy_weight * agent.distribution.entropy(policy)
        if self.kl_stop:
            # Schulman's estimate (joschu.net/blog/kl-approx.html) on the rows at hand, before the step that it may forbid.
            divergences = ((log_ratio.detach().expm1() - log_ratio.detach()) * weights).sum(1)
            near = near & (divergences <= 1.5 * self.kl_stop)
        stepper.step((losses * weights).sum(), max_norm=self.max_norm, learning_rate=rate, moving=near if self.kl_stop else None)
        return near

    @torch.no_grad()
    def describe(self, agent: ActorCritic, batch: Batch) -> dict[str, Float[Tensor, " seeds"]]:
        """Where the updates have led on rows that they came from: mean squared value error, entropy, KL from the policy that acted."""
        policy, values = agent.read(batch.observations, batch.memory, batch.happened)
        log_ratio = agent.distribution.log_prob(policy, batch.actions) - batch.log_probs
        parts = {
            "value_loss": (values - batch.returns).square(),
            "entropy": agent.distribution.entropy(policy),
            "kl": log_ratio.expm1() - log_ratio,
            "clipped": (log_ratio.expm1().abs() > self.clip).float(),
        }
        weights = row_weights(batch.happened)
        means = {name: (part * weights).sum(1) for name, part in parts.items()}
        return {"loss": means["value_loss"], **means}


def clipped_surrogate(log_ratio: Float[Tensor, "..."], advantages: Float[Tensor, "..."], *, clip: float) -> Float[Tensor, "..."]:
    """-min(r A, clip(r, 1 - clip, 1 + clip) A), with r = pi(a|s) / pi_old(a|s)   (Schulman et al. 2017, Eq. 7)"""
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
