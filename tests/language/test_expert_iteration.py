"""Expert iteration: it keeps what is good, imitates it, and goes on after a stop."""

import pytest
import torch
from policies import toy_groups

import rlhub
from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.training import execute
from rlhub.language.expert_iteration import ExpertIteration, Kept
from rlhub.language.rollout import Rollout

SMALL = {"model": "tiny", "task": "facts:capitals", "max_new_tokens": 4, "learning_rate": 3e-4, "precision": "fp32"}


def rollout():
    ids = torch.tensor([[[5, 2, 0], [5, 2, 0], [6, 7, 2]], [[8, 9, 9], [9, 2, 0], [5, 6, 2]]])
    lengths = torch.tensor([[2, 2, 3], [3, 2, 3]])
    mask = torch.arange(3) < lengths[..., None]
    ended = torch.tensor([[True, True, True], [False, True, True]])
    zeros = torch.zeros(2, 3, 3)
    return Rollout(examples=[], prompts=[[3], [4]], ids=ids, mask=mask, logprobs=zeros, ended=ended, texts=[["a"] * 3] * 2)


def test_good_answers_that_ended_are_kept_each_once():
    kept = Kept()
    kept.take(rollout(), torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, float("nan")]]), least=1.0)
    assert [(group.prompt, group.completions) for group in kept.groups] == [([3], [[5, 2]]), ([4], [[9, 2]])]
    assert kept.length == 2
    kept.take(rollout(), torch.ones(2, 3), least=1.0)
    assert [(group.prompt, group.completions) for group in kept.groups] == [([3], [[5, 2], [6, 7, 2]]), ([4], [[9, 2], [5, 6, 2]])]
    assert (kept.answers, kept.length) == (4, 2.5)
    again = Kept()
    again.load_state_dict(kept.state_dict())
    assert again.groups == kept.groups


def test_every_prompt_is_seen_once_before_any_is_seen_again():
    kept = Kept()
    kept.groups = toy_groups(5, 1)
    for steps in (1, 2, 3, 4, 5):
        draw = [kept.batch(2, step=step + 1, generator=torch.Generator().manual_seed(0)) for step in range(steps)]
        seen = [kept.groups.index(group) for batch in draw for group in batch]
        assert len(set(seen[:5])) == min(len(seen), 5)


def test_few_prompts_at_once_are_answered_as_all_together_are(tmp_path):
    # So cold that the likeliest token is always drawn: which numbers a prompt draws by depends on who else is asked.
    whole, parts = (
        rlhub.train(
            ExpertIteration(**SMALL | {"temperature": 1e-6}, rounds=1, steps=1, prompts=10, group=2, least=0.0, at_once=at_once),
            seed=0,
            runs=tmp_path,
        ).metrics()[0]
        for at_once in (10, 3)
    )
    told = ("reward", "kept", "kept_length", "length", "truncated", "loss")
    assert [parts[name] for name in told] == pytest.approx([whole[name] for name in told], rel=1e-5)


def test_the_reward_of_what_is_sampled_rises_from_round_to_round(tmp_path):
    system = ExpertIteration(**SMALL, rounds=3, steps=8, prompts=64, group=4, batch=32)
    lines = rlhub.train(system, seed=0, runs=tmp_path).metrics()
    rewards = [line["reward"] for line in lines if "reward" in line]
    assert len(lines) == 24
    assert len(rewards) == 3
    assert rewards[-1] > rewards[0] + 0.1


def test_a_run_that_was_stopped_within_a_round_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    system = ExpertIteration(**SMALL, rounds=2, steps=3, prompts=16, group=4, batch=8)
    whole = rlhub.train(system, seed=0, runs=tmp_path, name="whole", checkpoint_every=1)
    change, calls = ExpertIteration.change, []

    def stops(self, *args, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return change(self, *args, **options)

    monkeypatch.setattr(ExpertIteration, "change", stops)
    with pytest.raises(KeyboardInterrupt):
        rlhub.train(system, seed=0, runs=tmp_path, name="cut", checkpoint_every=1)
    monkeypatch.setattr(ExpertIteration, "change", change)
    resumed = execute(Run.open(tmp_path / "cut"))
    assert all(torch.equal(a, b) for a, b in zip(whole.model().parameters(), resumed.model().parameters(), strict=True))


def test_when_nothing_is_good_enough_it_says_so(tmp_path):
    with pytest.raises(UserError, match="none of 8 answers of round 1 has a reward of 2"):
        rlhub.train(ExpertIteration(**SMALL, rounds=1, steps=1, prompts=2, group=4, least=2.0), runs=tmp_path)
