"""Requests of HTTP clients, and the answers to them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from starling_py.http.talk import Reply

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"

Headers = tuple[tuple[str, str], ...]


@attrs.frozen
class Request:
    """One request, whole. Names of headers are in small letters."""

    method: str
    path: str
    query: Mapping[str, bytes] = attrs.field(factory=dict)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    peer: str = ""
    """The client's address, as it is printed."""


@attrs.frozen
class Answer:
    """A whole answer."""

    status: int
    body: bytes = b""
    kind: str = TEXT
    headers: Headers = ()


@attrs.frozen
class Parts:
    """An answer whose body is made in short steps, each of which yields a part, perhaps empty."""

    parts: Iterator[bytes]
    kind: str = TEXT
    headers: Headers = ()


@attrs.frozen
class Events:
    """An answer without an end: what ``made`` returns, once a second."""

    made: Callable[[], bytes]


@attrs.frozen
class Talk:
    """An answer that depends on what the server says to some commands of its protocol."""

    commands: Sequence[bytes]
    made: Callable[[list[Reply]], Answer]
    """Makes the answer of the replies."""
    who: str
    """Who says them: the name of a token."""


def told(status: int, text: str, headers: Headers = ()) -> Answer:
    """Return an answer of one line."""
    return Answer(status, f"{text}\n".encode(), TEXT, headers)
