"""Every algorithm's losses: the gradient that a step descends is the slope of the loss, by finite differences in float64."""

from dataclasses import replace

import pytest
import torch

from rlhub.agents.a2c import A2C
from rlhub.agents.a3c import A3C
from rlhub.agents.continuous import climb
from rlhub.agents.ddpg import DDPG
from rlhub.agents.dqn import DQN
from rlhub.agents.environments import Environments
from rlhub.agents.parameters import Parameters, Stepper
from rlhub.agents.ppo import PPO
from rlhub.agents.replay import Transitions
from rlhub.agents.rollout import Batch, Rollout
from rlhub.agents.sac import SAC, Learners
from rlhub.agents.targets import Target
from rlhub.agents.td3 import TD3
from rlhub.agents.vpg import VPG
from rlhub.core.seeding import generator

ROWS = 12


class Scale(Stepper):
    """Stands where an optimiser does: takes no step, and keeps the loss and its gradient."""

    def __init__(self, parameters):
        super().__init__(parameters, 1e-3)

    def step(self, loss, **_):
        self.parameters.gradients.zero_()
        loss.backward(retain_graph=True)
        self.loss, self.slope = loss.detach().clone(), self.parameters.gradients.clone()
        return self.parameters.clip(0.0)

    def descend(self, *_):
        self.slope = self.parameters.gradients.clone()


def agree(scale, update, size=1e-6, loss=None):
    """Along random directions, the loss (by default the one that was descended) changes as its gradient says."""

    def measured():
        found = update()
        return float(scale.loss if loss is None else loss(found))

    measured()
    slope = scale.slope.clone()
    assert slope.abs().max() > 1e-6
    draw = torch.Generator().manual_seed(5)
    for _ in range(4):
        direction = torch.randn(slope.shape, dtype=torch.float64, generator=draw)
        direction /= direction.norm()
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                scale.parameters.values.add_(sign * size * direction)
            ends.append(measured())
            with torch.no_grad():
                scale.parameters.values.sub_(sign * size * direction)
        assert (ends[0] - ends[1]) / (2 * size) == pytest.approx(float(slope @ direction), rel=1e-4, abs=1e-7)


def in_float64(agent):
    """With observations as they are: an agent's own reading makes them float32."""
    agent.torso = torch.nn.Identity()
    return agent.double()


def half(found):
    """The critics' loss, of which what is told is twice."""
    return 0.5 * found["loss"]


def doubled(part):
    return part.double() if torch.is_tensor(part) and part.is_floating_point() else part


def on_policy(system):
    """An agent that has moved on from the one that acted, and what that one did, in float64."""
    environments = Environments(system.env, 3, seeds=[0])
    agent = system.agent(environments, 0)
    rollout = Rollout(environments, agent, steps=ROWS)
    rollout.collect(1)
    batch = rollout.batch(discount=0.9, decay=0.9)
    agent = in_float64(agent)
    parameters = Parameters([agent])
    with torch.no_grad():
        parameters.values.add_(0.05 * torch.randn(parameters.values.shape, generator=torch.Generator().manual_seed(1)))
    return agent, Scale(parameters), Batch(**{name: doubled(part) for name, part in vars(batch).items()})


def transitions(environments, actions):
    draw = torch.Generator().manual_seed(2)
    seen = torch.randn(2, 1, ROWS, *environments.box.shape, generator=draw, dtype=torch.float64)
    numbers = torch.randn(2, 1, ROWS, generator=draw, dtype=torch.float64)
    return Transitions(
        observations=seen[0],
        actions=actions,
        rewards=numbers[0],
        following=seen[1],
        discounts=torch.full((1, ROWS), 0.9, dtype=torch.float64),
        places=torch.zeros(1, ROWS, dtype=torch.long),
        weights=numbers[1].abs(),
    )


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("fields", [{}, {"value_clip": 0.1, "entropy_weight": 0.1}, {"lstm": 5, "minibatches": 1}])
def test_ppos(env, fields):
    system = PPO(env=env, hidden=(8,), environments=4, **fields)
    agent, scale, batch = on_policy(system)
    near = torch.ones(1, dtype=torch.bool)
    agree(scale, lambda: system.update(agent, scale, batch, progress=0.0, near=near))


def test_the_policy_gradients():
    agent, scale, batch = on_policy(A2C(hidden=(8,)))
    agree(scale, lambda: A2C(entropy_weight=0.1).update(agent, scale, batch, progress=0.0))
    agree(scale, lambda: scale.step(A3C().loss(agent, batch)))
    agree(scale, lambda: VPG().improve(agent, scale, batch))
    agree(scale, lambda: VPG(value_updates=1).fit(agent, scale, batch))


@pytest.mark.parametrize("options", [{}, {"double": True, "duelling": True}, {"atoms": 7, "lowest": -2.0, "highest": 2.0, "double": True}])
def test_q_learnings(options):
    system = DQN(hidden=(8,), **options)
    environments = Environments(system.env, 1, seeds=[0])
    agent = in_float64(system.agent(environments, 0))
    scale = Scale(Parameters([agent]))
    target = Target(agent, [scale.parameters], lambda network: [[network]]).network
    with torch.no_grad():
        scale.parameters.values.add_(0.3 * torch.randn(scale.parameters.values.shape, generator=torch.Generator().manual_seed(1)))
    batch = transitions(environments, torch.arange(ROWS)[None] % 2)
    agree(scale, lambda: system.update(agent, target, scale, batch)[1], loss=lambda found: found["loss"])


@pytest.mark.parametrize("kind", [DDPG, TD3])
def test_the_deterministic_actors_and_critics(kind):
    system = kind(hidden=(8,), batch=ROWS)
    environments = Environments(system.env, 1, seeds=[0])
    agent = in_float64(system.agent(environments, 0))
    batch = transitions(environments, torch.linspace(-0.9, 0.9, ROWS, dtype=torch.float64)[None, :, None])
    critics, actor = Scale(Parameters(agent.critic_parts)), Scale(Parameters([agent.actor]))
    target = Target(agent, [critics.parameters, actor.parameters], lambda network: [network.critic_parts, [network.actor]]).network
    if kind is DDPG:
        agree(critics, lambda: system.update_critic(agent, target, critics, batch), loss=half)
    else:
        agree(critics, lambda: system.update_critics(agent, target, critics, batch, [generator(0, "blur")]), loss=half)
    agree(actor, lambda: climb(agent, actor, batch.observations), loss=lambda found: found["actor_loss"])


@pytest.mark.parametrize("env", ["Pendulum-v1", "CartPole-v1"])
def test_soft_actor_critics(env):
    system = SAC(env=env, hidden=(8,), batch=ROWS)
    environments = Environments(env, 1, seeds=[0])
    agent = in_float64(system.agent(environments, 0))
    actions = torch.linspace(-0.9, 0.9, ROWS, dtype=torch.float64)[None, :, None] if env == "Pendulum-v1" else torch.arange(ROWS)[None] % 2
    batch = transitions(environments, actions)
    learners = Learners(agent, 1, replace(system, temperature=0.3))
    scales = {name: Scale(getattr(learners, name).parameters) for name in ("critics", "actor", "temperature")}
    for name, scale in scales.items():
        setattr(learners, name, scale)
    # The targets follow the critics by nothing, so that an update leaves everything as it was.
    still = replace(system, share=1e-30)
    losses = {"critics": half, "actor": lambda found: -found["soft_value"]}
    for name, loss in losses.items():
        agree(scales[name], lambda: still.update(agent, learners, batch, [generator(0, "noise")]), loss=loss)


@pytest.mark.parametrize(("wanted", "sign"), [(50.0, 1), (-50.0, -1)])
def test_the_temperature_moves_against_the_entropys_distance_from_its_target(wanted, sign):
    system = SAC(hidden=(8,), batch=ROWS, target_entropy=wanted)
    environments = Environments(system.env, 1, seeds=[0])
    agent = system.agent(environments, 0)
    batch = transitions(environments, torch.zeros(1, ROWS, 1))
    batch = Transitions(**{name: part.float() if part.is_floating_point() else part for name, part in vars(batch).items()})
    learners = Learners(agent, 1, system)
    system.update(agent, learners, batch, [generator(0, "noise")])
    assert sign * learners.log_alpha > 0
