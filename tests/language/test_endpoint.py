"""An endpoint that fails, hangs, limits or refuses is asked again, or otherwise, or no more."""

import asyncio
import os
import signal
import threading
import time
from email.utils import formatdate

import pytest
from endpoints import Server, judge_of, said

from rlhub.core.errors import UserError
from rlhub.language.endpoint import pause_before
from rlhub.language.judge import read_record


@pytest.fixture
def server():
    served = Server()
    yield served
    served.close()


RUBBISH = [
    b"",
    b"null",
    b'{"choices": [{"mess',
    b"<html>Bad gateway</html>",
    b'{"error": {"message": "overloaded"}}',
    b'{"choices": [null]}',
]


@pytest.mark.parametrize("failures", [[429, 503, 500], ["hang"], ["drop", 429], ["rubbish"], *([body] for body in RUBBISH)], ids=str)
def test_what_fails_for_a_while_is_asked_again(server, tmp_path, failures):
    server.script = list(failures)
    assert judge_of(server, tmp_path).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0) == ["ONE"]
    assert len(server.asked) == len(failures) + 1


@pytest.mark.parametrize(
    ("failures", "words"),
    [
        (["hang"] * 9, "doesn't answer in time"),
        ([401], "refuses: 401"),
        (["drop"] * 9, "can't be reached"),
        (["rubbish"] * 9, "no chat completion"),
        ([b'{"error": {"message": "the model is overloaded"}}'] * 9, "with an error: the model is overloaded"),
        ([(429, "spent", {"Retry-After": "86400"})], "refuses: 429.*asks to wait 86400 s"),
    ],
)
def test_what_goes_on_failing_is_one_sentence(server, tmp_path, failures, words):
    server.script = list(failures)
    with pytest.raises(UserError, match=words):
        judge_of(server, tmp_path, retries=1, timeout=0.2).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0)


def test_so_many_are_asked_at_once_and_so_many_a_minute(server, tmp_path):
    texts = said(*map(str, range(12)))
    judge_of(server, tmp_path, at_once=3).write(texts, max_new_tokens=5, temperature=0.0, seed=0)
    assert 1 < server.most <= 3
    began = time.monotonic()
    judge_of(server, tmp_path, per_minute=600).write(said(*"abcdef"), max_new_tokens=5, temperature=0.0, seed=0)
    assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize("status", [400, 403, 422])
@pytest.mark.parametrize("most", [0, 5])
def test_an_endpoint_that_gives_few_log_probs_or_none_is_asked_so_from_then_on(server, tmp_path, status, most):
    server.rule = lambda body: status if body.get("top_logprobs", 0) > most else "answer"
    chances = judge_of(server, tmp_path, at_once=1).choose(said("(b) it is", "(b) it was"), first="(A", second="(B")
    assert chances == pytest.approx([0.9, 0.9] if most else [0.0, 0.0], abs=1e-3)
    assert [body.get("top_logprobs", 0) for body in server.asked] == ([20, 5, 5] if most else [20, 5, 0, 0])


def test_one_refusal_does_not_take_the_log_probs_from_the_questions_after_it(server, tmp_path):
    server.script = ["answer", 400, 400, "answer", "answer"]
    judge_of(server, tmp_path, at_once=1).choose(said("(a)", "(b)", "(a) or (b)"), first="(A", second="(B")
    assert [body.get("top_logprobs", 0) for body in server.asked] == [20, 20, 5, 0, 20]


def test_settings_that_an_endpoint_refuses_by_name_are_left_out_from_then_on(server, tmp_path):
    def rule(body):
        for name in ("max_tokens", "temperature", "seed"):
            if name in body:
                return 400, f"Unsupported parameter: '{name}' is not supported with this model", {}
        return "answer"

    server.rule = rule
    judge = judge_of(server, tmp_path, at_once=1)
    assert judge.write(said("one", "two"), max_new_tokens=5, temperature=0.7, seed=3) == ["ONE", "TWO"]
    assert len(server.asked) == 5
    assert [server.asked[-1].get(name) for name in ("max_completion_tokens", "max_tokens", "temperature", "seed")] == [5, None, None, None]
    judge_of(server, tmp_path).write(said("one", "two"), max_new_tokens=5, temperature=0.7, seed=3)
    assert len(server.asked) == 5


def test_requests_that_are_made_again_keep_to_the_rate(server, tmp_path):
    server.script = [503, 503, 503]
    began = time.monotonic()
    judge_of(server, tmp_path, per_minute=300).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0)
    assert len(server.asked) == 4
    assert time.monotonic() - began >= 0.6


def test_an_answer_that_drips_is_given_up_in_time(server, tmp_path):
    server.script, began = ["drip"], time.monotonic()
    with pytest.raises(UserError, match="doesn't answer in time"):
        judge_of(server, tmp_path, retries=0).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_whose_judge_hangs_at_once(server, tmp_path, number):
    def interrupt(*_):
        raise KeyboardInterrupt

    server.script, before = ["hold", "drop", 500, *["hold"] * 9], signal.signal(number, interrupt)
    began = time.monotonic()
    timer = threading.Timer(1.0, os.kill, (os.getpid(), number))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            judge_of(server, tmp_path, timeout=6.0, at_once=3).write(said(*"abcdef"), max_new_tokens=5, temperature=0.0, seed=0)
    finally:
        signal.signal(number, before)
    assert time.monotonic() - began < 4
    asked = len(server.asked)
    time.sleep(0.5)
    assert len(server.asked) == asked


def test_a_key_that_is_refused_ends_what_waits_to_ask_again_but_not_what_is_being_answered(server, tmp_path):
    does, began = {"a": "drop", "b": "slow", "c": 401, "d": "answer"}, time.monotonic()
    server.rule = lambda body: does[body["messages"][0]["content"]]
    with pytest.raises(UserError, match="401"):
        judge_of(server, tmp_path, timeout=5.0, retries=6, at_once=3).write(said(*does), max_new_tokens=5, temperature=0.0, seed=0)
    assert time.monotonic() - began < 4
    assert "B" in [row["text"] for row in read_record(tmp_path / "record.jsonl").values()]


def test_a_limit_that_one_request_meets_holds_back_all(server, tmp_path):
    server.script = [(429, "slowly", {"Retry-After": "1.5"})]
    judge_of(server, tmp_path, at_once=2, timeout=5.0).write(said(*"abcdef"), max_new_tokens=5, temperature=0.0, seed=0)
    assert len(server.times) == 7
    late = [when - server.times[0] for when in server.times[2:]]
    assert min(late) > 1.4


def test_the_default_retries_outlast_a_limit_per_minute():
    assert sum(pause_before(attempt, limited=True) for attempt in range(1, 7)) > 90
    assert max(pause_before(attempt, limited=False) for attempt in range(1, 99)) == 8


def test_it_waits_until_a_date_that_the_endpoint_names(server, tmp_path):
    server.script = [(503, "later", {"Retry-After": formatdate(time.time() + 3, usegmt=True)})]
    judge_of(server, tmp_path).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0)
    assert server.times[1] - server.times[0] > 1


def test_an_endpoint_is_asked_where_a_loop_runs_already(server, tmp_path):
    async def notebook():
        return judge_of(server, tmp_path).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0)

    assert asyncio.run(notebook()) == ["ONE"]
