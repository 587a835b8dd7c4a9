"""Judges: a model here, and one behind a server that fails on purpose."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from rlhub.core.errors import UserError
from rlhub.language.judge import EndpointJudge, Judge, ModelJudge, load_judge, name_of, read_record
from rlhub.language.model import load_policy

QUESTION = [{"role": "user", "content": "Which is better? (A) or (B)"}]


class Server:
    """An OpenAI-compatible endpoint that does with each request what a list says, and then answers.

    Attributes:
        script: for each request that comes: an HTTP status to refuse with, "hang", "drop", "rubbish", or "answer".
        asked: the requests' bodies.
        most: most requests that were being answered at one time.
    """

    def __init__(self):
        self.script, self.asked, self.most, self._now, self._lock = [], [], 0, 0, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.asked.append(body)
                    what = outer.script.pop(0) if outer.script else "answer"
                    outer._now += 1
                    outer.most = max(outer.most, outer._now)
                try:
                    self.act(what, body)
                finally:
                    with outer._lock:
                        outer._now -= 1

            def act(self, what, body):
                if what == "hang":
                    time.sleep(1.5)
                elif what == "drop":
                    self.connection.close()
                elif what == "rubbish":
                    self.reply(200, b'{"choices": []}')
                elif isinstance(what, int):
                    self.reply(what, b'{"error": {"message": "not now"}}', {"Retry-After": "0"})
                else:
                    time.sleep(0.02)
                    self.reply(200, json.dumps(outer.completion(body)).encode())

            def reply(self, status, body, headers=()):
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @staticmethod
    def completion(body):
        text = body["messages"][-1]["content"].upper()
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        if body.get("logprobs"):
            top = [{"token": token, "logprob": value, "bytes": None} for token, value in (("A", -0.1054), (" B", -2.3026), ("(", -5.0))]
            choice["logprobs"] = {"content": [{"token": "A", "logprob": -0.1054, "bytes": None, "top_logprobs": top}]}
        return {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}


@pytest.fixture
def server():
    served = Server()
    yield served
    served.http.shutdown()
    served.http.server_close()


def judge_of(server, tmp_path, **settings):
    return EndpointJudge(server.url, "wise", record=tmp_path / "record.jsonl", **({"timeout": 0.5, "retries": 3} | settings))


def said(*texts):
    return [[{"role": "user", "content": text}] for text in texts]


def test_an_endpoint_writes_and_chooses(server, tmp_path):
    judge = judge_of(server, tmp_path)
    assert isinstance(judge, Judge)
    assert judge.write(said("one", "two"), max_new_tokens=5, temperature=0.7, seed=3) == ["ONE", "TWO"]
    assert judge.choose([QUESTION], first="(A", second="(B") == [pytest.approx(0.9, abs=1e-3)]
    assert server.asked[0]["model"] == "wise"


@pytest.mark.parametrize("failures", [[429, 503, 500], ["hang"], ["drop", 429], ["rubbish"]], ids=str)
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
    ],
)
def test_what_goes_on_failing_is_one_sentence(server, tmp_path, failures, words):
    server.script = list(failures)
    with pytest.raises(UserError, match=words):
        judge_of(server, tmp_path, retries=1, timeout=0.2).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0)


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


def test_another_seed_or_model_is_another_question(server, tmp_path):
    judge = judge_of(server, tmp_path)
    for seed in (0, 1):
        judge.write(said("one"), max_new_tokens=5, temperature=1.0, seed=seed)
    assert len(server.asked) == 2
    assert name_of({"model": "a"}) != name_of({"model": "b"})


def test_so_many_are_asked_at_once_and_so_many_a_minute(server, tmp_path):
    texts = said(*map(str, range(12)))
    judge_of(server, tmp_path, at_once=3).write(texts, max_new_tokens=5, temperature=0.0, seed=0)
    assert 1 < server.most <= 3
    began = time.monotonic()
    judge_of(server, tmp_path, per_minute=600).write(said(*"abcdef"), max_new_tokens=5, temperature=0.0, seed=0)
    assert time.monotonic() - began >= 0.5


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


def test_an_endpoint_that_gives_no_log_probs_is_asked_without(server, tmp_path):
    server.script = [400]
    assert judge_of(server, tmp_path, at_once=1).choose(said("(b) it is"), first="(A", second="(B") == [0.0]
    assert [bool(body.get("logprobs")) for body in server.asked] == [True, False]


def test_requests_that_are_made_again_keep_to_the_rate(server, tmp_path):
    server.script = [503, 503, 503]
    began = time.monotonic()
    judge_of(server, tmp_path, per_minute=300).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0)
    assert len(server.asked) == 4
    assert time.monotonic() - began >= 0.6


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("speed=3", "has no option 'speed'"),
        ("timeout=soon", "'soon', which is no number"),
        ("at_once=0", "too little"),
        ("timeout=0", "too little"),
    ],
)
def test_limits_of_an_endpoint_are_given_with_its_name(tmp_path, query, words):
    with pytest.raises(UserError, match=words):
        load_judge(f"http://localhost:1/v1#wise?{query}", record=tmp_path / "r", policy=lambda: None)
    judge = load_judge("http://localhost:1/v1#wise?timeout=3&retries=0&at_once=2&per_minute=60", record=tmp_path / "r", policy=lambda: None)
    assert isinstance(judge, EndpointJudge)
    assert (judge._at_once, judge._retries, judge._pause, judge._client.timeout) == (2, 0, 1.0, 3.0)


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


def test_a_record_of_an_earlier_version_is_read(server, tmp_path):
    request = {"messages": QUESTION, "max_tokens": 4, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
    row = {"text": [{"type": "text", "text": "(B)"}], "top": [{"token": "A", "top": {"A": None, "B": None}}]}
    (tmp_path / "record.jsonl").write_text(json.dumps({"name": name_of({"model": "wise", **request}), **row}) + "\n")
    assert judge_of(server, tmp_path).choose([QUESTION], first="(A", second="(B") == [0.0]
    assert not server.asked
