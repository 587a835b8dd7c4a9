"""Distributions over actions, as pure functions of a network's outputs.

Every kind draws by turning noise that was made beforehand into an action, so that a whole roll-out's noise is drawn at once and from the
run's own generators. Shapes: `parameters` is what the network puts out, [..., width]; an action is [..., *shape].
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space
from jaxtyping import Float
from torch import Tensor, nn

from rlhub.core.errors import UserError

LOG_2PI = math.log(2 * math.pi)


@runtime_checkable
class Distribution(Protocol):
    """What on-policy algorithms ask of a distribution.

    Attributes:
        width: how many parameters it has for one action.
        state_independent: how many of them no observation changes (a Gaussian's log standard deviations).
        noise_width: numbers of noise for one action.
    """

    @property
    def width(self) -> int:
        """Parameters for one action."""
        ...

    @property
    def state_independent(self) -> int:
        """Parameters that no observation changes."""
        ...

    @property
    def noise_width(self) -> int:
        """Numbers of noise for one action."""
        ...

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "... noise_width"]:
        """What `sample` turns into actions."""
        ...

    def sample(self, parameters: Float[Tensor, "... width"], noise: Float[Tensor, "... noise_width"]) -> Tensor:
        """One action for each row."""
        ...

    def mode(self, parameters: Float[Tensor, "... width"]) -> Tensor:
        """The likeliest action of each row."""
        ...

    def log_prob(self, parameters: Float[Tensor, "... width"], actions: Tensor) -> Float[Tensor, "..."]:
        """Log-probabilities or log-densities of actions."""
        ...

    def entropy(self, parameters: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """Entropy in nats."""
        ...

    def kl(self, p: Float[Tensor, "... width"], q: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """KL(p || q) in nats."""
        ...


@dataclass(frozen=True)
class Categorical:
    """One of `count` actions; the parameters are logits."""

    count: int
    state_independent = 0

    @property
    def width(self) -> int:
        """Logits."""
        return self.count

    @property
    def noise_width(self) -> int:
        """One Gumbel variable for each action."""
        return self.count

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "... noise_width"]:
        """Gumbel variables: the largest of logit + Gumbel is a draw from the softmax (Gumbel 1954; Maddison et al. 2014)."""
        return -torch.empty(*shape, self.count).exponential_(generator=generator).log_()

    def sample(self, parameters: Float[Tensor, "... width"], noise: Float[Tensor, "... noise_width"]) -> Tensor:
        """One action for each row."""
        return (parameters + noise).argmax(-1)

    def mode(self, parameters: Float[Tensor, "... width"]) -> Tensor:
        """The likeliest action."""
        return parameters.argmax(-1)

    def log_prob(self, parameters: Float[Tensor, "... width"], actions: Tensor) -> Float[Tensor, "..."]:
        """log softmax(logits)[action]."""
        # One call forward and one back, where log_softmax and gather are five.
        return -nn.functional.cross_entropy(parameters.flatten(0, -2), actions.flatten(), reduction="none").view(actions.shape)

    def entropy(self, parameters: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """-sum p log p."""
        log_p = parameters.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def kl(self, p: Float[Tensor, "... width"], q: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """sum p (log p - log q)."""
        log_p = p.log_softmax(-1)
        return (log_p.exp() * (log_p - q.log_softmax(-1))).sum(-1)


@dataclass(frozen=True)
class MultiCategorical:
    """Several independent choices at once; the parameters are the logits of each, side by side."""

    counts: tuple[int, ...]
    state_independent = 0

    @property
    def width(self) -> int:
        """Logits of all choices."""
        return sum(self.counts)

    @property
    def noise_width(self) -> int:
        """One Gumbel variable for each logit."""
        return self.width

    @property
    def parts(self) -> list[Categorical]:
        """Each choice by itself."""
        return [Categorical(count) for count in self.counts]

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "... noise_width"]:
        """As `Categorical.noise`."""
        return Categorical(self.width).noise(shape, generator)

    def sample(self, parameters: Float[Tensor, "... width"], noise: Float[Tensor, "... noise_width"]) -> Tensor:
        """One action of several choices for each row, [..., choices]."""
        return self.mode(parameters + noise)

    def mode(self, parameters: Float[Tensor, "... width"]) -> Tensor:
        """The likeliest of each choice, [..., choices]."""
        return torch.stack([logits.argmax(-1) for logits in parameters.split(self.counts, -1)], -1)

    def log_prob(self, parameters: Float[Tensor, "... width"], actions: Tensor) -> Float[Tensor, "..."]:
        """The choices' log-probabilities add up."""
        pieces = zip(self.parts, parameters.split(self.counts, -1), actions.unbind(-1), strict=True)
        return torch.stack([part.log_prob(logits, action) for part, logits, action in pieces]).sum(0)

    def entropy(self, parameters: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """The choices' entropies add up."""
        pieces = zip(self.parts, parameters.split(self.counts, -1), strict=True)
        return torch.stack([part.entropy(logits) for part, logits in pieces]).sum(0)

    def kl(self, p: Float[Tensor, "... width"], q: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """The choices' divergences add up."""
        pieces = zip(self.parts, p.split(self.counts, -1), q.split(self.counts, -1), strict=True)
        return torch.stack([part.kl(one, other) for part, one, other in pieces]).sum(0)


@dataclass(frozen=True)
class Bernoulli:
    """`count` independent switches; the parameters are logits of being on."""

    count: int
    state_independent = 0

    @property
    def width(self) -> int:
        """Logits."""
        return self.count

    @property
    def noise_width(self) -> int:
        """One logistic variable for each switch."""
        return self.count

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "... noise_width"]:
        """Logistic variables: logit + logistic > 0 with probability sigmoid(logit)."""
        return torch.rand(*shape, self.count, generator=generator).clamp_(1e-7, 1 - 1e-7).logit_()

    def sample(self, parameters: Float[Tensor, "... width"], noise: Float[Tensor, "... noise_width"]) -> Tensor:
        """Switches, [..., count], 0 or 1."""
        return self.mode(parameters + noise)

    def mode(self, parameters: Float[Tensor, "... width"]) -> Tensor:
        """The likelier side of each switch."""
        return (parameters > 0).long()

    def log_prob(self, parameters: Float[Tensor, "... width"], actions: Tensor) -> Float[Tensor, "..."]:
        """sum of a log p + (1 - a) log(1 - p)."""
        signs = 2 * actions.to(parameters.dtype) - 1
        return nn.functional.logsigmoid(signs * parameters).sum(-1)

    def entropy(self, parameters: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """Entropies of the switches, added up."""
        on = parameters.sigmoid()
        return -(on * nn.functional.logsigmoid(parameters) + (1 - on) * nn.functional.logsigmoid(-parameters)).sum(-1)

    def kl(self, p: Float[Tensor, "... width"], q: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """Divergences of the switches, added up."""
        on, log_sigmoid = p.sigmoid(), nn.functional.logsigmoid
        return (on * (log_sigmoid(p) - log_sigmoid(q)) + (1 - on) * (log_sigmoid(-p) - log_sigmoid(-q))).sum(-1)


@dataclass(frozen=True)
class DiagonalGaussian:
    """Independent Gaussians; the parameters are the means, then the log standard deviations, which no observation changes."""

    count: int

    @property
    def width(self) -> int:
        """Means and log standard deviations."""
        return 2 * self.count

    @property
    def state_independent(self) -> int:
        """The log standard deviations."""
        return self.count

    @property
    def noise_width(self) -> int:
        """One standard normal variable for each number."""
        return self.count

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "... noise_width"]:
        """Standard normal variables."""
        return torch.randn(*shape, self.count, generator=generator)

    def sample(self, parameters: Float[Tensor, "... width"], noise: Float[Tensor, "... noise_width"]) -> Tensor:
        """mean + standard deviation * noise."""
        mean, log_std = parameters.chunk(2, -1)
        return torch.addcmul(mean, log_std.exp(), noise)

    def mode(self, parameters: Float[Tensor, "... width"]) -> Tensor:
        """The mean."""
        return parameters[..., : self.count]

    def log_prob(self, parameters: Float[Tensor, "... width"], actions: Tensor) -> Float[Tensor, "..."]:
        """-1/2 sum of ((a - mean)/std)^2 + 2 log std + log 2 pi."""
        mean, log_std = parameters.chunk(2, -1)
        return -(0.5 * ((actions - mean) * (-log_std).exp()).square() + log_std).sum(-1) - 0.5 * self.count * LOG_2PI

    def entropy(self, parameters: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """sum of log std + (1 + log 2 pi)/2."""
        return parameters[..., self.count :].sum(-1) + 0.5 * self.count * (1 + LOG_2PI)

    def kl(self, p: Float[Tensor, "... width"], q: Float[Tensor, "... width"]) -> Float[Tensor, "..."]:
        """sum of log(std_q/std_p) + (var_p + (mean_p - mean_q)^2) / (2 var_q) - 1/2."""
        (mean_p, log_p), (mean_q, log_q) = p.chunk(2, -1), q.chunk(2, -1)
        return (log_q - log_p + ((2 * log_p).exp() + (mean_p - mean_q).square()) * 0.5 * (-2 * log_q).exp() - 0.5).sum(-1)


def distribution_over(space: Space, algorithm: str, env: str) -> Distribution:
    """The usual distribution over a space of actions.

    Raises:
        UserError: the algorithm can't act in it.
    """
    match space:
        case Discrete():
            return Categorical(int(space.n))
        case MultiDiscrete() if space.nvec.ndim == 1:
            return MultiCategorical(tuple(space.nvec.tolist()))
        case MultiBinary() if len(space.shape) == 1:
            return Bernoulli(space.shape[0])
        case Box():
            return DiagonalGaussian(math.prod(space.shape))
    raise UserError(
        f"{algorithm} can't act in {env}, whose actions are {space}: it serves discrete, multi-discrete, binary and continuous actions"
    )
