"""Addresses of servers, as people write them: one grammar for who listens and who connects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.connecting.address import (
    TCP,
    TLS,
    UNIX,
    Address,
    AddressError,
    Addresses,
    is_beyond,
    port_number,
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("queues.example", "queues.example:22122"),
        ("queues.example:1", "queues.example:1"),
        (":23000", "127.0.0.1:23000"),
        ("[::1]:23000", "[::1]:23000"),
        ("[::1]", "[::1]:22122"),
        ("::1", "[::1]:22122"),
        ("fe80::1%eth0", "[fe80::1%eth0]:22122"),
        ("tcp://queues.example:5", "queues.example:5"),
        ("tls:queues.example", "tls:queues.example:22122"),
        ("tls://queues.example:5", "tls:queues.example:5"),
        ("tls:[::1]:5", "tls:[::1]:5"),
        ("unix:/run/starling.sock", "unix:/run/starling.sock"),
        ("unix:///run/starling.sock", "unix:/run/starling.sock"),
        ("/run/starling.sock", "unix:/run/starling.sock"),
        ("anna@queues.example", "anna@queues.example:22122"),
        ("tls:anna@queues.example:5", "tls:anna@queues.example:5"),
        ("unix:anna@/run/a.sock", "unix:anna@/run/a.sock"),
        ("anna%40work@[::1]:5", "anna%40work@[::1]:5"),
    ],
)
def test_an_address_is_understood_in_each_form_and_told_in_one(text: str, told: str) -> None:
    address = Address.parse(text)
    assert str(address) == told
    assert Address.parse(told) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:22122", Address(TCP, "127.0.0.1", 22122)),
        ("localhost:0", Address(TCP, "localhost", 0)),
        ("[::1]:5", Address(TCP, "::1", 5)),
        ("*:5", Address(TCP, "*", 5)),
        ("tls:0.0.0.0:22123", Address(TLS, "0.0.0.0", 22123)),
        ("tls:[::]:22123", Address(TLS, "::", 22123)),
        ("unix:/run/a.sock?mode=0600", Address(UNIX, "", 0, "/run/a.sock", 0o600)),
        ("unix:/run/a.sock", Address(UNIX, "", 0, "/run/a.sock")),
    ],
)
def test_where_to_listen_is_read_as_it_is_written(text: str, address: Address) -> None:
    assert Address.listening(text) == address
    assert str(address) == text
    assert str(Addresses([address, address])) == f"{text},{text}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no address; write HOST:PORT, tls:HOST:PORT or unix:/PATH"),
        (":", "is no address; write HOST:PORT, tls:HOST:PORT or unix:/PATH"),
        ("22122", "is no address; a port is written :22122"),
        ("a b:5", "is no address; write HOST:PORT, tls:HOST:PORT or unix:/PATH"),
        ("http//x", "is no address; write HOST:PORT, tls:HOST:PORT or unix:/PATH"),
        ("http://x:1", "is no address; write HOST:PORT, tls:HOST:PORT or unix:/PATH, and IPv6"),
        ("::1:22122", "is no address; write HOST:PORT, tls:HOST:PORT or unix:/PATH, and IPv6"),
        ("host:port", "'port' is not a port (1 to 65535)"),
        ("host:", "'' is not a port (1 to 65535)"),
        ("host:²", "'²' is not a port (1 to 65535)"),
        ("host:-1", "'-1' is not a port (1 to 65535)"),
        ("host:99999", "'99999' is not a port (1 to 65535)"),
        ("host:1234567", "'1234567' is not a port (1 to 65535)"),
        ("[::1", "is no address; write [::1]:22122"),
        ("[]:1", "is no address; write"),
        ("[a]b:5", "is no address; write [::1]:22122"),
        ("unix:", "a socket is written unix:/PATH"),
        ("unix:run/a.sock", "a socket is written unix:/PATH"),
        ("unix:/", "a socket is written unix:/PATH"),
        ("unix:/a?mode=999", "a socket is written unix:/PATH"),
        ("unix:/a?mode=1777", "a socket is written unix:/PATH"),
        ("unix:/a?b", "a socket is written unix:/PATH"),
    ],
)
def test_who_listens_and_who_connects_hear_the_same_of_a_wrong_one(text: str, reason: str) -> None:
    with pytest.raises(AddressError) as connecting:
        Address.parse(text)
    with pytest.raises(AddressError) as listening:
        Address.listening(text)
    assert str(connecting.value) == str(listening.value)
    assert str(connecting.value).startswith(f"{text!r}: {reason}")


def test_what_is_for_one_side_alone_is_told_to_the_other() -> None:
    for text, reason in [
        ("host", "'host': names no port; write host:PORT"),
        ("::1", "'::1': names no port; write [::1]:PORT"),
        ("anna@host:1", "'anna@host:1': a user is for who connects; leave it out"),
    ]:
        with pytest.raises(AddressError) as caught:
            Address.listening(text)
        assert str(caught.value) == reason
    for text, reason in [
        ("host:0", "'host:0': '0' is not a port (1 to 65535)"),
        ("unix:/a?mode=0600", "'unix:/a?mode=0600': a mode is for who listens; leave it out"),
        ("@host", "'@host': no user stands in front of the @"),
    ]:
        with pytest.raises(AddressError) as caught:
            Address.parse(text)
        assert str(caught.value) == reason


@pytest.mark.parametrize("scheme", ["", "tls:", "tls://", "unix:"])
@pytest.mark.parametrize("secret", ["geheim", "ge:he@im", "%40//:", "[", " "])
@pytest.mark.parametrize("rest", ["host:1", "/run/s", "host:x", "", "[::1"])
def test_a_password_in_an_address_is_never_shown(scheme: str, secret: str, rest: str) -> None:
    shown = ""
    try:
        address = Address.parse(f"{scheme}anna:x7{secret}7x@{rest}")
        shown = f"{address} {address!r}"
    except AddressError as error:
        shown = str(error)
    assert "anna" in shown
    assert "x7" not in shown


def test_the_port_beside_an_address_is_for_one_that_names_none() -> None:
    assert Address.parse("host", 5).port == 5
    assert Address.parse("host:6", 5).port == 6
    assert port_number("7") == 7
    for text in ("0", "65536", "x", "", "²"):
        with pytest.raises(AddressError, match="is not a port"):
            port_number(text)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for read in (Address.parse, Address.listening):
        try:
            address = read(text)
        except AddressError:
            continue
        if address.password is None:
            assert read(str(address)) == address


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "*", "10.0.0.1", "fe80::1%eth0", "::ffff:8.8.8.8"]
)
def test_these_addresses_are_beyond_this_machine(host: str) -> None:
    assert is_beyond(host)
    assert not Address(host=host).is_local


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_these_addresses_are_of_this_machine(host: str) -> None:
    assert not is_beyond(host)
    assert Address(host=host).is_local


def test_what_a_name_stands_for_is_not_known() -> None:
    assert not is_beyond("some.name")
    assert not Address(host="some.name").is_local
    assert Address(UNIX, "", 0, "/run/s").is_local
