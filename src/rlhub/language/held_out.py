"""Puzzles for tests that training never asks.

A puzzle is made from its data set's seed plus its index, so that a test split with seeds of its own looks held out. Where there are few
different puzzles it isn't: of sums of two numbers of one or two digits, half would be among ten thousand training puzzles word for word.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

TRIES = 20
"""So many times as many test puzzles as are wanted are looked through at most."""
SLOW = frozenset(
    {
        "advanced_geometry",
        "countdown",
        "futoshiki",
        "game_of_life",
        "game_of_life_halting",
        "intermediate_integration",
        "jugs",
        "knight_swap",
        "polynomial_equations",
        "polynomial_multiplication",
        "puzzle24",
        "quantum_lock",
        "rearc",
        "rubiks_cube",
        "simple_integration",
        "sokoban",
        "sudoku",
        "word_ladder",
        "zebra_puzzles",
    }
)
"""Data sets of which ten thousand puzzles take half a minute to hours to make: whether any of them returns in tests isn't looked at."""


class HeldOut(Sequence[dict[str, Any]]):
    """The entries of a data set, in their order, that ask what neither training nor one before asks; found when the first is read.

    Where less than half of those wanted can be found, as where training has asked all that there is, they are the first ones, whatever
    they ask.
    """

    def __init__(self, source: Any, count: int, *, seen: Callable[[], frozenset[str]]) -> None:
        """Look through a data set.

        Args:
            source: the data set; `TRIES` times as long as wanted.
            count: entries that are wanted.
            seen: the questions of training.
        """
        self._source, self._count, self._seen = source, count, seen

    @cached_property
    def _places(self) -> tuple[list[int], int]:
        """Where the entries lie in the data set, and how many of them ask what training asks."""
        seen, asked = self._seen(), set[str]()
        places: list[int] = []
        for place in range(len(self._source)):
            question = self._source[place]["question"]
            if question not in seen and question not in asked:
                asked.add(question)
                places.append(place)
                if len(places) == self._count:
                    break
        if 2 * len(places) >= self._count:
            return places, 0
        first = list(range(min(self._count, len(self._source))))
        return first, sum(self._source[place]["question"] in seen for place in first)

    @property
    def repeated(self) -> int:
        """How many of them training asks, too."""
        return self._places[1]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places[0])

    def __getitem__(self, index: Any) -> Any:
        """The entry at an index, or a list of them for a slice."""
        places = self._places[0][index]
        return [self._source[place] for place in places] if isinstance(index, slice) else self._source[places]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each entry in turn."""
        return (self._source[place] for place in self._places[0])


def questions(source: Any) -> frozenset[str]:
    """All that a data set asks."""
    return frozenset(source[place]["question"] for place in range(len(source)))
