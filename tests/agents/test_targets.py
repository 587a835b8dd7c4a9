"""Slow copies, of one agent and of several side by side."""

import pytest
import torch
from torch import nn

from rlhub.agents.networks import mlp, stacked
from rlhub.agents.parameters import Parameters
from rlhub.agents.targets import Target


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_copy_that_follows_all_the_way_computes_what_its_leader_does(seeds):
    network = nn.ModuleList([stacked([mlp([4, 5, 2]) for _ in range(seeds)])])
    leader = Parameters([network], seeds)
    target = Target(network, [leader], lambda copy: [[copy]])
    seen = torch.randn(seeds, 7, 4)
    before = target.network[0](seen).detach()
    leader.values.data.add_(torch.randn(leader.values.shape))
    torch.testing.assert_close(target.network[0](seen), before)
    target.follow()
    torch.testing.assert_close(target.network[0](seen), network[0](seen).detach())
