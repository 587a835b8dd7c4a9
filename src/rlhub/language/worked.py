"""Worked solutions of puzzles whose steps can be written by rule, and the same with an error planted in one step."""

import random
import re
from collections.abc import Mapping
from typing import Any

TERM = re.compile(r"[+-]|\d+")
RESULT = re.compile(r"( =| is| are) (?!.*(?: =| is| are) )")


def work_out(entry: Mapping[str, Any]) -> list[str] | None:
    """The steps that solve a reasoning-gym puzzle, a line each; None where there is no rule for its data set.

    There is one for chain_sum (a running sum), spell_backward (the letters, forward and backward) and number_sorting (one number after
    another is taken out).
    """
    told = entry["metadata"]
    match told.get("source_dataset"):
        case "chain_sum":
            return running_sum(told["expression"])
        case "spell_backward":
            letters = list(told["word"])
            return [f"The letters are {' '.join(letters)}.\n", f"Backward they are {' '.join(reversed(letters))}.\n"]
        case "number_sorting":
            return taken_out(told["original_numbers"], told["sorted_numbers"], "greatest" if told["direction"] == "descending" else "least")
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
    for place, (sign, term) in enumerate(zip(rest[::2], rest[1::2], strict=True)):
        value = total + int(term) if sign == "+" else total - int(term)
        value += error[1] if error and error[0] == place else 0
        steps.append(f"{total} {sign} {term} = {value}\n")
        total = value
    return steps or [f"It is {total}\n"]


def taken_out(numbers: list[str], ordered: list[str], word: str) -> list[str]:
    """Which number is the greatest, or the least, of those that are left, until none is."""
    left, steps = list(numbers), []
    for number in ordered:
        steps.append(f"The {word} of {', '.join(left)} is {number}.\n")
        left.remove(number)
    return steps


def with_error(entry: Mapping[str, Any], draw: random.Random) -> tuple[list[str], int] | None:
    """The steps of a chain_sum puzzle with one that is wrong, and which; None for other data sets."""
    told = entry["metadata"]
    if told.get("source_dataset") != "chain_sum":
        return None
    count = len(TERM.findall(told["expression"])) // 2
    place = draw.randrange(count)
    return running_sum(told["expression"], error=(place, draw.choice([-10, -2, -1, 1, 2, 10]))), place
