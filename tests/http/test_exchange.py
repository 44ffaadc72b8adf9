"""HTTP/1.1 on one connection: requests however they are cut, and all that is no request."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.http.exchange import MOST_BODY, MOST_HEAD, Exchange, RequestRefused
from starling_py.http.messages import Request, told

GET = b"GET /metrics?a=b%20c&d HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /do HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd"


def answered(exchange: Exchange, data: bytes) -> list[Request]:
    """Feed bytes, answer each request, and return them."""
    found = []
    exchange.feed(data)
    while (request := exchange.next_request()) is not None:
        found.append(request)
        exchange.whole(told(200, "ok"))
        if exchange.ended:
            break
    return found


def keep_sending(exchange: Exchange, first: bytes, then: bytes) -> None:
    """Send something, and then more of it until that is a request, or plainly none."""
    exchange.feed(first)
    for _ in range(MOST_BODY):
        if exchange.next_request() is not None:
            return
        exchange.feed(then)


@given(st.lists(st.sampled_from([GET, POST]), max_size=4), st.data())
def test_requests_are_the_same_however_their_bytes_are_cut(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    exchange = Exchange("peer")
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if start < end:
            found += answered(exchange, stream[start:end])
    assert [request.method.encode() for request in found] == [each.split()[0] for each in sent]
    assert all(request.body == b"abcd" for request in found if request.method == "POST")
    assert not exchange.begun


def test_a_query_is_read_as_bytes() -> None:
    (request,) = answered(Exchange("peer"), GET)
    assert request.path == "/metrics"
    assert request.query == {"a": b"b c", "d": b""}
    assert request.peer == "peer"


@given(st.binary(min_size=1, max_size=300))
def test_garbage_is_refused_and_raises_nothing_else(garbage: bytes) -> None:
    exchange = Exchange("peer")
    with contextlib.suppress(RequestRefused):
        exchange.feed(garbage + b"\r\n\r\n")
        exchange.next_request()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET http://other/ HTTP/1.1\r\nHost: other\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * MOST_HEAD, 431),
        (b"G" * (MOST_HEAD + 1), 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + b"a" * 9000, 413),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_with_its_status(sent: bytes, status: int) -> None:
    exchange = Exchange("peer")
    with pytest.raises(RequestRefused) as caught:
        keep_sending(exchange, sent, b"a" * 1000)
    assert caught.value.answer.status == status
    assert exchange.whole(caught.value.answer, close=True).startswith(b"HTTP/1.1 %d " % status)


def test_a_body_in_chunks_is_bounded_too() -> None:
    exchange = Exchange("peer")
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(RequestRefused):
        keep_sending(exchange, head, b"2\r\naa\r\n")


def test_only_headers_are_told_where_only_they_are_asked_for() -> None:
    exchange = Exchange("peer")
    exchange.feed(GET.replace(b"GET", b"HEAD"))
    assert exchange.next_request() is not None
    sent = exchange.whole(told(200, "four"))
    assert b"content-length: 5\r\n" in sent
    assert sent.endswith(b"\r\n\r\n")


def test_a_client_of_http_1_0_has_one_answer_and_the_end() -> None:
    exchange = Exchange("peer")
    exchange.feed(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert exchange.next_request() is not None
    assert exchange.whole(told(200, "ok")).endswith(b"\r\n\r\nok\n")
    assert exchange.ended


def test_who_asks_first_is_told_to_send_the_body() -> None:
    exchange = Exchange("peer")
    head, _, body = POST.partition(b"\r\n\r\n")
    exchange.feed(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert exchange.next_request() is None
    assert exchange.awaits_leave
    assert exchange.leave().startswith(b"HTTP/1.1 100 ")
    exchange.feed(body)
    request = exchange.next_request()
    assert request is not None
    assert request.body == body


def test_nothing_is_kept_by_whoever_is_in_between() -> None:
    exchange = Exchange("peer")
    exchange.feed(GET)
    exchange.next_request()
    assert b"cache-control: no-store\r\n" in exchange.whole(told(200, "ok"))
