"""memcached's classic text protocol: the framing, and which line is which command.

Framing, so that a body never runs as a command: a storage line with a readable length always
takes its body with it, whatever else is wrong with the line, and gets one reply; a storage line
without one, a body that does not end where it should, and a line that is too long make the rest
of the stream meaningless, so the connection is closed. How the bytes are cut into pieces on
their way never changes the commands. No input raises anything: what is wrong becomes a
``Refusal``.
"""

from collections.abc import Callable

import attrs

from starling_py.names import MAX_KEY
from starling_py.protocol import commands, text_replies
from starling_py.protocol.commands import Command, Refusal, Store, Verb
from starling_py.protocol.text_replies import TextReplies

MAX_LINE = 2048
"""Bytes of a command line (memcached's limit)."""
MAX_GET_LINE = 65536
"""Bytes of the line of a get, which may name many keys."""
MAX_LENGTH = 2**31 - 3
"""The largest length of a body that is understood; a body above the item limit is swallowed."""
MAX_FLAGS = 2**32 - 1

_BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"
_BAD_CHUNK = b"CLIENT_ERROR bad data chunk\r\n"
_TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"
_LONG_LINE = b"CLIENT_ERROR line too long\r\n"
_ERROR = b"ERROR\r\n"
_CR = 0x0D


@attrs.define
class _Body:
    """A body of which not all has come yet."""

    length: int
    """Bytes of the data, without the CRLF behind it."""
    store: Store | None
    """The command that waits for its data; ``None`` when the body is only swallowed."""
    refusal: Refusal | None
    """What to answer when the body is only swallowed."""
    kept: bytearray
    """What has come; of a body that is swallowed, only its terminator."""
    came: int = 0
    """Bytes that have come, of the length and two."""

    def take(self, data: bytes) -> int:
        """Take as much of ``data`` as belongs to the body; return how much that was."""
        taken = min(len(data), self.length + 2 - self.came)
        if self.store is not None:
            self.kept += data[:taken]
        else:
            self.kept += data[max(0, self.length - self.came) : taken]
        self.came += taken
        return taken

    def result(self) -> Command | None:
        """Return the command once it is whole, or sooner if it can no longer be right."""
        if self.came <= self.length:
            return None
        terminator = self.kept[self.length :] if self.store is not None else self.kept
        if not b"\r\n".startswith(terminator):
            return Refusal(_BAD_CHUNK, close=True)
        if len(terminator) < 2:
            return None
        if self.store is None:
            return self.refusal
        self.store.data = bytes(self.kept[: self.length])
        return self.store


class TextDialect(TextReplies):
    """One connection's classic text, both ways."""

    def __init__(self, item_size_max: int) -> None:
        """``item_size_max`` is the largest length of an item's data, in bytes."""
        self._item_size_max = item_size_max
        self._buffer = b""
        self._position = 0
        self._searched = 0
        self._body: _Body | None = None

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._body is not None and self._position == len(self._buffer):
            taken = self._body.take(data)
            data = data[taken:]
        if self._position == len(self._buffer):
            self._buffer = data
            self._searched = 0
        else:
            self._buffer = self._buffer[self._position :] + data
            self._searched -= self._position
        self._position = 0

    @property
    def buffered(self) -> int:
        """Bytes taken and not yet used for a command."""
        return len(self._buffer) - self._position

    @property
    def midway(self) -> bool:
        """Whether part of a command has been taken, and its rest is missing."""
        return self._body is not None or self._position < len(self._buffer)

    def next_command(self) -> Command | None:
        """Return the next whole command; ``None`` when more bytes are needed."""
        if self._body is not None:
            return self._finish_body()
        start = self._position
        end = self._buffer.find(b"\n", max(start, self._searched))
        if end < 0:
            return self._unfinished_line(start)
        line = self._buffer[start:end]
        self._position = end + 1
        words = line.split()
        if end - start > MAX_LINE and not _may_be_long(words, end - start):
            return Refusal(_LONG_LINE, close=True)
        if not words:
            return Refusal(_ERROR)
        parse = _PARSERS.get(words[0])
        if parse is None:
            if words[-1].startswith(b"HTTP/"):
                # A browser, or somebody who abuses one: not even an answer.
                return Refusal(b"", close=True)
            parse = _PARSERS.get(words[0].lower(), _unknown)
        return parse(self, words)

    def _unfinished_line(self, start: int) -> Refusal | None:
        self._searched = len(self._buffer)
        length = self._searched - start
        if length <= MAX_LINE:
            return None
        if _may_be_long(self._buffer[start : start + MAX_LINE].split(None, 1), length):
            return None
        return Refusal(_LONG_LINE, close=True)

    def _finish_body(self) -> Command | None:
        body = self._body
        assert body is not None
        if self._position < len(self._buffer):
            self._position += body.take(self._buffer[self._position :])
        command = body.result()
        if command is not None:
            self._body = None
        return command

    def store(self, verb: Verb, words: list[bytes]) -> Command | None:
        """Read a storage line and what has come of its body."""
        count = 6 if verb is Verb.CAS else 5
        size = words[4] if len(words) > 4 else b""
        if not size.isdigit() or len(size) > 10 or (length := int(size)) > MAX_LENGTH:
            return Refusal(_BAD_FORMAT, close=True)
        quiet = len(words) > count and words[count] == b"noreply"
        problem = self._store_problem(words, length, verb)
        if problem is not None:
            reply = b"" if quiet else problem
            refusal = Refusal(reply, too_large=problem is _TOO_LARGE)
            self._body = _Body(length, None, refusal, bytearray())
            return self._finish_body()
        exptime = 0 if words[3] == b"0" else int(words[3])
        flags = 0 if words[2] == b"0" else int(words[2])
        start = self._position
        end = start + length
        buffer = self._buffer
        if len(buffer) < end + 2:
            store = Store(verb, words[1], flags, exptime, b"", quiet)
            self._body = _Body(length, store, None, bytearray())
            return self._finish_body()
        if not buffer.startswith(b"\r\n", end):
            return Refusal(_BAD_CHUNK, close=True)
        self._position = end + 2
        return Store(verb, words[1], flags, exptime, buffer[start:end], quiet)

    def _store_problem(self, words: list[bytes], length: int, verb: Verb) -> bytes | None:
        """Return the reply to a storage line that is wrong but has a readable length."""
        flags, exptime = words[2], words[3]
        if len(words[1]) > MAX_KEY:
            return _BAD_FORMAT
        if not flags.isdigit() or len(flags) > 10 or int(flags) > MAX_FLAGS:
            return _BAD_FORMAT
        if not _is_number(exptime) or (verb is Verb.CAS and not b"".join(words[5:6]).isdigit()):
            return _BAD_FORMAT
        return _TOO_LARGE if length > self._item_size_max else None


def _may_be_long(words: list[bytes], length: int) -> bool:
    return bool(words) and length <= MAX_GET_LINE and words[0].lower() in _KEY_LISTS


def _is_number(word: bytes) -> bool:
    """Tell whether a word is a whole number that fits 64 bits, perhaps negative."""
    return len(word) <= 20 and (word.isdigit() or (word[:1] == b"-" and word[1:].isdigit()))


def _storage(verb: Verb) -> "Parser":
    return lambda dialect, words: dialect.store(verb, words)


def _get(words: list[bytes], *, with_cas: bool) -> Command:
    if len(words) < 2:
        return Refusal(_ERROR)
    keys = words[1:]
    if any(len(key) > MAX_KEY for key in keys):
        return Refusal(_BAD_FORMAT)
    return commands.Get(keys, with_cas)


def _get_and_touch(words: list[bytes], *, with_cas: bool) -> Command:
    if len(words) < 3:
        return Refusal(_ERROR)
    if not _is_number(words[1]):
        return Refusal(b"CLIENT_ERROR invalid exptime argument\r\n")
    return _get(words[1:], with_cas=with_cas)


def _quietly(words: list[bytes], count: int) -> bool:
    return len(words) > count and words[count] == b"noreply"


def _delete(_: TextDialect, words: list[bytes]) -> Command:
    extra = [word for word in words[2:] if word not in (b"0", b"noreply")]
    if len(words) < 2:
        return Refusal(_ERROR)
    if extra or len(words) > 4 or len(words[1]) > MAX_KEY:
        usage = b".  Usage: delete <key> [noreply]\r\n"
        return Refusal(_BAD_FORMAT[:-2] + usage if extra or len(words) > 4 else _BAD_FORMAT)
    return commands.Delete(words[1], quiet=b"noreply" in words[2:])


def _change_in_place(_: TextDialect, words: list[bytes]) -> Command:
    if len(words) < 3:
        return Refusal(_ERROR)
    quiet = _quietly(words, 3)
    if len(words[1]) > MAX_KEY or not _is_number(words[2]):
        return Refusal(b"" if quiet else _BAD_FORMAT)
    return commands.Absent(words[0].lower().decode(), words[1], quiet)


def _flush_all(_: TextDialect, words: list[bytes]) -> Command:
    quiet = words[-1] == b"noreply"
    arguments = words[1:-1] if quiet else words[1:]
    if len(arguments) > 1 or not all(_is_number(word) for word in arguments):
        return Refusal(b"" if quiet else b"CLIENT_ERROR invalid exptime argument\r\n")
    return commands.FlushAll(quiet)


def _verbosity(_: TextDialect, words: list[bytes]) -> Command:
    quiet = words[-1] == b"noreply"
    if len(words) < 2:
        return Refusal(_ERROR)
    if not quiet and not words[1].isdigit():
        return Refusal(_BAD_FORMAT)
    return commands.Acknowledge(quiet)


def _memory_limit(_: TextDialect, words: list[bytes]) -> Command:
    if len(words) < 2:
        return Refusal(_ERROR)
    if not words[1].isdigit():
        return Refusal(_BAD_FORMAT)
    return commands.Acknowledge(_quietly(words, 2))


def _one_key(make: Callable[[bytes], Command]) -> "Parser":
    def parse(_: TextDialect, words: list[bytes]) -> Command:
        if len(words) != 2:
            return Refusal(_ERROR)
        return make(words[1]) if len(words[1]) <= MAX_KEY else Refusal(_BAD_FORMAT)

    return parse


def _bare(make: Callable[[], Command]) -> "Parser":
    return lambda _, words: make() if len(words) == 1 else Refusal(_ERROR)


def _unknown(_: TextDialect, __: list[bytes]) -> Command:
    return Refusal(_ERROR)


def _fixed(reply: bytes) -> "Parser":
    return lambda _, __: Refusal(reply)


Parser = Callable[[TextDialect, list[bytes]], Command | None]

_KEY_LISTS = frozenset({b"get", b"gets", b"gat", b"gats"})

_PARSERS: dict[bytes, Parser] = {
    **{verb.value.encode(): _storage(verb) for verb in Verb},
    b"get": lambda _, words: _get(words, with_cas=False),
    b"gets": lambda _, words: _get(words, with_cas=True),
    b"gat": lambda _, words: _get_and_touch(words, with_cas=False),
    b"gats": lambda _, words: _get_and_touch(words, with_cas=True),
    b"delete": _delete,
    b"touch": _change_in_place,
    b"incr": _change_in_place,
    b"decr": _change_in_place,
    b"flush": _one_key(commands.Flush),
    b"flush_all": _flush_all,
    b"flush_expired": _one_key(commands.FlushExpired),
    b"flush_all_expired": _bare(lambda: commands.FlushExpired(None)),
    b"stats": lambda _, words: commands.Stats(words[1:]),
    b"dump_stats": lambda _, words: commands.DumpStats(words[1:]),
    b"dump_config": _bare(commands.DumpConfig),
    b"status": _bare(commands.Status),
    b"version": _bare(commands.Version),
    b"verbosity": _verbosity,
    b"cache_memlimit": _memory_limit,
    b"shutdown": lambda _, __: commands.Shutdown(),
    b"quit": _bare(commands.Quit),
    b"watch": _fixed(b"CLIENT_ERROR watch commands not allowed\r\n"),
    b"lru_crawler": _fixed(b"CLIENT_ERROR lru crawler disabled\r\n"),
    b"slabs": _fixed(b"CLIENT_ERROR slab reassignment disabled\r\n"),
    b"reload": _fixed(b"CLIENT_ERROR reload not enabled\r\n"),
    b"refresh_certs": _fixed(text_replies.OK),
}
