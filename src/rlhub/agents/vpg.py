"""Vanilla policy gradient with generalised advantages (Sutton et al. 1999; Schulman et al. 2016, arXiv:1506.02438).

In the order that Spinning Up teaches: one gradient of the policy for each roll-out (its Algorithm 1, line 6), then many of the value
function (line 7). Values are fitted to lambda-returns, which are what the advantages say they should have been, and not to sums of rewards
as there: an episode that a roll-out cuts has no such sum.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

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
class VPG:
    """Vanilla policy gradient.

    Attributes:
        env: Gymnasium id of the environment; options of its constructor follow a question mark.
        steps: steps in environments, of all copies together.
        environments: copies that are stepped together.
        rollout: steps of each copy between two updates of the policy.
        learning_rate: Adam's step size for the policy.
        value_learning_rate: Adam's step size for the value function.
        value_updates: gradient steps of the value function for each roll-out.
        discount: gamma.
        decay: lambda of the advantages.
        hidden: widths of the hidden layers, for observations that are vectors.
        activation: tanh, relu, elu or silu.
        normalise_observations: take the mean and variance of all observations so far out of them.
        normalise_rewards: divide rewards by the standard deviation of their discounted sums so far.
        log_std: log standard deviation of continuous actions to begin with.
    """

    env: str = "CartPole-v1"
    steps: int = 200_000
    environments: int = 8
    rollout: int = 250
    learning_rate: float = 3e-4
    value_learning_rate: float = 1e-3
    value_updates: int = 80
    discount: float = 0.99
    decay: float = 0.97
    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    normalise_observations: bool = False
    normalise_rewards: bool = False
    log_std: float = -0.5

    load_model = staticmethod(load_agent)
    tuned: ClassVar[Any] = classmethod(tuned_for)
    trains_several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        counts, rates = "steps environments rollout value_updates", "learning_rate value_learning_rate"
        check_fields(self, at_least={1: counts, 0: "discount decay"}, above={0: rates}, at_most={1: "discount decay"})

    def agent(self, environments: Environments, seed: int) -> ActorCritic:
        """The first agent of a seed."""
        return first_agent(ActorCritic, self, environments, seed, normalise=self.normalise_observations, log_std=self.log_std)

    @with_small_networks
    def train(self, run: Run) -> None:
        """Train in a run."""
        environments = Environments(self.env, self.environments, seeds=run.seeds)
        crew = Crew([self.agent(environments, seed) for seed in run.seeds], run.seeds)
        agent: ActorCritic = crew.together
        policy = Stepper(Parameters(agent.policy_parts, len(run.seeds)), self.learning_rate)
        value = Stepper(Parameters([agent.critic], len(run.seeds)), self.value_learning_rate)
        rollout = Rollout(environments, agent, steps=self.rollout, scale=self.discount if self.normalise_rewards else None)

        parts = {"agent": crew, "policy": policy, "value": value, "rollout": rollout, "environments": environments}
        for step in run.resume(self.steps, by=rollout.rows, **parts):
            rollout.collect(step)
            batch = rollout.batch(discount=self.discount, decay=self.decay)
            metrics = self.improve(agent, policy, batch)
            fitted = self.fit(agent, value, batch)
            agent.observe(batch.observations)
            run.log(step, **metrics, value_loss=fitted, **environments.told())

    def improve(self, agent: ActorCritic, stepper: Stepper, batch: Batch) -> dict[str, Float[Tensor, " seeds"]]:
        """One step along the policy's gradient, E[grad log pi(a|s) A(s, a)]."""
        weights = row_weights(batch.happened)
        policy = agent.policy(batch.observations)
        gains = agent.distribution.log_prob(policy, batch.actions) * standardised(batch.advantages, weights)
        loss = -(gains * weights).sum(1)
        norms = stepper.step(loss.sum())
        entropy = (agent.distribution.entropy(policy.detach()) * weights).sum(1)
        return {"loss": loss.detach(), "entropy": entropy, "gradient_norm": norms}

    def fit(self, agent: ActorCritic, stepper: Stepper, batch: Batch) -> Float[Tensor, " seeds"]:
        """Many steps of least squares of the values on the returns; the last mean squared error."""
        weights, returns = row_weights(batch.happened), batch.returns
        for _ in range(self.value_updates):
            errors = ((agent.value(batch.observations) - returns).square() * weights).sum(1)
            stepper.step(errors.sum())
        return errors.detach()
