"""The grammar of keys."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from starling_py.keys import (
    MAX_ITEM_ID,
    MAX_KEY,
    MAX_PEEK,
    MAX_SECONDS,
    MAX_WAIT_MS,
    Request,
    RequestError,
    StoreRequest,
    child_of,
    parse,
    parse_plain,
    parse_store,
    printable,
)

names = st.binary(min_size=1, max_size=MAX_KEY).filter(lambda name: b"/" not in name)
waits = st.integers(0, MAX_WAIT_MS)
seconds = st.decimals(0, MAX_SECONDS, places=3) | st.integers(0, MAX_SECONDS)
item_ids = st.integers(1, MAX_ITEM_ID)

READS: tuple[frozenset[bytes], ...] = (
    frozenset(),
    frozenset({b"peek"}),
    frozenset({b"open"}),
    frozenset({b"close", b"open"}),
)
"""The ways to ask for an item."""
ENDS = (frozenset({b"close"}), frozenset({b"abort"}))
"""The ways to end an open read and ask for nothing."""
GET_OPTIONS = (
    *(b"peek", b"n", b"id", b"first", b"t", b"open", b"lease", b"close", b"abort", b"bury"),
    b"delay",
)
STORE_OPTIONS = (b"sync", b"delay", b"t", b"once")


def key_of(name: bytes, options: list[bytes]) -> bytes:
    return b"/".join([name, *options])


def problem_of(read: Callable[[bytes], object], key: bytes) -> str | None:
    """Return what is wrong with a key, or ``None`` when nothing is."""
    try:
        read(key)
    except RequestError as problem:
        return str(problem)
    return None


def is_fit_for_a_client(problem: str) -> bool:
    return problem.isascii() and problem.isprintable() and problem.strip() == problem != ""


@given(names)
@example(b"noreply")
@example(b"..")
@example(b"a:b+c~d")
@example(b"\x00\xff")
def test_a_name_alone_asks_for_nothing_special(name: bytes) -> None:
    request = parse(name)
    assert request == Request(name, name, peek=False, wait_ms=None)
    assert request.plain
    assert request.takes
    assert parse_plain(name) == name
    assert parse_store(name) == StoreRequest(name, sync=False, delay=0, wait_ms=0)


@pytest.mark.parametrize("key", [b"", b"/", b"/peek", b"//", b"/t=5", b"/sync", b"/etc/passwd"])
@pytest.mark.parametrize("read", [parse, parse_store, parse_plain])
def test_a_key_that_names_no_queue_is_a_problem(
    key: bytes, read: Callable[[bytes], object]
) -> None:
    with pytest.raises(RequestError, match="names no queue"):
        read(key)


@pytest.mark.parametrize("key", [b"q/peek", b"q/t=0", b"q/x", b"q/", b"q/n=0"])
def test_a_plain_key_has_no_options(key: bytes) -> None:
    for _ in range(2):
        with pytest.raises(RequestError, match="takes no option"):
            parse_plain(key)


@given(st.binary(max_size=60))
@example(b"q/\r\n\x00\xff=")
@example(b"q/close=\r\n")
def test_the_readers_of_keys_raise_nothing_but_key_problems(key: bytes) -> None:
    for read in (parse, parse_store, parse_plain):
        problem = problem_of(read, key)
        assert problem is None or is_fit_for_a_client(problem)


# What the options of a get ask for.


@st.composite
def right_options(draw: st.DrawFn) -> tuple[list[bytes], dict[str, Any]]:
    """Return options that go together, and how they make a request differ from a plain one."""
    options: list[bytes] = []
    fields: dict[str, Any] = {}

    def give(option: str, **values: object) -> None:
        options.append(option.encode())
        fields.update(values)

    kind = draw(st.sampled_from(READS + ENDS))
    if b"peek" in kind:
        give("peek", peek=True)
        if (count := draw(st.none() | st.integers(1, MAX_PEEK))) is not None:
            give(f"n={count}", count=count)
    for end in kind & {b"close", b"abort"}:
        item_id, word = draw(st.none() | item_ids), end.decode()
        give(word if item_id is None else f"{word}={item_id}", item_id=item_id, **{word: True})
    if b"open" in kind:
        give("open", open=True)
        if (lease := draw(st.none() | seconds.filter(bool))) is not None:
            give(f"lease={lease}", lease=float(lease))
    if b"abort" in kind and (delay := draw(st.none() | seconds)) is not None:
        give(f"delay={delay}", delay=float(delay))
    if (wait := draw(st.none() | waits)) is not None:
        give(f"t={wait}", wait_ms=wait if kind in READS else None)
    return options, fields


@given(names, right_options(), st.data())
def test_options_mean_the_same_in_any_order(
    name: bytes, right: tuple[list[bytes], dict[str, Any]], data: st.DataObject
) -> None:
    options, fields = right
    key = key_of(name, data.draw(st.permutations(options)))
    request = parse(key)
    assert request == Request(key, name, **fields)
    assert request.plain == (not options)


_RIGHT = (b"peek", b"n=3", b"t=5", b"open", b"lease=0.5", b"close", b"abort", b"delay=2")
_WRONG = (b"opne", b"", b"sync", b"n=0", b"open=1", b"lease=0", b"close=0", b"t")


@given(st.lists(st.sampled_from((*_RIGHT, *_RIGHT, b"close=7", b"abort=7", *_WRONG)), max_size=5))
def test_any_options_either_go_together_or_are_a_problem(options: list[bytes]) -> None:
    words = [option.partition(b"=")[0] for option in options]
    kind = frozenset(words) & {b"peek", b"open", b"close", b"abort"}
    right = (
        not any(option in _WRONG for option in options)
        and len(set(words)) == len(words)
        and kind in READS + ENDS
        and (b"n" not in words or b"peek" in kind)
        and (b"lease" not in words or b"open" in kind)
        and (b"delay" not in words or b"abort" in kind)
    )
    key = key_of(b"q", options)
    problem = problem_of(parse, key)
    assert (problem is None) == right
    if problem is None:
        assert parse(key).takes == (kind in READS)
    else:
        assert is_fit_for_a_client(problem)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b"q/peek/open", "/peek and /open do not go together"),
        (b"q/close/peek", "/peek and /close do not go together"),
        (b"q/abort=7/peek/n=2", "/peek and /abort do not go together"),
        (b"q/open/abort", "/abort and /open do not go together"),
        (b"q/close=7/abort", "/abort and /close do not go together"),
        (b"q/n=2", "/n= needs /peek"),
        (b"q/open/n=2", "/n= needs /peek"),
        (b"q/lease=5", "/lease= needs /open"),
        (b"q/close/lease=5/t=1", "/lease= needs /open"),
        (b"q/delay=5", "/delay= needs /abort"),
        (b"q/close/open/delay=5", "/delay= needs /abort"),
        (b"q/opne", "unknown option /opne"),
        (b"q/op\r\ne n", r"unknown option /op\\r\\ne\\x20n"),
        (b"q/PEEK", "unknown option /PEEK"),
        (b"q/sync", "unknown option /sync"),
        (b"q/peek/peek", "option /peek is repeated"),
        (b"q/t=0/peek/t=5", "option /t is repeated"),
        (b"q/close=1/close=2", "option /close is repeated"),
        (b"q/open/close/close=2", "option /close is repeated"),
        (b"q/peek=1", "/peek takes no value"),
        (b"q/open=", "/open takes no value"),
        (b"q/peek/n", "/n= needs a value"),
        (b"q/peek/n=0", "/n= takes a number of items from 1 to 1000"),
        (b"q/close=0", "/close= takes an item's id from 1 to 18446744073709551615"),
        (b"q/t=x", "/t= takes milliseconds from 0 to 2147483647"),
        (b"q/open/lease=x", "/lease= takes seconds up to 2592000, such as 0.5"),
        (b"q/open/lease=0.00", "/lease= takes more than 0 seconds"),
    ],
)
def test_a_problem_tells_what_is_wrong(key: bytes, text: str) -> None:
    with pytest.raises(RequestError, match=f"^{text}$"):
        parse(key)


_NO_NUMBERS = (b"", b"x", b"-1", b"+1", b"1_0", b" 1", b"1=1", b"0x1", b"1e3", b"\xd9\xa5")


@pytest.mark.parametrize("option", [b"/t=", b"/peek/n=", b"/close=", b"/abort="])
@pytest.mark.parametrize("number", [*_NO_NUMBERS, b"1.5", b"18446744073709551616", b"9" * 100])
def test_a_whole_number_out_of_range_is_a_problem(option: bytes, number: bytes) -> None:
    with pytest.raises(RequestError):
        parse(b"q" + option + number)


@pytest.mark.parametrize("option", [b"/open/lease=", b"/abort/delay="])
@pytest.mark.parametrize(
    "number",
    [*_NO_NUMBERS, b".5", b"1.", b"1.5.5", b"inf", b"nan", b"2592000.001", b"2592001", b"9" * 100],
)
def test_seconds_out_of_range_are_a_problem(option: bytes, number: bytes) -> None:
    with pytest.raises(RequestError):
        parse(b"q" + option + number)
    if b"delay" in option:
        with pytest.raises(RequestError):
            parse_store(b"q/delay=" + number)


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        (b"q/t=2147483647", {"wait_ms": MAX_WAIT_MS}),
        (b"q/peek/n=1", {"peek": True, "count": 1}),
        (b"q/peek/n=1000", {"peek": True, "count": 1000}),
        (b"q/close=1", {"close": True, "item_id": 1}),
        (b"q/abort=18446744073709551615", {"abort": True, "item_id": 2**64 - 1}),
        (b"q/open/lease=0.001", {"open": True, "lease": 0.001}),
        (b"q/open/lease=2592000.000", {"open": True, "lease": 2592000.0}),
        (b"q/abort/delay=0", {"abort": True}),
        (b"q/close/t=500", {"close": True}),
    ],
)
def test_the_ends_of_every_range_are_accepted(key: bytes, fields: dict[str, Any]) -> None:
    assert parse(key) == Request(key, b"q", **fields)


@given(names, st.binary(max_size=12))
@example(b"q", b"opne")
@example(b"q", b"")
@example(b"q", b"PEEK")
@example(b"q", b"T=5")
@example(b"q", b"peek ")
def test_an_unknown_option_is_a_problem(name: bytes, option: bytes) -> None:
    assume(b"/" not in option)
    word = option.partition(b"=")[0]
    assume(word not in GET_OPTIONS + STORE_OPTIONS)
    for key in (name + b"/" + option, name + b"/peek/" + option, name + b"/" + option + b"/peek"):
        for read in (parse, parse_store):
            with pytest.raises(RequestError, match="unknown option"):
                read(key)


@pytest.mark.parametrize("key", [b"q/", b"q//peek", b"q/peek/", b"../x", b"../../etc/passwd"])
def test_an_empty_or_a_path_like_option_is_a_problem(key: bytes) -> None:
    with pytest.raises(RequestError, match="unknown option"):
        parse(key)


# What the options of a storage command ask for.


@given(names, st.booleans(), st.none() | seconds, st.none() | waits, st.data())
def test_the_options_of_a_storage_command_go_together_in_any_order(
    name: bytes, sync: bool, delay: float | None, wait: int | None, data: st.DataObject
) -> None:
    options = [b"sync"] * sync
    if delay is not None:
        options.append(f"delay={delay}".encode())
    if wait is not None:
        options.append(b"t=%d" % wait)
    request = parse_store(key_of(name, data.draw(st.permutations(options))))
    assert request == StoreRequest(name, sync, float(delay or 0), wait or 0)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b"q/x", "unknown option /x"),
        (b"q/peek", "unknown option /peek"),
        (b"q/delay=1/open", "unknown option /open"),
        (b"q/sync/sync", "option /sync is repeated"),
        (b"q/sync=1", "/sync takes no value"),
        (b"q/delay", "/delay= needs a value"),
        (b"q/delay=x", "/delay= takes seconds up to 2592000, such as 0.5"),
        (b"q/t=-1", "/t= takes milliseconds from 0 to 2147483647"),
    ],
)
def test_a_problem_of_a_storage_command_tells_what_is_wrong(key: bytes, text: str) -> None:
    with pytest.raises(RequestError, match=f"^{text}$"):
        parse_store(key)


# Families and directories.


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        (b"a+b", b"a"),
        (b"a+b+c", b"a"),
        (b"a++", b"a"),
        (b"a", None),
        (b"a+", None),
        (b"+a", None),
        (b"+a+b", None),
        (b"+", None),
        (b"", None),
    ],
)
def test_a_child_is_named_after_its_parent(name: bytes, parent: bytes | None) -> None:
    assert child_of(name) == parent


@given(names, names)
def test_a_parent_is_never_a_child(parent: bytes, child: bytes) -> None:
    assume(b"+" not in parent)
    assert child_of(parent + b"+" + child) == parent
    assert child_of(parent) is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"jobs", "jobs"),
        ("\u0437\u0430\u0434\u0430\u0447\u0438".encode(), "\u0437\u0430\u0434\u0430\u0447\u0438"),
        ("\u65e5\u672c".encode(), "\u65e5\u672c"),
        (b"a b", "a\\x20b"),
        (b"a\\b", "a\\\\b"),
        (b"\x1b[31m\n", "\\x1b[31m\\n"),
        (b"\xff\xc3\xa9", "\\xff\\xc3\\xa9"),
        ("\u200b\u202e\xe9".encode(), "\\xe2\\x80\\x8b\\xe2\\x80\\xae\xe9"),
    ],
)
def test_a_name_is_one_printable_word_and_its_text_readable(name: bytes, shown: str) -> None:
    assert printable(name) == shown
    assert shown.isprintable()


@given(st.binary())
def test_any_bytes_are_shown_as_one_printable_word(name: bytes) -> None:
    shown = printable(name)
    assert shown.isprintable()
    assert " " not in shown
