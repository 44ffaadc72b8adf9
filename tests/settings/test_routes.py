"""Routes: which queues a put goes to besides, and which routes are refused."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from starling_py.settings import routes
from starling_py.settings.routes import Routes


def leads(pattern: str, name: str) -> bool:
    return Routes({pattern: ["there"]}).targets(name.encode()) == (b"there",)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("orders", ["orders"], ["order", "orders.eu", "Orders"]),
        ("orders.*", ["orders.eu", "orders."], ["orders", "orders.eu.paid", "order.eu"]),
        ("*.eu.*", ["orders.eu.paid"], ["eu", "orders.eu", "a.b.eu.c"]),
        ("orders.#", ["orders", "orders.eu", "orders.eu.paid"], ["orders2", "a.orders"]),
        ("#.paid", ["paid", "orders.paid", "a.b.paid"], ["paid.a", "unpaid"]),
        ("a.#.b.#", ["a.b", "a.x.b", "a.b.x.y", "a.b.b"], ["a", "b", "x.a.b"]),
        ("#", ["a", "a.b", "a..b", "*", "#"], []),
        ("*.#", ["a", "a.b"], []),
        ("#.*.*", ["a.b", "a.b.c"], ["a"]),
        ("#.#", ["a", "a.b"], []),
        ("träge.*", ["träge.ja"], ["trage.ja"]),
    ],
)
def test_a_star_is_one_word_and_a_hash_any_number_of_them(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    assert all(leads(pattern, name) for name in matching)
    assert not any(leads(pattern, name) for name in other)


def test_a_child_is_matched_only_by_patterns_with_a_plus() -> None:
    assert not leads("#", "jobs+audit")
    assert not leads("jobs.*", "jobs.eu+audit")
    assert leads("jobs+audit.#", "jobs+audit.eu")
    assert leads("#", "jobs+")


def test_each_target_is_given_once_in_its_order_and_never_the_queue_itself() -> None:
    table = Routes({"a.*": ["c", "b"], "#": ["b", "a.x", "d"], "z": ["y"]})
    assert table.targets(b"a.x") == (b"c", b"b", b"d")
    assert table.targets(b"b") == (b"a.x", b"d")
    assert table.targets(b"\xff") == (b"b", b"a.x", b"d")
    assert len(table) == 3


def test_without_routes_nothing_is_routed() -> None:
    assert Routes().targets(b"a") == ()
    assert len(Routes()) == 0


def test_many_hashes_cost_little_time() -> None:
    assert leads(".".join(["#", "a"] * 60), ".".join(["a"] * 120))
    assert not leads(".".join(["#", "a"] * 60), ".".join(["a"] * 120) + ".b")


def test_routes_that_are_the_same_are_equal_whatever_they_were_asked() -> None:
    one = Routes({"a": ["b"]})
    assert one.targets(b"a") is one.targets(b"a")
    assert one == Routes({"a": [b"b"]}) == Routes(one.entries) != Routes()


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"a": "b"}, "a: must be a list of queue names, as in [audit]"),
        ({"a": b"b"}, "a: must be a list of queue names, as in [audit]"),
        ({"a": []}, "a: must be a list of queue names, as in [audit]"),
        ({"a": None}, "a: must be a list of queue names, as in [audit]"),
        ({"a": ["b", "b"]}, "a.1: stands twice; keep one"),
        ({"a": ["b", "a"]}, "a.1: leads to where the put goes anyway"),
        (
            {"a": [None]},
            "a.0: must be a queue's name, 1 to 250 bytes without slashes and blanks",
        ),
        ({"a": ["b.*"]}, "a.0: must be the name of one queue; * and ? are for patterns"),
        ({"a*": ["b"]}, "a*: * and # must be whole words, with dots around them"),
        ({"a.##": ["b"]}, "a.##: * and # must be whole words, with dots around them"),
        (
            {"a b": ["b"]},
            "a b: must be a queue's name, 1 to 250 bytes without slashes and blanks, "
            "or a pattern of such",
        ),
    ],
)
def test_a_route_that_cannot_be_meant_is_refused(entries: Mapping[str, object], told: str) -> None:
    _, faults = routes.judge(entries)
    assert [str(fault) for fault in faults] == [told]
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        Routes(entries)  # type: ignore[arg-type]


WORDS = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=6)
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "#", ""]), min_size=1, max_size=6)


@given(PATTERNS, WORDS)
@example(["#", "*", "#"], ["a"])
def test_patterns_match_what_a_regular_expression_says(
    pattern: list[str], words: list[str]
) -> None:
    """Each word with a dot behind it, so that no word of a hash needs a dot of its own."""
    parts = {"*": r"[^.]*\.", "#": r"([^.]*\.)*"}
    expression = "".join(parts.get(word, f"{word}\\.") for word in pattern)
    name = ".".join(words)
    if name and any(pattern) | (len(pattern) > 1):
        matches = re.fullmatch(expression, f"{name}.") is not None
        assert leads(".".join(pattern), name) == matches
