"""The PROXY header: what a proxy says of its client, and nothing else."""

import ipaddress
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from starling_py.protocol.proxy_header import (
    MAX_HEADER,
    MAX_LINE,
    V2,
    ProxyHeader,
    ProxyHeaderError,
    read,
)

LONGEST = b"PROXY TCP6 %b %b 65535 65535\r\n" % ((b"ffff:" * 8)[:-1], (b"ffff:" * 8)[:-1])


def v2(command: int = 0x21, family: int = 0x11, body: bytes = b"", length: int = -1) -> bytes:
    """Return a header of version 2; ``length`` may lie about that of the body."""
    return V2 + struct.pack(">BBH", command, family, len(body) if length < 0 else length) + body


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack(">BH", kind, len(value)) + value


def inet(host: str, port: int, other: str = "") -> bytes:
    """Return the addresses and ports of a header for TCP."""
    ends = [ipaddress.ip_address(each).packed for each in (host, other or host)]
    return b"".join(ends) + struct.pack(">HH", port, 11211)


V4 = inet("203.0.113.7", 40000, "192.0.2.1")
V6 = inet("2001:db8::7", 40000, "2001:db8::1")

MAPPED = ipaddress.ip_address("::ffff:1.2.3.4")  # whose form depends on the version of Python

RIGHT = [
    (b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 11211\r\n", "203.0.113.7:40000"),
    (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0:0"),
    (b"PROXY TCP6 2001:db8::7 ::1 40000 11211\r\n", "[2001:db8::7]:40000"),
    (b"PROXY TCP6 2001:DB8:0:0::7 ::1 40000 11211\r\n", "[2001:db8::7]:40000"),
    (b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n", f"[{MAPPED}]:1"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN any thing at all\r\n", ""),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", ""),
    (LONGEST, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
    (v2(body=V4), "203.0.113.7:40000"),
    (v2(family=0x21, body=V6), "[2001:db8::7]:40000"),
    (v2(body=V4 + tlv(1, b"h2") + tlv(0x20, b"") + tlv(4, b"pad")), "203.0.113.7:40000"),
    (v2(family=0x21, body=V6 + tlv(2, b"x" * 3000)), "[2001:db8::7]:40000"),
    (v2(0x20, 0x00), ""),
    (v2(0x20, 0x11, V4), ""),
    (v2(0x20, 0x11, b"any"), ""),
    (v2(0x20, 0x31, b"x" * 4080), ""),
    (v2(0x21, 0x00), ""),
    (v2(0x21, 0x00, tlv(3, b"crc!")), ""),
    (v2(0x21, 0x01, tlv(3, b"crc!")), ""),
    (v2(0x21, 0x12, V4), ""),
    (v2(0x21, 0x22, V6), ""),
    (v2(0x21, 0x31, bytes(216)), ""),
    (v2(0x21, 0x31, bytes(216) + tlv(2, b"name")), ""),
]
WRONG = [
    b"get q\r\n",
    b"\x80\x01",
    b"\x16\x03\x01",
    b"proxy TCP4 1.2.3.4 1.2.3.4 5 6\r\n",
    b"PROXYTCP4 1.2.3.4 1.2.3.4 5 6\r\n",
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"PROXY TCP5 1.2.3.4 1.2.3.4 5 6\r\n",
    b"PROXY tcp4 1.2.3.4 1.2.3.4 5 6\r\n",
    b"PROXY  TCP4 1.2.3.4 1.2.3.4 5 6\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 5\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 5 6 7\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 5 6 \r\n",
    b"PROXY TCP4 1.2.3 1.2.3.4 5 6\r\n",
    b"PROXY TCP4 1.2.3.256 1.2.3.4 5 6\r\n",
    b"PROXY TCP4 01.2.3.4 1.2.3.4 5 6\r\n",
    b"PROXY TCP4 ::1 ::1 5 6\r\n",
    b"PROXY TCP6 1.2.3.4 1.2.3.4 5 6\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 5 6\r\n",
    b"PROXY TCP6 [::1] ::1 5 6\r\n",
    b"PROXY TCP4 \xff.2.3.4 1.2.3.4 5 6\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 6\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 5 -6\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 000005 6\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 \xb2 6\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 5 6\n" + b"x" * 100,
    V2[:11] + b"\r",
    v2(0x11, body=V4),
    v2(0x22, body=V4),
    v2(0x2F, body=V4),
    v2(0x01, body=V4),
    v2(0x21, 0x41, bytes(300)),
    v2(0x21, 0x13, V4),
    v2(0x21, 0xFF, V4),
    v2(body=V4[:-1]),
    v2(body=b""),
    v2(family=0x21, body=V4),
    v2(family=0x31, body=bytes(215)),
    v2(body=V4 + b"\1"),
    v2(body=V4 + b"\1\0"),
    v2(body=V4 + tlv(1, b"h2")[:-1]),
    v2(body=V4 + tlv(1, b"h2") + b"\1\xff\xff"),
    v2(body=V4, length=11),
    v2(body=V4, length=13) + b"x",
    v2(length=MAX_HEADER - 15),
    v2(length=0xFFFF),
    v2(0x20, 0x00, length=0xFFFF),
]


@pytest.mark.parametrize(("header", "address"), RIGHT, ids=[repr(each[0][:60]) for each in RIGHT])
def test_a_right_header_tells_the_client_and_where_it_ends(header: bytes, address: str) -> None:
    for behind in (b"", b"get q\r\n", b"\x80\x00", b"\r\n", header):
        found = read(header + behind)
        assert found is not None
        assert (found.size, found.address) == (len(header), address)


@pytest.mark.parametrize("header", [each[0] for each in RIGHT], ids=repr)
def test_a_header_that_is_cut_off_anywhere_is_waited_for(header: bytes) -> None:
    for end in range(len(header)):
        assert read(header[:end]) is None


@pytest.mark.parametrize("data", WRONG, ids=[repr(each[:60]) for each in WRONG])
def test_what_is_no_right_header_is_told(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        read(data)


def outcome(data: bytes) -> ProxyHeader | str | None:
    try:
        return read(data)
    except ProxyHeaderError as problem:
        return str(problem)


bodies = st.one_of(
    st.binary(max_size=60),
    st.tuples(st.sampled_from([V4, V6, bytes(216)]), st.binary(max_size=20)).map(b"".join),
    st.lists(st.builds(tlv, st.integers(0, 255), st.binary(max_size=9))).map(
        lambda all_of_them: V4 + b"".join(all_of_them)
    ),
)
second = st.builds(
    v2, st.integers(0, 255), st.integers(0, 255), bodies, st.sampled_from([-1, 0, 12, 36, 4096])
)
likely = st.builds(
    v2, st.sampled_from([0x20, 0x21]), st.sampled_from([0, 0x11, 0x12, 0x21, 0x31]), bodies
)
words = st.sampled_from(
    [b"PROXY", b"TCP4", b"TCP6", b"UNKNOWN", b"1.2.3.4", b"::1", b"80", b"65536", b"", b"\xff"]
)
lines = st.lists(words, max_size=8).map(lambda line: b" ".join([b"PROXY", *line]) + b"\r\n")


@given(st.one_of(second, likely, lines, st.binary(max_size=200), st.sampled_from(WRONG)))
@example(b"")
@example(V2)
def test_however_it_is_cut_the_outcome_is_the_same_and_never_late(data: bytes) -> None:
    whole = outcome(data)
    first = next((end for end in range(len(data) + 1) if outcome(data[:end]) is not None), None)
    if first is None:
        assert whole is None
        assert len(data) < MAX_HEADER
        return
    # Once it is found, or found wrong, nothing that follows changes that.
    for end in range(first, len(data) + 1):
        assert type(outcome(data[:end])) is type(outcome(data[:first]))
    if isinstance(whole, ProxyHeader):
        assert whole == outcome(data[:first])
        assert whole.size == first


@given(st.binary(max_size=300))
def test_no_more_than_its_bound_is_waited_for(filler: bytes) -> None:
    line = b"PROXY UNKNOWN " + filler.replace(b"\r\n", b"\r_")
    if outcome(line) is None:
        assert len(line) < MAX_LINE
    assert isinstance(outcome(line.ljust(MAX_LINE, b" ")), str)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_both_versions_tell_the_same_of_every_client(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    text = str(host)
    if "%" in text:
        return
    line = b"PROXY TCP%d %b %b %d 1\r\n" % (host.version, text.encode(), text.encode(), port)
    family = 0x11 if host.version == 4 else 0x21
    one, two = read(line), read(v2(family=family, body=inet(text, port)))
    assert one is not None
    assert two is not None
    assert one.address == two.address == (f"[{text}]:{port}" if ":" in text else f"{text}:{port}")
