"""One connection's HTTP/1.1, by h11: bytes to requests, answers to bytes.

Requests that were sent ahead wait: the next one is read when the answer to the last was made. What
a client may send is bounded: ``MOST_HEAD`` bytes until its headers are whole, and ``MOST_BODY``
of body. Whoever breaks the rules is told why, once, and the connection ends.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

import h11

from starling_py.http.messages import Answer, Headers, Request, told

MOST_HEAD: Final = 8192
"""Bytes of a request's line and headers."""
MOST_BODY: Final = 8192
_MOST_FIELDS: Final = 16
"""Fields of a query that are looked at."""

_ALWAYS: Final[Headers] = (
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
)


class RequestRefused(Exception):
    """What a client sent is no request that is answered; ``answer`` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Exchange:
    """The requests and answers of one connection, in turns."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        self._head: h11.Request | None = None
        self._body = b""
        self._is_bare = False
        """Whether the answer must have no body: only its headers are asked for."""
        self.ended = False
        """Whether no request comes any more."""

    @property
    def begun(self) -> bool:
        """Whether a request has begun and is not whole."""
        return self._head is not None or bool(self._connection.trailing_data[0])

    @property
    def awaits_leave(self) -> bool:
        """Whether the client waits to be told that it may send the body."""
        return self._connection.they_are_waiting_for_100_continue

    def feed(self, data: bytes) -> None:
        """Take what the client sent; nothing for the end of it.

        Raises ``RequestRefused`` when it sends on after its end.
        """
        try:
            self._connection.receive_data(data)
        except h11.RemoteProtocolError as problem:
            raise _refused(problem) from _bare(problem)

    def next_request(self) -> Request | None:
        """Return the next request, or ``None`` until more has come. Raises ``RequestRefused``."""
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as problem:
                raise _refused(problem) from _bare(problem)
            if isinstance(event, h11.Request):
                self._head, self._body = event, b""
                self._is_bare = event.method == b"HEAD"
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
                if len(self._body) > MOST_BODY:
                    raise RequestRefused(told(413, f"a body has at most {MOST_BODY} bytes"))
            elif isinstance(event, h11.EndOfMessage) and self._head is not None:
                head, self._head = self._head, None
                return _request(head, self._body, self._peer)
            elif isinstance(event, h11.ConnectionClosed):
                self.ended = True
                return None
            else:
                return None

    def leave(self) -> bytes:
        """Return what tells the client that it may send the body."""
        return self._sent(h11.InformationalResponse(status_code=100, headers=[]))

    def whole(self, answer: Answer, *, close: bool = False) -> bytes:
        """Return the bytes of a whole answer; with ``close``, the last one."""
        length = ("content-length", str(len(answer.body)))
        begun = self.begin(answer.status, answer.kind, (*answer.headers, length), close=close)
        return begun + self.part(answer.body) + self.end()

    def begin(self, status: int, kind: str, headers: Headers, *, close: bool = False) -> bytes:
        """Return the bytes that an answer begins with."""
        lines = [*_ALWAYS, ("content-type", kind), *headers]
        if close:
            lines.append(("connection", "close"))
        by_name = dict(lines)  # what is given for one answer counts
        reason = HTTPStatus(status).phrase.encode()
        return self._sent(
            h11.Response(status_code=status, headers=list(by_name.items()), reason=reason)
        )

    def part(self, data: bytes) -> bytes:
        """Return the bytes of a part of the answer's body: none if the client wants no body."""
        if not data or self._is_bare:
            return b""
        return self._sent(h11.Data(data=data))

    def end(self) -> bytes:
        """Return the bytes that an answer ends with, and be ready for the next request."""
        sent = self._sent(h11.EndOfMessage())
        states = self._connection.our_state, self._connection.their_state
        if states == (h11.DONE, h11.DONE):
            self._connection.start_next_cycle()
        else:
            self.ended = True
        return sent

    def _sent(self, event: "h11.Event") -> bytes:
        return self._connection.send(event) or b""


def _request(head: h11.Request, body: bytes, peer: str) -> Request:
    target = head.target.decode("ascii")
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise RequestRefused(told(400, "no proxy is here"))
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    return Request(head.method.decode("ascii"), path, _fields(query), headers, body, peer)


def _fields(query: str) -> dict[str, bytes]:
    fields = {}
    for each in query.split("&", _MOST_FIELDS)[:_MOST_FIELDS]:
        name, _, value = each.partition("=")
        fields[name] = unquote_to_bytes(value.replace("+", " "))
    return fields


def _refused(problem: h11.RemoteProtocolError) -> RequestRefused:
    return RequestRefused(told(problem.error_status_hint, "no request that is understood"))


def _bare(problem: h11.RemoteProtocolError) -> h11.RemoteProtocolError:
    """Return a problem without its traceback, in which h11 holds the problem itself.

    That cycle would keep all that the client had, and its socket.
    """
    return problem.with_traceback(None)
