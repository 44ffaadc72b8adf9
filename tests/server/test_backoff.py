"""What pays is done, what does not is tried now and then."""

from collections.abc import Callable
from random import Random

import pytest

from starling_py.server.backoff import SELDOM, Backoff


def tries(trial: Backoff, occasions: int, paid: Callable[[], bool]) -> list[bool]:
    """Return for each occasion whether it was tried."""
    outcomes = []
    for _ in range(occasions):
        due = trial.is_due()
        if due:
            trial.note(paid=paid())
        outcomes.append(due)
    return outcomes


def test_what_always_pays_is_always_done() -> None:
    assert all(tries(Backoff(), 100, lambda: True))


def test_what_never_pays_is_tried_less_and_less() -> None:
    outcomes = tries(Backoff(), 100, lambda: False)
    assert [number for number, tried in enumerate(outcomes) if tried] == [0, 2, 6, 14, 30, 62]


def test_what_never_pays_is_still_tried_now_and_then() -> None:
    trial = Backoff()
    tries(trial, 3 * SELDOM, lambda: False)
    assert sum(tries(trial, 10 * (SELDOM + 1), lambda: False)) == 10


def test_what_begins_to_pay_is_soon_done() -> None:
    trial = Backoff()
    tries(trial, 3 * SELDOM, lambda: False)
    tries(trial, 2 * SELDOM, lambda: True)
    assert all(tries(trial, 100, lambda: True))


def test_nothing_is_tried_before_its_time() -> None:
    assert tries(Backoff(3), 8, lambda: True) == [False] * 3 + [True, False, True, True, True]


def test_a_try_without_an_outcome_is_due_again() -> None:
    trial = Backoff()
    assert trial.is_due()
    assert trial.is_due()


@pytest.mark.parametrize(("pays", "least", "most"), [(0.95, 0.75, 1.0), (0.4, 0.0, 0.02)])
def test_how_often_it_pays_decides_and_no_single_outcome(
    pays: float, least: float, most: float
) -> None:
    chance = Random(1)
    outcomes = tries(Backoff(), 100_000, lambda: chance.random() < pays)
    assert least <= sum(outcomes) / 100_000 <= most
