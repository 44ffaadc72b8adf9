"""Random lives of a group on a stream in memory, and proof that what must not be is noticed.

A seed that fails is replayed alone with

    SIMULATION_SEED=123 scripts/test tests/replica/test_simulated_group.py -k replay
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from starling_py.replica.follower import DivergedError
from tests.planted import Search
from tests.replica.plants import PLANTS, Plant
from tests.replica.simulated_lives import run
from tests.replica.simulated_stream import Violation

BLOCK = 10
DEFAULT = 30
"""Seeds of the default run."""
LONG = 2_000
PLANTED = Search(
    PLANTS,
    run,
    (Violation, DivergedError, AssertionError),
    enough=60,
    file=Path(__file__).with_name("noticed.json"),
)


def replay(seed: int) -> Counter[str]:
    """Run one seed; say how to run it again if it fails."""
    try:
        return run(seed)
    except Exception as error:
        error.add_note(f"replay: SIMULATION_SEED={seed} scripts/test {__file__} -k replay")
        raise


@pytest.mark.parametrize("first", range(0, DEFAULT, BLOCK))
def test_no_life_of_a_group_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + BLOCK):
        replay(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(DEFAULT, LONG, BLOCK))
def test_no_life_of_a_group_of_very_many_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + BLOCK):
        replay(seed)


FOUND = {
    2: "a server that was started again claimed the stream in epoch 1, as nobody had owned it",
    7: "a power cut left a new node with queues and without its position: it did not start",
    106: "a server that was stopped before the stream had answered forgot where its files were",
}
"""Lives that once broke a promise, and what they found."""


@pytest.mark.parametrize("seed", FOUND)
def test_what_a_life_of_a_group_once_found_is_mended(seed: int) -> None:
    replay(seed)


def test_replay_of_the_group_that_was_asked_for() -> None:
    replay(int(os.environ.get("SIMULATION_SEED", "0")))


def test_the_lives_of_groups_reach_all_there_is() -> None:
    seen: Counter[str] = Counter()
    for seed in range(100, 112):
        seen += replay(seed)
    scarce = [what for what in seen if seen[what] < 3]
    assert not scarce, seen


@pytest.mark.patches
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_defect_of_a_group_is_noticed(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert PLANTED.noticed_by(plant.__name__) is not None
