"""Judges: a model here, and one behind an endpoint whose answers are kept."""

import json

import pytest
import torch
from endpoints import QUESTION, Server, judge_of, said

from rlhub.core.errors import UserError
from rlhub.language.judge import EndpointJudge, Judge, ModelJudge, load_judge, name_of, read_record
from rlhub.language.model import load_policy


@pytest.fixture
def server():
    served = Server()
    yield served
    served.close()


def test_an_endpoint_writes_and_chooses(server, tmp_path):
    judge = judge_of(server, tmp_path)
    assert isinstance(judge, Judge)
    assert judge.write(said("one", "two"), max_new_tokens=5, temperature=0.7, seed=3) == ["ONE", "TWO"]
    assert judge.choose([QUESTION], first="(A", second="(B") == [pytest.approx(0.9, abs=1e-3)]
    assert server.asked[0]["model"] == "wise"


def test_what_was_answered_before_a_failure_is_not_paid_for_again(server, tmp_path):
    texts = said(*(f"text {number}" for number in range(6)))
    server.script = ["answer"] * 4 + [401] * 9
    with pytest.raises(UserError, match="401"):
        judge_of(server, tmp_path, at_once=1).write(texts, max_new_tokens=5, temperature=0.0, seed=0)
    server.script, before = [], len(server.asked)
    path = tmp_path / "record.jsonl"
    with path.open("a") as file:
        file.write('{"name": "cut o')
    written = judge_of(server, tmp_path, at_once=1).write(texts, max_new_tokens=5, temperature=0.0, seed=0)
    assert written == [f"TEXT {number}" for number in range(6)]
    assert len(server.asked) - before == 2
    assert len(read_record(path)) == 6
    judge_of(server, tmp_path).write(texts, max_new_tokens=5, temperature=0.0, seed=0)
    assert len(server.asked) - before == 2


def test_a_record_of_an_earlier_version_is_read(server, tmp_path):
    request = {"messages": QUESTION, "max_tokens": 4, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
    row = {"text": [{"type": "text", "text": "(B)"}], "top": [{"token": "A", "top": {"A": None, "B": None}}]}
    (tmp_path / "record.jsonl").write_text(json.dumps({"name": name_of({"model": "wise", **request}), **row}) + "\n")
    assert judge_of(server, tmp_path).choose([QUESTION], first="(A", second="(B") == [0.0]
    assert not server.asked


def test_another_seed_or_model_is_another_question(server, tmp_path):
    judge = judge_of(server, tmp_path)
    for seed in (0, 1):
        judge.write(said("one"), max_new_tokens=5, temperature=1.0, seed=seed)
    assert len(server.asked) == 2
    assert name_of({"model": "a"}) != name_of({"model": "b"})


def test_a_question_that_is_refused_is_answered_with_nothing_and_not_asked_again(server, tmp_path):
    texts = said("one", "two", "three")
    server.script = ["answer", 400, "answer"]
    assert judge_of(server, tmp_path, at_once=1).write(texts, max_new_tokens=5, temperature=0.0, seed=0) == ["ONE", "", "THREE"]
    assert judge_of(server, tmp_path, at_once=1).write(texts, max_new_tokens=5, temperature=0.0, seed=0) == ["ONE", "", "THREE"]
    assert len(server.asked) == 3


def test_where_every_question_is_refused_it_says_why_and_asks_again_next_time(server, tmp_path):
    server.script = [400, 400]
    with pytest.raises(UserError, match=r"refuses every question: .*not now"):
        judge_of(server, tmp_path).write(said("one", "two"), max_new_tokens=5, temperature=0.0, seed=0)
    assert judge_of(server, tmp_path).write(said("one", "two"), max_new_tokens=5, temperature=0.0, seed=0) == ["ONE", "TWO"]


def test_a_choice_may_take_as_many_tokens_as_are_given(server, tmp_path):
    judge_of(server, tmp_path, choice_tokens=900).choose([QUESTION], first="(A", second="(B")
    assert server.asked[0]["max_tokens"] == 900


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("speed=3", "has no option 'speed'"),
        ("timeout=soon", "'soon', which is no number"),
        ("at_once=0", "too little"),
        ("choice_tokens=0", "too little"),
        ("timeout=0", "too little"),
    ],
)
def test_limits_of_an_endpoint_are_given_with_its_name(tmp_path, query, words):
    with pytest.raises(UserError, match=words):
        load_judge(f"http://localhost:1/v1#wise?{query}", record=tmp_path / "r", policy=lambda: None)
    judge = load_judge("http://localhost:1/v1#wise?timeout=3&retries=0&at_once=2&per_minute=60", record=tmp_path / "r", policy=lambda: None)
    assert isinstance(judge, EndpointJudge)
    assert (judge._endpoint._at_once, judge._endpoint._retries, judge._endpoint._pause, judge._endpoint._timeout) == (2, 0, 1.0, 3.0)


def test_a_model_here_judges_by_its_log_probs():
    policy = load_policy("tiny", learning_rate=0.0, precision="fp32")
    judge = ModelJudge(policy, together=2)
    assert isinstance(judge, Judge)
    one, other = judge.choose([QUESTION], first=" Paris", second=" Rome"), judge.choose([QUESTION], first=" Rome", second=" Paris")
    assert one[0] == pytest.approx(1 - other[0], abs=1e-6)
    assert judge.choose([], first="a", second="b") == []
    texts = judge.write(said("a", "b", "c"), max_new_tokens=3, temperature=1.0, seed=1)
    assert texts == judge.write(said("a", "b", "c"), max_new_tokens=3, temperature=1.0, seed=1)
    assert len(texts) == 3


def test_a_judge_is_found_by_its_name(tmp_path):
    made = []

    def policy():
        made.append(load_policy("tiny", learning_rate=0.0))
        return made[0]

    assert isinstance(load_judge("", record=tmp_path / "r", policy=policy), ModelJudge)
    assert len(made) == 1
    assert isinstance(load_judge("http://localhost:1/v1#wise", record=tmp_path / "r", policy=policy), EndpointJudge)
    with pytest.raises(UserError, match="lacks its model's name"):
        load_judge("http://localhost:1/v1", record=tmp_path / "r", policy=policy)
    assert torch.is_tensor(next(made[0].model.parameters()))


def test_answers_are_kept_whole_behind_half_a_line_and_a_damaged_record_is_told(server, tmp_path):
    judge, path = judge_of(server, tmp_path), tmp_path / "record.jsonl"
    path.write_text('{"name": "cut o')
    judge.write(said("one"), max_new_tokens=5, temperature=0.0, seed=0)
    assert [row["text"] for row in read_record(path).values()] == ["ONE"]
    path.write_text('{"name": "cut o{"name": "whole", "text": "", "top": []}\n')
    with pytest.raises(UserError, match=r"record\.jsonl are damaged"):
        judge_of(server, tmp_path)
