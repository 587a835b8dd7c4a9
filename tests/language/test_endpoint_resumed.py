"""A training whose judge is behind an endpoint: interrupted amid its questions, it asks again for no answer that it had."""

import json
import math
import os
import signal
import time
from collections import Counter
from hashlib import blake2b

import pytest
import torch
from constitutions import SHORT
from endpoints import Server

import rlhub
from rlhub.language.constitutional import Constitutional


class Counting(Server):
    """An endpoint whose answers depend on the question alone.

    Attributes:
        answered: the questions that were answered, each with the settings it came with.
        stop_at: how many questions are answered before the next one interrupts this process instead; never, where there is none.
    """

    def __init__(self):
        super().__init__()
        self.answered, self.stop_at, self.rule = [], None, self.answer

    def answer(self, body):
        if self.stop_at == len(self.answered):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # so that the interruption comes before the word that nobody answers
            return "drop"
        asked = json.dumps(body, sort_keys=True)
        self.answered.append(asked)
        return json.dumps(completion(body, blake2b(asked.encode()).digest()[0])).encode()


def completion(body, drawn):
    """A text that is the draw's, and for a choice (A) with a chance that is the draw's, too."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"Better {drawn}"}}
    if body.get("logprobs"):
        chance = (drawn + 1) / 257
        top = [{"token": token, "logprob": math.log(value), "bytes": None} for token, value in (("A", chance), ("B", 1 - chance))]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}


@pytest.fixture
def endpoint():
    served = Counting()
    yield served
    served.close()


def test_interrupted_amid_its_questions_a_training_goes_on_without_asking_any_twice(endpoint, tmp_path):
    (tmp_path / "short.toml").write_text(SHORT)
    system = Constitutional(
        model="tiny",
        constitution=str(tmp_path / "short.toml"),
        judge=f"{endpoint.url}#wise?at_once=1&retries=0",
        batches=1,
        revisions=1,
        sft_steps=1,
        reward_steps=1,
        rl_steps=1,
        max_new_tokens=4,
    )
    whole = rlhub.train(system, seed=0, runs=tmp_path, name="whole")
    asked, endpoint.answered = endpoint.answered, []
    # 16 critiques and 16 revisions come first, and then 16 comparisons in both orders.
    for endpoint.stop_at in (5, 40):
        with pytest.raises(KeyboardInterrupt):
            rlhub.train(system, seed=0, runs=tmp_path, name="broken")
        assert len(endpoint.answered) == endpoint.stop_at
    endpoint.stop_at = None
    broken = rlhub.train(system, seed=0, runs=tmp_path, name="broken")
    assert Counter(endpoint.answered) == Counter(asked)
    for file in ("revise/revisions.jsonl", "compare/preferences.jsonl"):
        one, other = (run.folder / "stages" / file for run in (whole, broken))
        assert one.read_bytes() == other.read_bytes() != b""
    assert all(torch.equal(*both) for both in zip(whole.model().parameters(), broken.model().parameters(), strict=True))
