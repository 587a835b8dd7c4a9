"""Reward functions, in TRL's signature: `f(prompts, completions, **columns) -> list[float | None]`, where None means "not applicable".

Prompts and completions are strings; for prompts that are message lists each completion is a message list too, holding one assistant
message. A function may be asynchronous. Columns are the examples' other fields, one value a completion, so that a function names those it
reads and takes the rest in `**_`.
"""

import asyncio
import inspect
import math
import re
import traceback
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from typing import Any, TypeAlias

from rlhub.core.errors import UserError
from rlhub.core.seeding import derive
from rlhub.core.system import function_in_file

Text: TypeAlias = str | list[dict[str, str]]
Reward: TypeAlias = Callable[..., Sequence[float | None] | Awaitable[Sequence[float | None]]]

TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def content(completion: Text) -> str:
    """A completion's text, whichever form it has."""
    return completion if isinstance(completion, str) else "".join(message["content"] for message in completion)


def extract_answer(completion: Text) -> str:
    """What a completion answers: inside its last `<answer>...</answer>` if it has one, else all of it; without space around."""
    text = content(completion)
    tagged = TAG.findall(text)
    return (tagged[-1] if tagged else text).strip()


def normalise(text: str) -> str:
    """Text for comparison: no accents, no case, single spaces."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return " ".join(plain.casefold().split())


def exact_match(prompts: list[Text], completions: list[Text], *, answer: list[str | None], **_: Any) -> list[float | None]:
    """1 where what the completion answers is the answer, up to case, accents, spaces and a full stop at the end; else 0."""
    return [compare(extract_answer(given), wanted, str.__eq__) for given, wanted in zip(completions, answer, strict=True)]


def starts_with_answer(prompts: list[Text], completions: list[Text], *, answer: list[str | None], **_: Any) -> list[float | None]:
    """1 where the completion begins with the answer as a whole word (quotes, stars and spaces before it don't count); else 0."""
    return [compare(content(given), wanted, begins) for given, wanted in zip(completions, answer, strict=True)]


def contains_answer(prompts: list[Text], completions: list[Text], *, answer: list[str | None], **_: Any) -> list[float | None]:
    """1 where the answer stands in the completion as whole words; else 0."""
    return [compare(content(given), wanted, holds) for given, wanted in zip(completions, answer, strict=True)]


def compare(given: str, wanted: str | None, agree: Callable[[str, str], bool]) -> float | None:
    """1 or 0 as the two texts agree after normalisation, None where there is no answer to compare with."""
    if wanted is None:
        return None
    return float(agree(normalise(given).rstrip("."), normalise(wanted).rstrip(".")))


def begins(given: str, wanted: str) -> bool:
    """Whether a text begins with another as a whole word."""
    rest = given.lstrip(" \"'`*_(")
    return rest.startswith(wanted) and not rest[len(wanted) : len(wanted) + 1].isalnum()


def holds(given: str, wanted: str) -> bool:
    """Whether a text holds another as whole words."""
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", given) is not None


def random_reward(prompts: list[Text], completions: list[Text], *, step: int = 0, seed: int = 0, **_: Any) -> list[float | None]:
    """0 or 1 by a fair coin that looks at nothing: the control whose training can teach only what training as such does."""
    return [float(derive(seed, "random reward", step, index) % 2) for index in range(len(completions))]


BUILT_IN: dict[str, Reward] = {
    "exact_match": exact_match,
    "starts_with_answer": starts_with_answer,
    "contains_answer": contains_answer,
    "random": random_reward,
}


def load_reward(spec: str) -> Reward:
    """A reward function by name, a reward model as `reward-model:RUN`, or a function in a Python file as `path/to/file.py:function`.

    Raises:
        UserError: there is no such name, file or function, or the file can't be run.
    """
    if spec in BUILT_IN:
        return BUILT_IN[spec]
    if spec in ("format", "language"):
        from rlhub.language.rule_rewards import language_consistency, tag_format

        return tag_format if spec == "format" else language_consistency
    if spec.startswith("reward-model:"):
        from rlhub.language.reward_model import ModelReward

        return ModelReward(spec.partition(":")[2])
    if not spec.rpartition(":")[0].endswith(".py"):
        raise UserError(
            f"there is no reward {spec!r}; give one of {', '.join(BUILT_IN)}, format, language, reward-model:RUN, or a function of "
            "yours as path/to/file.py:function"
        )
    return function_in_file(spec, "reward")


def call_reward(reward: Reward, prompts: Sequence[Text], completions: Sequence[Text], /, **columns: Any) -> list[float | None]:
    """Call a reward function, wait for it if it is asynchronous, and check what it gives.

    Args:
        reward: the function; one without `**` gets only the columns that it names.
        prompts: one a completion.
        completions: what the model wrote.
        columns: lists with one value a completion; `step` and `seed` are single numbers. Of those that are called prompts or completions
            the function sees nothing.

    Returns:
        One finite number, or None, a completion.

    Raises:
        UserError: it asks for a column that is not there, raises, or gives something else.
    """
    name = getattr(reward, "__name__", type(reward).__name__)
    arguments = wanted_arguments(name, reward, {**columns, "prompts": list(prompts), "completions": list(completions)})
    try:
        given = reward(**arguments)
        if inspect.isawaitable(given):
            given = wait_for(given)
    except UserError:
        raise
    except Exception as error:  # whatever a person's function raises
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(f"the reward {name!r} raised {type(error).__name__} at {where.filename}:{where.lineno}: {error}") from error
    if isinstance(given, str | bytes) or not hasattr(given, "__len__") or not hasattr(given, "__iter__"):
        raise UserError(f"the reward {name!r} must give a list with one number a completion, and gave a {type(given).__name__}")
    if len(given) != len(completions):
        raise UserError(f"the reward {name!r} gave {len(given)} values for {len(completions)} completions; it must give one for each")
    return [checked(name, index, value) for index, value in enumerate(given)]


def wanted_arguments(name: str, reward: Reward, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the arguments that a function takes.

    Raises:
        UserError: it needs one that is not there.
    """
    parameters = inspect.signature(reward).parameters.values()
    named = [parameter for parameter in parameters if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)]
    missing = [parameter.name for parameter in named if parameter.default is parameter.empty and parameter.name not in arguments]
    if missing:
        raise UserError(f"the reward {name!r} asks for {', '.join(missing)}, which the task has not; it has {', '.join(sorted(arguments))}")
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return arguments
    return {parameter.name: arguments[parameter.name] for parameter in named if parameter.name in arguments}


def wait_for(given: Awaitable[Any]) -> Any:
    """The result of an asynchronous reward, also where an event loop is running already (as in a notebook)."""

    async def result() -> Any:
        return await given

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, result()).result()


def checked(name: str, index: int, value: Any) -> float | None:
    """One value of a reward function as a float, or None."""
    if value is None:
        return None
    number = value.item() if getattr(value, "size", 0) == 1 or getattr(value, "ndim", None) == 0 else value
    if not isinstance(number, Real) or not math.isfinite(number):
        raise UserError(f"the reward {name!r} gave {value!r} for completion {index}; it must be a finite number or None")
    return float(number)
