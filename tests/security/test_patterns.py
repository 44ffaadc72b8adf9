"""Patterns of names, children of queues included."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.security.patterns import CHILD, Names, is_legal, matches, words_of

NAMES = st.text("ab.+", min_size=1, max_size=12).map(str.encode)


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        (b"orders", [b"orders"], [b"order", b"orders.eu", b"orders+x", b"Orders", b"orders."]),
        (b"orders.*", [b"orders.eu", b"orders."], [b"orders", b"orders.eu.x", b"orders.eu+x"]),
        (
            b"orders.#",
            [b"orders", b"orders.eu", b"orders.eu.x", b"orders+x", b"orders.eu+x+y"],
            [b"order", b"ordersx", b"x.orders"],
        ),
        (b"orders+*", [b"orders+x"], [b"orders", b"orders+x.y", b"orders+x+y", b"orders.eu+x"]),
        (b"orders+x", [b"orders+x"], [b"orders", b"orders+y", b"orders+x+y"]),
        (b"#", [b"a", b"a.b", b"a+b", b"+", b"a+", b"\xff\x00"], []),
        (b"*", [b"a", b"*", b"#"], [b"a.b", b"a+b", b"+", b"a+", b"+a"]),
        (b"#.failed", [b"failed", b"a.failed", b"a+b.failed"], [b"failed.a", b"failed+a"]),
    ],
)
def test_a_pattern_stands_for_these_names_and_no_others(
    pattern: bytes, names: list[bytes], others: list[bytes]
) -> None:
    allowed = Names([pattern])
    for _ in range(2):  # asked for the first time, and again
        assert [each in allowed for each in names] == [True] * len(names)
        assert [each in allowed for each in others] == [False] * len(others)


def test_no_pattern_stands_for_no_name() -> None:
    assert b"a" not in Names()
    assert not Names()
    assert Names([b"#"])


@pytest.mark.parametrize("pattern", [b"a*", b"*a.b", b"a.##", b"a.#b"])
def test_stars_within_words_are_not_legal(pattern: bytes) -> None:
    assert not is_legal(words_of(pattern))


@given(NAMES, NAMES)
def test_no_two_names_have_the_same_words(name: bytes, other: bytes) -> None:
    assert (words_of(name) == words_of(other)) == (name == other)


@given(NAMES)
def test_a_name_without_stars_stands_for_itself_alone(name: bytes) -> None:
    assert name in Names([name])
    assert name + b"x" not in Names([name])


@given(NAMES)
def test_one_star_stands_for_no_child(name: bytes) -> None:
    pattern = [b"*" if each != CHILD else each for each in words_of(name)]
    assert matches(pattern, words_of(name))
    assert not matches([b"*"] * len(pattern), words_of(name + b"+x"))


def test_a_pattern_of_many_stars_takes_no_time_to_speak_of() -> None:
    assert not matches([b"#", b"a"] * 60, [b"a"] * 120 + [b"b"])
