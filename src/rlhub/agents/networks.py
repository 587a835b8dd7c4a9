"""Networks of agents: ordinary modules, and many of one shape side by side as one.

Training several seeds at once needs one network a seed but pays for one: `stacked` puts the weights of equally shaped modules on a first
axis, so that a layer of all of them is one batched product. Whatever is written with ordinary modules works on inputs [..., features] as
well as, stacked, on [seeds, batch, features].
"""

import copy
import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU}


def mlp(sizes: Sequence[int], *, activation: str = "tanh") -> nn.Sequential:
    """Linear layers with an activation between each two of them; the last one's output is as it is."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


class Convolution(nn.Conv2d):
    """A convolution of images with any number of axes before the channels."""

    def forward(self, images: Float[Tensor, "... channels height width"]) -> Float[Tensor, "... features rows columns"]:
        """Convolve each image."""
        return super().forward(images.flatten(0, -4)).unflatten(0, images.shape[:-3])


class Normalise(nn.Module):
    """Observations with the mean and variance of those seen so far taken out, and clipped; counts only what `observe` is given.

    Attributes:
        mean, variance, count: running moments (Chan, Golub & LeVeque 1979 for how two sets' moments are merged).
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, width: int, clip: float = 10.0) -> None:
        """Moments of `width` numbers."""
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """Clip (x - mean) / standard deviation."""
        return ((x - self.mean) * (self.variance + 1e-8).rsqrt()).clamp(-self.clip, self.clip)

    @torch.no_grad()
    def observe(self, x: Float[Tensor, "... batch width"]) -> None:
        """Let a batch change the moments."""
        x = x.flatten(0, -2) if self.mean.ndim == 1 else x
        many = x.shape[-2]
        variance, mean = torch.var_mean(x, dim=-2, correction=0, keepdim=self.mean.ndim > 1)
        total = self.count + many
        shift = mean - self.mean
        merged = self.variance * self.count + variance * many + shift.square() * self.count * many / total
        self.mean.add_(shift * many / total)
        self.variance.copy_(merged / total)
        self.count.copy_(total)


class StackedLinear(nn.Module):
    """Linear layers of one shape, each for its own slice of the first axis."""

    bias: nn.Parameter | None

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        """Take the weights of ordinary layers."""
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight for layer in layers]).detach())
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases)) if biases else None

    def beside(self, others: Sequence["StackedLinear"]) -> "StackedLinear":
        """All the layers of these, in their order."""
        whole = copy.deepcopy(self)
        whole.weight = nn.Parameter(torch.cat([layer.weight.detach() for layer in (self, *others)]))
        biases = [layer.bias.detach() for layer in (self, *others) if layer.bias is not None]
        whole.bias = nn.Parameter(torch.cat(biases)) if biases else None
        return whole

    def forward(self, x: Float[Tensor, "layers batch inputs"]) -> Float[Tensor, "layers batch outputs"]:
        """Each layer's product with its own batch."""
        if self.bias is None:
            return torch.bmm(x, self.weight.mT)
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)


class StackedConvolution(nn.Module):
    """Convolutions of one shape, each for its own slice of the first axis, as the groups of one."""

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        """Take the weights of ordinary layers."""
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight for layer in layers]).detach())
        self.bias = nn.Parameter(torch.stack([layer.bias for layer in layers if layer.bias is not None]).detach())
        self.stride, self.padding = layers[0].stride, layers[0].padding

    def forward(self, images: Float[Tensor, "layers batch channels height width"]) -> Float[Tensor, "layers batch features rows columns"]:
        """Each layer's convolution of its own images."""
        count = len(images)
        if images.is_cuda:
            # cuDNN has fast ways for plain convolutions, and few for groups.
            each = zip(images, self.weight, self.bias, strict=True)
            return torch.stack([nn.functional.conv2d(*parts, stride=self.stride, padding=self.padding) for parts in each])
        beside = images.transpose(0, 1).flatten(1, 2)
        out = nn.functional.conv2d(
            beside, self.weight.flatten(0, 1), self.bias.flatten(), stride=self.stride, padding=self.padding, groups=count
        )
        return out.unflatten(1, (count, -1)).transpose(0, 1)


def stacked(modules: Sequence[nn.Module]) -> nn.Module:
    """Modules of one shape as one, for inputs with an axis for them in front; a single one stays as it is.

    Parameters and buffers keep their names. Those of linear layers and convolutions get the new axis in front; any other module's get it
    and an axis of 1 for the batch, since they are added or multiplied.
    """
    if len(modules) == 1:
        return modules[0]
    first = modules[0]
    if isinstance(first, StackedLinear):
        return first.beside([module for module in modules[1:] if isinstance(module, StackedLinear)])
    if isinstance(first, nn.Linear):
        return StackedLinear([module for module in modules if isinstance(module, nn.Linear)])
    if isinstance(first, nn.Conv2d):
        return StackedConvolution([module for module in modules if isinstance(module, nn.Conv2d)])
    whole = copy.deepcopy(first)
    for name, _ in first.named_children():
        setattr(whole, name, stacked([getattr(module, name) for module in modules]))
    for name, parameter in first.named_parameters(recurse=False):
        together = torch.stack([getattr(module, name).detach() for module in modules]).unsqueeze(1)
        setattr(whole, name, nn.Parameter(together, requires_grad=parameter.requires_grad))
    for name, _ in first.named_buffers(recurse=False):
        setattr(whole, name, torch.stack([getattr(module, name) for module in modules]).unsqueeze(1))
    return whole


def state_of(module: nn.Module, ordinary: nn.Module, place: int, count: int) -> dict[str, Tensor]:
    """The state of one of `count` modules that were stacked, in the shapes that an ordinary module of theirs has."""
    state = module.state_dict()
    return {name: state[name].reshape(count, *value.shape)[place].clone() for name, value in ordinary.state_dict().items()}


def initialise(module: nn.Module, *, generator: torch.Generator, hidden_gain: float = math.sqrt(2), last_gain: float = 1.0) -> nn.Module:
    """Orthogonal weights and zero biases (Saxe et al. 2014, arXiv:1312.6120); the last layer's gain is its own."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, last_gain if layer is layers[-1] else hidden_gain, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return module


def uniform(module: nn.Module, *, generator: torch.Generator) -> nn.Module:
    """Weights and biases evenly within 1/sqrt(inputs), torch's own beginning, from a generator of one's own."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return module
