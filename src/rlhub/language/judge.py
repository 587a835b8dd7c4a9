"""Who judges: a model here, or one behind an OpenAI-compatible endpoint.

A judge writes answers to conversations, and says with what probability it would take the first of two options. An endpoint's answers
are written to a file the moment they arrive, so that a run that was killed asks, and pays, for none of them twice.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl

import torch

from rlhub.core.errors import UserError
from rlhub.core.files import append_line, read_appended, write_text, writing
from rlhub.language.endpoint import LOGPROBS, Endpoint, Request
from rlhub.language.endpoint_answers import Answer, preferred, text_of
from rlhub.language.model import Policy, encode, encode_completion, load_policy
from rlhub.language.rollout import complete
from rlhub.language.rows import Group
from rlhub.language.update import score_all

Messages = list[dict[str, str]]


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
        choice_tokens: int = 4,
    ) -> None:
        """Prepare to ask it; nothing is asked yet.

        Args:
            url: the endpoint, up to `/v1`.
            model: what it calls the model.
            record: a JSONL file that keeps every answer; those that are there already are not asked for again.
            key: by default what the environment variable RLHUB_JUDGE_KEY holds, else none.
            timeout: seconds to wait for one answer, from the request to its last byte.
            retries: how often a request that failed, hung, was turned away or got no answer that can be read is made again, waiting
                longer each time, or as long as the endpoint says, up to ten minutes.
            at_once: requests in flight at a time.
            per_minute: most requests begun in a minute; 0 for any number.
            choice_tokens: longest answer to a question of choice, in tokens; a model that thinks first needs as many as it thinks.

        Raises:
            UserError: the package that talks to endpoints is missing, or the record is damaged.
        """
        self._endpoint = Endpoint(url, model, key=key, timeout=timeout, retries=retries, at_once=at_once, per_minute=per_minute)
        self._url, self._model, self._record, self._choice_tokens = url, model, record, choice_tokens
        self._known = read_record(record)

    def write(self, conversations: Sequence[Messages], *, max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        """See `Judge`."""
        settings = {"max_tokens": max_new_tokens, "temperature": temperature}
        asked = [{"messages": messages, "seed": seed + place, **settings} for place, messages in enumerate(conversations)]
        return [answer["text"].strip() for answer in self._ask_all(asked)]

    def choose(self, conversations: Sequence[Messages], *, first: str, second: str) -> list[float]:
        """See `Judge`; from the log-probs of the token that decides where the endpoint gives them, else from what it writes."""
        settings = {"max_tokens": self._choice_tokens, "temperature": 0.0, **LOGPROBS}
        answers = self._ask_all([{"messages": messages, **settings} for messages in conversations])
        return [preferred(answer, first, second) for answer in answers]

    def _ask_all(self, requests: list[Request]) -> list[Answer]:
        names = [name_of({"model": self._model, **request}) for request in requests]
        missing = {name: request for name, request in zip(names, requests, strict=True) if name not in self._known}
        refused = self._endpoint.ask_all(missing, self._keep) if missing else []
        # One prompt that it won't hear of is no reason to stop; where it hears of none, something is wrong with the asking.
        if refused and all(not self._known[name]["text"] for name in names):
            self._forget(names)
            raise UserError(f"the judge at {self._url} refuses every question: {refused[0]}")
        return [self._known[name] for name in names]

    def _keep(self, name: str, answer: Answer) -> None:
        """Write an answer to the file before anything else is done with it."""
        with writing("the judge's answers", self._record.parent):
            append_line(self._record, {"name": name, **answer})
        self._known[name] = answer

    def _forget(self, names: Sequence[str]) -> None:
        """Drop answers, so that they are asked for again."""
        self._known = {name: answer for name, answer in self._known.items() if name not in names}
        rows = "".join(json.dumps({"name": name, **answer}) + "\n" for name, answer in self._known.items())
        with writing("the judge's answers", self._record.parent):
            write_text(self._record, rows)


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
            mark as in `...#MODEL?timeout=30&retries=6&at_once=4&per_minute=60&choice_tokens=4`; else what `load_policy` takes.
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
    kinds: dict[str, Callable[[str], float]] = {"timeout": float, "retries": int, "at_once": int, "per_minute": int, "choice_tokens": int}
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in kinds:
            raise UserError(f"the judge {spec!r} has no option {name!r}; it has {', '.join(kinds)}")
        try:
            found[name] = kinds[name](value)
        except ValueError as error:
            raise UserError(f"the option {name!r} of the judge {spec!r} is {value!r}, which is no number") from error
        if found[name] < (1 if name in ("at_once", "choice_tokens") else 0) or (name == "timeout" and not found[name] > 0):
            raise UserError(f"the option {name!r} of the judge {spec!r} is {value}, which is too little")
    return found
