"""What is measured of a row, against a server that does as it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.hostile.judge import beyond
from bench.hostile.row import CPU_BOUND, Row, Scene
from bench.hostile.trial import Trial, knows
from bench.servers import ours
from tests.bench.hostile.foe import ordering, outcome, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.hostile.trial import Outcome


def told_of_memory(row: Row, given: Outcome) -> list[str]:
    """Return behind its number each bound of memory that was not kept."""
    parts = (text.partition(" MB ") for text in beyond(row, given, quick=True))
    return [words for _, unit, words in parts if unit]


def test_what_the_server_works_before_a_reply_is_what_counts(tmp_path: Path) -> None:
    row = ordering(b"burn 600")
    given = outcome(tmp_path, row)
    assert not given.trouble
    # The innocent client may have begun its request later, on a busy machine a good while.
    assert 0.2 < given.attacked.worst_cpu < given.attacked.worst_wait
    assert given.cpu >= 0.6
    assert given.baseline.requests > 0
    assert [text.partition(" of")[0][-2:] for text in beyond(row, given, quick=True)] == ["ms"]


def test_time_in_which_the_server_only_rests_does_not_count(tmp_path: Path) -> None:
    row = ordering(b"sleep 300")
    given = outcome(tmp_path, row)
    assert given.attacked.worst_wait > 0.25
    assert given.attacked.worst_cpu < CPU_BOUND
    assert not list(beyond(row, given, quick=True))


def test_an_attack_that_is_refused_is_no_quick_attack(tmp_path: Path) -> None:
    row = ordering(b"refuse")
    given = outcome(tmp_path, row)
    assert given.trouble == "refused: answered 'SERVER_ERROR no'"
    assert list(beyond(row, given, quick=True)) == [given.trouble]


def test_a_server_that_ends_is_told_of_with_its_last_error(tmp_path: Path) -> None:
    given = outcome(tmp_path, ordering(b"die"))
    assert given.trouble.startswith("broke off: ")
    assert given.trouble.endswith("its log: RuntimeError: asked to die")


def test_an_innocent_client_that_is_cheated_fails_the_row(tmp_path: Path) -> None:
    given = outcome(tmp_path, ordering(b"lie", b"sleep 100"))
    assert given.trouble == "refused: the innocent client was answered 'END\\r\\n'"


def test_memory_has_its_peak_and_what_stays(tmp_path: Path) -> None:
    row = ordering(b"hold 80", b"free", b"hold 40", stays=10, peak=70)
    given = outcome(tmp_path, row)
    assert given.peak - given.before > 75
    assert 35 < given.after - given.before < 60
    assert told_of_memory(row, given) == ["more at its peak, 70 are allowed", "stay, 10 may"]


def test_memory_that_is_given_back_is_not_held_against_a_row(tmp_path: Path) -> None:
    row = ordering(b"hold 80", b"free", stays=10, peak=120)
    assert not told_of_memory(row, outcome(tmp_path, row))


def test_an_attack_may_say_later_where_its_set_up_ends(tmp_path: Path) -> None:
    def attack(scene: Scene) -> Iterator[None]:
        """Hold some memory before, and then no more."""
        client = scene.connect()
        yield
        client.check(b"hold 40\r\n", b"OK\r\n")
        yield
        client.check(b"sleep 1\r\n", b"OK\r\n")

    row = Row("later", {})
    row.attack = attack
    given = outcome(tmp_path, row)
    assert given.before > 40
    assert given.after - given.before < 10


def test_a_setting_is_wished_for_only_where_it_is_known(tmp_path: Path) -> None:
    real = ours()[0]
    assert knows(real, "max_connections", 5)
    assert not knows(real, "no_such_setting", 5)
    assert not knows(real, "max_connections", "many")
    row = Row("wish", {}, wishes={"no_such_setting": (1, 2)})
    row.attack = ordering(b"sleep 1").attack
    with Trial([row], program(tmp_path), None, tmp_path, quick=True) as trial:
        assert not trial.run(row).trouble
