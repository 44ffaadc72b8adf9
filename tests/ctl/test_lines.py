"""An item that was written as a line is read back as it was."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.ctl.lines import WrongLineError, decode, encode
from starling_py.ctl.remote import Item
from starling_py.ctl.reports import Listed

NOW_MS = 1_700_000_000_000
ITEMS = st.builds(
    Item, st.integers(1, 2**64 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=60)
)


def listed(item: Item, due_ms: int = 0, expiry_ms: int = 0) -> Listed:
    return Listed(
        item.id, len(item.data), item.flags, 5, "waiting", due_ms, expiry_ms, 2, "from", "moved"
    )


@given(
    ITEMS,
    st.binary(min_size=1, max_size=30).filter(lambda name: b"/" not in name and b"\\" not in name),
    st.integers(0, 2 * NOW_MS),
    st.integers(0, 2 * NOW_MS),
)
def test_a_line_that_was_written_is_read_back_the_same(
    item: Item, name: bytes, due_ms: int, expiry_ms: int
) -> None:
    line = encode(name, item, listed(item, due_ms, expiry_ms), NOW_MS)
    assert "\n" not in line
    read = decode(line.encode())
    assert read is not None
    assert (read.queue, read.data, read.flags) == (name, item.data, item.flags)
    assert (read.due_ms, read.expiry_ms) == (due_ms, expiry_ms)
    assert read.is_dead(NOW_MS) is (0 < expiry_ms <= NOW_MS)
    assert read.expiry * 1000 >= expiry_ms
    assert 0 <= read.delay(NOW_MS) <= 2_592_000


def test_a_line_of_a_dump_is_read() -> None:
    line = {"file": "1.segment", "offset": 1, "type": "put", "id": 2, "due_ms": NOW_MS + 1500}
    line |= {"data": base64.b64encode(b"\xff").decode(), "flags": 5, "expires": None}
    read = decode(json.dumps(line).encode())
    assert read is not None
    assert (read.queue, read.data, read.flags, read.delay(NOW_MS)) == (None, b"\xff", 5, 1.5)
    assert decode(b'{"type": "damage", "skipped": 46}') is None
    assert decode(b" \n") is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"jobs", "no JSON"),
        (b"\xff{}", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1]", "no JSON object"),
        (b"{}", "neither text nor data"),
        (b'{"text": "a", "data": "YQ=="}', "or both"),
        (b'{"data": "?"}', "base64"),
        (b'{"data": 1}', "neither text nor data"),
        (b'{"text": "\\ud800"}', "no text"),
        (b'{"queue": 1, "text": "a"}', "queue is no text"),
        (b'{"text": "a", "flags": 4294967296}', "flags is no number"),
        (b'{"text": "a", "flags": true}', "flags is no number"),
        (b'{"text": "a", "expiry_ms": -1}', "expiry_ms is no number"),
        (b'{"type": "remove", "id": 1}', "dump --live --json"),
    ],
)
def test_a_line_that_is_no_item_is_refused_with_the_reason(line: bytes, text: str) -> None:
    with pytest.raises(WrongLineError, match=text):
        decode(line)


@given(st.binary(max_size=200))
def test_whatever_stands_in_a_line_it_is_read_or_refused(line: bytes) -> None:
    with contextlib.suppress(WrongLineError):
        decode(line)
