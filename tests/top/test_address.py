"""Where a server is, in all the ways that people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.top.address import Address, AddressError, parse_address


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("queues.example", Address("queues.example", 22122), "queues.example:22122"),
        ("queues.example:1", Address("queues.example", 1), "queues.example:1"),
        ("[::1]:65535", Address("::1", 65535), "[::1]:65535"),
        ("[::1]", Address("::1", 22122), "[::1]:22122"),
        ("::1", Address("::1", 22122), "[::1]:22122"),
        (":7", Address("127.0.0.1", 7), "127.0.0.1:7"),
        ("unix:/run/s.sock", Address(path="/run/s.sock"), "unix:/run/s.sock"),
    ],
)
def test_an_address_is_read_and_shown(text: str, address: Address, shown: str) -> None:
    assert parse_address(text) == address
    assert str(address) == shown
    assert parse_address(shown) == address


@pytest.mark.parametrize(
    "text", ["", "a:", "a:x", "a:0", "a:65536", "a:²", "[::1", "[]:1", "[a]b", "unix:"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        found = parse_address(text)
    except AddressError:
        return
    assert found.path or 1 <= found.port <= 65535
