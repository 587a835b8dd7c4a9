"""What an endpoint answered: its text, the tokens that it chose among, and which of two options it took."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

Answer: TypeAlias = dict[str, Any]
"""An answer as it is kept: its `text`, and in `top`, for each `token`, the log-probs of those that it was chosen among (its own `top`)."""

VERDICT = r"(?:is|was|has|seems|looks|appears|gives|wins|because|since)\b(?! (?:the )?(?:worse|not|as|also|equally|no|too)\b)"
"""What follows a letter that is meant, and not an article, and doesn't speak against it."""
LINKS = r"'\u2019/&-"
"""What joins a letter to what follows, as in A's, A-level and A/B."""


class NoAnswer(Exception):  # noqa: N818
    """What came is no chat completion, or tells of an error; the text says what came."""


def answer_in(body: bytes) -> Answer:
    """The answer that the body of an endpoint's reply holds: empty where the message is missing, without the tokens that can't be read.

    Raises:
        NoAnswer: it holds none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"with what is no chat completion: {shown(body)}") from error
    choices = part(found, "choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    failed = part(choice, "error") or (part(found, "error") if choice is None else None)
    if failed:
        raise NoAnswer(f"with an error: {str(part(failed, 'message') or failed)[:200]}")
    if not isinstance(choice, dict):
        raise NoAnswer(f"with what is no chat completion: {shown(body)}")
    tokens = part(part(choice, "logprobs"), "content")
    top = [
        {"token": token["token"], "top": tops_of(token)}
        for token in (tokens if isinstance(tokens, list) else [])
        if isinstance(part(token, "token"), str)
    ]
    return {"text": text_of(part(part(choice, "message"), "content")), "top": top}


def part(value: Any, name: str) -> Any:
    """A field of what should be an object; none where it isn't there, or the value is no object."""
    return value.get(name) if isinstance(value, dict) else None


def shown(body: bytes) -> str:
    """The beginning of a reply, on one line."""
    return " ".join(body[:80].decode(errors="replace").split()) or "nothing"


def text_of(content: Any) -> str:
    """A message's text, which may come in parts."""
    if isinstance(content, list):
        return "".join(text_of(piece if isinstance(piece, str) else part(piece, "text")) for piece in content)
    return content if isinstance(content, str) else ""


def tops_of(token: Any) -> dict[str, float]:
    """The log-probs of the tokens that one was chosen among, as far as they are numbers."""
    among = part(token, "top_logprobs")
    named = [each for each in (among if isinstance(among, list) else []) if isinstance(part(each, "token"), str)]
    return {each["token"]: each["logprob"] for each in named if is_logprob(each.get("logprob"))}


def is_logprob(value: Any) -> bool:
    """Whether it is a finite number, and no more above 0 than rounding may bring it."""
    return isinstance(value, int | float) and -math.inf < value < 1


def preferred(answer: Answer, first: str, second: str) -> float:
    """The probability of the first option among the two, from an endpoint's answer; 1/2 where it says neither.

    Where the letter that was said is among the tokens, those that it was chosen among decide; else what was written does.
    """
    letters = [bare(option) for option in (first, second)]
    said = letter_in("".join(token["token"] for token in answer["top"]), letters)
    if said is not None:
        wanted = letters if said["letter"] in letters else [letter.lower() for letter in letters]
        top = tops_at(answer["top"], said.start("letter"))
        chances = [sum(math.exp(value) for each, value in top.items() if bare(each) == letter) for letter in wanted]
        if chances[wanted.index(said["letter"])] > 0:
            return chances[0] / sum(chances)
    said = letter_in(answer["text"], letters)
    return 0.5 if said is None else float(said["letter"].lower() == letters[0].lower())


def tops_at(tokens: Sequence[Answer], place: int) -> dict[str, float]:
    """The log-probs of the tokens that the one at a character was chosen among."""
    end = 0
    for token in tokens:
        end += len(token["token"])
        if place < end:
            # Records made by earlier versions hold what endpoints gave in place of numbers.
            return {each: value for each, value in token["top"].items() if is_logprob(value)}
    return {}


def letter_in(text: str, letters: Sequence[str]) -> re.Match[str] | None:
    """Where a text says one of two letters, as the group `letter`; none where it says neither, or both as in "Neither (A) nor (B)".

    A letter counts that the text begins with, that follows a bracket, a colon or a word like "answer", or that ends the text if the other
    one isn't in it. In "A better answer", A is an article. Thoughts in <think> tags don't count.
    """
    text = re.sub(r"(?s)\A.*</think>|<think>.*", lambda thought: " " * len(thought[0]), text)
    large, small = "|".join(map(re.escape, letters)), "|".join(re.escape(letter.lower()) for letter in letters)
    alone = rf"(?!\w|[{LINKS}]\w)"
    article = rf"(?![ \t]+(?!{VERDICT})[a-z])" if all(len(letter) == 1 for letter in letters) else ""
    word = r"(?i:\b(?:answer|option|choice)(?:\s+is)?)\W{1,8}"
    ways = [
        rf"(?:\A\W*|[(\[{{>:\"*]\W{{0,8}}|{word})(?P<letter>{large}){alone}{article}",
        rf"[(\[]\s*(?P<letter>{small})\s*(?:[)\]]|\Z)",
        rf"(?:\A\W*|{word})(?P<letter>{small})\W*\Z",
    ]
    standing = rf"(?<![\w{LINKS}])(?:{large}){alone}"
    if len(set(re.findall(standing, text))) == 1:
        ways.append(rf"(?<![\w{LINKS}])(?P<letter>{large})\W*\Z")
    said = next((found for way in ways if (found := re.search(way, text))), None)
    before = text[: said.start("letter")] if said else ""
    unsaid = re.search(r"(?i)\b(?:both|neither|nor|between|not)\s+(?:(?:answer|option|choice)s?\s+)?\W*\Z", before)
    return None if unsaid else said


def bare(text: str) -> str:
    """A token or an option without spaces, brackets and the like around it."""
    return text.strip(" \n\t()[]*:.,\"'")
