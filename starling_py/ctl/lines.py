"""Items as lines of JSON, as ``export`` writes them and ``import`` reads them.

A line of ``starling-journal dump --live --json`` is read, too. Times are in milliseconds since the
Unix epoch. Nothing here asks a server.
"""

import base64
import binascii
import json
import math
from typing import Any

import attrs

from starling_py.ctl import names
from starling_py.ctl.errors import UsageError
from starling_py.ctl.output import data_fields
from starling_py.ctl.remote import Item
from starling_py.ctl.reports import Listed
from starling_py.keys import MAX_SECONDS

_MOST_FLAGS = 2**32 - 1


class WrongLineError(UsageError):
    """A line that is no item."""


@attrs.frozen
class Carried:
    """An item on its way from one server to another."""

    queue: bytes | None
    """``None`` where the line does not say."""
    data: bytes
    flags: int
    expiry_ms: int
    due_ms: int

    def is_dead(self, now_ms: int) -> bool:
        """Tell whether it has expired."""
        return 0 < self.expiry_ms <= now_ms

    @property
    def expiry(self) -> int:
        """When it dies, as memcached's Unix time; 0 for never."""
        return math.ceil(self.expiry_ms / 1000)

    def delay(self, now_ms: int) -> float:
        """Return for how many seconds nobody may get it, up to 30 days."""
        return min(max(0, self.due_ms - now_ms) / 1000, MAX_SECONDS)


def encode(name: bytes, item: Item, told: Listed, now_ms: int) -> str:
    """Return an item as a line."""
    values: dict[str, Any] = {
        "queue": names.shown(name),
        "id": item.id,
        "size": len(item.data),
        "flags": item.flags,
        "added_ms": now_ms - told.age_ms,
        "expiry_ms": told.expiry_ms,
    }
    if told.due_ms:
        values["due_ms"] = told.due_ms
    if told.state != "waiting":
        values["state"] = told.state
    if told.deliveries:
        values["deliveries"] = told.deliveries
    if told.origin:
        values |= {"origin": told.origin, "reason": told.reason}
    return json.dumps(values | data_fields(item.data), ensure_ascii=False)


def decode(line: bytes) -> Carried | None:
    """Read a line; ``None`` if it tells of no item, as an empty one. Raises ``WrongLineError``."""
    if not line.strip():
        return None
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WrongLineError("it is no JSON") from error
    if not isinstance(values, dict):
        raise WrongLineError("it is no JSON object")
    kind = values.get("type", "put")
    if kind in ("damage", "torn"):
        return None
    if kind != "put":
        raise WrongLineError(
            f"it is a record of the type {kind!r}: let starling-journal dump --live --json write it"
        )
    queue = values.get("queue")
    if queue is not None and not isinstance(queue, str):
        raise WrongLineError("its queue is no text")
    return Carried(
        None if queue is None else names.typed(queue),
        _data(values),
        _number(values, "flags", _MOST_FLAGS),
        _number(values, "expiry_ms", 2**53),
        _number(values, "due_ms", 2**53),
    )


def _data(values: dict[str, Any]) -> bytes:
    text, data = values.get("text"), values.get("data")
    if isinstance(text, str) and data is None:
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            raise WrongLineError("its text is no text") from error
    if not isinstance(data, str) or text is not None:
        raise WrongLineError("it has neither text nor data in base64, or both")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WrongLineError("its data is not in base64") from error


def _number(values: dict[str, Any], key: str, most: int) -> int:
    value = values.get(key, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise WrongLineError(f"its {key} is no number from 0 to {most}")
    return value
