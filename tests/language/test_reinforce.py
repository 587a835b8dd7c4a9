"""RLOO and REINFORCE++: their advantages against closed forms, and that they learn."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlhub
from rlhub.core.errors import UserError
from rlhub.language.advantages import leave_one_out
from rlhub.language.reinforce_plus_plus import ReinforcePlusPlus
from rlhub.language.rloo import RLOO

SMALL = {"model": "tiny", "task": "facts:capitals", "max_new_tokens": 3, "learning_rate": 3e-4, "precision": "fp32"}


@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=8))
def test_an_answer_is_compared_with_the_others(rewards):
    found = leave_one_out(torch.tensor([rewards], dtype=torch.float64))[0]
    for place, reward in enumerate(rewards):
        others = rewards[:place] + rewards[place + 1 :]
        assert found[place].item() == pytest.approx(reward - sum(others) / len(others), rel=1e-5, abs=1e-4)


def test_answers_that_dont_count_are_no_baseline():
    rewards = torch.tensor([[1.0, 0.0, math.nan, 5.0]])
    counted = torch.tensor([[True, True, True, False]])
    torch.testing.assert_close(leave_one_out(rewards, counted), torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
    assert not leave_one_out(torch.tensor([[3.0]])).any()


def test_reinforce_plus_plus_whitens_what_is_to_come_over_the_whole_step():
    system = ReinforcePlusPlus(kl=0.5)
    mask = torch.tensor([[True, True], [True, False]])
    divergence = torch.tensor([[0.2, 0.4], [0.6, 9.0]])
    to_come = torch.tensor([1.0 - 0.5 * 0.6, 1.0 - 0.5 * 0.4, 0.0 - 0.5 * 0.6])
    found = system.advantages(torch.tensor([[1.0], [0.0]]), divergence, mask)
    wanted = (to_come - to_come.mean()) / to_come.std(correction=0)
    torch.testing.assert_close(found[mask], wanted)
    assert found[1, 1] == 0


def test_with_a_group_its_mean_is_the_baseline_first():
    system, mask = ReinforcePlusPlus(kl=0.0, group=2), torch.ones(4, 1, dtype=torch.bool)
    found = system.advantages(torch.tensor([[1.0, 0.0], [9.0, 8.0]]), torch.zeros(4, 1), mask)
    torch.testing.assert_close(found[:, 0], torch.tensor([1.0, -1.0, 1.0, -1.0]))


def test_an_answer_without_a_score_changes_nothing_for_the_others():
    system, mask = ReinforcePlusPlus(kl=0.0), torch.ones(4, 1, dtype=torch.bool)
    found = system.advantages(torch.tensor([[5.0], [4.0], [3.0], [math.nan]]), torch.zeros(4, 1), mask)
    without = system.advantages(torch.tensor([[5.0], [4.0], [3.0]]), torch.zeros(3, 1), mask[:3])
    torch.testing.assert_close(found[:3], without)
    assert found[3] == 0


@pytest.mark.parametrize(("prompts", "minibatches"), [(9, 4), (10, 6), (4, 4)])
def test_a_roll_out_is_gone_through_in_as_many_updates_as_asked_for(prompts, minibatches, tmp_path):
    from rlhub.core.run import Run
    from rlhub.language.rows import Group
    from rlhub.language.update import Batch

    batch = Batch(groups=[Group(prompt=[place + 1], completions=[[1]]) for place in range(prompts)], columns={})
    system = RLOO(**SMALL, prompts=prompts, minibatches=minibatches)
    parts = list(system.shares(batch, Run.create(system, runs=tmp_path), 1))
    assert len(parts) == minibatches
    assert sorted(group.prompt[0] for part in parts for group in part.groups) == list(range(1, prompts + 1))


@pytest.mark.parametrize(
    "system",
    [
        RLOO(**SMALL, steps=10, prompts=16, group=4, kl=0.01),
        RLOO(**SMALL, steps=6, prompts=16, group=4, kl=0.0, epochs=2, minibatches=2),
        ReinforcePlusPlus(**SMALL, steps=10, prompts=64),
        ReinforcePlusPlus(**SMALL, steps=6, prompts=16, group=4, kl=0.0, epochs=2, minibatches=2),
    ],
    ids=["rloo", "rloo twice", "reinforce++", "reinforce++ with a baseline"],
)
def test_the_reward_rises(system, tmp_path):
    lines = rlhub.train(system, seed=0, runs=tmp_path).metrics()
    assert sum(line["reward"] for line in lines[-3:]) > sum(line["reward"] for line in lines[:3]) + 0.15


def test_the_same_seed_ends_with_the_same_bits(tmp_path):
    for system in (RLOO(**SMALL, steps=2, prompts=4), ReinforcePlusPlus(**SMALL, steps=2, prompts=4)):
        one, other = (rlhub.train(system, seed=0, runs=tmp_path, name=f"{type(system).__name__}{each}").model() for each in "ab")
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_one_answer_has_none_to_be_compared_with():
    with pytest.raises(UserError, match="group is 1; it must be at least 2"):
        RLOO(group=1)
