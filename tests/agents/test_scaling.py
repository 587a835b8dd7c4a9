"""Rewards are divided by the deviation of their discounted sums, whatever the pieces they come in."""

import torch

from rlhub.agents.scaling import RewardScale


def episode(steps=40):
    draws = torch.Generator().manual_seed(0)
    rewards = 5 * torch.randn(2, steps, 3, generator=draws) + 1
    return rewards, torch.rand(2, steps, 3, generator=draws) < 0.1, torch.zeros(2, steps, 3, dtype=torch.bool)


def test_rewards_are_divided_by_the_deviation_of_their_discounted_sums():
    rewards, ended, begun = episode()
    found = RewardScale(2, 3, discount=0.9, clip=1e9)(rewards, ended, begun)
    for seed in range(2):
        sums = []
        for copy in range(3):
            total = 0.0
            for step in range(40):
                total = 0.9 * total + float(rewards[seed, step, copy])
                sums.append(total)
                total *= not ended[seed, step, copy]
        deviation = torch.tensor(sums).std(correction=0)
        torch.testing.assert_close(found[seed], rewards[seed] / deviation, rtol=1e-4, atol=1e-5)


def test_moments_are_the_same_whatever_the_pieces_and_come_back():
    rewards, ended, begun = episode()
    whole, pieces = RewardScale(2, 3, discount=0.9), RewardScale(2, 3, discount=0.9)
    whole(rewards, ended, begun)
    pieces(rewards[:, :15], ended[:, :15], begun[:, :15])
    again = RewardScale(2, 3, discount=0.9)
    again.load_state_dict(pieces.state_dict())
    again(rewards[:, 15:], ended[:, 15:], begun[:, 15:])
    for one, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)
