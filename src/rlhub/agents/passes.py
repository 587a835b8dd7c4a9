"""A network's forward and backward pass, written out: its matrix products and little else.

The papers of off-policy learning state gradients, and for networks this small a step of autograd costs as much as the arithmetic. So these
algorithms compute the slope at a network's output themselves and send it back: activations are overwritten where they lie, parameters'
gradients are written where the optimiser reads them, and nothing is computed that nobody asks for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

aten = torch.ops.aten
THIN = 24


@dataclass(frozen=True)
class Elementwise:
    """How an activation is computed both ways.

    Attributes:
        forward: the activation, in its argument's memory unless `reads_input`.
        back: overwrites the slope at the activation's output (first) with that at its input, knowing the output (second), or the input.
        reads_input: the output doesn't tell the slope.
    """

    forward: Callable[[Tensor], Tensor]
    back: Callable[[Tensor, Tensor], Any]
    reads_input: bool = False


ELEMENTWISE: dict[type[nn.Module], Elementwise] = {
    nn.ReLU: Elementwise(torch.relu_, lambda slope, y: aten.threshold_backward.grad_input(slope, y, 0, grad_input=slope)),
    nn.Tanh: Elementwise(torch.tanh_, lambda slope, y: aten.tanh_backward.grad_input(slope, y, grad_input=slope)),
    nn.ELU: Elementwise(torch.nn.functional.elu_, lambda slope, y: aten.elu_backward.grad_input(slope, 1, 1, 1, True, y, grad_input=slope)),
    nn.SiLU: Elementwise(nn.functional.silu, lambda slope, x: aten.silu_backward.grad_input(slope, x, grad_input=slope), reads_input=True),
}


@dataclass(frozen=True)
class Layers:
    """What a pass needs of a perceptron, looked up once: finding a module's attributes takes as long as a small product.

    Attributes:
        products: its linear layers.
        weights, biases: theirs.
        elementwise: the activations between them.
        stacked: whether it is several networks side by side.
    """

    products: tuple[Any, ...]
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    elementwise: tuple[Elementwise, ...]
    stacked: bool

    @classmethod
    def of(cls, network: nn.Module) -> "Layers":
        """Those of a network, whose parameters stay the ones it has."""
        found = _LAYERS.get(network)
        if found is None:
            assert isinstance(network, nn.Sequential)  # noqa: S101 (what `mlp` makes)
            modules: list[Any] = list(network)
            products = tuple(modules[::2])
            found = _LAYERS[network] = cls(
                products=products,
                weights=tuple(layer.weight for layer in products),
                biases=tuple(layer.bias for layer in products),
                elementwise=tuple(ELEMENTWISE[type(module)] for module in modules[1::2]),
                stacked=products[0].weight.ndim == 3,
            )
        return found


_LAYERS: WeakKeyDictionary[nn.Module, Layers] = WeakKeyDictionary()


class Pass:
    """A pass through a perceptron (`networks.mlp`, or several stacked), kept so that slopes can be sent back through it.

    Attributes:
        output: what came out, [..., outputs].
    """

    def __init__(self, network: nn.Module, x: Float[Tensor, "... inputs"], *, every: int = 1) -> None:
        """Send a batch through.

        Args:
            network: the perceptron.
            x: its input; that of stacked networks is [networks, batch, inputs].
            every: leave out all but each so many of the stacked networks; then their parameters can't be written to.
        """
        self._layers = layers = Layers.of(network)
        self._precision, self._shape = torch.get_float32_matmul_precision(), x.shape
        self._rounds = self._precision != "highest"
        self._weights, biases = layers.weights, layers.biases
        if every > 1:
            self._weights, biases = (tuple(part[::every] for part in parts) for parts in (layers.weights, layers.biases))
        x = x if layers.stacked else x.flatten(0, -2)
        self._inputs, self._kept = [x], []
        for place, (weight, bias) in enumerate(zip(self._weights, biases, strict=True)):
            self._round(weight, x)
            x = torch.baddbmm(bias[:, None], x, weight.mT) if layers.stacked else nn.functional.linear(x, weight, bias)
            if place < len(layers.elementwise):
                kind = layers.elementwise[place]
                before, x = x, kind.forward(x)
                self._kept.append(before if kind.reads_input else x)
                self._inputs.append(x)
        self._round_as_before()
        self.output: Float[Tensor, "... outputs"] = x if layers.stacked else x.view(*self._shape[:-1], -1)

    def back(self, slope: Float[Tensor, "... outputs"]) -> None:
        """Write the slopes of a scalar by the parameters into their `grad`, over what is there; `slope` is that by the output. Once."""
        self._send(slope, parameters=True, inputs=False)

    def through(self, slope: Float[Tensor, "... outputs"], *, parameters: bool = False) -> Float[Tensor, "... inputs"]:
        """The slope by the input; with `parameters`, those are written, too."""
        return self._send(slope, parameters=parameters, inputs=True).view(self._shape)

    def _send(self, slope: Float[Tensor, "... outputs"], *, parameters: bool, inputs: bool) -> Tensor:
        multiply = torch.bmm if self._layers.stacked else torch.mm
        if not self._layers.stacked:
            slope = slope.flatten(0, -2)
        for place in reversed(range(len(self._weights))):
            layer, weight = self._layers.products[place], self._weights[place]
            self._round(weight, slope)
            outputs, thin = weight.shape[-2], weight.shape[-1] < THIN
            # Products with a thin right side take three times as long as with a thin left one, or with one that is laid out by columns; and
            # those of a single column with a row, which only multiply, twice as long as multiplying.
            if parameters:
                if thin:
                    layer.weight.grad.copy_(multiply(self._inputs[place].mT, slope).mT)
                else:
                    multiply(slope.mT, self._inputs[place], out=layer.weight.grad)
                torch.sum(slope, -2, out=layer.bias.grad)
            if place or inputs:
                slope = slope * weight if outputs == 1 else multiply(slope, weight.mT.contiguous().mT if thin else weight)
            if place:
                self._layers.elementwise[place - 1].back(slope, self._kept[place - 1])
        self._round_as_before()
        return slope

    def _round(self, weight: Tensor, rows: Float[Tensor, "... rows numbers"]) -> None:
        """Where products' factors are rounded to bfloat16, leave thin ones whole: rounding them takes longer than multiplying."""
        if self._rounds:
            thin = min(rows.shape[-2], *weight.shape[-2:]) < THIN
            torch.set_float32_matmul_precision("highest" if thin else self._precision)

    def _round_as_before(self) -> None:
        if self._rounds:
            torch.set_float32_matmul_precision(self._precision)


class Reading:
    """What a torso makes of observations, kept so that slopes can be sent back where it has parameters.

    Attributes:
        features: [..., features].
        learns: whether there is anything to send back to.
    """

    def __init__(self, torso: nn.Module, observations: Shaped[Tensor, "..."]) -> None:
        """Read a batch."""
        with torch.enable_grad():
            self._features = torso(observations)
        self._torso, self.learns = torso, self._features.requires_grad
        self.features: Float[Tensor, "... features"] = self._features.detach()

    def back(self, slope: Float[Tensor, "... features"]) -> None:
        """Write the slopes by the torso's parameters into their `grad`, over what is there."""
        for parameter in self._torso.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        self._features.backward(slope)
