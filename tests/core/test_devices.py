"""What a device can do."""

import pytest
import torch

from rlhub.core.devices import best_device, chosen_device, has_fast_bfloat16
from rlhub.core.errors import UserError


def test_the_best_device_can_compute():
    assert (torch.ones(3, device=best_device()) * 2).sum() == 6


def test_whether_bfloat16_is_fast_is_known_for_every_device():
    assert isinstance(has_fast_bfloat16("cpu"), bool)


def test_a_person_s_wish_for_a_device_counts_before_what_is_at_hand(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen_device("auto", large=True).type == "cuda"
    assert chosen_device("auto", large=False).type == "cpu"
    assert chosen_device("cuda", large=False).type == "cuda"
    assert chosen_device("cpu", large=True).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto", large=True).type == "cpu"
    with pytest.raises(UserError, match="torch finds no GPU here: give --device cpu"):
        chosen_device("cuda", large=True)
