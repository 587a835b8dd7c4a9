"""Asking an OpenAI-compatible endpoint: no faster than it allows, in the form that it takes, and again where that makes sense."""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from rlhub.core.errors import UserError
from rlhub.language.endpoint_answers import Answer, NoAnswer, answer_in

KEY = "RLHUB_JUDGE_KEY"
LOGPROBS = {"logprobs": True, "top_logprobs": 20}
FEWER = 5
"""Log-probs a token that endpoints give which don't give 20."""
LONGEST = 600.0
"""Seconds; an endpoint that asks for more patience ends the run."""

Request = dict[str, Any]
Create = Callable[..., Awaitable[Any]]
T = TypeVar("T")


class Endpoint:
    """A model behind an OpenAI-compatible endpoint."""

    def __init__(
        self, url: str, model: str, *, key: str | None = None, timeout: float, retries: int, at_once: int, per_minute: int
    ) -> None:
        """Prepare to ask; see `EndpointJudge` for what the settings are.

        Raises:
            UserError: the package that talks to endpoints is missing.
        """
        try:
            import openai
        except ModuleNotFoundError as error:
            raise UserError("a judge behind an endpoint needs the package openai: pip install 'rlhub[judge]'") from error
        self._openai, self._refusals = openai, (openai.BadRequestError, openai.PermissionDeniedError, openai.UnprocessableEntityError)
        self._url, self._model, self._key = url, model, key or os.environ.get(KEY) or "none"
        self._timeout, self._retries, self._at_once = timeout, retries, at_once
        self._pause, self._next = 60 / per_minute if per_minute else 0.0, 0.0
        self._without: frozenset[str] = frozenset()
        self._gives_logprobs = False

    def ask_all(self, requests: Mapping[str, Request], keep: Callable[[str, Answer], None]) -> list[str]:
        """Ask several questions, some at a time.

        Args:
            requests: by their names.
            keep: is given each name and its answer the moment it comes; an empty one for a question that is refused.

        Returns:
            What the endpoint says to the questions that it refuses.

        Raises:
            UserError: it can't be reached, doesn't answer, or refuses for another reason than the question.
        """
        return finished(self._ask_all(requests, keep))

    async def _ask_all(self, requests: Mapping[str, Request], keep: Callable[[str, Answer], None]) -> list[str]:
        self._stopped, turns = asyncio.Event(), asyncio.Semaphore(self._at_once)

        async def ask(name: str, request: Request) -> str:
            async with turns:
                answer, refusal = await self._asked(create, request)
            keep(name, answer)
            return refusal

        # Requests are made again here and not by the client, so that these keep to the rate, too; its own time limit is one a read.
        async with self._openai.AsyncOpenAI(base_url=self._url, api_key=self._key, timeout=None, max_retries=0) as client:
            # Much of the package is imported only here, which may take longer than an answer.
            create = client.chat.completions.with_raw_response.create
            jobs = [asyncio.ensure_future(ask(name, request)) for name, request in requests.items()]
            try:
                return [refusal for refusal in await asyncio.gather(*jobs) if refusal]
            except Exception:
                # Nothing more is asked; what is being answered may have to be paid for, so it is waited for and kept.
                self._stopped.set()
                await asyncio.gather(*jobs, return_exceptions=True)
                raise

    async def _asked(self, create: Create, request: Request) -> tuple[Answer, str]:
        """An answer, asked for without what the endpoint refuses, and what it says if it refuses the question."""
        without = self._without
        while True:
            sent = put(request, without)
            try:
                answer = await self._tried(create, sent)
            except self._refusals as error:
                if more := refused_by(error, sent):
                    without |= more
                    continue
                if not isinstance(error, self._openai.BadRequestError):
                    raise self._told(error) from error
                return {"text": "", "top": []}, str(error)[:200]
            # A single question that is refused with log-probs and taken without says nothing of an endpoint that gives them.
            self._without |= without - LOGPROBS.keys() if self._gives_logprobs else without
            self._gives_logprobs |= sent.keys() >= LOGPROBS.keys()
            return answer, ""

    async def _tried(self, create: Create, sent: Request) -> Answer:
        """An answer, asked for again as long as that makes sense."""
        for attempt in range(1, self._retries + 2):
            await self._turn()
            try:
                async with asyncio.timeout(self._timeout):
                    reply = await create(model=self._model, **sent)
                return answer_in(reply.http_response.content)
            except self._refusals:
                raise
            except (self._openai.OpenAIError, NoAnswer, TimeoutError) as error:
                status, wanted = getattr(error, "status_code", None), wait_wanted(getattr(error, "response", None))
                if attempt > self._retries or not self._passes(error) or (wanted or 0) > LONGEST:
                    raise self._told(error, wanted) from error
                pause = pause_before(attempt, limited=status == 429) if wanted is None else wanted
                if wanted is not None or status == 429:
                    # The limit is on all requests, so none is made before it is over.
                    self._next = max(self._next, time.monotonic() + pause)
                else:
                    await self._sleep(pause)
            except (TypeError, ValueError) as error:
                raise UserError(f"the judge at {self._url} can't be asked ({error})") from error
        raise AssertionError

    async def _turn(self) -> None:
        """Wait until the next request may be made."""
        while (left := self._next - time.monotonic()) > 0:
            await self._sleep(left)
        await self._sleep(0)
        self._next = time.monotonic() + self._pause

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless no more is to be asked."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopped.wait()
        if self._stopped.is_set():
            raise asyncio.CancelledError

    def _passes(self, error: Exception) -> bool:
        """Whether what failed may go well another time."""
        status = getattr(error, "status_code", None)
        return (
            isinstance(error, self._openai.APIConnectionError | NoAnswer | TimeoutError)
            or status in (408, 409, 429)
            or (status or 0) >= 500
        )

    def _told(self, error: Exception, wanted: float | None = None) -> UserError:
        """What failed, for a person."""
        if isinstance(error, TimeoutError):
            return UserError(f"the judge at {self._url} doesn't answer in time, also when asked again; resume the run later")
        if isinstance(error, NoAnswer):
            return UserError(f"the judge at {self._url} answers, also when asked again, {error}")
        if isinstance(error, self._openai.APIConnectionError):
            return UserError(f"the judge at {self._url} can't be reached ({error}); resume the run when it can")
        later = f"; it asks to wait {wanted:.0f} s: resume the run then" if wanted else ""
        status = getattr(error, "status_code", None)
        return UserError(f"the judge at {self._url} refuses: {f'{status}, ' if status else ''}{str(error)[:200]}{later}")


def put(request: Request, without: frozenset[str]) -> Request:
    """A request in the form that an endpoint takes.

    Args:
        request: as others take it.
        without: settings that it refuses: `max_tokens` goes by its newer name, `top_logprobs` asks for fewer of them, others are left out.
    """
    sent = {name: value for name, value in request.items() if name not in without - {"max_tokens", "top_logprobs"}}
    if "max_tokens" in without and "max_tokens" in sent:
        sent["max_completion_tokens"] = sent.pop("max_tokens")
    if "logprobs" not in sent:
        sent.pop("top_logprobs", None)
    elif "top_logprobs" in without:
        sent["top_logprobs"] = FEWER
    return sent


def refused_by(error: Any, sent: Request) -> frozenset[str]:
    """The settings that a refusal is about: those that it names, else log-probs, if any were asked for: first some, then all."""
    said = str(error.param or error)
    named = frozenset(name for name in ("max_tokens", "temperature", "seed") if name in sent and re.search(rf"\b{name}\b", said))
    if named or "logprobs" not in sent:
        return named
    return frozenset({"top_logprobs" if sent["top_logprobs"] > FEWER else "logprobs"})


def wait_wanted(response: Any) -> float | None:
    """The seconds that an endpoint asks to wait, if it does (RFC 9110, Retry-After: a number, or a date)."""
    said = getattr(response, "headers", {}).get("retry-after", "")
    if re.fullmatch(r"\d+(?:\.\d+)?", said):
        return float(said)
    with contextlib.suppress(ValueError, OverflowError):
        return max(parsedate_to_datetime(said).timestamp() - time.time(), 0.0)
    return None


def pause_before(attempt: int, *, limited: bool) -> float:
    """Seconds to wait before a request is made again where the endpoint doesn't say how long: longer each time.

    Args:
        attempt: how often it has been made.
        limited: whether there were too many requests; the default retries then outlast a limit per minute.
    """
    return min(2.0**attempt, 60.0) if limited else min(0.25 * 2**attempt, 8.0)


def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of asynchronous work, which ends at once where a signal ends the waiting for it.

    It has a thread of its own, since a notebook's is busy with a loop already, and since a signal must not cut short what it writes.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)

    def run() -> T:
        with contextlib.closing(loop):
            return loop.run_until_complete(task)

    with ThreadPoolExecutor(1) as thread:
        job = thread.submit(run)
        try:
            return job.result()
        except BaseException:
            # The loop is closed where the work has failed and not the waiting.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)
            raise
