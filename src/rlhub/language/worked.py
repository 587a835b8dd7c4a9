"""Worked solutions of puzzles whose steps can be written by rule, and the same with an error planted in one step.

There is a rule for chain_sum (a running sum), spell_backward (the letters, forward and backward) and number_sorting (one number after
another is taken out).
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TERM = re.compile(r"(?<!\d )-?\d+|[+-]")
"""A number with its sign, or what joins two of them."""
RESULT = re.compile(r"( =| is| are) (?!.*(?: =| is| are) )")
"""What stands before a step's result."""


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A solution that goes wrong in one step; what follows goes on from there without another error.

    Attributes:
        steps: a line each.
        answer: what they come to.
        error: the wrong step, counted from 0.
    """

    steps: list[str]
    answer: str
    error: int


def work_out(entry: Mapping[str, Any]) -> list[str] | None:
    """The steps that solve a reasoning-gym puzzle, a line each; None where there is no rule for its data set."""
    told = entry["metadata"]
    match told.get("source_dataset"):
        case "chain_sum":
            return running_sum(told["expression"])
        case "spell_backward":
            return spelt(told["word"], told["word"][::-1])
        case "number_sorting":
            return taken_out(told["original_numbers"], told["sorted_numbers"], told["direction"])
    return None


def with_error(entry: Mapping[str, Any], draw: random.Random) -> Planted | None:
    """The same with an error in one step, which makes the answer wrong; None where there is no rule, or nothing to get wrong."""
    told = entry["metadata"]
    match told.get("source_dataset"):
        case "chain_sum":
            place = draw.randrange(max(len(TERM.findall(told["expression"])) // 2, 1))
            steps = running_sum(told["expression"], error=(place, draw.choice([-10, -2, -1, 1, 2, 10])))
            return Planted(steps=steps, answer=steps[-1].split()[-1], error=place)
        case "spell_backward":
            return misspelt(told["word"], draw)
        case "number_sorting":
            return wrongly_taken(told["original_numbers"], told["sorted_numbers"], told["direction"], draw)
    return None


def decision(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """Where a worked solution first takes more than copying: its text up to there, and what comes then; None where there is no rule.

    For chain_sum that is the first sum, for spell_backward the letters backward, for number_sorting the first number taken out.
    """
    steps = work_out(entry)
    if steps is None:
        return None
    place = 1 if entry["metadata"]["source_dataset"] == "spell_backward" else 0
    head, word, result = RESULT.split(steps[place].rstrip("\n"))
    return "".join(steps[:place]) + head + word, " " + result


def running_sum(expression: str, *, error: tuple[int, int] | None = None) -> list[str]:
    """Each sum or difference in turn; the one of a place counted from 0 may be off by a number, and the later ones go on from it."""
    first, *rest = TERM.findall(expression)
    total, steps = int(first), []
    off = {error[0]: error[1]} if error else {}
    for place, (sign, term) in enumerate(zip(rest[::2], rest[1::2], strict=True)):
        value = (total + int(term) if sign == "+" else total - int(term)) + off.get(place, 0)
        steps.append(f"{total} {sign} {term} = {value}\n")
        total = value
    return steps or [f"It is {total + off.get(0, 0)}\n"]


def spelt(letters: str, backward: str) -> list[str]:
    """A word's letters, and the same backward."""
    return [f"The letters are {' '.join(letters)}.\n", f"Backward they are {' '.join(backward)}.\n"]


def misspelt(word: str, draw: random.Random) -> Planted | None:
    """`spelt` with two neighbours exchanged, in reading the letters or in turning them round; None where all letters are the same."""
    places = [place for place in range(len(word) - 1) if word[place] != word[place + 1]]
    if not places:
        return None
    place, error = draw.choice(places), draw.randrange(2)
    wrong = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return Planted(steps=spelt(wrong if error == 0 else word, wrong[::-1]), answer=wrong[::-1], error=error)


def taken_out(numbers: list[str], ordered: list[str], direction: str) -> list[str]:
    """Which number is the greatest, or the least, of those that are left, until none is."""
    word = "greatest" if direction == "descending" else "least"
    left, steps = list(numbers), []
    for number in ordered:
        steps.append(f"The {word} of {', '.join(left)} is {number}.\n")
        left.remove(number)
    return steps


def wrongly_taken(numbers: list[str], ordered: list[str], direction: str, draw: random.Random) -> Planted | None:
    """`taken_out` with another number taken in one step; None where all are the same."""
    wrong = [(place, later) for place, now in enumerate(ordered) for later in ordered[place:] if float(later) != float(now)]
    if not wrong:
        return None
    place = draw.choice(sorted({place for place, _ in wrong}))
    taken = draw.choice([later for at, later in wrong if at == place])
    rest = ordered[place:]
    rest.remove(taken)
    mistaken = [*ordered[:place], taken, *rest]
    return Planted(steps=taken_out(numbers, mistaken, direction), answer=str(mistaken), error=place)
