"""reasoning-gym's scores of what a model wrote, whatever it wrote.

A data set scores its own answers. Some scorers raise where a text isn't what they look for; some hand it to `eval`, as such or by sympy,
where a model's text would run as code; and a text as short as `9**9**9` keeps arithmetic busy for hours. None of this may end a training.
Two scorers give one constant text full credit for every puzzle, which a training would soon find; their full credit is looked at again.
"""

import ast
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from rlhub.core.apart import Apart, Ended
from rlhub.core.errors import UserError

ALGEBRA = frozenset({"countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24", "simple_integration"})
"""Data sets whose scorers let sympy evaluate an answer."""
LITERALS = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
"""Data sets whose scorers let Python evaluate an answer, in search of a list."""
LENGTHY = ALGEBRA | {"coin_flip"}
"""Data sets in whose scorers a short text can mean endless arithmetic."""
SECONDS = 3.0
"""Processor time that an answer of theirs may take."""
UNREADABLE = "?"
"""A text that no data set can read; what is refused gets its score."""

FUNCTIONS = frozenset(
    {"exp", "log", "ln", "sqrt", "pi", "Abs", "abs"}
    | {f"{arc}{name}{h}" for arc in ("", "a") for name in ("sin", "cos", "tan") for h in ("", "h")}
    | {"sec", "csc", "cot"}
)
"""The words of more than one letter that an algebraic answer needs."""
WORD = re.compile(r"_\w*|[^\W\d_]\w+")
CODE = re.compile(r"[\"'`\\\[\]{}:;@=]|\.\s*[^\W\d]")
"""What Python has and algebra hasn't: strings, lists, statements, attributes."""
ARITHMETIC = re.compile(r"[\d\s()+\-*/]*")
TOLERANCE = 1e-4
"""How far from a probability the scorer of coin_flip lets an answer lie."""
LITERAL = (ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Name, ast.Load, ast.UnaryOp, ast.USub, ast.UAdd)


class PuzzleScores:
    """A data set's score of each answer, between 0 and 1.

    Where a scorer raises on a text, but not on the data set's own answer, that text is worth nothing. A text that could run as code, and
    one whose arithmetic takes longer than `SECONDS`, get what an unreadable text gets. Full credit is checked as `CHECKS` has it.
    """

    def __init__(self, source: Any) -> None:
        """Take a data set.

        Raises:
            UserError: it gives full credit to whatever it is given, so that nothing can be learnt from its score.
        """
        self._source = source
        self._known: dict[tuple[str, str], float] = {}
        entries = [source[index] for index in range(min(len(source), 5))]
        if min(self([UNREADABLE] * len(entries), entries)) >= 1:
            raise UserError(
                f"reasoning-gym's scorer of {dataset(entries[0])} gives full credit to any text, {UNREADABLE!r} too; give another reward"
            )

    def __call__(self, answers: Sequence[str], entries: Sequence[dict[str, Any]]) -> list[float]:
        """Score answers to reasoning-gym's entries."""
        asked = [(entry["question"], answer) for answer, entry in zip(answers, entries, strict=True)]
        # A reward and two measures ask for the same answers' scores; those of the last call are enough to remember.
        known, self._known = self._known, {}
        for (question, answer), entry in zip(asked, entries, strict=True):
            if (question, answer) not in self._known:
                before = known.get((question, answer))
                self._known[question, answer] = self._score(answer, entry) if before is None else before
        return [self._known[key] for key in asked]

    def _score(self, answer: str, entry: dict[str, Any]) -> float:
        name = dataset(entry)
        value: float | None
        if answer == UNREADABLE or not harmless(answer, name):
            value = tried(self._source, UNREADABLE, entry)
        elif name in LENGTHY:
            try:
                value = apart()(tried, self._source, answer, entry)
            except Ended:
                value = tried(self._source, UNREADABLE, entry)
        else:
            value = tried(self._source, answer, entry)
        if value is None:
            self._source.score_answer(entry["answer"], entry)  # raises where the data set itself is to blame
            return 0.0
        return value


def dataset(entry: dict[str, Any]) -> str:
    """The name of the data set that an entry is from, where several are mixed too."""
    return str(entry["metadata"].get("source_dataset"))


def harmless(answer: str, name: str) -> bool:
    """Whether nothing but lists, algebra or numbers can come of it where a data set's scorer evaluates an answer."""
    if name in ALGEBRA:
        return not CODE.search(answer) and all(word in FUNCTIONS for word in WORD.findall(answer))
    if name in LITERALS:
        try:
            tree = ast.parse(answer.strip(), mode="eval")
        except SyntaxError:
            return True  # nothing to evaluate
        except (ValueError, MemoryError, RecursionError):
            return False
        return all(isinstance(node, LITERAL) for node in ast.walk(tree))
    # What is no number lies no distance away from any, which the scorer takes for full marks.
    return name != "complex_arithmetic" or "nan" not in answer.lower()


def tried(source: Any, answer: str, entry: dict[str, Any]) -> float | None:
    """The data set's own score of an answer, its full credit checked; None where its scorer raises, or has no number to say."""
    try:
        value = float(source.score_answer(answer, entry=entry))
        if value >= 1 and (check := CHECKS.get(dataset(entry))) is not None:
            value = check(source, answer, entry)
    except Exception:  # each scorer fails in its own way
        return None
    return value if value == value else None


def makes_24(source: Any, answer: str, entry: dict[str, Any]) -> float:
    """1 where an expression is 24 and made of its puzzle's numbers, each once; else what the data set gives to an unreadable text.

    reasoning-gym's scorer takes any four numbers within the bounds, and cuts what the expression is worth to a whole number.
    """
    from sympy.parsing.sympy_parser import parse_expr

    numbers = sorted(map(int, re.findall(r"\d+", answer)))
    plain = ARITHMETIC.fullmatch(answer) and "**" not in answer and "//" not in answer
    if plain and numbers == sorted(entry["metadata"]["numbers"]) and parse_expr(answer.strip()) == 24:
        return 1.0
    return float(source.score_answer(UNREADABLE, entry=entry))


def near(source: Any, answer: str, entry: dict[str, Any]) -> float:
    """1 where a number is the puzzle's own; else how much of the longer of the two the shorter one is.

    reasoning-gym's scorer gives full credit to every beginning of the right number: to 0 for every chance below one.
    """
    given, wanted = (Fraction(text.replace(",", "")) for text in (answer, str(entry["answer"])))
    if abs(given - wanted) <= TOLERANCE:
        return 1.0
    lengths = [len(f"{float(number):.10g}") for number in (given, wanted)]
    return min(lengths) / max(lengths)


CHECKS: dict[str, Callable[[Any, str, dict[str, Any]], float]] = {"puzzle24": makes_24, "coin_flip": near}
"""What becomes of full credit that a data set gave."""


@cache
def apart() -> Apart:
    """The process that scores what may take long."""
    return Apart(SECONDS)
