"""Blackjack against a dealer with an endless deck, learned by Monte Carlo (Sutton & Barto 2018, chapter 5).

A state is whether the player has a usable ace, the dealer's card (1 to 10, an ace is 1) and the player's sum (12 to 21): arrays over
states have the shape [2, 10, 10]. Actions are to stick (0) and to hit (1). Sums below 12 are no states: hitting can't go wrong there. Of
a natural, two cards that make 21, the state knows nothing; it counts as any other 21.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import prange

from rlhub.foundations.compiled import compiled
from rlhub.foundations.mdp import MDP

STICK, HIT = 0, 1
LOWEST = 12


@compiled
def draw_card() -> int:
    """A card: ace to nine are equally likely, ten four times as much."""
    return min(np.random.randint(1, 14), 10)


@compiled
def with_card(total: int, usable: int, card: int) -> tuple[int, int]:
    """A hand's sum and whether it counts an ace as 11, after one more card; a sum over 21 is bust."""
    if card == 1 and total + 11 <= 21:
        return total + 11, 1
    total += card
    if total > 21 and usable == 1:
        return total - 10, 0
    return total, usable


@compiled
def against_dealer(total: int, shown: int) -> float:
    """The reward of sticking: the dealer hits below 17, the higher sum wins."""
    dealer, usable = with_card(0, 0, shown)
    while dealer < 17:
        dealer, usable = with_card(dealer, usable, draw_card())
    if dealer > 21 or total > dealer:
        return 1.0
    return 0.0 if total == dealer else -1.0


@compiled
def deal() -> tuple[int, int, int]:
    """The first state of a game: usable ace, dealer's card, player's sum."""
    total, usable = 0, 0
    while total < LOWEST:
        total, usable = with_card(total, usable, draw_card())
    return usable, draw_card(), total


@compiled
def first_visit_prediction(
    stick_from: int, games: int, seed: int
) -> tuple[Float[np.ndarray, "usable dealer sum"], Int[np.ndarray, "usable dealer sum"]]:
    """First-visit Monte Carlo prediction for a player who sticks from some sum on (Sec. 5.1's box): values, and visits of each state."""
    np.random.seed(seed * 1_000_003)
    values, visits = np.zeros((2, 10, 10)), np.zeros((2, 10, 10), dtype=np.int64)
    seen = np.empty((22, 3), dtype=np.int64)
    for _ in range(games):
        usable, shown, total = deal()
        steps = 0
        while True:
            seen[steps] = (usable, shown - 1, total - LOWEST)
            steps += 1
            if total >= stick_from:
                reward = against_dealer(total, shown)
                break
            total, usable = with_card(total, usable, draw_card())
            if total > 21:
                reward = -1.0
                break
        # No state comes twice in a game, and only the last reward isn't 0: it is the return of all states.
        for step in range(steps):
            at = (seen[step, 0], seen[step, 1], seen[step, 2])
            visits[at] += 1
            values[at] += (reward - values[at]) / visits[at]
    return values, visits


@compiled
def exploring_starts(games: int, seed: int) -> Float[np.ndarray, "usable dealer sum actions"]:
    """Monte Carlo control with exploring starts, from the policy that sticks on 20 and 21 (Sec. 5.3's box): action values."""
    np.random.seed(seed * 1_000_003)
    worth, visits = np.zeros((2, 10, 10, 2)), np.zeros((2, 10, 10, 2))
    policy = np.ones((2, 10, 10), dtype=np.int64)
    policy[:, :, 20 - LOWEST :] = STICK
    seen = np.empty((22, 4), dtype=np.int64)
    for _ in range(games):
        usable, shown, total = np.random.randint(2), np.random.randint(1, 11), np.random.randint(LOWEST, 22)
        action, steps = np.random.randint(2), 0
        while True:
            seen[steps] = (usable, shown - 1, total - LOWEST, action)
            steps += 1
            if action == STICK:
                reward = against_dealer(total, shown)
                break
            total, usable = with_card(total, usable, draw_card())
            if total > 21:
                reward = -1.0
                break
            action = policy[usable, shown - 1, total - LOWEST]
        for step in range(steps):
            ace, card, hand, action = seen[step, 0], seen[step, 1], seen[step, 2], seen[step, 3]
            visits[ace, card, hand, action] += 1
            worth[ace, card, hand, action] += (reward - worth[ace, card, hand, action]) / visits[ace, card, hand, action]
            policy[ace, card, hand] = HIT if worth[ace, card, hand, HIT] > worth[ace, card, hand, STICK] else STICK
    return worth


@compiled(parallel=True)
def off_policy_estimates(
    usable: int, shown: int, total: int, stick_from: int, runs: int, games: int, seed: int
) -> tuple[Float[np.ndarray, "runs games"], Float[np.ndarray, "runs games"]]:
    """One state's value under the policy that sticks from some sum on, from games that hit or stick evenly (Sec. 5.5, Eq. 5.5 and 5.6).

    Args:
        usable: whether the state has a usable ace.
        shown: the dealer's card.
        total: the player's sum.
        stick_from: the target policy's sum.
        runs: independent estimates.
        games: that each estimate sees.
        seed: of all randomness; each run has its own stream.

    Returns:
        After each game, the estimates by ordinary and by weighted importance sampling.
    """
    ordinary, weighted = np.zeros((runs, games)), np.zeros((runs, games))
    for run in prange(runs):
        np.random.seed(seed * 1_000_003 + run)
        returns, weights = 0.0, 0.0
        for game in range(games):
            ace, hand, ratio, reward = usable, total, 1.0, -1.0
            while hand <= 21:
                action = np.random.randint(2)
                wanted = STICK if hand >= stick_from else HIT
                # The target policy takes its action surely, the behaviour policy every second time.
                ratio = 2 * ratio if action == wanted else 0.0
                if action == STICK:
                    reward = against_dealer(hand, shown)
                    break
                hand, ace = with_card(hand, ace, draw_card())
            returns += ratio * reward
            weights += ratio
            ordinary[run, game] = returns / (game + 1)
            weighted[run, game] = returns / weights if weights > 0 else 0.0
    return ordinary, weighted


def blackjack_mdp() -> MDP:
    """The same game with its dynamics known: state ace * 100 + (dealer's card - 1) * 10 + sum - 12, and state 200 for its end."""
    deck = [1 / 13] * 9 + [4 / 13]
    transitions, rewards = np.zeros((201, 2, 201)), np.zeros((201, 2))
    transitions[200, :, 200] = 1
    for shown in range(1, 11):
        ends = dealer_ends(shown)
        for ace in (0, 1):
            for total in range(LOWEST, 22):
                state = ace * 100 + (shown - 1) * 10 + total - LOWEST
                transitions[state, STICK, 200] = 1
                rewards[state, STICK] = sum(chance * ((end > 21 or total > end) - (total < end <= 21)) for end, chance in ends.items())
                for card, chance in enumerate(deck, 1):
                    after, usable = with_card(total, ace, card)
                    transitions[state, HIT, 200 if after > 21 else usable * 100 + (shown - 1) * 10 + after - LOWEST] += chance
                    rewards[state, HIT] -= chance * (after > 21)
    return MDP(transitions=transitions, rewards=rewards, gamma=1.0)


def dealer_ends(shown: int) -> dict[int, float]:
    """The chance of each sum that a dealer ends with; sums over 21 are bust."""
    hands, ends = {with_card(0, 0, shown): 1.0}, dict[int, float]()
    while hands:
        (total, usable), chance = hands.popitem()
        if total >= 17:
            ends[total] = ends.get(total, 0.0) + chance
            continue
        for card in range(1, 11):
            after = with_card(total, usable, card)
            hands[after] = hands.get(after, 0.0) + chance * (4 if card == 10 else 1) / 13
    return ends


def sticks_from(total: int) -> Bool[np.ndarray, "usable dealer sum"]:
    """Which states hit under the policy that sticks from some sum on."""
    return np.broadcast_to(np.arange(LOWEST, 22) < total, (2, 10, 10))
