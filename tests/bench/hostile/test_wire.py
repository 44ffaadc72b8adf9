"""An attacker's connection: what it accepts for a reply, however that was cut."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hostile import BrokenError, RefusedError
from bench.hostile.wire import Client, Ends, Exactly, Needle, press, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.hostile.wire import Reply

PATIENCE = 60.0


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Return data in parts, none of which is empty."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[first:end] for first, end in itertools.pairwise(ends)]


def feed(reply: Reply, parts: Sequence[bytes]) -> list[bool]:
    """Return after which part all had come."""
    return [reply.feed(part) for part in parts]


PLACES = st.lists(st.integers(0, 1000), max_size=20)


@contextmanager
def served(serve: Callable[[socket.socket], object]) -> Iterator[Client]:
    """Give a connection whose other end is served by a function, and then closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with listener.accept()[0] as other:
                serve(other)

        thread = threading.Thread(target=run)
        thread.start()
        client = Client(listener.getsockname(), time.perf_counter() + PATIENCE)
        try:
            yield client
        finally:
            client.close()
            thread.join(PATIENCE)


@given(st.text("ab", max_size=60), st.sampled_from(["a", "ab", "aba", "bb"]), PLACES)
def test_a_needle_is_counted_however_the_hay_is_cut(hay: str, what: str, places: list[int]) -> None:
    needle = Needle(what.encode())
    for part in cut(hay.encode(), places):
        needle.feed(part)
    assert needle.count == hay.count(what)


@given(PLACES)
def test_an_exact_reply_is_done_with_its_last_byte(places: list[int]) -> None:
    right = b"STORED\r\n" * 20
    reply = Exactly(right)
    done = feed(reply, cut(right, places))
    assert done[-1]
    assert not any(done[:-1])


@given(st.integers(0, 19), PLACES)
def test_an_odd_line_in_an_exact_reply_is_named(line: int, places: list[int]) -> None:
    right = [b"STORED\r\n"] * 20
    told = b"".join([*right[:line], b"SERVER_ERROR full\r\n", *right[line:]])
    parts = cut(told, places)
    with pytest.raises(RefusedError, match=r"^answered 'SE"):
        feed(Exactly(b"".join(right)), parts)


@given(st.integers(1, 5), PLACES)
def test_replies_of_any_length_end_with_the_last_end(times: int, places: list[int]) -> None:
    told = b"STAT queue_q_items 1\r\nEND\r\n" * times
    reply = Ends(times, needle=b"_items ")
    done = feed(reply, cut(told, places))
    assert done[-1]
    assert not any(done[:-1])
    assert reply.found == times


@given(st.sampled_from([b"ERROR", b"CLIENT_ERROR no", b"SERVER_ERROR no"]), PLACES)
def test_an_error_among_replies_of_any_length_is_named(error: bytes, places: list[int]) -> None:
    parts = cut(b"STAT a 1\r\nEND\r\n%b\r\nEND\r\n" % error, places)
    with pytest.raises(RefusedError, match="ERROR"):
        feed(Ends(3), parts)


def test_whoever_sends_much_reads_meanwhile() -> None:
    def echo(other: socket.socket) -> None:
        while part := other.recv(1 << 16):
            other.sendall(part)

    data = b"0123456\n" * (1 << 20)
    with served(echo) as client:
        client.check(data, data)


def test_a_connection_that_ends_before_the_reply_is_told_of() -> None:
    with (
        served(lambda other: other.recv(1)) as client,
        pytest.raises(BrokenError, match=r"closed a connection|connection broke"),
    ):
        client.check(b"a", b"b")


def test_a_reply_that_never_comes_is_told_of() -> None:
    with served(lambda other: other.recv(10) and other.recv(10)) as client:
        client.deadline = time.perf_counter()
        with pytest.raises(BrokenError, match="1 replies did not come in time"):
            together([(client, b"a", Exactly(b"b"))])


def test_pressing_goes_as_far_as_the_other_end_reads() -> None:
    def never_read(other: socket.socket) -> None:
        end.wait(PATIENCE)

    end = threading.Event()
    with served(never_read) as stuck, served(lambda other: other.recv(10)) as free:
        try:
            assert press([stuck], b"x" * (1 << 27), 0.2) == (0, 0)
            assert press([free], b"x", PATIENCE) == (1, 0)
        finally:
            end.set()
