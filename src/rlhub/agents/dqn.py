"""Deep Q-learning (Mnih et al. 2015, Nature 518, Algorithm 1), with what became Rainbow (Hessel et al. 2018, arXiv:1710.02298).

The options, each by itself or together: double (van Hasselt et al. 2016, arXiv:1509.06461), duelling networks (arXiv:1511.06581),
prioritised replay (arXiv:1511.05952), n-step returns, and a distribution over returns (C51, arXiv:1707.06887).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlhub.agents.agent import Crew, first_agent, load_agent
from rlhub.agents.environments import Environments
from rlhub.agents.parameters import Parameters, Stepper
from rlhub.agents.q_network import Kept, QNetwork
from rlhub.agents.replay import Replay, Transitions, check_warmup
from rlhub.agents.targets import Target
from rlhub.agents.tuned import tuned_for
from rlhub.core.devices import Device
from rlhub.core.errors import UserError
from rlhub.core.processor import Products, with_small_networks
from rlhub.core.run import Run
from rlhub.core.seeding import generator
from rlhub.core.system import check_fields


@dataclass(frozen=True, kw_only=True)
class DQN:
    """Deep Q-learning.

    Attributes:
        env: Gymnasium id of the environment; options of its constructor follow a question mark.
        steps: steps in environments, of all copies together.
        environments: copies that are stepped together.
        rollout: steps of each copy between two bouts of updates.
        updates: gradient steps in one bout.
        batch: transitions in one update.
        learning_rate: Adam's step size.
        schedule: how the learning rate goes on: constant, or linear to 0.
        discount: gamma.
        capacity: transitions remembered.
        warmup: steps before the first update, acted at random.
        target_every: updates between two copies of the network into its target.
        epsilon: share of random actions at the end.
        exploration: part of the training over which that share falls from 1, as a straight line.
        max_norm: gradients are scaled down to this norm; 0 never.
        hidden: widths of the hidden layers, for observations that are vectors.
        activation: tanh, relu, elu or silu.
        products: matrix products' factors in fp32, or rounded to bf16, which newer processors multiply several times as fast.
        double: the network chooses the next action and the target only values it.
        duelling: the network has a value and advantages by themselves.
        n_step: rewards that are added up before the value counts.
        priority: exponent of the priorities (alpha of prioritised replay); 0 draws evenly.
        importance: exponent of the weights that correct for priorities, at the beginning; it rises to 1 (beta).
        atoms: atoms of the distribution over returns; 0 learns means.
        lowest: the lowest atom; returns beyond the ends count as the ends, and the log says how much probability lies there
            (mass_at_ends).
        highest: the highest atom.
        device: where to learn; auto is a GPU, where there is one, for agents that see images, and the CPU for all others.
    """

    env: str = "CartPole-v1"
    steps: int = 50_000
    environments: int = 1
    rollout: int = 256
    updates: int = 128
    batch: int = 64
    learning_rate: float = 2.3e-3
    schedule: Literal["constant", "linear"] = "constant"
    discount: float = 0.99
    capacity: int = 100_000
    warmup: int = 1_000
    target_every: int = 128
    epsilon: float = 0.04
    exploration: float = 0.16
    max_norm: float = 10.0
    hidden: tuple[int, ...] = (256, 256)
    activation: Literal["tanh", "relu", "elu", "silu"] = "relu"
    products: Products = "fp32"
    double: bool = False
    duelling: bool = False
    n_step: int = 1
    priority: float = 0.0
    importance: float = 0.4
    atoms: int = 0
    lowest: float = -10.0
    highest: float = 10.0
    device: Device = "auto"

    load_model = staticmethod(load_agent)
    tuned: ClassVar[Any] = classmethod(tuned_for)
    trains_several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        counts = "steps environments rollout updates batch capacity target_every n_step"
        amounts = "discount warmup epsilon max_norm priority importance atoms"
        check_fields(
            self, at_least={1: counts, 0: amounts}, above={0: "learning_rate exploration"}, at_most={1: "discount epsilon exploration"}
        )
        check_warmup(self.steps, self.warmup)
        if self.atoms == 1 or (self.atoms and self.lowest >= self.highest):
            raise UserError(
                f"atoms is {self.atoms} from {self.lowest:g} to {self.highest:g}; a distribution has 2 atoms or more, ascending"
            )

    def agent(self, environments: Environments, seed: int) -> QNetwork:
        """The first agent of a seed."""
        support = (self.lowest, self.highest, self.atoms) if self.atoms else None
        return first_agent(QNetwork, self, environments, seed, duelling=self.duelling, support=support)

    @with_small_networks
    def train(self, run: Run) -> None:
        """Train in a run."""
        environments = Environments(self.env, self.environments, seeds=run.seeds)
        crew = Crew([self.agent(environments, seed) for seed in run.seeds], run.seeds, device=self.device)
        online: QNetwork = crew.together
        stepper = Stepper(Parameters([online], len(run.seeds)), self.learning_rate)
        target = Target(online, [stepper.parameters], lambda network: [[network]])
        replay = self.replay(environments, seeds=len(run.seeds), device=online.device)
        stride = self.rollout * environments.copies

        for step in run.resume(self.steps, by=stride, agent=crew, stepper=stepper, target=target, replay=replay, environments=environments):
            actions = self.epsilon_greedy(online, replay, run.seeds, step - stride)
            replay.collect(environments, online, self.rollout, partial(next, actions))
            metrics: dict[str, Float[Tensor, " seeds"]] = {}
            draws = [generator(seed, "replay", step) for seed in run.seeds]
            updates = range((step // stride - 1) * self.updates, step // stride * self.updates)
            for update in updates if step > self.warmup else ():
                batch = replay.draw(self.batch, draws, steps=self.n_step, discount=self.discount, importance=self.importance_at(step))
                errors, metrics = self.update(online, target.network, stepper, batch, progress=min(1.0, step / self.steps))
                if replay.priorities is not None:
                    replay.priorities.update(batch.places, errors.cpu())
                if update % self.target_every == 0:
                    target.follow()
            run.log(step, **metrics, epsilon=self.epsilon_at(step), **environments.told())

    def epsilon_greedy(self, online: QNetwork, replay: Replay, seeds: tuple[int, ...], step: int) -> Iterator[Int[Tensor, "seeds copies"]]:
        """The actions of a bout, each for what is seen when it is asked for."""
        shape = (self.rollout, replay.count)
        draws = [generator(seed, "actions", step) for seed in seeds]
        at_random = torch.stack([torch.rand(shape, generator=draw) for draw in draws], 1)
        choices = torch.stack([torch.randint(online.count, shape, generator=draw) for draw in draws], 1)
        for place in range(self.rollout):
            explores = at_random[place] < self.epsilon_at(step + place * replay.count)
            best = online.expected(Kept(online, replay.newest).outputs).argmax(-1)
            yield torch.where(explores, choices[place], best.cpu())

    @torch.no_grad()
    def update(
        self, online: QNetwork, target: QNetwork, stepper: Stepper, batch: Transitions, progress: float = 0.0
    ) -> tuple[Float[Tensor, "seeds batch"], dict[str, Float[Tensor, " seeds"]]]:
        """One step of the temporal-difference errors' Huber loss, or of the distributions' cross-entropy; each row's error, and metrics."""
        outputs = Kept(target, batch.following).outputs
        following = target.expected(outputs)
        chosen = online.expected(Kept(online, batch.following).outputs).argmax(-1) if self.double else following.argmax(-1)
        kept = Kept(online, batch.observations)
        taken = of_actions(kept.outputs, batch.actions)
        if self.atoms:
            goals = projected(of_actions(outputs, chosen).softmax(-1), batch.rewards, batch.discounts, online.atoms)
            log_probs = taken.log_softmax(-1)
            values = log_probs.exp() @ online.atoms
            losses = errors = -(goals * log_probs).sum(-1)
            slopes = log_probs.exp() - goals
        else:
            targets = batch.rewards + batch.discounts * following.gather(-1, chosen[..., None])[..., 0]
            values = taken[..., 0]
            errors = targets - values
            losses = nn.functional.smooth_l1_loss(values, targets, reduction="none")
            slopes = -errors.clamp(-1, 1)[..., None]
        slopes = slopes * (batch.weights / errors.shape[1])[..., None]
        kept.back(torch.zeros_like(kept.outputs).scatter_(2, places_of(batch.actions, slopes.shape[-1]), slopes[:, :, None]))
        rate = self.learning_rate * (1 - progress if self.schedule == "linear" else 1.0)
        norms = stepper.parameters.clip(self.max_norm)
        stepper.descend(rate)
        metrics = {"loss": (losses * batch.weights).mean(1), "value": values.mean(1), "gradient_norm": norms}
        if self.atoms:
            metrics["mass_at_ends"] = (goals[..., 0] + goals[..., -1]).mean(1)
        return errors, metrics

    def epsilon_at(self, step: int) -> float:
        """The share of random actions after so many steps."""
        if step < self.warmup:
            return 1.0
        return 1.0 + (self.epsilon - 1.0) * min(1.0, step / (self.exploration * self.steps))

    def importance_at(self, step: int) -> float:
        """How far weights correct for priorities after so many steps."""
        return self.importance + (1.0 - self.importance) * min(1.0, step / self.steps)

    def replay(self, environments: Environments, *, seeds: int, device: torch.device | None = None) -> Replay:
        """An empty memory."""
        actions = torch.zeros(environments.count, dtype=torch.long)
        return Replay(
            environments.box, actions, seeds=seeds, capacity=self.capacity, steps=self.steps, priority=self.priority, device=device
        )


def of_actions(
    outputs: Float[Tensor, "seeds batch actions width"], actions: Int[Tensor, "seeds batch"]
) -> Float[Tensor, "seeds batch width"]:
    """Each row's outputs for one action."""
    return outputs.gather(2, places_of(actions, outputs.shape[-1]))[:, :, 0]


def places_of(actions: Int[Tensor, "seeds batch"], width: int) -> Int[Tensor, "seeds batch 1 width"]:
    """Where `of_actions` finds them."""
    return actions[..., None, None].expand(-1, -1, 1, width)


def projected(
    probabilities: Float[Tensor, "... atoms"],
    rewards: Float[Tensor, "..."],
    discounts: Float[Tensor, "..."],
    atoms: Float[Tensor, " atoms"],
) -> Float[Tensor, "... atoms"]:
    """The distribution of r + discount Z on the atoms (Bellemare et al. 2017, Algorithm 1).

    Each shifted atom shares its probability between its neighbours, the more the nearer; beyond the ends it all goes to the end.
    """
    width = atoms[1] - atoms[0]
    shifted = (rewards[..., None] + discounts[..., None] * atoms).clamp(atoms[0], atoms[-1])
    shares = (1 - (shifted[..., :, None] - atoms).abs() / width).clamp(min=0)
    return (probabilities[..., None] * shares).sum(-2)
