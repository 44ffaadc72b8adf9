"""What the page can do to queues: commands of the protocol, and a line in the audit log for each.

What destroys something must be confirmed with the name of the queue, so that no stray request does
it. Whether a client may use a command, the server says as it says to any other.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import attrs

from starling_py.http.messages import JSON, Answer, Request
from starling_py.http.source import text_of
from starling_py.http.talk import NameRefused, Reply, line, named

audit = logging.getLogger("starling_py.audit")

_DONE: Final = ("OK", "END", "DELETED", "MOVED")
_MOST_ID: Final = (1 << 63) - 1


class ActionRefused(Exception):
    """What is asked for is no action; the text says why."""


@attrs.frozen
class Action:
    """One action, ready to be said."""

    command: bytes
    words: str
    """The command in words, for the log."""


def read(body: bytes) -> Action:
    """Read what the page asks for. Raises ``ActionRefused``."""
    try:
        asked = json.loads(body)
    except ValueError:
        raise ActionRefused("the request is no JSON") from None
    if not isinstance(asked, dict) or not all(
        isinstance(value, str | int) and not isinstance(value, bool) for value in asked.values()
    ):
        raise ActionRefused("the request is no action")
    make = _ACTIONS.get(str(asked.get("verb")))
    if make is None:
        raise ActionRefused("there is no such action")
    try:
        name = _name(asked, "queue")
        if make in _DESTROYING and asked.get("confirm") != text_of(name):
            raise ActionRefused("it is not confirmed: the name of the queue is another")
        command = make(name, asked)
    except NameRefused as problem:
        raise ActionRefused(str(problem)) from problem
    return Action(command, text_of(command.strip()))


def told(request: Request, who: str, action: Action, replies: Sequence[Reply]) -> Answer:
    """Return what became of an action, and log that."""
    (reply,) = replies
    audit.info("%s (page:%s): asked: %s: %s", request.peer, who, action.words, reply.end)
    done = reply.end.split(" ")[0] in _DONE
    return _answer(200 if done else 409, "told" if done else "error", reply.end)


def refused(request: Request, who: str, reason: str) -> Answer:
    """Return why there is no action, and log that."""
    audit.warning("%s (page:%s): refused: %s", request.peer, who, reason)
    return _answer(400, "error", reason)


def _answer(status: int, name: str, text: str) -> Answer:
    return Answer(status, json.dumps({name: text}).encode(), JSON)


_Asked = Mapping[str, Any]
_Make = Callable[[bytes, _Asked], bytes]


def _name(asked: _Asked, field: str) -> bytes:
    """Return a name, whose bytes are written as in an address."""
    return named(unquote_to_bytes(str(asked.get(field, ""))))


def _number(asked: _Asked, field: str) -> bytes:
    value = asked.get(field)
    if not isinstance(value, int) or not 0 < value <= _MOST_ID:
        raise ActionRefused(f"{field} is no number")
    return b"%d" % value


def _pause(name: bytes, asked: _Asked) -> bytes:
    return line(b"pause", name, *([_number(asked, "seconds")] if "seconds" in asked else []))


def _move(name: bytes, asked: _Asked) -> bytes:
    to = b"origin" if "to" not in asked else _name(asked, "to")
    if "to" in asked and to == b"origin":
        raise ActionRefused("a queue called origin cannot be moved to from here")
    return line(b"move", name, to, *([_number(asked, "count")] if "count" in asked else []))


def _drop(name: bytes, asked: _Asked) -> bytes:
    return line(b"drop", name, _number(asked, "id"))


def _bury(name: bytes, asked: _Asked) -> bytes:
    return line(b"get", b"%b/bury=%b" % (name, _number(asked, "id")))


_ACTIONS: Final[dict[str, _Make]] = {
    "pause": _pause,
    "resume": lambda name, _: line(b"resume", name),
    "move": _move,
    "drop": _drop,
    "bury": _bury,
    "flush": lambda name, _: line(b"flush", name),
    "delete": lambda name, _: line(b"delete", name),
}
_DESTROYING: Final = frozenset({_drop, _move, _ACTIONS["flush"], _ACTIONS["delete"]})
