"""Q-learning as a system: it passes the Deep RL course's mark, resumes to the same bits, and its table is an ordinary module."""

import pytest
import torch

import rlhub
from rlhub.core.errors import UserError
from rlhub.foundations.gymnasium_q_learning import evaluate
from rlhub.foundations.q_learning import QLearning


def test_taxi_passes_the_courses_mark_from_a_run_of_its_own(tmp_path):
    run = rlhub.train(QLearning(steps=2000), seed=3, runs=tmp_path)
    table = run.model()
    assert evaluate("Taxi-v4", table.worth.numpy()).mark >= 4.5
    assert table.act(0) == int(table.worth[0].argmax())
    assert table(torch.tensor([[0, 1], [2, 3]])).shape == (2, 2, 6)
    metrics = run.metrics()
    assert len(metrics) == 1000
    assert metrics[-1]["episode_return"] > metrics[0]["episode_return"] + 100


def test_options_follow_the_environments_name(tmp_path):
    run = rlhub.train(QLearning(env="FrozenLake-v1?is_slippery=false", steps=1000), runs=tmp_path)
    assert evaluate("FrozenLake-v1", run.model().worth.numpy(), is_slippery=False).mean == 1.0


class StoppedError(Exception):
    pass


def test_a_run_that_was_cut_off_ends_with_the_same_table(tmp_path):
    system = QLearning(steps=300)
    whole = rlhub.train(system, runs=tmp_path / "whole", name="run")
    run = rlhub.Run.create(system, runs=tmp_path / "cut", name="run", checkpoint_every=50)
    log = run.log
    run.log = lambda step, **metrics: log(step, **metrics) if step != 170 else (_ for _ in ()).throw(StoppedError)
    from rlhub.core.training import execute

    with pytest.raises(StoppedError):
        execute(run)
    again = rlhub.Run.open(run.folder)
    execute(again)
    assert torch.equal(again.model().worth, whole.model().worth)
    told = [[line | {"time": 0} for line in each.metrics()] for each in (again, whole)]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [({"learning_rate": 0.0}, "learning_rate is 0.0"), ({"discount": 1.1}, "discount is 1.1"), ({"steps": 0}, "steps is 0")],
)
def test_settings_out_of_range_are_refused(fields, sentence):
    with pytest.raises(UserError, match=sentence):
        QLearning(**fields)


def test_an_environment_without_finite_numbers_is_refused(tmp_path):
    with pytest.raises(UserError, match="the observations of CartPole-v1 are Box"):
        rlhub.train(QLearning(env="CartPole-v1"), runs=tmp_path)
