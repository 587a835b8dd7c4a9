"""Jack's car rental (Sutton & Barto 2018, example 4.2): how many cars to move between two places overnight."""

import numpy as np
from jaxtyping import Float
from scipy.stats import poisson

from rlhub.foundations.mdp import MDP

RENT, MOVE = 10.0, 2.0
MOST_MOVED = 5


def car_rental(
    *,
    most: int = 20,
    requests: tuple[float, float] = (3.0, 4.0),
    returns: tuple[float, float] = (3.0, 2.0),
    gamma: float = 0.9,
    free_shuttle: bool = False,
    parking: float = 0.0,
) -> MDP:
    """A state for each number of cars in both places, first * (most + 1) + second; action a moves a - 5 cars to the second.

    Args:
        most: cars that a place holds; more go back to the company.
        requests: mean number of cars asked for a day, in each place (Poisson).
        returns: mean number brought back, which can be rented the day after (Poisson).
        gamma: the discount of a day.
        free_shuttle: one car a night goes from the first to the second place without cost (exercise 4.7).
        parking: cost a night of each place with more than 10 cars after moving (exercise 4.7).
    """
    cars = most + 1
    days = [one_place(most, requests[place], returns[place]) for place in (0, 1)]
    transitions = np.zeros((cars, cars, 2 * MOST_MOVED + 1, cars, cars))
    rewards = np.zeros((cars, cars, 2 * MOST_MOVED + 1))
    allowed = np.zeros(rewards.shape, dtype=np.bool_)
    for first in range(cars):
        for second in range(cars):
            for action in range(2 * MOST_MOVED + 1):
                moved = action - MOST_MOVED
                allowed[first, second, action] = -second <= moved <= first
                if not allowed[first, second, action]:
                    continue
                evening = (min(first - moved, most), min(second + moved, most))
                (ends_first, rented_first), (ends_second, rented_second) = (
                    (day[0][at], day[1][at]) for day, at in zip(days, evening, strict=True)
                )
                transitions[first, second, action] = np.outer(ends_first, ends_second)
                paid = MOVE * (abs(moved) - (free_shuttle and moved > 0)) + parking * sum(there > 10 for there in evening)
                rewards[first, second, action] = RENT * (rented_first + rented_second) - paid
    states = cars**2
    return MDP(
        transitions=transitions.reshape(states, -1, states),
        rewards=rewards.reshape(states, -1),
        gamma=gamma,
        allowed=allowed.reshape(states, -1),
    )


def one_place(most: int, requests: float, returns: float) -> tuple[Float[np.ndarray, "morning evening"], Float[np.ndarray, " morning"]]:
    """A day in one place: the chance of each number of cars in the evening, and the cars rented on average, from each in the morning."""
    ends, rented = np.zeros((most + 1, most + 1)), np.zeros(most + 1)
    for morning in range(most + 1):
        for asked in range(morning + 1):
            # All larger requests empty the place alike.
            chance = poisson.pmf(asked, requests) if asked < morning else poisson.sf(morning - 1, requests)
            rented[morning] += chance * asked
            left = morning - asked
            back = poisson.pmf(np.arange(most + 1 - left), returns)
            back[-1] += poisson.sf(most - left, returns)
            ends[morning, left:] += chance * back
    return ends, rented
