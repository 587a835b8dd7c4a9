"""What reads an observation first: nothing for vectors, convolutions for images."""

import math

import numpy as np
import torch
from gymnasium.spaces import Box
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from rlhub.agents.networks import Convolution

LEAST_FOR_NATURE = 36
"""Pixels along the shorter side below which the Nature network's strides leave nothing."""


def is_image(space: Box) -> bool:
    """Whether observations have rows and columns, enough for a window of 3 x 3."""
    return len(space.shape) == 3 and sorted(space.shape)[1] >= 3


def torso_for(space: Box) -> tuple[nn.Module, int]:
    """The torso for a space of observations, and how many features it gives.

    Images of at least 36 pixels get the network of Mnih et al. 2015 (Nature 518, Methods), smaller ones that of MinAtar (Young & Tian 2019,
    arXiv:1903.03176, Sec. 3), anything else is made a vector.
    """
    if not is_image(space):
        return Vector(len(space.shape)), math.prod(space.shape)
    pixels = Pixels(space)
    channels, height, width = pixels.shape
    if min(height, width) >= LEAST_FOR_NATURE:
        layers = [Convolution(channels, 32, 8, stride=4), Convolution(32, 64, 4, stride=2), Convolution(64, 64, 3)]
        features = 512
    else:
        layers, features = [Convolution(channels, 16, 3)], 128
    with torch.no_grad():
        seen = nn.Sequential(*layers)(torch.zeros(1, channels, height, width)).numel()
    modules = [module for layer in layers for module in (layer, nn.ReLU())]
    return nn.Sequential(pixels, *modules, nn.Flatten(-3), nn.Linear(seen, features), nn.ReLU()), features


class Vector(nn.Module):
    """Observations as float32 vectors."""

    def __init__(self, axes: int) -> None:
        """Make one axis of the last `axes`."""
        super().__init__()
        self.axes = axes

    def forward(self, observations: Shaped[Tensor, "..."]) -> Float[Tensor, "... features"]:
        """Flatten and convert."""
        if self.axes == 0:
            return observations.float()[..., None]
        return observations.float() if self.axes == 1 else observations.float().flatten(-self.axes)


class Pixels(nn.Module):
    """Images as float32 with channels first; bytes become fractions of 255.

    Attributes:
        shape: channels, height and width.
    """

    def __init__(self, space: Box) -> None:
        """Channels are the first axis or the last, whichever is shorter."""
        super().__init__()
        self.last = space.shape[-1] < space.shape[0]
        self.scale = 1 / 255 if space.dtype == np.uint8 else 1.0
        height, width, channels = space.shape if self.last else (*space.shape[1:], space.shape[0])
        self.shape = (channels, height, width)

    def forward(self, images: Shaped[Tensor, "... a b c"]) -> Float[Tensor, "... channels height width"]:
        """Convert."""
        images = images.movedim(-1, -3) if self.last else images
        return images.float() * self.scale if self.scale != 1 else images.float()
