"""What a figure of the book or an experiment on a bound is: computed with one call, drawn with another, told in numbers with a third."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import plotly.graph_objects as go

from rlhub.core.errors import UserError

Results = Mapping[str, Any]
"""What was computed, by name: arrays and numbers."""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """Something to compute and look at.

    Attributes:
        key: what a person types: the figure's number in the book ("6.4"; examples as "example 6.5"), or a subject ("ucbvi").
        title: what it is called.
        shows: the fact that it shows, in a sentence.
        runs: independent repetitions; by default the book's own number.
        compute: from keyword arguments `runs` and `seed`, and whatever options it has, to results.
        draw: from results to a figure.
        numbers: from results to the numbers that matter, by name; the tests look at these.
        code: the functions whose lines are shown beside it.
    """

    key: str
    title: str
    shows: str
    runs: int
    compute: Callable[..., Results]
    draw: Callable[[Results], go.Figure]
    numbers: Callable[[Results], dict[str, float]]
    code: tuple[Callable[..., Any], ...] = ()


def exhibits(package: str) -> dict[str, Exhibit]:
    """All exhibits of a package's modules, each of which lists its own as `EXHIBITS`, by key and in order."""
    found: dict[str, Exhibit] = {}
    folder = import_module(package)
    for module in sorted(one.name for one in iter_modules(folder.__path__)):
        for exhibit in getattr(import_module(f"{package}.{module}"), "EXHIBITS", ()):
            found[exhibit.key] = exhibit
    return found


def check_runs(runs: int) -> None:
    """Refuse a number of repetitions that is none.

    Raises:
        UserError: it is below 1.
    """
    if runs < 1:
        raise UserError(f"runs is {runs}; a figure needs at least 1")


def check_seed(seed: int) -> None:
    """Refuse a seed that random generators don't take.

    Raises:
        UserError: it is below 0.
    """
    if seed < 0:
        raise UserError(f"seed is {seed}; give 0 or a larger whole number")
