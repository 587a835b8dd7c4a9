"""Swapping units: what was planted is found."""

import torch
from torch import nn

from rlhub.lens.units import derangement, unit_effects


def test_only_units_that_are_read_have_an_effect_and_those_read_more_have_more():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1, bias=False))
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[0.0, 2.0, 0.0, 0.1, 0.0]]))
    seen = torch.randn(400, 3)
    found = unit_effects(model, lambda: model(seen), ["1"], lambda a, b: (a - b).abs()[:, 0], generator=torch.Generator().manual_seed(0))
    effects = found["1"]
    assert effects[[0, 2, 4]].abs().max() == 0 and effects[1] > 5 * effects[3] > 0
    assert not any(module._forward_hooks for module in model.modules())


def test_an_images_units_are_its_channels():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    seen = torch.randn(10, 2, 5, 5)
    model(seen)
    found = unit_effects(model, lambda: model(seen), ["1"], lambda a, b: (a - b).abs()[:, 0], generator=torch.Generator().manual_seed(0))
    assert found["1"].shape == (4,)


def test_nobody_keeps_their_own():
    for count in (2, 3, 50):
        order = derangement(count, torch.Generator().manual_seed(count))
        assert sorted(order.tolist()) == list(range(count)) and (order != torch.arange(count)).all()
