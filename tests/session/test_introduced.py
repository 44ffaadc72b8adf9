"""A client behind a proxy: the header comes first, and tells the client's address."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.session.client import Policy
from tests.core import Client, CoreHarness
from tests.protocol.packets import ask, hit, put, unpack
from tests.protocol.test_proxy_header import RIGHT, WRONG

HEADERS = [header for header, _ in RIGHT]
PUT = b"set q 0 0 1\r\nx\r\n"


@pytest.fixture
def core(tmp_path: Path) -> CoreHarness:
    return CoreHarness(
        tmp_path / "spool", policy=Policy(1 << 20, False, False, proxy_protocol=True)
    )


@pytest.fixture
def client(core: CoreHarness) -> Client:
    return core.client()


@pytest.mark.parametrize(("header", "address"), RIGHT, ids=[repr(each[0][:40]) for each in RIGHT])
def test_the_client_is_known_by_what_the_header_tells(
    client: Client, header: bytes, address: str
) -> None:
    assert client.ask(header + b"version\r\n") == b"VERSION 1.0.0\r\n"
    assert client.state.peer == client.state.replies.who == (address or "127.0.0.1:1")
    assert client.state.who == client.state.peer
    assert client.session.introduced


@given(st.sampled_from(HEADERS), st.lists(st.integers(0, 200), max_size=6))
@settings(max_examples=60)
def test_the_header_may_come_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, header: bytes, places: list[int]
) -> None:
    policy = Policy(1 << 20, False, False, proxy_protocol=True)
    client = CoreHarness(tmp_path_factory.mktemp("spool"), policy=policy).client()
    stream = header + PUT + b"get q\r\n"
    ends = sorted({*(place % len(stream) for place in places), len(stream)} - {0})
    told = b"".join(
        client.ask(stream[start:end]) for start, end in zip([0, *ends], ends, strict=False)
    )
    assert told == b"STORED\r\nVALUE q 0 1\r\nx\r\nEND\r\n"
    client.core.close()


def test_behind_the_header_each_dialect_is_known_by_its_first_byte(client: Client) -> None:
    told = client.ask(HEADERS[0] + put(b"q", b"x") + ask(0x00, b"q"))
    assert unpack(told)[1:] == [hit(b"x", cas=1)]


@pytest.mark.parametrize("data", WRONG, ids=[repr(each[:40]) for each in WRONG])
def test_without_a_right_header_nothing_is_done_and_the_connection_closed(
    core: CoreHarness, client: Client, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.ask(data) == b""
    assert client.state.closing
    assert client.ask(PUT) == b""
    (line,) = caplog.messages
    assert line.startswith("127.0.0.1:1: closed, as it began without a right PROXY header: ")
    assert core.counters.protocol_errors == 1
    assert core.queues.names() == []


def test_a_header_that_is_cut_off_is_told_and_a_mere_connection_is_not(
    core: CoreHarness, caplog: pytest.LogCaptureFixture
) -> None:
    for part, told in (b"", 0), (b"PROX", 1), (HEADERS[-1][:-1], 1):
        caplog.clear()
        client = core.client()
        client.ask(part)
        client.session.end_of_input()
        client.session.end_of_input()
        assert client.state.closing
        assert len(caplog.messages) == told


def test_a_second_header_is_no_command(client: Client) -> None:
    told = client.ask(HEADERS[0] + HEADERS[0])
    assert told.startswith(b"CLIENT_ERROR ")
    assert client.state.closing
    assert client.state.peer == RIGHT[0][1]


def test_a_header_may_be_put_off_with_what_follows_it(client: Client) -> None:
    client.session.put_off(HEADERS[0][:9])
    client.session.put_off(HEADERS[0][9:] + b"version\r\n")
    assert client.state.peer == RIGHT[0][1]
    assert client.ask(b"") == b"VERSION 1.0.0\r\n"


@pytest.mark.parametrize("header", HEADERS, ids=[repr(each[:40]) for each in HEADERS])
@pytest.mark.parametrize("split", [False, True])
def test_without_the_setting_a_header_closes_and_nothing_behind_it_is_done(
    tmp_path: Path, header: bytes, split: bool
) -> None:
    core = CoreHarness(tmp_path / "other")
    client = core.client()
    sent = header + PUT
    pieces = [sent[place : place + 1] for place in range(len(sent))] if split else [sent]
    told = b"".join(client.ask(piece) for piece in pieces if not client.state.closing)
    errors, _, last = told.rpartition(b"CLIENT_ERROR ")
    assert last == b"a PROXY header is not understood without proxy_protocol\r\n"
    assert errors in {b"", b"ERROR\r\n" * 2}
    assert client.state.closing
    assert core.queues.names() == []
