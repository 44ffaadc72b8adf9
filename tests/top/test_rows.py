"""Rates between two snapshots, order, and which columns fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.top.rows import COLUMNS, Column, Row, fit_columns, make_table, sort_rows, total
from starling_py.top.snapshot import take_snapshot
from tests.top.parts import BY_KEY, Counters, only_row, snapshot

counts = st.integers(0, 10**20 - 1)


def row(name: str, items: int = 0, waiters: int | None = None) -> Row:
    return Row(name, items, waiters=waiters)


def names_of(rows: list[Row]) -> str:
    return "".join(row.name for row in rows)


@given(st.dictionaries(st.binary(), st.binary()), st.dictionaries(st.binary(), st.binary()))
def test_no_statistics_are_so_odd_that_the_table_fails(
    first: dict[bytes, bytes], second: dict[bytes, bytes]
) -> None:
    odd = {b"queue_items": b"1", b"queue__items": b"1", b"queue_a_items": b"-", b"pid": b"x"}
    table = make_table(take_snapshot(odd | first, 0), take_snapshot(odd | second, 1))
    for column in COLUMNS:
        sort_rows(table.rows.values(), column, reverse=False)


def test_rates_are_per_second_of_the_clock() -> None:
    before = snapshot(
        10, {"total_items": 100, "get_hits": 50}, q={"items": 9, "total_items": 20, "get_hits": 11}
    )
    after = snapshot(
        12, {"total_items": 130, "get_hits": 54}, q={"items": 14, "total_items": 30, "get_hits": 16}
    )
    table = make_table(before, after)
    assert (table.put_rate, table.get_rate, table.restarted) == (15, 2, False)
    assert (table.rows[b"q"].put_rate, table.rows[b"q"].get_rate) == (5, 2.5)
    assert (
        total([*table.rows.values()], 0).put_rate,
        total([*table.rows.values()], 0).get_rate,
    ) == (5, 2.5)


def test_without_get_hits_pops_are_what_was_put_and_is_gone() -> None:
    before = snapshot(0, {}, q={"items": 10, "total_items": 100})
    after = snapshot(2, {}, q={"items": 4, "total_items": 110})
    assert only_row(before, after).get_rate == 8


def test_items_that_come_back_are_no_negative_pops() -> None:
    before = snapshot(0, {}, q={"items": 10, "total_items": 100})
    after = snapshot(1, {}, q={"items": 12, "total_items": 100})
    assert only_row(before, after).get_rate == 0


def test_the_first_snapshot_and_a_new_queue_have_no_rates() -> None:
    current = snapshot(1, {"total_items": 5}, q={"items": 1, "total_items": 5})
    assert make_table(None, current).put_rate is None
    assert only_row(None, current).put_rate is None
    assert only_row(snapshot(0, {"total_items": 0}), current).put_rate is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"pid": 1}, {"pid": 2}),
        ({"pid": 1, "uptime": 50}, {"pid": 1, "uptime": 1}),
        ({"pid": 1, "total_items": 50}, {"pid": 1, "total_items": 1}),
        ({"get_hits": 50}, {"get_hits": 1}),
    ],
)
def test_a_counter_that_shrinks_means_a_restart_not_a_negative_rate(
    before: Counters, after: Counters
) -> None:
    queue = {"items": 1, "total_items": 50}
    table = make_table(snapshot(0, before, q=queue), snapshot(1, after, q=queue))
    assert table.restarted
    assert table.put_rate is None
    assert table.rows[b"q"].put_rate is None


def test_one_queue_made_anew_is_no_restart_of_the_server() -> None:
    before = snapshot(0, {"total_items": 9}, q={"items": 1, "total_items": 9, "get_hits": 8})
    after = snapshot(1, {"total_items": 10}, q={"items": 1, "total_items": 1, "get_hits": 0})
    table = make_table(before, after)
    assert not table.restarted
    assert table.put_rate == 1
    assert (table.rows[b"q"].put_rate, table.rows[b"q"].get_rate) == (None, None)


@given(*[st.fixed_dictionaries(dict.fromkeys(("items", "total_items"), counts))] * 2)
def test_no_rate_is_ever_negative(before: Counters, after: Counters) -> None:
    row = only_row(snapshot(0, {}, q=before), snapshot(1, {}, q=after))
    assert row.put_rate is None or row.put_rate >= 0
    assert row.get_rate is None or row.get_rate >= 0


def test_two_snapshots_of_the_same_moment_have_no_rates() -> None:
    queue = {"items": 1, "total_items": 5, "get_hits": 1}
    row = only_row(snapshot(1, {}, q=queue), snapshot(1, {}, q=queue))
    assert (row.put_rate, row.get_rate) == (None, None)


def test_an_empty_queue_has_no_age() -> None:
    assert only_row(None, snapshot(0, {}, q={"items": 0, "age": 4000})).age is None


def test_a_queue_of_which_nothing_is_due_has_no_age() -> None:
    waiting = snapshot(0, {}, q={"items": 3, "delayed": 2, "age": 4000})
    later = snapshot(0, {}, q={"items": 2, "delayed": 2, "age": 0})
    assert (only_row(None, waiting).age, only_row(None, later).age) == (4000, None)


def test_the_total_adds_up_what_is_known_and_takes_the_greatest_age() -> None:
    one = {"items": 1, "age": 5, "logsize": 7, "open_transactions": 2, "bytes": 8}
    two = {"items": 2, "age": 3, "open_transactions": 3, "delayed": 1, "expired_items": 4}
    found = total([*make_table(None, snapshot(0, {}, a=one, b=two)).rows.values()], 0)
    assert (found.name, found.items, found.age, found.logsize) == ("2 queues", 3, 5, 7)
    assert (found.open, found.delayed, found.size, found.expired) == (5, 1, 8, 4)
    assert found.waiters is None


def test_numbers_descend_and_names_ascend_and_reverse_turns_both_round() -> None:
    rows = [row("a", 1), row("c", 3), row("b", 2)]
    assert names_of(sort_rows(rows, BY_KEY["items"], False)) == "cba"
    assert names_of(sort_rows(rows, BY_KEY["items"], True)) == "abc"
    assert names_of(sort_rows(rows, BY_KEY["queue"], False)) == "abc"
    assert names_of(sort_rows(rows, BY_KEY["queue"], True)) == "cba"


@pytest.mark.parametrize("reverse", [False, True])
def test_equal_rows_go_by_name_and_unknown_ones_are_last(reverse: bool) -> None:
    rows = [row("d"), row("b", waiters=1), row("c"), row("a", waiters=1)]
    assert names_of(sort_rows(rows, BY_KEY["waiters"], reverse)) == "abcd"


@given(st.integers(0, 300), st.sampled_from(COLUMNS), st.integers(0, 250))
def test_the_columns_that_are_shown_fit_and_hold_the_name_and_the_order(
    width: int, sort: Column, longest: int
) -> None:
    shown = fit_columns(width, sort, longest)
    columns = [column for column, _ in shown]
    assert columns[0] is COLUMNS[0]
    assert sort in columns
    assert all(cells >= 1 for _, cells in shown)
    assert width < 40 or sum(cells + 1 for _, cells in shown) - 1 <= width


@pytest.mark.parametrize(
    ("width", "longest", "last", "name"),
    [
        (200, 250, "expired", 115),
        (80, 12, "bytes", 12),
        (80, 250, "bytes", 19),
        (60, 250, "get", 21),
        (40, 12, "open", 12),
        (40, 250, "items", 21),
    ],
)
def test_the_columns_on_the_right_give_way_to_names(
    width: int, longest: int, last: str, name: int
) -> None:
    shown = fit_columns(width, COLUMNS[1], longest)
    assert (shown[-1][0].key, shown[0][1]) == (last, name)


def test_looks_at_items_are_no_gets_of_the_server() -> None:
    before = snapshot(1.0, {"get_hits": 100, "cmd_peek": 40, "total_items": 1})
    looked = snapshot(2.0, {"get_hits": 125, "cmd_peek": 60, "total_items": 1})
    assert make_table(before, looked).get_rate == 5
    without = snapshot(1.0, {"get_hits": 100}), snapshot(2.0, {"get_hits": 125})
    assert make_table(*without).get_rate == 25
