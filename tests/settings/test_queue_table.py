"""Which queue gets which settings: defaults, patterns, names, children, and what is refused."""

import string
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.settings import queue_table
from starling_py.settings.queue_settings import QueueSettings
from starling_py.settings.queue_table import Entries, QueueTable


def expect_refusals(entries: Entries) -> list[str]:
    """Return what is wrong with entries, having seen that a table of them is refused for it."""
    _, faults = queue_table.judge(entries)
    told = [str(fault) for fault in faults]
    with pytest.raises(ValueError, match=r".") as caught:
        QueueTable(entries)
    assert str(caught.value) == "\n".join(told)
    return told


def test_without_entries_every_queue_has_the_defaults() -> None:
    assert QueueTable().resolve(b"jobs") == QueueSettings()
    assert len(QueueTable()) == 0


def test_defaults_come_first_then_patterns_in_their_order_then_the_name() -> None:
    table = QueueTable(
        {
            "jobs": {"max_items": 4},
            "job*": {"max_items": 2, "max_age": 2, "paused": True},
            "j???": {"max_items": 3, "max_age": 3},
            "*": {"max_items": 1, "max_age": 1, "max_open_reads": 1, "paused": False},
        }
    )
    assert table.resolve(b"jobs") == QueueSettings(
        max_items=4, max_age=3, paused=True, max_open_reads=1
    )
    assert table.resolve(b"job").max_items == 2
    assert table.resolve(b"jets").max_items == 3
    assert table.resolve(b"other").max_items == 1
    assert len(table) == 4


def test_an_empty_value_takes_a_limit_away() -> None:
    table = QueueTable({"*": {"max_items": 1, "max_age": 1}, "jobs": {"max_items": None}})
    assert table.resolve(b"jobs") == QueueSettings(max_age=1)


def test_names_that_are_not_utf_8_are_matched_by_patterns() -> None:
    table = QueueTable({"a?": {"max_items": 1}, "é*": {"max_items": 2}})
    assert table.resolve(b"a\xff").max_items == 1
    assert table.resolve("ébène".encode()).max_items == 2


def test_a_queue_with_the_name_of_a_pattern_is_one_of_those_that_match() -> None:
    table = QueueTable({"a*": {"max_items": 1}, "a**": {"max_items": 2}})
    assert table.resolve(b"a*").max_items == 2


def test_a_child_starts_from_its_parent_and_only_plus_patterns_match_it() -> None:
    table = QueueTable(
        {
            "*": {"max_age": 5},
            "*b*": {"max_items": 1},
            "jobs": {"max_bytes": 2, "journal": False},
            "*+b*": {"max_open_reads": 3},
            "jobs+b": {"max_item_size": 4},
        }
    )
    assert table.resolve(b"jobs+b") == QueueSettings(
        max_age=5, max_items=1, max_bytes=2, max_item_size=4, max_open_reads=3, journal=False
    )
    assert table.resolve(b"news+b") == QueueSettings(max_age=5, max_open_reads=3)
    # The parent is what stands before the first plus.
    assert table.resolve(b"jobs+c+d").max_bytes == 2


@pytest.mark.parametrize("name", [b"+b", b"b+"])
def test_a_plus_with_nothing_on_one_side_makes_no_child(name: bytes) -> None:
    table = QueueTable({"*b*": {"max_items": 1}})
    assert table.resolve(name).max_items == 1


def test_what_concerns_the_parent_alone_is_not_inherited() -> None:
    alone = {"fanout_only": True, "paused": True, "idle_expire": 60}
    table = QueueTable({"*": alone, "jobs": alone, "news+*": alone})
    assert table.resolve(b"jobs") == QueueSettings(**alone)  # type: ignore[arg-type]
    assert table.resolve(b"jobs+a") == QueueSettings()
    assert table.resolve(b"news+a") == QueueSettings(**alone)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ({"*": {"expire_to": "old"}}, b"old"),
        ({"o*": {"expire_to": "old"}}, b"old"),
        ({"jobs": {"expire_to": "jobs+old"}}, b"jobs+old"),
        # Its items would come back from its parent.
        ({"jobs+*": {"expire_to": "jobs"}}, b"jobs+a"),
        ({"*": {"expire_to": "old"}}, b"old+a"),
    ],
)
def test_a_target_of_a_pattern_or_parent_never_leads_back_to_its_queue(
    entries: Entries, name: bytes
) -> None:
    assert QueueTable(entries).resolve(name).expire_to is None


def test_targets_are_inherited_otherwise() -> None:
    table = QueueTable({"jobs": {"max_deliveries": 2, "dead_letter": "f", "expire_to": "jobs+x"}})
    assert table.resolve(b"jobs+a") == QueueSettings(
        max_deliveries=2, dead_letter=b"f", expire_to=b"jobs+x"
    )
    assert table.resolve(b"jobs+x") == QueueSettings(max_deliveries=2, dead_letter=b"f")


def test_a_dead_letter_of_all_has_no_limit_of_deliveries_itself() -> None:
    table = QueueTable({"*": {"max_deliveries": 5, "dead_letter": "failed"}})
    assert table.resolve(b"jobs").max_deliveries == 5
    for name in (b"failed", b"failed+a"):
        assert table.resolve(name) == QueueSettings()


def test_one_of_the_pair_may_come_from_an_entry_below() -> None:
    table = QueueTable(
        {
            "*": {"max_deliveries": 5, "dead_letter": "failed"},
            "mail*": {"max_deliveries": 1},
            "news": {"dead_letter": "old_news"},
            "free": {"max_deliveries": None, "dead_letter": None},
        }
    )
    assert table.resolve(b"mails").dead_letter == b"failed"
    assert table.resolve(b"news").max_deliveries == 5
    assert table.resolve(b"free") == QueueSettings()


def test_overlapping_patterns_limit_no_deliveries_without_a_dead_letter() -> None:
    table = QueueTable(
        {
            "*": {"max_deliveries": 5, "dead_letter": "failed"},
            "a*": {"max_deliveries": None, "dead_letter": None},
            "*b": {"max_deliveries": 3},
        }
    )
    assert table.resolve(b"ab") == QueueSettings()


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (
            {"a": {"max_deliveries": 3}},
            "a.max_deliveries: needs dead_letter too, "
            "or what is delivered that often would be lost",
        ),
        (
            {"*": {"dead_letter": "f"}, "a": {"max_deliveries": 3}},
            "*.dead_letter: needs max_deliveries too, or nothing would be moved there",
        ),
        (
            {"*": {"max_deliveries": 3, "dead_letter": "f"}, "a": {"dead_letter": None}},
            "a.dead_letter: leaves the other of max_deliveries and dead_letter in force; "
            "empty both",
        ),
        (
            {"*": {"max_deliveries": 3, "dead_letter": "f"}, "f": {"max_deliveries": 4}},
            "f.max_deliveries: needs dead_letter too, "
            "or what is delivered that often would be lost",
        ),
        (
            {"a": {"max_deliveries": 3, "dead_letter": "f"}, "a+b": {"max_deliveries": None}},
            "a+b.max_deliveries: leaves the other of max_deliveries and dead_letter in force; "
            "empty both",
        ),
    ],
)
def test_one_of_the_pair_alone_is_refused(entries: Entries, told: str) -> None:
    assert expect_refusals(entries) == [told]


def test_a_faulty_half_of_the_pair_does_not_make_the_other_half_look_alone() -> None:
    assert expect_refusals({"a": {"max_deliveries": 0, "dead_letter": "f"}}) == [
        "a.max_deliveries: must be a whole number from 1 to 1000000"
    ]


@pytest.mark.parametrize(
    ("moves", "told"),
    [
        ({"a": "a"}, ["a: a -> a"]),
        ({"a": "b", "b": "a"}, ["b: a -> b -> a"]),
        ({"b": "c", "a": "b", "c": "a"}, ["c: b -> c -> a -> b"]),
        ({"a": "a", "b": "b", "c": "a"}, ["a: a -> a", "b: b -> b"]),
        # A pattern closes the circle; a queue of its own target is not meant by it.
        ({"*": "old", "old": "older"}, ["old: old -> older -> old"]),
        ({"o*": "old", "old": "older"}, ["old: old -> older -> old"]),
        # What reaches the parent reaches its children.
        ({"a+b": "a"}, ["a+b: a+b -> a -> a+b"]),
        ({"a": "b", "b+c": "a"}, ["b+c: a -> b -> b+c -> a"]),
    ],
)
@pytest.mark.parametrize("target", ["expire_to", "dead_letter"])
def test_moves_in_a_circle_are_refused(moves: dict[str, str], told: list[str], target: str) -> None:
    pair = {"max_deliveries": 3} if target == "dead_letter" else {}
    entries = {key: {target: to, **pair} for key, to in moves.items()}
    found = [
        f"{key}.{target}: moves items in a circle: {path}"
        for key, path in (each.split(": ") for each in told)
    ]
    assert [each for each in expect_refusals(entries) if "needs dead_letter" not in each] == found


def test_moves_that_end_somewhere_are_no_circle() -> None:
    table = QueueTable(
        {
            "*": {"expire_to": "old"},
            "a": {"expire_to": "b"},
            "b": {"expire_to": "c"},
            "d": {"expire_to": "c"},
            "c+x": {"expire_to": "e"},
            "old": {"expire_to": None},
        }
    )
    assert table.resolve(b"c").expire_to == b"old"


def test_a_dead_letter_may_expire_into_the_queue_it_came_from() -> None:
    table = QueueTable(
        {
            "jobs": {"max_deliveries": 3, "dead_letter": "later"},
            "later": {"max_age": 60, "expire_to": "jobs"},
        }
    )
    assert table.resolve(b"later").expire_to == b"jobs"


def test_a_long_circle_is_told_in_one_short_line() -> None:
    length = 2_000
    entries = {f"q{n}": {"expire_to": f"q{(n + 1) % length}"} for n in range(length)}
    (told,) = expect_refusals(entries)
    assert told == (
        "q1999.expire_to: moves items in a circle: q0 -> q1 -> q2 -> q3 -> q4 -> q5 -> ... -> q0"
    )


@pytest.mark.parametrize("key", ["", "a/b", "a b", "\n", "x" * 251, "*/open", "\ud800"])
def test_a_key_must_be_a_legal_name_or_a_pattern_of_such(key: str) -> None:
    (told,) = expect_refusals({key: {}})
    assert told.endswith(
        ": must be a queue's name, 1 to 250 bytes without slashes and blanks, or a pattern of such"
    )


def test_everything_wrong_is_told_at_once() -> None:
    entries: Entries = {
        "a": {"max_items": 0, "prot": 1},
        "b c": {"paused": 2},
        "d": {"expire_to": "d"},
    }
    assert expect_refusals(entries) == [
        "a.max_items: must be a whole number from 1 to 1000000000",
        "a.prot: unknown setting",
        "b c: must be a queue's name, 1 to 250 bytes without slashes and blanks, "
        "or a pattern of such",
        "b c.paused: must be true or false",
        "d.expire_to: moves items in a circle: d -> d",
    ]


def test_tables_of_the_same_entries_are_equal_whatever_they_were_asked() -> None:
    one, other = QueueTable({"a": {"max_bytes": "1k"}}), QueueTable({"a": {"max_bytes": 1024}})
    assert one.resolve(b"a") is one.resolve(b"a")
    assert one == other != QueueTable()
    assert QueueTable(one.entries) == one


WORDS = st.text(string.ascii_lowercase[:3] + "+", min_size=1, max_size=4)
KEYS = st.text(string.ascii_lowercase[:3] + "+*?", min_size=1, max_size=4)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "max_items": st.none() | st.integers(1, 9),
        "max_deliveries": st.none() | st.integers(1, 9),
        "expire_to": st.none() | WORDS,
        "dead_letter": st.none() | WORDS,
    },
)


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.lists(WORDS, max_size=6))
def test_no_table_moves_items_back_at_once_or_drops_them_by_deliveries(
    entries: dict[str, dict[str, object]], names: list[str]
) -> None:
    good, faults = queue_table.judge(entries)
    if not faults:
        table = QueueTable(entries)
        assert table == QueueTable(good)
        for name in map(str.encode, [*names, *entries]):
            settings = table.resolve(name)
            assert name not in (settings.expire_to, settings.dead_letter)
            assert (settings.max_deliveries is None) == (settings.dead_letter is None)


LIMITS = st.dictionaries(KEYS, st.integers(1, 9), max_size=6)


@given(LIMITS, st.text(string.ascii_lowercase[:3], min_size=1, max_size=4))
def test_the_last_that_matches_holds(limits: dict[str, int], name: str) -> None:
    table = QueueTable({key: {"max_items": limit} for key, limit in limits.items()})
    expected = limits.get("*")
    for key, limit in limits.items():
        if key != "*" and fnmatchcase(name, key):
            expected = limit
    assert table.resolve(name.encode()).max_items == limits.get(name, expected)
