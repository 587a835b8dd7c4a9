"""A reference that is reset to the policy as it is: where the KL is 0 again, and that a stopped run keeps it."""

import pytest
import torch

import rlhub
from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.training import execute
from rlhub.language.grpo import GRPO
from rlhub.language.r1 import R1
from rlhub.language.stages import Stages

SMALL = {"model": "tiny", "task": "facts:capitals", "prompts": 4, "group": 4, "max_new_tokens": 3, "steps": 5, "precision": "fp32"}


def system(**settings):
    return GRPO(**SMALL, **{"kl": 0.1, "learning_rate": 1e-3, "reference_every": 2, **settings})


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_right_after_a_reset_there_is_no_divergence(tmp_path, lora_rank):
    rate = 1e-2 if lora_rank else 1e-3
    lines = rlhub.train(system(lora_rank=lora_rank, learning_rate=rate), seed=0, runs=tmp_path).metrics()
    for line in lines:
        if line["step"] % 2 == 1:  # the first steps after the beginning and after the resets at 2 and 4
            assert line["kl"] == pytest.approx(0, abs=1e-6)
        else:
            assert line["kl"] > 1e-5


@pytest.mark.parametrize("lora_rank", [0, 2])
@pytest.mark.parametrize("stopped_at", [2, 4], ids=["before the first reset", "after it"])
def test_a_run_that_was_stopped_goes_on_with_its_reference_to_the_same_bits(tmp_path, monkeypatch, lora_rank, stopped_at):
    whole = rlhub.train(system(lora_rank=lora_rank), seed=0, runs=tmp_path, name="whole", checkpoint_every=1)
    update, calls = GRPO.update, []

    def stops(self, *args, **options):
        calls.append(1)
        if len(calls) == stopped_at:
            raise KeyboardInterrupt
        return update(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(GRPO, "update", stops)
        with pytest.raises(KeyboardInterrupt):
            rlhub.train(system(lora_rank=lora_rank), seed=0, runs=tmp_path, name="cut", checkpoint_every=1)
    resumed = execute(Run.open(tmp_path / "cut"))
    assert all(torch.equal(one, other) for one, other in zip(whole.model().parameters(), resumed.model().parameters(), strict=True))
    assert [line["kl"] for line in whole.metrics()] == [line["kl"] for line in resumed.metrics()]


def test_without_kl_there_is_nothing_to_reset():
    with pytest.raises(UserError, match="without kl there is no reference"):
        GRPO(reference_every=400)


def test_r1_resets_the_reference_of_its_reinforcements_where_there_is_one(tmp_path):
    stages = Stages(Run.create(R1(zero=True), runs=tmp_path))
    assert R1(zero=True).system(stages, "reason").reference_every == 400
    assert R1(zero=True, kl=0.0).system(stages, "reason").reference_every == 0
    assert R1(reference_every=7).system(stages, "align").reference_every == 7
