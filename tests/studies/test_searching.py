"""Strategies of search on one set of samples: what must hold whatever the judge says."""

import pytest

from rlhub.language.model import load_policy
from rlhub.language.scorer import StepScorer, load_scorer
from rlhub.language.task import load_task
from rlhub.studies.searching import searched


@pytest.fixture(scope="module")
def found():
    task = load_task("facts:capitals")
    judge = load_scorer("tiny", kind=StepScorer, fresh=True, learning_rate=0.0)
    policy = load_policy("tiny", learning_rate=0.0)
    return searched(policy, judge, task, task.examples("train")[:12], answers=4, width=2, max_new_tokens=4)


def values(found, strategy):
    return [point["right"]["value"] for point in found["strategies"][strategy]]


def test_with_one_answer_there_is_nothing_to_choose(found):
    assert len({values(found, strategy)[0] for strategy in ("majority", "best-of-n", "weighted-vote", "any")}) == 1


def test_no_choice_among_answers_beats_having_all_of_them(found):
    for strategy in ("majority", "best-of-n", "weighted-vote"):
        assert all(one <= most for one, most in zip(values(found, strategy), values(found, "any"), strict=True))
    assert values(found, "any") == sorted(values(found, "any"))


def test_strategies_cost_the_same_tokens_for_as_many_answers(found):
    costs = {strategy: [(point["answers"], point["tokens"]) for point in points] for strategy, points in found["strategies"].items()}
    beam = costs.pop("beam")
    assert len({tuple(cost) for cost in costs.values()}) == 1
    assert [answers for answers, _ in costs["majority"]] == [1, 2, 4]
    assert costs["majority"][0][1] < costs["majority"][1][1] < costs["majority"][2][1]
    assert beam[0][1] > 0
