"""Advantages and returns against their closed forms."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhub.core.returns import generalised_advantages, v_trace

ENDS = st.lists(st.sampled_from(["goes on", "terminated", "truncated"]), min_size=1, max_size=12)
SHARE = st.floats(0, 1)


def episode(ends, seed=0):
    draws = torch.Generator().manual_seed(seed)
    steps = len(ends)
    rewards, values = torch.randn(steps, generator=draws), torch.randn(steps + 1, generator=draws)
    terminated = torch.tensor([end == "terminated" for end in ends])
    truncated = torch.tensor([end == "truncated" for end in ends])
    return rewards, values, terminated, truncated


@given(ENDS, SHARE, SHARE)
def test_an_advantage_is_the_sum_of_discounted_errors_up_to_the_episodes_end(ends, discount, decay):
    rewards, values, terminated, truncated = episode(ends)
    found = generalised_advantages(rewards, values, terminated, truncated, discount=discount, decay=decay)
    for start in range(len(ends)):
        wanted = 0.0
        for place in range(start, len(ends)):
            following = 0.0 if terminated[place] else values[place + 1]
            wanted += (discount * decay) ** (place - start) * (rewards[place] + discount * following - values[place])
            if terminated[place] or truncated[place]:
                break
        torch.testing.assert_close(found[start], torch.as_tensor(wanted, dtype=torch.float32), atol=1e-4, rtol=1e-4)


def test_a_cut_episode_is_worth_what_its_last_state_is_worth_and_an_ended_one_nothing_more():
    rewards, values = torch.tensor([1.0]), torch.tensor([0.0, 10.0])
    no, yes = torch.tensor([False]), torch.tensor([True])
    assert generalised_advantages(rewards, values, no, yes, discount=0.9, decay=1.0) == 10.0
    assert generalised_advantages(rewards, values, yes, no, discount=0.9, decay=1.0) == 1.0


@given(ENDS, SHARE)
def test_v_trace_on_the_policys_own_actions_is_the_n_step_return(ends, discount):
    rewards, values, terminated, truncated = episode(ends)
    targets, _ = v_trace(rewards, values, terminated, truncated, torch.zeros(len(ends)), discount=discount)
    returns = generalised_advantages(rewards, values, terminated, truncated, discount=discount, decay=1.0) + values[:-1]
    torch.testing.assert_close(targets, returns, atol=1e-4, rtol=1e-4)


@given(ENDS, st.floats(0.1, 1))
def test_v_trace_is_the_sum_of_the_paper(ends, discount):
    rewards, values, terminated, truncated = episode(ends)
    log_ratios = torch.randn(len(ends), generator=torch.Generator().manual_seed(1))
    targets, _ = v_trace(rewards, values, terminated, truncated, log_ratios, discount=discount, clip_rho=1.0, clip_c=0.8)
    rho, carry = log_ratios.exp().clamp(max=1.0), log_ratios.exp().clamp(max=0.8)
    for start in range(len(ends)):
        wanted, product = values[start].clone(), 1.0
        for place in range(start, len(ends)):
            following = 0.0 if terminated[place] else values[place + 1]
            wanted += discount ** (place - start) * product * rho[place] * (rewards[place] + discount * following - values[place])
            product *= carry[place]
            if terminated[place] or truncated[place]:
                break
        torch.testing.assert_close(targets[start], wanted, atol=1e-4, rtol=1e-4)
