"""A network's parameters in one piece of memory, so that a whole step of an optimiser is a handful of calls.

A small network's update is dominated by the calls and not by the arithmetic. With parameters and gradients side by side, zeroing, clipping,
Adam, Polyak averages and conjugate gradients are each one operation however many layers there are.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.optim.rmsprop import rmsprop

Optimiser = Literal["adam", "rmsprop"]


class Parameters:
    """All parameters of parts of a network, flat.

    Attributes:
        seeds: how many models they are the parameters of, side by side (`networks.stacked`).
        values: all numbers of the first seed, then those of the next, each in the order of the parameters; writing here writes into the
            network.
        gradients: the same for their gradients.
    """

    def __init__(self, parts: Sequence[nn.Module | nn.Parameter], seeds: int = 1, *, share: bool = False) -> None:
        """Move the parts' parameters into one tensor.

        Args:
            parts: of the network.
            seeds: where there are several, their axis is the first of every parameter. Where nothing is asked of each by itself (no sum, no
                spread, no limit on its gradient's norm), all can go as one.
            share: put the values where other processes can write them, too.
        """
        found = [list(part.parameters()) if isinstance(part, nn.Module) else [part] for part in parts]
        parameters = [parameter for group in found for parameter in group if parameter.numel()]
        self._parameters = parameters
        self.seeds = seeds
        self.values: Float[Tensor, " numbers"] = self._flat([parameter.detach() for parameter in parameters])
        if share:
            self.values.share_memory_()
        self.gradients: Float[Tensor, " numbers"] = torch.zeros_like(self.values)
        sizes = [parameter.numel() // seeds for parameter in parameters]
        columns = (part.view(seeds, -1).split(sizes, 1) for part in (self.values, self.gradients))
        for parameter, values, gradients in zip(parameters, *columns, strict=True):
            rest = parameter.shape[1:] if seeds > 1 else parameter.shape
            parameter.data = values.view(seeds, *rest) if seeds > 1 else values[0].view(rest)
            parameter.grad = gradients.view(seeds, *rest) if seeds > 1 else gradients[0].view(rest)

    def _flat(self, parts: Sequence[Tensor]) -> Float[Tensor, " numbers"]:
        """Tensors shaped as the parameters, each seed's numbers side by side."""
        return torch.cat([part.reshape(self.seeds, -1) for part in parts], 1).flatten()

    def gradient(self, scalar: Float[Tensor, ""], *, twice: bool = False, keep: bool = False) -> Float[Tensor, " numbers"]:
        """A scalar's gradient, by itself.

        Args:
            scalar: what is differentiated.
            twice: the gradient will be differentiated again.
            keep: the graph will be used again.
        """
        parts = torch.autograd.grad(scalar, self._parameters, create_graph=twice, retain_graph=twice or keep)
        return self._flat(parts)

    def sum(self, numbers: Float[Tensor, " numbers"]) -> Float[Tensor, " seeds"]:
        """Numbers laid out as the parameters are, added up for each seed."""
        return numbers.view(self.seeds, -1).sum(1)

    def spread(self, factors: Shaped[Tensor, " seeds"]) -> Shaped[Tensor, "..."]:
        """One number a seed, laid out so that it meets that seed's parameters."""
        return factors[:, None].expand(-1, len(self.values) // self.seeds).flatten() if self.seeds > 1 else factors

    def clip(self, largest: float) -> Float[Tensor, " seeds"]:
        """Scale each seed's gradient down to a norm, and tell what its norm was."""
        gradients = self.gradients.view(self.seeds, -1)
        norms = torch.linalg.vector_norm(gradients, dim=1)
        if largest:
            gradients.mul_((largest / (norms + 1e-6)).clamp_(max=1.0)[:, None])
        return norms


class Stepper:
    """An optimiser over flat parameters, by torch's own functions: its classes cost a second of imports, and as much time as the step.

    Attributes:
        parameters: what it changes.
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float,
        *,
        kind: Optimiser = "adam",
        smoothing: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        """Make the optimiser.

        Args:
            parameters: what it changes.
            learning_rate: step size, where a step brings none of its own.
            kind: Adam (Kingma & Ba 2015, arXiv:1412.6980) or RMSProp (Tieleman & Hinton 2012).
            smoothing: decay of the running gradients and of their running squares; RMSProp has only the latter.
            eps: what is added to the root of the squares.
        """
        self.parameters, self._rate, self._kind, self._smoothing, self._eps = parameters, learning_rate, kind, smoothing, eps
        self._steps = torch.zeros(parameters.seeds, device=parameters.values.device)
        self._means, self._squares = torch.zeros_like(parameters.values), torch.zeros_like(parameters.values)
        # Once some seeds have stood still while others moved, each has its own count of steps, and its own step.
        self._apart = False

    def step(
        self,
        loss: Float[Tensor, ""],
        *,
        max_norm: float = 0.0,
        learning_rate: float | None = None,
        moving: Bool[Tensor, " seeds"] | None = None,
    ) -> Float[Tensor, " seeds"]:
        """Descend the loss by one step.

        Args:
            loss: summed over the seeds, whose gradients don't touch each other.
            max_norm: each seed's gradient is scaled down to this norm; 0 never.
            learning_rate: of this step, where it changes.
            moving: seeds that take the step; the others stay as they are, their running averages included. By default all.

        Returns:
            Each seed's gradient norm before it was scaled down.
        """
        self.parameters.gradients.zero_()
        loss.backward()
        norms = self.parameters.clip(max_norm)
        self.descend(learning_rate, None if moving is None or bool(moving.all()) else moving)
        return norms

    @torch.no_grad()
    def descend(self, learning_rate: float | None = None, moving: Bool[Tensor, " seeds"] | None = None) -> None:
        """One step down the gradients that lie in the parameters already.

        Args:
            learning_rate: of this step, where it changes.
            moving: see `step`.
        """
        rate = self._rate if learning_rate is None else learning_rate
        self._apart = self._apart or moving is not None
        numbers = [self.parameters.values, self.parameters.gradients, self._means, self._squares]
        if self._apart:
            chosen = range(len(self._steps)) if moving is None else moving.nonzero()[:, 0].tolist()
            if not chosen:
                return
            values, gradients, means, squares = ([part.view(len(self._steps), -1)[seed] for seed in chosen] for part in numbers)
            steps = [self._steps[seed] for seed in chosen]
        else:
            (values, gradients, means, squares), steps = ([part] for part in numbers), [self._steps[0]]
        shared: dict[str, Any] = {"lr": rate, "eps": self._eps, "weight_decay": 0.0, "maximize": False}
        if self._kind == "adam":
            beta1, beta2 = self._smoothing
            self._steps += 1 if moving is None else moving.to(self._steps.device)
            # What torch.optim's Adam comes to when it is fused; its own ways there take as long again for small networks.
            torch._fused_adam_(values, gradients, means, squares, [], steps, beta1=beta1, beta2=beta2, amsgrad=False, **shared)
        else:
            decay = self._smoothing[1]
            rmsprop(values, gradients, squares, [], [], steps, foreach=False, alpha=decay, momentum=0, centered=False, **shared)

    def state_dict(self) -> dict[str, Any]:
        """The running averages; parameters are the network's."""
        return {"steps": self._steps, "means": self._means, "squares": self._squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put them back."""
        for name, part in self.state_dict().items():
            part.copy_(state[name])
        self._apart = bool((self._steps != self._steps[0]).any())
