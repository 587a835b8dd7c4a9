"""What a system's fields may hold."""

import math
from dataclasses import dataclass
from typing import Literal

import pytest

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A system that does nothing."""

    steps: int = 3
    rate: float = 0.1
    clip: float | None = None
    gait: Literal["slow", "fast"] = "slow"

    def __post_init__(self):
        check_fields(self, at_least={1: "steps", 0: "clip"}, above={0: "rate"})

    def train(self, run):
        for _ in run.resume(self.steps):
            pass


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"rate": 0}, "rate is 0; it must be above 0"),
        ({"rate": math.nan}, "rate is nan; it must be a finite number"),
        ({"clip": -0.5}, "clip is -0.5; it must be at least 0"),
        ({"gait": "trot"}, "gait is 'trot'; it is one of slow, fast"),
    ],
)
def test_fields_out_of_range_are_refused(fields, sentence):
    with pytest.raises(UserError, match=sentence):
        Walk(**fields)


def test_fields_at_their_bounds_are_taken():
    assert Walk(steps=1, clip=0, gait="fast") == Walk(steps=1, clip=0.0, gait="fast")


@pytest.mark.parametrize("step", [0, 4])
def test_a_step_that_never_comes_can_not_be_kept(step, tmp_path):
    with pytest.raises(UserError, match=f"keep names step {step}, but the steps are 1 to 3"):
        Run.create(Walk(), runs=tmp_path, keep=(2, step))
    assert not list(tmp_path.iterdir())
