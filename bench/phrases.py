"""The bytes of one request and of its right reply, whatever the protocol.

An item is its number, in `DIGITS` decimal digits, and a filler without line ends. So a request
is what stands before the number and after it, and the reply to a get is the same the other way.
A reply whose length is not known beforehand is one of a known number of lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGITS = 8  # an item opens with its number, in this many decimal digits


def labels(numbers: range) -> list[bytes]:
    """Return what the items with these numbers open with."""
    if numbers.stop > 10**DIGITS:
        raise LoadError(f"there are more than {10**DIGITS:,} items")
    return [b"%0*d" % (DIGITS, number) for number in numbers]


class Endless:
    """Labels from number 0 on until `stop`: of a round whose number of items is not known."""

    def __init__(self) -> None:
        self._is_stopped = False

    def __iter__(self) -> Iterator[bytes]:
        for number in range(10**DIGITS):
            if self._is_stopped:
                return
            yield b"%0*d" % (DIGITS, number)
        raise LoadError(f"there are more than {10**DIGITS:,} items")

    def stop(self) -> None:
        """Give no more labels."""
        self._is_stopped = True


def filler(size: int) -> bytes:
    """Return what follows the number in an item of `size` bytes."""
    return (b"abcdefghijklmnopqrstuvwxyz-" * (size // 27 + 1))[: size - DIGITS]


@dataclass(frozen=True, slots=True)
class Put:
    """How one item is put."""

    head: bytes
    """The request up to the item's number."""
    tail: bytes
    """The request after it."""
    right: bytes
    """The one right reply, or if there is a `shape` what each right reply opens with."""
    shape: re.Pattern[bytes] | None = None
    """What each right reply looks like, if it is not always the same."""
    lines: int = 1
    """Line ends in a reply."""


@dataclass(frozen=True, slots=True)
class Get:
    """How one item is taken."""

    request: bytes
    head: bytes
    """The reply up to the item's number, or if there is a `shape` what it opens with."""
    tail: bytes
    """The reply after it."""
    shape: re.Pattern[bytes] | None = None
    """What the reply looks like up to the item's number; group 1 is what `then` has to name."""
    lines: int = 2
    """Line ends in a reply."""
    then: bytes = b""
    """What is sent when the item is there, to be rid of it; `%b` in it is what it is named."""
    done: bytes = b""
    """The reply to that; if there is none, it goes along with the next request."""
    names: bool = False
    """Whether `then` names what it is about."""
    farewell: tuple[bytes, bytes] = (b"", b"")
    """Behind the last item, if it is not done with by then: a request, and its reply."""
