"""Constitutions: principles that answers are criticised, revised and compared by, and prompts to try them on (TOML)."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

from rlhub.core.errors import UserError
from rlhub.core.seeding import derive
from rlhub.language.judge import Messages
from rlhub.language.task import Example, Task

KINDS = ("harmful", "false_premise", "helpful")
TEST_SHARE = 4
"""One prompt in so many is kept for tests."""


@dataclass(frozen=True, kw_only=True)
class Principle:
    """One principle.

    Attributes:
        name: what it is called.
        critique: asks for a critique of the last answer by it.
        revision: asks for the answer to be written again.
        preference: asks which of two answers is better by it.
    """

    name: str
    critique: str
    revision: str
    preference: str


@dataclass(frozen=True, kw_only=True)
class Constitution:
    """Principles, and prompts by what a good answer to them does.

    Attributes:
        name: what it is called.
        principles: at least one.
        prompts: by kind: harmful (a good answer doesn't help), false_premise (it says what is wrong), helpful (it does what is asked).
    """

    name: str
    principles: Sequence[Principle]
    prompts: dict[str, Sequence[str]]

    def drawn(self, seed: int, *purpose: str | int) -> Principle:
        """One principle at random."""
        return self.principles[derive(seed, "principle", *purpose) % len(self.principles)]

    def task(self, seed: int = 0) -> Task:
        """The prompts as a task, each with its kind; every fourth of each kind is for tests."""
        splits: dict[str, list[Example]] = {"train": [], "test": []}
        for kind, prompts in self.prompts.items():
            for place, prompt in enumerate(prompts):
                split = "test" if place % TEST_SHARE == TEST_SHARE - 1 else "train"
                splits[split].append(Example([{"role": "user", "content": prompt}], None, {"kind": kind}))
        return Task(name=f"constitution {self.name}", splits=splits, rewards=[], seed=seed)


def load_constitution(path: str) -> Constitution:
    """A constitution from a TOML file; the one that comes with rlhub, if no path is given.

    Raises:
        UserError: the file can't be read, or lacks something; which, and where.
    """
    where = path or "the constitution that comes with rlhub"
    try:
        text = Path(path).read_text("utf-8") if path else (files("rlhub.language") / "data/constitution.toml").read_text("utf-8")
        found = tomllib.loads(text)
    except OSError as error:
        raise UserError(f"can't read the constitution {where}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"the constitution {where} is not TOML: {error}") from error
    rows = found.get("principles")
    if not isinstance(rows, list) or not rows:
        raise UserError(f"the constitution {where} has no principles: give each in a table [[principles]]")
    principles = [principle(where, number, row) for number, row in enumerate(rows, start=1)]
    prompts = found.get("prompts", {})
    if not isinstance(prompts, dict) or any(
        kind not in KINDS or not isinstance(given, list) or not all(isinstance(each, str) and each for each in given)
        for kind, given in prompts.items()
    ):
        raise UserError(f"the constitution {where} has prompts that can't be read: give lists of texts in {', '.join(KINDS)}")
    return Constitution(name=str(found.get("name", Path(path).stem)), principles=principles, prompts=prompts)


def principle(where: str, number: int, row: object) -> Principle:
    """One principle of a file.

    Raises:
        UserError: it lacks a field, or has one that there is not.
    """
    known = [field.name for field in fields(Principle)]
    if not isinstance(row, dict):
        raise UserError(f"the constitution {where}: principle {number} is no table")
    missing = [name for name in known if not isinstance(row.get(name), str) or not row[name].strip()]
    strangers = [name for name in row if name not in known]
    if missing or strangers:
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(strangers)}"
        raise UserError(f"the constitution {where}: principle {number} {what}; it has {', '.join(known)}, each a text")
    return Principle(**row)


def criticising(prompt: Messages, answer: str, by: Principle) -> Messages:
    """The conversation that asks for a critique of an answer."""
    return [*prompt, {"role": "assistant", "content": answer}, {"role": "user", "content": by.critique}]


def revising(prompt: Messages, answer: str, critique: str, by: Principle) -> Messages:
    """The conversation that asks for the answer to be written again."""
    told = criticising(prompt, answer, by)
    return [*told, {"role": "assistant", "content": critique}, {"role": "user", "content": f"{by.revision} Give only the new answer."}]


def comparing(prompt: Messages, first: str, second: str, by: Principle) -> Messages:
    """The conversation that asks which of two answers is better; the judge's next token is looked at."""
    asked = "\n".join(message["content"] for message in prompt)
    question = f"Somebody asked: {asked}\n\nAnswer (A): {first}\n\nAnswer (B): {second}\n\n{by.preference} Reply with (A) or (B) only."
    return [{"role": "user", "content": question}]
