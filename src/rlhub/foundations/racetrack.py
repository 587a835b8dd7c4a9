"""The racetrack: drive around a bend to the finish as fast as can be, without leaving the track (Sutton & Barto 2018, Exercise 5.12)."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from rlhub.core.errors import UserError
from rlhub.foundations.worlds import World, world

ACCELERATIONS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1))
"""What an action adds to the velocity, in cells per step downwards and to the right."""

FINISH, CRASH = -1, -2
SMALL_TRACK = ("#" * 32 + "FFF", *("#" * 32 + "...",) * 4, *("S" + "." * 34,) * 4, *("#" * cut + "." * (35 - cut) for cut in (4, 8, 12)))
"""The small track of Barto, Bradtke & Singh (1995), whose numbers the book gives in Example 8.6."""


class Racetrack(NamedTuple):
    """A racetrack as a world whose states are all that can be reached.

    Attributes:
        world: its states, actions and chances; all moves cost 1.
        starts: the states at rest on the starting line, of which one is drawn for each episode.
        cars: each state's row, column and velocity (down, right); the last state is the end, beyond the finish line.
    """

    world: World
    starts: Int[np.ndarray, " starts"]
    cars: Int[np.ndarray, "states 4"]


def racetrack(rows: Sequence[str] = SMALL_TRACK, *, slip: float = 0.1, fastest: int | None = None) -> Racetrack:
    """A track drawn in characters, with all states that a car can come to.

    Where the way between two cells crosses the finish line, the episode ends; where it leaves the track, the car is put back at rest onto
    a random place of the starting line.

    Args:
        rows: S the starting line, F the finish line, # what isn't track, and . the track.
        slip: the chance that an action changes nothing, and the velocity stays.
        fastest: the largest speed in each direction; by default there is none. An action that would go beyond it changes nothing.

    Raises:
        UserError: rows of unequal lengths, other characters, no S or no F, or a slip that is no chance.
    """
    if len({len(row) for row in rows}) != 1 or set("".join(rows)) - set("SF#."):
        raise UserError(f"a racetrack's rows have equal lengths and hold only S, F, # and .; got {list(rows)}")
    if not 0 <= slip <= 1:
        raise UserError(f"slip is {slip:g}; give a chance from 0 to 1")
    starts = [(row, column, 0, 0) for row, line in enumerate(rows) for column, cell in enumerate(line) if cell == "S"]
    if not starts or not any("F" in row for row in rows):
        raise UserError("a racetrack needs an S to start from and an F to finish at")
    numbers: dict[tuple[int, ...], int] = {car: number for number, car in enumerate(starts)}
    cars: list[tuple[int, ...]] = list(starts)
    led: list[list[int]] = []
    for car in cars:
        led.append([])
        for down, right in ACCELERATIONS:
            velocity = car[2] + down, car[3] + right
            if fastest is not None and max(abs(velocity[0]), abs(velocity[1])) > fastest:
                velocity = car[2], car[3]
            cell = driven(tuple(rows), (car[0], car[1]), velocity)
            if isinstance(cell, int):
                led[-1].append(cell)
                continue
            after = (*cell, *velocity)
            if after not in numbers:
                numbers[after] = len(cars)
                cars.append(after)
            led[-1].append(numbers[after])
    # Starts come first and the others in the order of the map, as that in which they were found is no order of interest.
    order = [*range(len(starts)), *sorted(range(len(starts), len(cars)), key=lambda number: cars[number])]
    places = np.array([*np.argsort(order), CRASH, FINISH])
    tables = _as_world(places[np.array(led)[order]], len(starts), slip)
    return Racetrack(tables, np.arange(len(starts)), np.array([*(cars[number] for number in order), (-1, -1, 0, 0)]))


@cache
def driven(rows: tuple[str, ...], place: tuple[int, int], velocity: tuple[int, int]) -> tuple[int, int] | int:
    """The cell that a step leads to, FINISH where its way crosses the finish line first, or CRASH where it leaves the track first."""
    steps = max(abs(velocity[0]), abs(velocity[1]))
    for step in range(1, steps + 1):
        # The cell nearest to the straight line; halves go to the larger number, in whole numbers so that none is rounded by chance.
        row, column = (place[axis] + (2 * velocity[axis] * step + steps) // (2 * steps) for axis in (0, 1))
        cell = rows[row][column] if 0 <= row < len(rows) and 0 <= column < len(rows[0]) else "#"
        if cell in "F#":
            return FINISH if cell == "F" else CRASH
    return place[0] + velocity[0], place[1] + velocity[1]


def _as_world(led: Int[np.ndarray, "states actions"], again: int, slip: float) -> World:
    """The tables: an action's branches are what follows it and what follows no action, each over the places to start again from."""
    states = len(led) + 1
    after = np.full((states, len(ACCELERATIONS), 2), states - 1)
    after[:-1, :, 0], after[:-1, :, 1] = led, led[:, ACCELERATIONS.index((0, 0)), None]
    following = np.where(after[..., None] == CRASH, np.arange(again), np.where(after == FINISH, states - 1, after)[..., None])
    chance = np.broadcast_to(np.array([[1 - slip], [slip]]) / again, following.shape)
    flat = (states, len(ACCELERATIONS), 2 * again)
    return world(following.reshape(flat), np.full(flat, -1.0), ends=(states - 1,), chance=chance.reshape(flat))
