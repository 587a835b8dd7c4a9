"""Soft actor-critic (Haarnoja et al. 2018, arXiv:1801.01290 and arXiv:1812.05905, Algorithm 1), with the temperature learnt.

The actor is rewarded for entropy too: the critics learn r + discount (min Q(s', a') - alpha log pi(a'|s')), a' drawn from the policy
(Eq. 5), the actor descends alpha log pi(a|s) - min Q(s, a) through its reparametrised action (Eq. 9), and alpha keeps the entropy at its
target: log alpha descends log alpha (entropy - target), Eq. 18. Gradients are the papers' own, sent back through the networks as they are
stated there (`passes`).
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from gymnasium.spaces import Discrete
from jaxtyping import Float
from torch import Tensor, nn

from rlhub.agents.agent import Crew, first_agent, load_agent
from rlhub.agents.continuous import SquashedGaussianAgent
from rlhub.agents.environments import Environments
from rlhub.agents.parameters import Parameters, Stepper
from rlhub.agents.passes import Reading
from rlhub.agents.replay import Replay, Transitions, check_warmup
from rlhub.agents.soft_categorical import SoftCategoricalAgent
from rlhub.agents.targets import Target
from rlhub.agents.tuned import tuned_for
from rlhub.core.processor import Products, with_small_networks
from rlhub.core.run import Run
from rlhub.core.seeding import generator
from rlhub.core.system import check_fields

SoftAgent: TypeAlias = SquashedGaussianAgent | SoftCategoricalAgent


@dataclass(frozen=True, kw_only=True)
class SAC:
    """Soft actor-critic.

    Attributes:
        env: Gymnasium id of the environment; options of its constructor follow a question mark.
        steps: steps in environments, of all copies together.
        environments: copies that are stepped together.
        rollout: steps of each copy between two bouts of updates.
        updates: gradient steps in one bout.
        log_every: bouts between two lines of the log.
        batch: transitions in one update.
        learning_rate: Adam's step size for actor, critics and temperature.
        discount: gamma.
        share: how far the targets move to their networks in each update (tau).
        capacity: transitions remembered.
        warmup: steps before the first update, acted at random.
        temperature: alpha; None learns it.
        target_entropy: nats that the learnt temperature keeps; by default minus the numbers in an action, or for discrete actions 0.98 of
            an even choice's.
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
    learning_rate: float = 3e-4
    discount: float = 0.99
    share: float = 0.005
    capacity: int = 1_000_000
    warmup: int = 1_000
    temperature: float | None = None
    target_entropy: float | None = None
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
            self, at_least={1: counts, 0: "discount warmup"}, above={0: "learning_rate share temperature"}, at_most={1: "discount share"}
        )
        check_warmup(self.steps, self.warmup)

    def agent(self, environments: Environments, seed: int) -> SoftAgent:
        """The first agent of a seed: over discrete actions, or over bounded continuous ones."""
        discrete = isinstance(environments.action_space, Discrete)
        kind: type[SoftAgent] = SoftCategoricalAgent if discrete else SquashedGaussianAgent
        return first_agent(kind, self, environments, seed)

    @with_small_networks
    def train(self, run: Run) -> None:
        """Train in a run."""
        environments = Environments(self.env, self.environments, seeds=run.seeds)
        crew = Crew([self.agent(environments, seed) for seed in run.seeds], run.seeds)
        agent: SoftAgent = crew.together
        learners = Learners(agent, len(run.seeds), self)
        actions = agent.no_action.expand(environments.count, *agent.no_action.shape)
        replay = Replay(environments.box, actions, seeds=len(run.seeds), capacity=self.capacity, steps=self.steps)
        bout = self.rollout * environments.copies

        for step in run.resume(
            self.steps, by=bout * self.log_every, agent=crew, learners=learners, replay=replay, environments=environments
        ):
            draws = [generator(seed, "sac", step) for seed in run.seeds]
            metrics: dict[str, Float[Tensor, " seeds"]] = {}
            for done in range(step - bout * self.log_every, step, bout):
                replay.collect(environments, agent, self.rollout, partial(acted, agent, replay, draws, done < self.warmup))
                for _ in range(self.updates if done >= self.warmup else 0):
                    metrics = self.update(agent, learners, replay.draw(self.batch, draws, discount=self.discount), draws)
            run.log(step, **metrics, **environments.told())

    @torch.no_grad()
    def update(
        self, agent: SoftAgent, learners: "Learners", batch: Transitions, draws: list[torch.Generator]
    ) -> dict[str, Float[Tensor, " seeds"]]:
        """One step of the critics, the actor and the temperature, then of the targets."""
        alpha = learners.log_alpha.detach().exp()[:, None]
        target, seen = learners.target.network, learners.target.network.torso(batch.following)
        following, _ = agent.soft_value(agent.torso(batch.following), target, seen, agent.noise(self.batch, draws), alpha)
        targets = batch.rewards + batch.discounts * following
        reading = Reading(agent.torso, batch.observations)
        errors = agent.fit(learners.critics, reading, batch.actions, targets)

        read = reading.features
        values, entropies = agent.soft_value(read, agent, read, agent.noise(self.batch, draws), alpha, improve=True)
        learners.actor.descend()

        entropy = entropies.mean(1)
        if self.temperature is None:
            wanted = agent.usual_entropy if self.target_entropy is None else self.target_entropy
            learners.temperature.parameters.gradients.copy_(entropy - wanted)
            learners.temperature.descend()
        learners.target.follow(self.share)
        return {"loss": errors.square().sum(1).mean(1), "soft_value": values.mean(1), "entropy": entropy, "alpha": alpha[:, 0]}


def acted(agent: SoftAgent, replay: Replay, draws: list[torch.Generator], at_random: bool) -> Tensor:
    """Actions of the policy for what is seen now, or before there is anything to learn from, actions drawn evenly."""
    return agent.at_random(replay.count, draws) if at_random else agent.drawn(replay.newest, agent.noise(replay.count, draws))


class Learners:
    """The optimisers of a soft actor-critic, its targets and its temperature.

    Attributes:
        critics, actor, temperature: their optimisers.
        target: the slow copy.
        log_alpha: each seed's log temperature.
    """

    def __init__(self, agent: SoftAgent, seeds: int, system: SAC) -> None:
        """Make them for agents that are stacked."""
        rate = system.learning_rate
        critics = Parameters(agent.critic_parts)
        self.critics = Stepper(critics, rate)
        self.actor = Stepper(Parameters([agent.actor], seeds), rate)
        self.target = Target(agent, [critics], lambda network: [network.critic_parts])
        self.log_alpha = nn.Parameter(torch.full((seeds,), math.log(system.temperature or 1.0)))
        self.temperature = Stepper(Parameters([self.log_alpha], seeds), rate)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the agent itself."""
        parts = {name: getattr(self, name).state_dict() for name in ("critics", "actor", "temperature", "target")}
        return {**parts, "log_alpha": self.log_alpha}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put it back."""
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        for name in ("critics", "actor", "temperature", "target"):
            getattr(self, name).load_state_dict(state[name])
