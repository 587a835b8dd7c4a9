"""Deep deterministic policy gradient (Lillicrap et al. 2015, arXiv:1509.02971, Algorithm 1).

Q-learning for continuous actions: the critic learns r + discount Q'(s', mu'(s')) from replay (Eq. 4), the actor climbs the critic's value
of its own action (Eq. 6), and both have slow copies for targets.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rlhub.agents.agent import Crew, first_agent, load_agent
from rlhub.agents.continuous import DeterministicAgent, climb, explored
from rlhub.agents.environments import Environments
from rlhub.agents.parameters import Parameters, Stepper
from rlhub.agents.passes import Reading
from rlhub.agents.replay import Replay, Transitions, check_warmup
from rlhub.agents.targets import Target
from rlhub.agents.tuned import tuned_for
from rlhub.core.processor import Products, with_small_networks
from rlhub.core.run import Run
from rlhub.core.seeding import generator
from rlhub.core.system import check_fields


@dataclass(frozen=True, kw_only=True)
class DDPG:
    """Deep deterministic policy gradient.

    Attributes:
        env: Gymnasium id of the environment; options of its constructor follow a question mark.
        steps: steps in environments, of all copies together.
        environments: copies that are stepped together.
        rollout: steps of each copy between two bouts of updates.
        updates: gradient steps in one bout.
        log_every: bouts between two lines of the log.
        batch: transitions in one update.
        learning_rate: Adam's step size for actor and critics.
        discount: gamma.
        share: how far the targets move to their networks each time (tau).
        capacity: transitions remembered.
        warmup: steps before the first update, acted at random.
        exploration: standard deviation of the noise on actions, which lie in [-1, 1].
        hidden: widths of the hidden layers.
        activation: tanh, relu, elu or silu.
        products: matrix products' factors in fp32, or rounded to bf16, which newer processors multiply several times as fast.
    """

    env: str = "Pendulum-v1"
    steps: int = 20_000
    environments: int = 1
    rollout: int = 1
    updates: int = 1
    log_every: int = 1000
    batch: int = 256
    learning_rate: float = 1e-3
    discount: float = 0.99
    share: float = 0.005
    capacity: int = 1_000_000
    warmup: int = 1_000
    exploration: float = 0.1
    hidden: tuple[int, ...] = (256, 256)
    activation: Literal["tanh", "relu", "elu", "silu"] = "relu"
    products: Products = "fp32"

    load_model = staticmethod(load_agent)
    tuned: ClassVar[Any] = classmethod(tuned_for)
    trains_several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        counts = "steps environments rollout updates log_every batch capacity"
        check_fields(
            self, at_least={1: counts, 0: "discount warmup exploration"}, above={0: "learning_rate share"}, at_most={1: "discount share"}
        )
        check_warmup(self.steps, self.warmup)

    def agent(self, environments: Environments, seed: int) -> DeterministicAgent:
        """The first agent of a seed."""
        return first_agent(DeterministicAgent, self, environments, seed, critics=1)

    @with_small_networks
    def train(self, run: Run) -> None:
        """Train in a run."""
        environments = Environments(self.env, self.environments, seeds=run.seeds)
        crew = Crew([self.agent(environments, seed) for seed in run.seeds], run.seeds)
        agent: DeterministicAgent = crew.together
        critic = Stepper(Parameters(agent.critic_parts), self.learning_rate)
        actor = Stepper(Parameters([agent.actor], len(run.seeds)), self.learning_rate)
        target = Target(agent, [critic.parameters, actor.parameters], lambda network: [network.critic_parts, [network.actor]])
        actions = torch.zeros(environments.count, agent.count)
        replay = Replay(environments.box, actions, seeds=len(run.seeds), capacity=self.capacity, steps=self.steps)
        bout = self.rollout * environments.copies

        for step in run.resume(
            self.steps,
            by=bout * self.log_every,
            agent=crew,
            critic=critic,
            actor=actor,
            target=target,
            replay=replay,
            environments=environments,
        ):
            draws = [generator(seed, "ddpg", step) for seed in run.seeds]
            metrics: dict[str, Float[Tensor, " seeds"]] = {}
            for done in range(step - bout * self.log_every, step, bout):
                noise = self.exploration if done >= self.warmup else None
                replay.collect(environments, agent, self.rollout, partial(explored, agent, replay, draws, noise))
                for _ in range(self.updates if done >= self.warmup else 0):
                    batch = replay.draw(self.batch, draws, discount=self.discount)
                    metrics = self.update_critic(agent, target.network, critic, batch) | climb(agent, actor, batch.observations)
                    target.follow(self.share)
            run.log(step, **metrics, **environments.told())

    @torch.no_grad()
    def update_critic(
        self, agent: DeterministicAgent, target: DeterministicAgent, stepper: Stepper, batch: Transitions
    ) -> dict[str, Float[Tensor, " seeds"]]:
        """One step of the critic towards y = r + discount Q'(s', mu'(s'))."""
        following = target.torso(batch.following)
        targets = batch.rewards + batch.discounts * target.judge(following, target.act_on(following)).values[:, 0]
        errors = agent.fit(stepper, Reading(agent.torso, batch.observations), batch.actions, targets)[:, 0]
        return {"loss": errors.square().mean(1), "value": (errors + targets).mean(1)}
