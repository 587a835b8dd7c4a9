"""reasoning-gym's scores of what a model wrote, whatever it wrote.

A data set scores its own answers. Some scorers raise where a text isn't what they look for; some hand it to `eval`, as such or by sympy,
where a model's text would run as code; and a text as short as `9**9**9` keeps arithmetic busy for hours. None of this may end a training.
"""

import ast
import re
from collections.abc import Sequence
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

TOLERANCE = Fraction(1, 10_000)
"""How far a probability may be off: coin_flip's own."""
PARTIAL = 0.9
"""The most that an answer gets which its data set's scorer takes for right and which isn't."""

FUNCTIONS = frozenset(
    {"exp", "log", "ln", "sqrt", "pi", "Abs", "abs"}
    | {f"{arc}{name}{h}" for arc in ("", "a") for name in ("sin", "cos", "tan") for h in ("", "h")}
    | {"sec", "csc", "cot"}
)
"""The words of more than one letter that an algebraic answer needs."""
WORD = re.compile(r"_\w*|[^\W\d_]\w+")
CODE = re.compile(r"[\"'`\\\[\]{}:;@=]|\.\s*[^\W\d]")
"""What Python has and algebra hasn't: strings, lists, statements, attributes."""
LITERAL = (ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Name, ast.Load, ast.UnaryOp, ast.USub, ast.UAdd)


class PuzzleScores:
    """A data set's score of each answer, between 0 and 1.

    Where a scorer raises on a text, but not on the data set's own answer, that text is worth nothing. A text that could run as code, and
    one whose arithmetic takes longer than `SECONDS`, get what an unreadable text gets.
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
        return value if value < 1 or is_right(answer, entry) else min(value, PARTIAL)


def dataset(entry: dict[str, Any]) -> str:
    """The name of the data set that an entry is from, where several are mixed too."""
    return str(entry["metadata"].get("source_dataset"))


def is_right(answer: str, entry: dict[str, Any]) -> bool:
    """Whether an answer with full marks is one: two scorers give them to what is right for no puzzle, or for all.

    puzzle24's doesn't ask whether the four numbers are those of the puzzle, and coin_flip's takes any beginning of the answer, as 0.
    """
    match dataset(entry):
        case "puzzle24":
            return sorted(map(int, re.findall(r"\b\d+\b", answer))) == sorted(entry["metadata"]["numbers"])
        case "coin_flip":
            said, wanted = (Fraction(text.replace(",", "")) for text in (answer, str(entry["answer"])))
            return abs(said - wanted) <= TOLERANCE
    return True


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
    """The data set's own score of an answer; None where its scorer raises, or has no number to say."""
    try:
        value = float(source.score_answer(answer, entry=entry))
    except Exception:  # each scorer fails in its own way
        return None
    return value if value == value else None


@cache
def apart() -> Apart:
    """The process that scores what may take long."""
    return Apart(SECONDS)
