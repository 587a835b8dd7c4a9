"""Who judges: a model here, or one behind an OpenAI-compatible endpoint.

A judge writes answers to conversations, and says with what probability it would take the first of two options. An endpoint's answers
are written to a file the moment they arrive, so that a run that was killed asks, and pays, for none of them twice.
"""

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from rlhub.core.errors import UserError
from rlhub.core.files import writing
from rlhub.language.model import Policy, encode, encode_completion, load_policy
from rlhub.language.rollout import complete
from rlhub.language.rows import Group
from rlhub.language.update import score_all

Messages = list[dict[str, str]]
KEY = "RLHUB_JUDGE_KEY"


@runtime_checkable
class Judge(Protocol):
    """Answers conversations and chooses between options."""

    def write(self, conversations: Sequence[Messages], *, max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        """The next message of each conversation."""

    def choose(self, conversations: Sequence[Messages], *, first: str, second: str) -> list[float]:
        """The probability that the next message begins with the first option and not with the second."""


class ModelJudge:
    """A model that is loaded here."""

    def __init__(self, policy: Policy, *, together: int = 32) -> None:
        """Judge with a policy.

        Args:
            policy: the model.
            together: conversations that are answered at a time.
        """
        self._policy, self._together = policy, together

    def write(self, conversations: Sequence[Messages], *, max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        """See `Judge`."""
        written: list[str] = []
        for start in range(0, len(conversations), self._together):
            prompts = [encode(self._policy.tokenizer, conversation) for conversation in conversations[start : start + self._together]]
            draw = torch.Generator().manual_seed(seed + start)
            drawn = complete(self._policy, prompts, max_new_tokens=max_new_tokens, temperature=temperature, generator=draw)
            written += [texts[0].strip() for texts in drawn.texts]
        return written

    def choose(self, conversations: Sequence[Messages], *, first: str, second: str) -> list[float]:
        """See `Judge`; from the log-probs of the two options."""
        options = [encode_completion(self._policy.tokenizer, option) for option in (first, second)]
        groups = [Group(prompt=encode(self._policy.tokenizer, conversation), completions=options) for conversation in conversations]
        if not groups:
            return []
        sums = score_all(self._policy, groups).logprobs.sum(1).unflatten(0, (-1, 2))
        return torch.sigmoid(sums[:, 0] - sums[:, 1]).tolist()


class EndpointJudge:
    """A model behind an OpenAI-compatible endpoint."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        record: Path,
        key: str | None = None,
        timeout: float = 60.0,
        retries: int = 6,
        at_once: int = 8,
        per_minute: int = 0,
    ) -> None:
        """Connect to it; nothing is asked yet.

        Args:
            url: the endpoint, up to `/v1`.
            model: what it calls the model.
            record: a JSONL file that keeps every answer; those that are there already are not asked for again.
            key: by default what the environment variable RLHUB_JUDGE_KEY holds, else none.
            timeout: seconds to wait for one answer.
            retries: how often a request that failed, hung or was turned away is made again, waiting longer each time, or as long
                as the endpoint says.
            at_once: requests in flight at a time.
            per_minute: most requests begun in a minute; 0 for any number.

        Raises:
            UserError: the package that talks to endpoints is missing.
        """
        try:
            import openai
        except ModuleNotFoundError as error:
            raise UserError("a judge behind an endpoint needs the package openai: pip install 'rlhub[judge]'") from error
        self._errors = openai
        key = key or os.environ.get(KEY) or "none"
        self._client = openai.OpenAI(base_url=url, api_key=key, timeout=timeout, max_retries=retries)
        self._url, self._model, self._record, self._at_once = url, model, record, at_once
        self._lock, self._known = threading.Lock(), read_record(record)
        self._pause, self._next = 60 / per_minute if per_minute else 0.0, 0.0

    def write(self, conversations: Sequence[Messages], *, max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        """See `Judge`."""
        settings = {"max_tokens": max_new_tokens, "temperature": temperature}
        asked = [{"messages": messages, "seed": seed + place, **settings} for place, messages in enumerate(conversations)]
        return [str(answer["text"]).strip() for answer in self._ask_all(asked)]

    def choose(self, conversations: Sequence[Messages], *, first: str, second: str) -> list[float]:
        """See `Judge`; from the log-probs of the first token where the endpoint gives them, else from what it writes."""
        settings = {"max_tokens": 2, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
        answers = self._ask_all([{"messages": messages, **settings} for messages in conversations])
        return [preferred(answer, first, second) for answer in answers]

    def _ask_all(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        names = [name_of({"model": self._model, **request}) for request in requests]
        missing = {name: request for name, request in zip(names, requests, strict=True) if name not in self._known}
        with ThreadPoolExecutor(self._at_once) as threads:
            jobs = [threads.submit(self._ask, name, request) for name, request in missing.items()]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                for job in jobs:
                    job.cancel()
                raise
        return [self._known[name] for name in names]

    def _ask(self, name: str, request: dict[str, Any]) -> None:
        self._wait()
        try:
            choice = self._client.chat.completions.create(model=self._model, **request).choices[0]
        except self._errors.APITimeoutError as error:
            raise UserError(f"the judge at {self._url} doesn't answer in time, also when asked again; resume the run later") from error
        except self._errors.APIConnectionError as error:
            raise UserError(f"the judge at {self._url} can't be reached ({error}); resume the run when it can") from error
        except self._errors.APIStatusError as error:
            raise UserError(f"the judge at {self._url} refuses: {error.status_code}, {str(error)[:200]}") from error
        except (self._errors.OpenAIError, IndexError, TypeError, ValueError) as error:
            raise UserError(f"the judge at {self._url} answers with what is no chat completion ({error!r})") from error
        top = choice.logprobs.content[0].top_logprobs if choice.logprobs and choice.logprobs.content else []
        answer = {"text": choice.message.content or "", "top": {each.token: each.logprob for each in top}}
        line = json.dumps({"name": name, **answer}) + "\n"
        with self._lock, writing("the judge's answers", self._record.parent), self._record.open("a") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            self._known[name] = answer

    def _wait(self) -> None:
        """Keep to the rate."""
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._next)
            self._next = begin + self._pause
        time.sleep(begin - now)


def preferred(answer: dict[str, Any], first: str, second: str) -> float:
    """The probability of the first option among the two, from an endpoint's answer; 1/2 where it says neither."""
    chances = [sum(math.exp(value) for token, value in answer["top"].items() if begins(option, token)) for option in (first, second)]
    if sum(chances) > 0:
        return chances[0] / sum(chances)
    said = [answer["text"].strip().startswith(option.strip()) for option in (first, second)]
    return 0.5 if said[0] == said[1] else float(said[0])


def begins(option: str, token: str) -> bool:
    """Whether a token can be the beginning of an option, or the other way round, and tells it from others: a bracket alone doesn't."""
    option, token = option.strip(" ("), token.strip(" (")
    return bool(token) and (option.startswith(token) or token.startswith(option))


def name_of(request: dict[str, Any]) -> str:
    """A name for a request that the same request always has."""
    return hashlib.blake2b(json.dumps(request, sort_keys=True).encode(), digest_size=16).hexdigest()


def read_record(path: Path) -> dict[str, dict[str, Any]]:
    """The answers that a file keeps, by their requests' names; a line that a kill cut off is dropped from the file."""
    if not path.exists():
        return {}
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    rows = [json.loads(line) for line in whole.splitlines()]
    return {row.pop("name"): row for row in rows}


def load_judge(spec: str, *, record: Path, policy: Callable[[], Policy]) -> Judge:
    """A judge by its name.

    Args:
        spec: empty for the model that is trained; `http://HOST/v1#MODEL` (or https) for an endpoint; else what `load_policy` takes.
        record: where an endpoint's answers are kept.
        policy: makes the model that is trained.

    Raises:
        UserError: an endpoint without a model's name, or a model that can't be loaded.
    """
    if spec.startswith(("http://", "https://")):
        url, _, model = spec.partition("#")
        if not model:
            raise UserError(f"the judge {spec!r} lacks its model's name: give it after a #, as in {url}#MODEL")
        return EndpointJudge(url, model, record=record)
    return ModelJudge(load_policy(spec, learning_rate=0.0) if spec else policy())
