"""The lines of memcached's classic text protocol: which line is which command.

Blanks alone part the words, as in memcached: a tab belongs to a key like any other byte. Words
behind those of commands that change something are ignored, as there, but for ``noreply`` as the
last one. A line's meaning depends on nothing but its bytes, so short lines are remembered: most
come again and again. Every function here returns a command for what is right and a ``Refusal`` for
what is wrong; none raises anything.
"""

from collections.abc import Callable
from typing import Final

from starling_py.keys import MAX_KEY
from starling_py.memo import Memo
from starling_py.protocol import commands, meta_lines, operator_lines, proxy_header
from starling_py.protocol.commands import Command, Refusal, Verb
from starling_py.protocol.lines import (
    BAD_EXPTIME,
    BAD_FORMAT,
    ERROR,
    Parser,
    StoreLine,
    is_flags,
    is_number,
    out_of_range,
    readable_length,
    whole_number,
)

MAX_MONITOR_SECONDS: Final = 2_147_483
"""The longest monitor: its milliseconds are below 2**31."""
MAX_MONITORED: Final = 100_000
"""The most items that one monitor can ask for."""
MAX_CONFIRMED: Final = 2**31 - 1

_PROXY_HEADERS: Final = frozenset({proxy_header.V1, proxy_header.V2.split(b"\r\n")[2]})
"""First words of a line that a proxy sends for itself: the third one of a binary header."""
_NO_PROXY: Final = b"CLIENT_ERROR a PROXY header is not understood without proxy_protocol\r\n"
_DETAILS: Final = frozenset({b"on", b"off", b"dump"})
_STATS_DETAIL: Final = b"CLIENT_ERROR usage: stats detail on|off|dump\r\n"
_STATS_CACHEDUMP: Final = b"CLIENT_ERROR bad command line\r\n"
BAD_DELTA: Final = b"CLIENT_ERROR invalid numeric delta argument\r\n"


def read_line(line: bytes) -> Command | StoreLine:
    """Read a line, without its LF and perhaps with the CR before that."""
    words = [word for word in line.removesuffix(b"\r").split(b" ") if word]
    if not words:
        return Refusal(ERROR)
    parse = _ALL_PARSERS.get(words[0])
    if parse is None:
        if words[0] in _PROXY_HEADERS:
            return Refusal(_NO_PROXY, close=True)
        if words[-1].startswith(b"HTTP/"):
            # A browser, or somebody who abuses one: not even an answer.
            return Refusal(b"", close=True)
        parse = _ALL_PARSERS.get(words[0].lower(), _unknown)
    return parse(words)


MAX_KNOWN_LINE: Final = 256
"""Bytes of the longest line that is worth remembering."""
KNOWN_LINES: Final = Memo(read_line, 4096)
"""The commands of the latest lines up to that length; none of them may be changed."""


def read_long(line: bytes) -> Command | StoreLine:
    """Read a line of which ``may_be_long`` is true: its keys are left for later."""
    line = line.removesuffix(b"\r").strip(b" ")
    verb, _, words = line.partition(b" ")
    words = words.lstrip(b" ")
    verb = verb.lower()
    if not words:
        return Refusal(ERROR)
    with_cas = verb in {b"gets", b"gats"}
    if verb in {b"get", b"gets"}:
        return commands.LongGet(words, with_cas)
    exptime, _, words = words.partition(b" ")
    if not words:
        return Refusal(ERROR)
    if not is_number(exptime) or int(exptime) < 0:
        return Refusal(BAD_EXPTIME)
    return commands.LongGet(words, with_cas, int(exptime))


def may_be_long(start: bytes) -> bool:
    """Tell whether a line that begins with these bytes may name many keys."""
    return start.lstrip(b" ").partition(b" ")[0].lower() in _KEY_LISTS


def _store(verb: Verb, words: list[bytes]) -> Refusal | StoreLine:
    count = 6 if verb is Verb.CAS else 5
    length = readable_length(words[4]) if len(words) > 4 else None
    if length is None:
        return Refusal(BAD_FORMAT, close=True)
    quiet = _quietly(words, count)
    others = words[count : -1 if quiet else None]
    if others and others[-1].isdigit() and not length:
        # A blank in the key: an exptime, mostly 0, stands where the length should.
        return Refusal(BAD_FORMAT, close=True)
    key, flags, exptime = words[1:4]
    right = (
        len(key) <= MAX_KEY
        and is_number(exptime)
        and is_flags(flags)
        and (verb is not Verb.CAS or b"".join(words[5:6]).isdigit())
    )
    if not right:
        if others:
            # Perhaps a blank in the key, too.
            return Refusal(BAD_FORMAT, close=True)
        return StoreLine(verb, key, 0, 0, length, quiet, Refusal(b"" if quiet else BAD_FORMAT))
    return StoreLine(verb, key, int(flags), int(exptime), length, quiet, None)


def _storage(verb: Verb) -> Parser:
    return lambda words: _store(verb, words)


def _get(words: list[bytes], *, with_cas: bool, touch_exptime: int | None = None) -> Command:
    if len(words) < 2:
        return Refusal(ERROR)
    keys = words[1:]
    if any(len(key) > MAX_KEY for key in keys):
        return Refusal(BAD_FORMAT)
    return commands.Get(keys, with_cas, touch_exptime)


def _get_and_touch(words: list[bytes], *, with_cas: bool) -> Command:
    if len(words) < 3:
        return Refusal(ERROR)
    if not is_number(words[1]) or int(words[1]) < 0:
        # A lease that is over already would give the item to somebody else at once.
        return Refusal(BAD_EXPTIME)
    return _get(words[1:], with_cas=with_cas, touch_exptime=int(words[1]))


def _quietly(words: list[bytes], count: int) -> bool:
    """Tell whether no reply is wanted; ``count`` is how many words the command needs.

    ``noreply`` must be the last word and spelt like this: memcached's own proxy sends ``noreplY``
    for it, and waits for the answer.
    """
    return len(words) > count and words[-1] == b"noreply"


def _delete(words: list[bytes]) -> Command:
    if len(words) < 2:
        return Refusal(ERROR)
    quiet = _quietly(words, 2)
    if len(words[1]) > MAX_KEY:
        return Refusal(b"" if quiet else BAD_FORMAT)
    return commands.Delete(words[1], quiet)


def _touch(words: list[bytes]) -> Command:
    if len(words) < 3:
        return Refusal(ERROR)
    quiet = _quietly(words, 3)
    if len(words[1]) > MAX_KEY:
        return Refusal(b"" if quiet else BAD_FORMAT)
    if not is_number(words[2]):
        return Refusal(b"" if quiet else BAD_EXPTIME)
    return commands.Touch(words[1], int(words[2]), quiet)


def _change_in_place(words: list[bytes]) -> Command:
    if len(words) < 3:
        return Refusal(ERROR)
    quiet = _quietly(words, 3)
    if len(words[1]) > MAX_KEY:
        return Refusal(b"" if quiet else BAD_FORMAT)
    if not words[2].isdigit() or len(words[2]) > 20 or int(words[2]) >= 1 << 64:
        return Refusal(b"" if quiet else BAD_DELTA)
    return commands.Arithmetic(words[0].lower().decode(), words[1], quiet)


def _monitor(words: list[bytes]) -> Command:
    """Read ``monitor QUEUE SECONDS [MAX]`` (Kestrel)."""
    if not 3 <= len(words) <= 4:
        return Refusal(ERROR)
    if len(words[1]) > MAX_KEY:
        return Refusal(BAD_FORMAT)
    seconds = whole_number(words[2], 0, MAX_MONITOR_SECONDS)
    if seconds is None:
        return out_of_range(b"monitor takes seconds", 0, MAX_MONITOR_SECONDS)
    most = whole_number(words[3], 1, MAX_MONITORED) if len(words) == 4 else None
    if most is None and len(words) == 4:
        return out_of_range(b"monitor takes a number of items", 1, MAX_MONITORED)
    return commands.Monitor(words[1], seconds, most)


def _confirm(words: list[bytes]) -> Command:
    """Read ``confirm QUEUE COUNT`` (Kestrel)."""
    if len(words) != 3:
        return Refusal(ERROR)
    if len(words[1]) > MAX_KEY:
        return Refusal(BAD_FORMAT)
    count = whole_number(words[2], 0, MAX_CONFIRMED)
    if count is None:
        return out_of_range(b"confirm takes a number of items", 0, MAX_CONFIRMED)
    return commands.Confirm(words[1], count)


def _stats(words: list[bytes]) -> Command:
    """Read ``stats [REPORT]``; two of memcached's reports need more words."""
    report = words[1].lower() if len(words) > 1 else b""
    if report == b"detail" and (len(words) < 3 or words[2].lower() not in _DETAILS):
        return Refusal(_STATS_DETAIL)
    if report == b"cachedump" and len(words) < 4:
        return Refusal(_STATS_CACHEDUMP)
    return commands.Stats(words[1:])


def _status(words: list[bytes]) -> Command:
    """Read ``status [NAME]`` (Kestrel)."""
    return commands.Status(*words[1:]) if len(words) <= 2 else Refusal(ERROR)


def _flush_all(words: list[bytes]) -> Command:
    quiet = _quietly(words, 1)
    delay = b"0" if len(words) == 1 + quiet else words[1]
    if not is_number(delay):
        return Refusal(b"" if quiet else BAD_EXPTIME)
    return commands.FlushAll(quiet, int(delay))


def _take_number(words: list[bytes], wrong: bytes) -> Command:
    """Read ``verbosity`` and ``cache_memlimit``, which have no effect on a queue.

    ``wrong`` is the answer to what is no number.
    """
    quiet = words[-1] == b"noreply"
    if len(words) < 2:
        return Refusal(ERROR)
    if not words[1].isdigit():
        return Refusal(b"" if quiet else wrong)
    return commands.Acknowledge(quiet)


def _one_key(make: Callable[[bytes, bool], Command]) -> Parser:
    """Return a parser of a command that is not memcached's, which has a key and no more words.

    One word more is an error: a blank in a name must not flush another queue.
    """

    def parse(words: list[bytes]) -> Command:
        quiet = _quietly(words, 2)
        if len(words) != (3 if quiet else 2):
            return Refusal(ERROR)
        if len(words[1]) > MAX_KEY:
            return Refusal(b"" if quiet else BAD_FORMAT)
        return make(words[1], quiet)

    return parse


def _bare(make: Callable[[], Command]) -> Parser:
    return lambda words: make() if len(words) == 1 else Refusal(ERROR)


def _unknown(words: list[bytes]) -> Command:
    # A tab parts no words here; where a client means it to, there may be a body behind the line.
    meant = words[0].split(None, 1)[:1]
    return Refusal(ERROR, close=bool(meant) and meant[0].lower() in _STORAGE)


def _fixed(reply: bytes, least: int = 1) -> Parser:
    """Return a parser that refuses a command; as an unknown one if it has fewer words."""
    return lambda words: Refusal(reply if len(words) >= least else ERROR)


_HELP: Final = b"\r\n".join(
    (
        b"set Q 0 0 N, then N bytes and a line's end: put an item into the queue Q",
        b"get Q: take the oldest; get Q/t=MS waits; get Q/peek takes nothing",
        b"get Q/open, then get Q/close or get Q/abort: a read that is confirmed, or given back",
        b"delete Q, flush Q: remove a queue, or its items",
        b"browse Q, move FROM TO, drop Q ID, pause Q, resume Q: for operators",
        b"stats, stats queue Q, stats queues, stats settings, stats conns: what there is",
        b"version, status, quit",
        b"END\r\n",
    )
)
_STORAGE: Final = frozenset(verb.value.encode() for verb in Verb)
_KEY_LISTS: Final = frozenset({b"get", b"gets", b"gat", b"gats"})

_PARSERS: dict[bytes, Parser] = {
    **{verb.value.encode(): _storage(verb) for verb in Verb},
    b"get": lambda words: _get(words, with_cas=False),
    b"gets": lambda words: _get(words, with_cas=True),
    b"gat": lambda words: _get_and_touch(words, with_cas=False),
    b"gats": lambda words: _get_and_touch(words, with_cas=True),
    b"delete": _delete,
    b"touch": _touch,
    b"incr": _change_in_place,
    b"decr": _change_in_place,
    b"monitor": _monitor,
    b"confirm": _confirm,
    b"flush": _one_key(commands.Flush),
    b"flush_all": _flush_all,
    b"flush_expired": _one_key(commands.FlushExpired),
    b"flush_all_expired": _bare(lambda: commands.FlushExpired(None, quiet=False)),
    b"stats": _stats,
    b"dump_stats": lambda words: commands.DumpStats(words[1:]),
    b"dump_config": lambda words: commands.DumpConfig(words[1:]),
    b"status": _status,
    b"reload": _bare(commands.Reload),
    b"version": _bare(commands.Version),
    b"help": lambda _: commands.Help(_HELP),
    b"verbosity": lambda words: _take_number(words, BAD_FORMAT),
    b"cache_memlimit": lambda words: _take_number(words, ERROR),
    b"refresh_certs": lambda words: commands.RefreshCerts(words[-1] == b"noreply"),
    b"shutdown": lambda _: commands.Shutdown(),
    b"quit": _bare(commands.Quit),
    b"watch": _fixed(b"CLIENT_ERROR watch commands not allowed\r\n"),
    b"lru_crawler": _fixed(b"CLIENT_ERROR lru crawler disabled\r\n", least=2),
    b"slabs": _fixed(b"CLIENT_ERROR slab reassignment disabled\r\n", least=2),
    **operator_lines.PARSERS,
}

_ALL_PARSERS: Final = {**_PARSERS, **meta_lines.PARSERS}
