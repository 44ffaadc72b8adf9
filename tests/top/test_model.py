"""The model: finding queues, rates between two snapshots, order, and the formats of numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.top.model import (
    COLUMNS,
    Column,
    Row,
    Snapshot,
    alerts,
    fit_columns,
    format_age,
    format_bytes,
    format_count,
    format_rate,
    format_uptime,
    json_value,
    make_table,
    printable,
    sort_rows,
    take_snapshot,
)

Counters = dict[str, int]
BY_KEY = {column.key: column for column in COLUMNS}
QUEUE_KEYS = (
    "items",
    "total_items",
    "bytes",
    "logsize",
    "expired_items",
    "age",
    "waiters",
    "delayed",
    "open_transactions",
    "transactions",
    "canceled_transactions",
)

counts = st.integers(0, 10**20 - 1)
# Neither a name that contains a counter's name nor whitespace.
names = st.binary(min_size=1, max_size=250).filter(
    lambda name: (
        not any(word in name for word in (b"_total", b"_expired", b"_mem", b"_open"))
        and len(name.split()) == 1
    )
)


def snapshot(taken: float, server: Counters, **queues: Counters) -> Snapshot:
    stats = {key.encode(): b"%d" % value for key, value in server.items()}
    for name, counters in queues.items():
        for key, value in counters.items():
            stats[f"queue_{name}_{key}".encode()] = b"%d" % value
    return take_snapshot(stats, taken)


def only_row(previous: Snapshot | None, current: Snapshot) -> Row:
    (row,) = make_table(previous, current).rows
    return row


@given(st.dictionaries(names, st.fixed_dictionaries(dict.fromkeys(QUEUE_KEYS, counts))))
def test_every_queue_is_found_with_its_counters_whatever_its_name(
    queues: dict[bytes, Counters],
) -> None:
    stats = {
        b"queue_" + name + b"_" + key.encode(): b"%d" % value
        for name, counters in queues.items()
        for key, value in counters.items()
    }
    found = take_snapshot(stats, 0).queues
    assert found.keys() == queues.keys()
    for name, queue in found.items():
        assert queue.items == queues[name]["items"]
        assert queue.total_items == queues[name]["total_items"]
        assert queue.logsize == queues[name]["logsize"]
        assert queue.age == queues[name]["age"]
        assert queue.bytes == queues[name]["bytes"]
        assert queue.open == queues[name]["open_transactions"]
        assert queue.delayed == queues[name]["delayed"]
        assert queue.expired == queues[name]["expired_items"]


@pytest.mark.parametrize("name", ["jobs_total", "jobs_expired", "items", "total_items", "_items"])
def test_a_name_may_end_like_a_counter(name: str) -> None:
    counters = {"items": 1, "total_items": 2, "expired_items": 3, "age": 4}
    assert list(snapshot(0, {}, **{name: counters}).queues) == [name.encode()]


def test_a_counter_that_ends_in_items_is_no_queue_of_its_own() -> None:
    kestrel = {"items": 1, "total_items": 2, "expired_items": 3, "mem_items": 4}
    assert list(snapshot(0, {}, jobs=kestrel).queues) == [b"jobs"]


def test_open_items_are_unknown_where_another_queue_has_that_counter() -> None:
    counters = {"items": 1, "open_transactions": 2, "transactions": 9}
    queues = snapshot(0, {}, jobs=counters, jobs_open=counters).queues
    assert (queues[b"jobs"].open, queues[b"jobs_open"].open) == (None, 2)


def test_a_server_that_tells_nothing_but_items_has_queues_too() -> None:
    assert list(snapshot(0, {}, jobs={"items": 1}, jobs_all={"items": 2}).queues) == [
        b"jobs",
        b"jobs_all",
    ]


@given(st.dictionaries(st.binary(), st.binary()), st.dictionaries(st.binary(), st.binary()))
def test_no_statistics_are_so_odd_that_the_table_fails(
    first: dict[bytes, bytes], second: dict[bytes, bytes]
) -> None:
    odd = {b"queue_items": b"1", b"queue__items": b"1", b"queue_a_items": b"-", b"pid": b"x"}
    table = make_table(take_snapshot(odd | first, 0), take_snapshot(odd | second, 1))
    for column in COLUMNS:
        sort_rows(table.rows, column, reverse=False)


def test_rates_are_per_second_of_the_clock() -> None:
    before = snapshot(
        10, {"total_items": 100, "get_hits": 50}, q={"items": 9, "total_items": 20, "get_hits": 11}
    )
    after = snapshot(
        12, {"total_items": 130, "get_hits": 54}, q={"items": 14, "total_items": 30, "get_hits": 16}
    )
    table = make_table(before, after)
    assert (table.put_rate, table.get_rate, table.restarted) == (15, 2, False)
    assert (table.rows[0].put_rate, table.rows[0].get_rate) == (5, 2.5)
    assert (table.total.put_rate, table.total.get_rate) == (5, 2.5)


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
    assert table.rows[0].put_rate is None


def test_one_queue_made_anew_is_no_restart_of_the_server() -> None:
    before = snapshot(0, {"total_items": 9}, q={"items": 1, "total_items": 9, "get_hits": 8})
    after = snapshot(1, {"total_items": 10}, q={"items": 1, "total_items": 1, "get_hits": 0})
    table = make_table(before, after)
    assert not table.restarted
    assert table.put_rate == 1
    assert (table.rows[0].put_rate, table.rows[0].get_rate) == (None, None)


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
    total = make_table(None, snapshot(0, {}, a=one, b=two)).total
    assert (total.name, total.items, total.age, total.logsize) == ("2 queues", 3, 5, 7)
    assert (total.open, total.delayed, total.bytes, total.expired) == (5, 1, 8, 4)
    assert total.waiters is None


def test_what_an_older_server_does_not_tell_is_unknown_and_no_alert() -> None:
    current = snapshot(0, {"curr_items": 1}, q={"items": 1, "total_items": 1, "age": 7})
    row = only_row(None, current)
    assert (row.age, row.open, row.delayed, row.is_broken) == (7, None, None, False)
    assert [BY_KEY[key].text(row) for key in ("open", "delayed", "bytes", "expired")] == ["-"] * 4
    assert alerts(current) == []


def test_alerts_say_what_is_wrong_and_which_queues_are_broken() -> None:
    sound, broken = {"items": 1, "journal_broken": 0}, {"items": 1, "journal_broken": 1}
    well = {"disk_full": 0, "accepting_conns": 1}
    assert alerts(snapshot(0, well, a=sound, b=sound)) == []
    assert alerts(snapshot(0, well, a=sound, b=broken)) == ["journal broken: b"]
    assert alerts(snapshot(0, {"disk_full": 1, "accepting_conns": 0}, b=broken, a=broken)) == [
        "disk full",
        "draining",
        "2 journals broken: a, b",
    ]


def test_an_alert_names_a_queue_in_printable_characters() -> None:
    stats = {b"queue_\x1b_items": b"1", b"queue_\x1b_journal_broken": b"1"}
    assert alerts(take_snapshot(stats, 0)) == [r"journal broken: \x1b"]


def row(name: str, items: int = 0, waiters: int | None = None) -> Row:
    return Row(name, items, waiters=waiters)


def names_of(rows: list[Row]) -> str:
    return "".join(row.name for row in rows)


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
        (200, 250, "expired", 123),
        (80, 12, "log", 12),
        (80, 250, "delayed", 18),
        (40, 12, "waiters", 12),
        (40, 250, "open", 23),
    ],
)
def test_the_columns_on_the_right_give_way_to_names(
    width: int, longest: int, last: str, name: int
) -> None:
    shown = fit_columns(width, COLUMNS[1], longest)
    assert (shown[-1][0].key, shown[0][1]) == (last, name)


@given(st.binary())
def test_text_for_the_terminal_holds_no_control_characters(value: bytes) -> None:
    assert printable(value).isprintable()


def test_names_in_utf_8_stay_as_they_are_and_other_bytes_show_as_escapes() -> None:
    assert printable("café 日本".encode()) == "café 日本"
    assert printable(b"a\xff\x1b[31m\n") == r"a\xff\x1b[31m\n"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (b"pid", b"12", 12),
        (b"x", b"-1", -1),
        (b"rusage_user", b"0.120000", 0.12),
        (b"version", b"1.10", "1.10"),
        (b"x", b"1.0.0", "1.0.0"),
        (b"x", b"007", "007"),
        (b"x", b"1_0", "1_0"),
        (b"x", b"nan", "nan"),
        (b"x", b"9" * 5000, "9" * 5000),
        (b"x", b"\xff", r"\xff"),
        (b"x", b"", ""),
    ],
)
def test_only_what_is_written_like_a_number_becomes_one(
    key: bytes, value: bytes, expected: float | str
) -> None:
    found = json_value(key, value)
    assert found == expected
    assert type(found) is type(expected)


def test_ages_show_in_their_largest_fitting_unit() -> None:
    seconds = [0, 0.05, 1.2, 9.94, 9.95, 119.9, 120, 7199, 7200, 172_799, 172_800]
    shown = [format_age(round(each * 1000)) for each in seconds]
    assert shown == ["0.0s", "0.1s", "1.2s", "9.9s", "9s", "119s", "2m", "119m", "2h", "47h", "2d"]


def test_sizes_show_with_binary_units() -> None:
    sizes = [0, 1023, 1024, 1536, 10 * 1024, 1023 * 1024 + 600, 23 * 2**20, 5 * 2**40]
    shown = [format_bytes(size) for size in sizes]
    assert shown == ["0B", "1023B", "1.0K", "1.5K", "10K", "1.0M", "23M", "5.0T"]


def test_rates_keep_decimals_only_where_they_are_small() -> None:
    rates = [0, 0.02, 0.5, 1, 9.94, 10, 12.6, 99_999, 100_000]
    shown = [format_rate(each) for each in rates]
    assert shown == ["0", "0.02", "0.50", "1.0", "9.9", "10", "13", "99999", "100k"]


def test_uptimes_show_in_two_units() -> None:
    shown = [format_uptime(each) for each in (0, 59, 60, 3_661, 90_000)]
    assert shown == ["0s", "59s", "1m 0s", "1h 1m", "1d 1h"]


def test_what_is_unknown_shows_as_a_dash() -> None:
    formats = (format_age, format_bytes, format_count, format_rate, format_uptime)
    assert [form(None) for form in formats] == ["-"] * 5


@given(counts)
def test_a_count_fits_its_column(count: int) -> None:
    assert all(len(format_count(count, cells)) <= cells for cells in (5, 8, 10))


def test_counts_too_long_for_their_column_show_in_thousands_or_more() -> None:
    shown = [format_count(each, 5) for each in (99_999, 100_000, 99_999_999, 100_000_000)]
    assert shown == ["99999", "100k", "99M", "100M"]


@given(counts)
def test_any_counter_has_a_form_without_an_exponent(count: int) -> None:
    for text in (format_age(count), format_bytes(count), format_count(count), format_rate(count)):
        assert math.isfinite(float(text.rstrip("smhdkBKMGTPEZ")))


def test_a_server_of_a_group_tells_what_it_is() -> None:
    told = {b"replica_role": b"follower", b"replica_owner": b"a:1", b"replica_lag": b"3"}
    follower = take_snapshot({**told, b"accepting_conns": b"0"}, 0)
    assert alerts(follower) == ["follows a:1, 3 messages behind"]
    assert alerts(snapshot(0, {"replica_silent_ms": 2500})) == ["the cluster is silent for 2 s"]
