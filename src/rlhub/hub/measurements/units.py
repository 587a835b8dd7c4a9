"""What each hidden unit of a trained agent is for, on what it sees while it plays."""

from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from rlhub.agents.agent import Agent
from rlhub.agents.environments import Environments
from rlhub.agents.networks import ACTIVATIONS
from rlhub.agents.trained import trained_agents
from rlhub.core.errors import UserError
from rlhub.core.progress import progress
from rlhub.core.seeding import derive, generator
from rlhub.core.style import colour_of, styled
from rlhub.hub.measurements.result import Result, Row
from rlhub.lens.record import record
from rlhub.lens.units import unit_effects

COPIES, SHOWN = 16, 20


def units(options: Any) -> Result:
    """How much of what the agent does changes when one unit has its value from another moment."""
    subject = trained_agents(options.model, options.runs)
    seed = next(iter(subject.agents)) if options.of is None else options.of
    if seed not in subject.agents:
        raise UserError(f"run {subject.name} has no seed {seed}; it has: {', '.join(map(str, subject.agents))}")
    agent = subject.agents[seed]
    if hasattr(agent, "recurrent"):
        raise UserError(f"{subject.name} has a memory; units are measured in agents whose action depends on one observation alone")
    sites = options.sites or tuple(hidden_sites(agent))
    seen = observations_of(agent, subject.env, count=options.observations, seed=options.seed)
    with progress("swapping units"):
        draw = generator(options.seed, "units")
        effects = unit_effects(agent, lambda: agent.actions(seen, generator=None), sites, changed, generator=draw)
        values = record(agent, seen, sites)
    ranked = sorted(((float(value), name, unit) for name, found in effects.items() for unit, value in enumerate(found)), reverse=True)
    continuous = agent.actions(seen[:1], generator=None).is_floating_point()
    unit = "mean change of the action" if continuous else "share of actions that change"
    rows = [Row(name=f"{name} unit {place}", value=value, unit=unit) for value, name, place in ranked[:SHOWN]]
    without = sum(value == 0 for value, _, _ in ranked)
    figure = go.Figure()
    for place, (name, found) in enumerate(effects.items()):
        ordered = found.sort(descending=True).values.tolist()
        line = {"color": colour_of(name, place)}
        figure.add_trace(go.Scatter(x=list(range(1, len(ordered) + 1)), y=ordered, mode="lines+markers", name=name, line=line))
    styled(figure, title=f"What each hidden unit of {subject.name} decides in {subject.env}")
    figure.update_xaxes(title="units, the most important first")
    figure.update_yaxes(title=unit)
    return Result(
        title=f"{len(ranked)} units of {subject.name} (seed {seed}) on {len(seen)} observations of {subject.env}",
        rows=rows,
        data={"env": subject.env, "seed": seed, "unit": unit, "effects": {name: found.tolist() for name, found in effects.items()}},
        figures={"units": figure},
        tensors={"observations": seen, **values},
        notes=[f"{without} of {len(ranked)} units change nothing by themselves."],
    )


def hidden_sites(agent: Agent) -> list[str]:
    """Everything after an activation on the way to the action, from the input on; not what only values the state."""
    kinds = tuple({*ACTIVATIONS.values(), nn.ReLU})
    aside = ("critic", "critics", "value")
    return [name for name, module in agent.named_modules() if isinstance(module, kinds) and name.partition(".")[0] not in aside]


def changed(before: Shaped[Tensor, "examples ..."], after: Shaped[Tensor, "examples ..."]) -> Float[Tensor, " examples"]:
    """Whether each example's action is another one, or for continuous actions how far it moved."""
    if before.is_floating_point():
        return (after - before).flatten(1).norm(dim=1) if before.ndim > 1 else (after - before).abs()
    different = before != after
    return (different.flatten(1).any(1) if different.ndim > 1 else different).float()


def observations_of(agent: Agent, env: str, *, count: int, seed: int) -> Shaped[Tensor, "observations ..."]:
    """Moments of the agent's own episodes, with actions drawn as in training, evenly over the time it takes to see twice as many."""
    environments = Environments(env, COPIES, seeds=[derive(seed, "units")], pool=False)
    noise, rows = generator(seed, "units", "actions"), []
    with torch.inference_mode():
        for _ in range(-(-2 * count // environments.count)):
            seen = torch.from_numpy(environments.observations.copy())
            after = environments.step(agent.to_environment(agent.actions(seen, generator=noise).numpy()))
            rows.append(seen[torch.from_numpy(~after.begun)])
    environments.close()
    moments = torch.cat(rows)
    return moments[torch.randperm(len(moments), generator=noise)[:count]]
