"""One queue in depth: its numbers, who takes from it, what is open, its first items."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from starling_py.http.messages import JSON, Answer
from starling_py.http.source import text_of
from starling_py.http.talk import Reply, line, named, numbers
from starling_py.stats import one_token

ITEMS: Final = 20
"""Items that are listed."""
SHOWN: Final = 4096
"""Bytes of an item that are shown."""
_MOST: Final = 200
"""Consumers and open items that are told."""
_COLUMNS: Final = (
    "id", "size", "flags", "age", "state", "due", "expires", "deliveries", "origin", "reason",
)  # fmt: skip
"""What ``browse`` tells of an item, after the word ITEM."""


def commands(name: bytes, first_id: int) -> list[bytes]:
    """Return what to ask of a queue; items are listed from an id on. Raises ``NameRefused``."""
    queue = named(name)
    return [
        line(b"stats", b"queue", queue),
        line(b"stats", b"consumers", queue),
        line(b"browse", queue, b"%d" % first_id, b"%d" % ITEMS),
    ]


def told(name: bytes, replies: Sequence[Reply]) -> Answer:
    """Return what the replies tell, for the page."""
    about, consumers, items = replies
    if about.end != "END":
        return Answer(403, json.dumps({"error": about.end}).encode(), JSON)
    found = numbers(about.lines, b"queue_%b_" % one_token(name))
    if found.get("exists", "1") == "0":
        return Answer(404, json.dumps({"error": "there is no such queue"}).encode(), JSON)
    listed = [each.decode("utf-8", "backslashreplace").split(" ")[1:] for each in items.lines]
    content = {
        "name": text_of(name),
        "numbers": found,
        "open": _grouped(numbers(about.lines, b"open_"), "_"),
        "consumers": _grouped(numbers(consumers.lines), ":"),
        "items": [dict(zip(_COLUMNS, words, strict=False)) for words in listed],
        "refused": "" if items.end == "END" else items.end,
    }
    return Answer(200, json.dumps(content).encode(), JSON)


def _grouped(found: Mapping[str, str], mark: str) -> list[dict[str, str]]:
    """Put together what belongs to one thing, whose number stands before a mark in the names."""
    groups: dict[str, dict[str, str]] = {}
    for name, value in found.items():
        number, _, what = name.partition(mark)
        if number in groups or len(groups) < _MOST:
            groups.setdefault(number, {"id": number})[what] = value
    return list(groups.values())


def item_commands(name: bytes, item_id: int) -> list[bytes]:
    """Return what to ask for one item. Raises ``NameRefused``."""
    return [line(b"get", b"%b/peek/id=%d" % (named(name), item_id))]


def item_told(replies: Sequence[Reply]) -> Answer:
    """Return an item's data, as text where it is text, else in hexadecimal digits."""
    (reply,) = replies
    if reply.end != "END":
        return Answer(403, json.dumps({"error": reply.end}).encode(), JSON)
    if not reply.data:
        return Answer(404, json.dumps({"error": "it is not there"}).encode(), JSON)
    data = reply.data[0]
    shown, is_text = data[:SHOWN], True
    try:
        # A letter that is cut in two at the end is no reason to take it for something else.
        text = shown.decode("utf-8", "strict" if len(data) <= SHOWN else "ignore")
        is_text = all(each.isprintable() or each in "\t\r\n" for each in text)
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        text = shown.hex(" ")
    content = {"size": len(data), "shown": len(shown), "text": text, "is_text": is_text}
    return Answer(200, json.dumps(content).encode(), JSON)
