"""What a trained agent is: an ordinary module that can act, and that a checkpoint's folder brings back without its training."""

import copy
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from jaxtyping import Bool, Shaped
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlhub.agents.environments import Environments
from rlhub.agents.networks import stacked, state_of
from rlhub.agents.spaces import alike, describe_space, flatten_batch, observation_box, space_of
from rlhub.agents.torsos import is_image
from rlhub.core.devices import Device, chosen_device
from rlhub.core.errors import UserError
from rlhub.core.files import read_json, write_json
from rlhub.core.seeding import generator

DESCRIPTION, WEIGHTS = "agent.json", "model.safetensors"


class Agent(nn.Module):
    """A network that acts in an environment; algorithms' own kinds derive from it.

    Attributes:
        observation_space: of the environment.
        action_space: of the environment.
        box: observations as the network gets them, discrete ones and dictionaries having become vectors.
        settings: the keyword arguments that make such an agent again.
    """

    def __init__(self, observation_space: Space[Any], action_space: Space[Any], *, env: str, **settings: Any) -> None:
        """Keep what acting needs; `env` is for messages."""
        super().__init__()
        self.observation_space, self.action_space = observation_space, action_space
        self.box = observation_box(observation_space, env)
        self.settings = {"env": env, **settings}

    def actions(self, observations: Shaped[Tensor, "..."], *, generator: torch.Generator | None) -> Tensor:
        """Actions as the algorithm's buffers hold them: the best ones, or with a generator drawn as in training."""
        raise NotImplementedError

    def check_fits(self, observation_space: Space[Any], action_space: Space[Any], env: str) -> None:
        """Refuse an environment that the agent can't see or act in.

        Raises:
            UserError: its spaces are others than the agent's.
        """
        for what, own, other in (
            ("shows", self.observation_space, observation_space),
            ("takes the actions", self.action_space, action_space),
        ):
            if not alike(own, other):
                raise UserError(f"the agent was trained in {self.settings['env']}, which {what} {own}; {env} {what} {other}: give another")

    def begin(self, rows: Bool[Tensor, "..."] | None = None) -> None:
        """An episode begins, in these rows of what `actions` is asked for or in all: an agent with a memory forgets."""

    def act(self, observation: Any, *, generator: torch.Generator | None = None) -> Any:
        """The action for what the environment shows, in the form that its `step` takes.

        Args:
            observation: one of the environment's.
            generator: draw the action from the policy with it; without one, the policy's best action.
        """
        return self.act_each(batch_of_one(self.observation_space, observation), 1, generator=generator)[0]

    @torch.no_grad()
    def act_each(self, observations: Any, count: int, *, generator: torch.Generator | None = None) -> Any:
        """The actions for a batch of so many observations, as `act` gives one's."""
        seen = torch.from_numpy(np.ascontiguousarray(flatten_batch(self.observation_space, observations, count)))
        return self.to_environment(self.actions(seen.to(self.device), generator=generator).cpu().numpy())

    def to_environment(self, actions: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """Actions as the environment takes them: discrete ones from where its space begins, continuous ones within its bounds and shape."""
        if isinstance(self.action_space, Box):
            return within(self.action_space, actions.reshape(*actions.shape[:-1], *self.action_space.shape))
        if isinstance(self.action_space, Discrete | MultiDiscrete):
            return actions + self.action_space.start
        return actions

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.parameters()).device

    def save(self, folder: Path, state: dict[str, Tensor] | None = None) -> None:
        """Write `agent.json` and `model.safetensors`; `state` in place of its own."""
        kind = f"{type(self).__module__}:{type(self).__qualname__}"
        spaces = {"observation": describe_space(self.observation_space), "action": describe_space(self.action_space)}
        write_json(folder / DESCRIPTION, {"kind": kind, **spaces, "settings": self.settings})
        save_file({name: value.cpu().contiguous() for name, value in (state or self.state_dict()).items()}, folder / WEIGHTS)


Kind = TypeVar("Kind", bound=Agent)


def first_agent(kind: type[Kind], system: Any, environments: Environments, seed: int, **settings: Any) -> Kind:
    """A system's agent before training: its kind, with the system's hidden layers and activation, and the seed's weights."""
    return kind(
        environments.observation_space,
        environments.action_space,
        hidden=system.hidden,
        activation=system.activation,
        env=system.env,
        generator=generator(seed, "weights"),
        **settings,
    )


def load_agent(folder: str | Path) -> Agent:
    """The agent in a checkpoint's folder, in evaluation mode, on the CPU.

    Raises:
        UserError: there is none.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        several = sorted(path.parent.name for path in folder.glob(f"*/{DESCRIPTION}"))
        hint = f"; it holds several, one a seed: {', '.join(several)}" if several else ""
        raise UserError(f"{folder} holds no agent{hint}")
    told = read_json(folder / DESCRIPTION)
    module, _, name = told["kind"].partition(":")
    kind: type[Agent] = getattr(import_module(module), name)
    agent = kind(space_of(told["observation"]), space_of(told["action"]), **told["settings"])
    agent.load_state_dict(load_file(folder / WEIGHTS))
    return agent.eval()


class Crew:
    """The agents of all seeds that train together.

    Attributes:
        together: one module for all, whose inputs have the seeds' axis in front.
        seeds: the seeds.
    """

    def __init__(self, agents: Sequence[Agent], seeds: Sequence[int], *, device: Device = "cpu") -> None:
        """Stack freshly made agents of one shape, and put them where they learn; `auto` is a GPU for agents that see images."""
        self._ordinary, self.seeds = copy.deepcopy(agents[0]), tuple(seeds)
        self.together: Any = stacked(agents).to(chosen_device(device, large=is_image(agents[0].box)))

    def save_model(self, folder: Path) -> None:
        """Each agent as an ordinary one: in the folder itself, or where there are several in `seed<number>`."""
        for place, inside in enumerate(self._folders(folder)):
            inside.mkdir(exist_ok=True)
            self._ordinary.save(inside, state_of(self.together, self._ordinary, place, len(self.seeds)))

    def load_model(self, folder: Path) -> None:
        """Take the weights of a checkpoint, into the memory that is there."""
        states = [load_file(inside / WEIGHTS) for inside in self._folders(folder)]
        with torch.no_grad():
            for name, value in self.together.state_dict(keep_vars=True).items():
                value.copy_(torch.stack([state[name] for state in states]).reshape(value.shape))

    def state_dict(self) -> dict[str, Any]:
        """Nothing that the models' own files don't hold."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""

    def _folders(self, folder: Path) -> list[Path]:
        return [folder] if len(self.seeds) == 1 else [folder / f"seed{seed}" for seed in self.seeds]


def batch_of_one(space: Space[Any], observation: Any) -> Any:
    """One observation with a batch axis in front of every part."""
    if isinstance(observation, dict):
        return {key: batch_of_one(space[key], part) for key, part in observation.items()}  # type: ignore[index]
    if isinstance(observation, tuple):
        return tuple(batch_of_one(part, value) for part, value in zip(space, observation, strict=True))  # type: ignore[call-overload]
    return np.asarray(observation)[None]


def within(space: Box, actions: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Continuous actions as the space has them: within its bounds, and where it counts in whole numbers, the nearest."""
    held = np.clip(actions, space.low, space.high)
    return (np.rint(held) if space.dtype.kind in "iu" else held).astype(space.dtype, copy=False)
