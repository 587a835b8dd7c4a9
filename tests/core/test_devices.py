"""What a device can do."""

import torch

from rlhub.core.devices import best_device, has_fast_bfloat16


def test_the_best_device_can_compute():
    assert (torch.ones(3, device=best_device()) * 2).sum() == 6


def test_whether_bfloat16_is_fast_is_known_for_every_device():
    assert isinstance(has_fast_bfloat16("cpu"), bool)
