"""Who judges: a model here, or one behind an OpenAI-compatible endpoint.

A judge writes answers to conversations, and says with what probability it would take the first of two options. An endpoint's answers
are written to a file the moment they arrive, so that a run that was killed asks, and pays, for none of them twice.
"""

import contextlib
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl

import torch

from rlhub.core.errors import UserError
from rlhub.core.files import append_line, read_appended, writing
from rlhub.language.endpoint_answers import Answer, NoAnswer, answer_in, preferred, text_of
from rlhub.language.model import Policy, encode, encode_completion, load_policy
from rlhub.language.rollout import complete
from rlhub.language.rows import Group
from rlhub.language.update import score_all

Messages = list[dict[str, str]]
KEY = "RLHUB_JUDGE_KEY"
LOGPROBS = {"logprobs": True, "top_logprobs": 20}


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
        # Requests are made again here and not by the client, so that these keep to the rate, too.
        self._client = openai.OpenAI(base_url=url, api_key=key, timeout=timeout, max_retries=0)
        self._url, self._model, self._record, self._at_once, self._retries = url, model, record, at_once, retries
        self._lock, self._known = threading.Lock(), read_record(record)
        self._pause, self._next = 60 / per_minute if per_minute else 0.0, 0.0

    def write(self, conversations: Sequence[Messages], *, max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        """See `Judge`."""
        settings = {"max_tokens": max_new_tokens, "temperature": temperature}
        asked = [{"messages": messages, "seed": seed + place, **settings} for place, messages in enumerate(conversations)]
        return [str(answer["text"]).strip() for answer in self._ask_all(asked)]

    def choose(self, conversations: Sequence[Messages], *, first: str, second: str) -> list[float]:
        """See `Judge`; from the log-probs of the token that decides where the endpoint gives them, else from what it writes."""
        settings = {"max_tokens": 4, "temperature": 0.0, **LOGPROBS}
        answers = self._ask_all([{"messages": messages, **settings} for messages in conversations])
        return [preferred(answer, first, second) for answer in answers]

    def _ask_all(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        names = [name_of({"model": self._model, **request}) for request in requests]
        missing = {name: request for name, request in zip(names, requests, strict=True) if name not in self._known}
        refused: list[str] = []
        with ThreadPoolExecutor(self._at_once) as threads:
            jobs = [threads.submit(self._ask, name, request) for name, request in missing.items()]
            try:
                refused += [refusal for job in jobs if (refusal := job.result())]
            except BaseException:
                for job in jobs:
                    job.cancel()
                raise
        # One prompt that it won't hear of is no reason to stop; where it hears of none, something is wrong with the asking.
        if refused and all(not self._known[name]["text"] for name in names):
            self._forget(names)
            raise UserError(f"the judge at {self._url} refuses every question: {refused[0]}")
        return [self._known[name] for name in names]

    def _ask(self, name: str, request: dict[str, Any]) -> str:
        """Ask, and keep the answer; what it says if it refuses the question, whose answer then is empty."""
        answer, refusal = {"text": "", "top": []}, ""
        try:
            answer = self._tried(request)
        except self._errors.BadRequestError as error:
            refusal = str(error)[:200]
            if request.keys() & LOGPROBS.keys():
                plain = {key: value for key, value in request.items() if key not in LOGPROBS}
                with contextlib.suppress(self._errors.BadRequestError):
                    answer, refusal = self._tried(plain), ""
        self._keep(name, answer)
        return refusal

    def _tried(self, request: dict[str, Any]) -> Answer:
        """An answer, asked for again as long as that makes sense."""
        for attempt in range(self._retries + 1):
            self._wait()
            try:
                reply = self._client.chat.completions.with_raw_response.create(model=self._model, **request)
                return answer_in(reply.http_response.content)
            except self._errors.BadRequestError:
                raise
            except (self._errors.OpenAIError, NoAnswer) as error:
                if attempt == self._retries or not self._passes(error):
                    raise self._told(error) from error
                time.sleep(pause_before(attempt + 1, getattr(error, "response", None)))
            except (TypeError, ValueError) as error:
                raise UserError(f"the judge at {self._url} can't be asked ({error})") from error
        raise AssertionError

    def _passes(self, error: Exception) -> bool:
        """Whether what failed may go well another time."""
        status = getattr(error, "status_code", None)
        return isinstance(error, self._errors.APIConnectionError | NoAnswer) or status in (408, 409, 429) or (status or 0) >= 500

    def _told(self, error: Exception) -> UserError:
        """What failed, for a person."""
        if isinstance(error, self._errors.APITimeoutError):
            return UserError(f"the judge at {self._url} doesn't answer in time, also when asked again; resume the run later")
        if isinstance(error, self._errors.APIConnectionError):
            return UserError(f"the judge at {self._url} can't be reached ({error}); resume the run when it can")
        if isinstance(error, self._errors.APIStatusError):
            return UserError(f"the judge at {self._url} refuses: {error.status_code}, {str(error)[:200]}")
        return UserError(f"the judge at {self._url} answers, also when asked again, {error}")

    def _keep(self, name: str, answer: dict[str, Any]) -> None:
        """Write an answer to the file before anything else is done with it."""
        with self._lock, writing("the judge's answers", self._record.parent):
            append_line(self._record, {"name": name, **answer})
            self._known[name] = answer

    def _forget(self, names: Sequence[str]) -> None:
        """Drop answers, so that they are asked for again."""
        with self._lock, writing("the judge's answers", self._record.parent):
            self._known = {name: answer for name, answer in self._known.items() if name not in names}
            rows = "".join(json.dumps({"name": name, **answer}) + "\n" for name, answer in self._known.items())
            beside = self._record.with_name(f".{self._record.name}.partial")
            beside.write_text(rows)
            beside.replace(self._record)

    def _wait(self) -> None:
        """Keep to the rate."""
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._next)
            self._next = begin + self._pause
        time.sleep(begin - now)


def pause_before(attempt: int, response: Any) -> float:
    """Seconds to wait before a request is made again: as long as the endpoint says, else longer each time, up to 8."""
    wanted = getattr(response, "headers", {}).get("retry-after", "")
    return min(float(wanted), 60.0) if re.fullmatch(r"\d+(?:\.\d+)?", wanted) else min(0.25 * 2**attempt, 8.0)


def name_of(request: dict[str, Any]) -> str:
    """A name for a request that the same request always has."""
    return hashlib.blake2b(json.dumps(request, sort_keys=True).encode(), digest_size=16).hexdigest()


def read_record(path: Path) -> dict[str, Answer]:
    """The answers that a file keeps, by their requests' names.

    Raises:
        UserError: a line of it can't be read.
    """
    try:
        return {row["name"]: {"text": text_of(row["text"]), "top": row["top"]} for row in read_appended(path)}
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"the judge's answers in {path} are damaged ({error!r}): delete the line that is, and it is asked for again"
        ) from error


def load_judge(spec: str, *, record: Path, policy: Callable[[], Policy]) -> Judge:
    """A judge by its name.

    Args:
        spec: empty for the model that is trained; `http://HOST/v1#MODEL` (or https) for an endpoint, with its limits after a question
            mark as in `...#MODEL?timeout=30&retries=6&at_once=4&per_minute=60`; else what `load_policy` takes.
        record: where an endpoint's answers are kept.
        policy: makes the model that is trained.

    Raises:
        UserError: an endpoint without a model's name, or a model that can't be loaded.
    """
    if spec.startswith(("http://", "https://")):
        url, _, rest = spec.partition("#")
        model, _, query = rest.partition("?")
        if not model:
            raise UserError(f"the judge {spec!r} lacks its model's name: give it after a #, as in {url}#MODEL")
        return EndpointJudge(url, model, record=record, **endpoint_options(spec, query))
    return ModelJudge(load_policy(spec, learning_rate=0.0) if spec else policy())


def endpoint_options(spec: str, query: str) -> dict[str, Any]:
    """The limits that a judge's name gives.

    Raises:
        UserError: there is no such limit, or it is no number that makes sense.
    """
    kinds: dict[str, Callable[[str], float]] = {"timeout": float, "retries": int, "at_once": int, "per_minute": int}
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in kinds:
            raise UserError(f"the judge {spec!r} has no option {name!r}; it has {', '.join(kinds)}")
        try:
            found[name] = kinds[name](value)
        except ValueError as error:
            raise UserError(f"the option {name!r} of the judge {spec!r} is {value!r}, which is no number") from error
        if found[name] < (1 if name == "at_once" else 0) or (name == "timeout" and not found[name] > 0):
            raise UserError(f"the option {name!r} of the judge {spec!r} is {value}, which is too little")
    return found
