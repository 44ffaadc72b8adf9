"""Requests of HTTP clients, and the answers to them."""

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

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


def told(status: int, text: str, headers: Headers = ()) -> Answer:
    """Return an answer of one line."""
    return Answer(status, f"{text}\n".encode(), TEXT, headers)
