"""memcached's meta commands: which line is which command, and what its reply tells.

``mg`` is a get, ``ms`` a storage command, ``md`` a delete, ``ma`` an incr or a decr, ``me`` a
question about a queue, and ``mn`` does nothing. As in classic text, what is wrong becomes a
``Refusal``, and a storage line with a readable length always takes its body with it. Invariant: an
``mg`` that does not want the value takes nothing from a queue.
"""

from collections.abc import Callable, Mapping

from starling_py import keys
from starling_py.keys import Request, RequestError
from starling_py.protocol import commands
from starling_py.protocol.commands import Command, Phrased, PhrasedAnew, Refusal, Store, Verb
from starling_py.protocol.errors import MetaFlagError
from starling_py.protocol.lines import (
    BAD_EXPTIME,
    BAD_FORMAT,
    Parser,
    StoreLine,
    readable_length,
)
from starling_py.protocol.meta_flags import INVALID_FLAG, Asked, read
from starling_py.protocol.meta_replies import DETAILS, HIT, MISS, Detail, MetaForm
from starling_py.protocol.writer import Outcome

_GET_FLAGS = b"vqbkOfstchluTPLo"
_TOUCH_FLAGS = b"qbkOuTPL"
_STORE_FLAGS = b"qbkOcsFTMCNPL"
_DELETE_FLAGS = b"qbkOCPL"
_CHANGE_FLAGS = b"qbkOctvNJDTMCEPL"
_DEBUG_FLAGS = b"bPL"

_TOUCHED: Mapping[Outcome, bytes] = {Outcome.TOUCHED: HIT, Outcome.NOT_FOUND: MISS}
_STORED: Mapping[Outcome, bytes] = {
    Outcome.STORED: HIT,
    Outcome.NOT_STORED: b"NS",
    Outcome.EXISTS: b"EX",
    Outcome.NOT_FOUND: b"NF",
}
_DELETED: Mapping[Outcome, bytes] = {
    Outcome.DELETED: HIT,
    Outcome.EXISTS: b"EX",
    Outcome.NOT_FOUND: b"NF",
}
_CHANGED: Mapping[Outcome, bytes] = {Outcome.NOT_FOUND: b"NF"}
_DONE: Mapping[Outcome, bytes] = {Outcome.OK: b"MN"}

_MODES = {
    b"": Verb.SET,
    b"S": Verb.SET,
    b"E": Verb.ADD,
    b"A": Verb.APPEND,
    b"P": Verb.PREPEND,
    b"R": Verb.REPLACE,
}
_CHANGES = {b"": "incr", b"I": "incr", b"+": "incr", b"D": "decr", b"-": "decr"}

_NO_DETAILS: Mapping[int, bytes | Detail] = {}

_BAD_STORE_MODE = b"CLIENT_ERROR invalid mode for ms M token\r\n"
_BAD_CHANGE_MODE = b"CLIENT_ERROR invalid mode for ma M token\r\n"
_ONE_ITEM = b"CLIENT_ERROR mg gives one item; /n= asks for several\r\n"
_NO_VALUE = b"CLIENT_ERROR mg without v takes no item; this key asks for one\r\n"


def _answering(parse: Callable[[list[bytes]], Command]) -> Parser:
    """Return a parser that also refuses lines without a key, or with wrong flags."""

    def answer(words: list[bytes]) -> Command:
        if len(words) < 2:
            return Refusal(BAD_FORMAT)
        try:
            return parse(words)
        except MetaFlagError as wrong:
            return Refusal(wrong.reply)

    return answer


def _get(words: list[bytes]) -> Command:
    """Read ``mg KEY FLAG…``."""
    asked = read(words, 2, _GET_FLAGS)
    value, exptime = asked.has(b"v"), asked.number(b"T")
    if not value and exptime is not None:
        if any(flag not in _TOUCH_FLAGS for flag in asked.tokens):
            raise MetaFlagError(INVALID_FLAG)
        touch = commands.Touch(asked.key, exptime, quiet=False)
        return PhrasedAnew(touch, _form(asked, _TOUCHED, silent=MISS))
    if exptime is not None and exptime < 0:
        # A lease that is over already would give the item to somebody else at once.
        raise MetaFlagError(BAD_EXPTIME)
    nothing = MISS
    key = asked.key
    request = _request(key)
    if request is not None:
        if request.count > 1:
            raise MetaFlagError(_ONE_ITEM)
        if not value:
            key = _harmless(request)
            nothing = MISS if request.takes else HIT
    form = _form(asked, {}, value=value, nothing=nothing, silent=MISS, details=DETAILS)
    return PhrasedAnew(commands.Get([key], with_cas=True, touch_exptime=exptime), form)


def _request(key: bytes) -> Request | None:
    """Return what a key asks for; ``None`` if it is wrong: executing the command will tell so."""
    try:
        return keys.parse(key)
    except RequestError:
        return None


def _harmless(request: Request) -> bytes:
    """Return a key that asks for the same but only looks at the item.

    Raises ``MetaFlagError`` for a request that opens an item.
    """
    if not request.takes or request.peek:
        return request.key
    if request.open or request.close:
        raise MetaFlagError(_NO_VALUE)
    return request.key + b"/peek"


def _store(words: list[bytes]) -> Refusal | StoreLine:
    """Read ``ms KEY LENGTH FLAG…``."""
    length = readable_length(words[2]) if len(words) > 2 else None
    if length is None or any(word.isdigit() for word in words[3:]):
        # There may be a blank in the key: then a number behind the length is the true length.
        return Refusal(BAD_FORMAT, close=True)
    try:
        asked = read(words, 3, _STORE_FLAGS)
        verb = _MODES.get(asked.tokens.get(ord("M"), b"").upper())
        if verb is None:
            raise MetaFlagError(_BAD_STORE_MODE)
    except MetaFlagError as wrong:
        return StoreLine(Verb.SET, words[1], 0, 0, length, False, Refusal(wrong.reply))
    flags, exptime = asked.number(b"F") or 0, asked.number(b"T") or 0
    vivified = asked.number(b"N")
    if vivified is not None and verb in {Verb.APPEND, Verb.PREPEND}:
        # Then a queue that is not there is made; one that is there gets an item in any case.
        exptime = vivified
        verb = Verb.SET if verb is Verb.APPEND else verb
    if asked.has(b"C"):
        verb = Verb.CAS
    details = {ord("s"): b" s%d" % length, ord("c"): DETAILS[ord("c")]}
    form = _form(asked, _STORED, silent=HIT, details=details)

    def make(verb: Verb, key: bytes, flags: int, exptime: int, data: bytes, quiet: bool) -> Command:
        return Phrased(Store(verb, key, flags, exptime, data, quiet), form.writer())

    # A quiet request, too, is told what went wrong, so the command itself is never quiet.
    return StoreLine(verb, asked.key, flags, exptime, length, False, None, make)


def _delete(words: list[bytes]) -> Command:
    """Read ``md KEY FLAG…``."""
    asked = read(words, 2, _DELETE_FLAGS)
    delete = commands.Delete(asked.key, quiet=False, compares=asked.has(b"C"))
    return PhrasedAnew(delete, _form(asked, _DELETED, silent=HIT))


def _change(words: list[bytes]) -> Command:
    """Read ``ma KEY FLAG…``: a queue has no number to change."""
    asked = read(words, 2, _CHANGE_FLAGS)
    word = _CHANGES.get(asked.tokens.get(ord("M"), b"").upper())
    if word is None:
        raise MetaFlagError(_BAD_CHANGE_MODE)
    return PhrasedAnew(commands.Arithmetic(word, asked.key, quiet=False), _form(asked, _CHANGED))


def _debug(words: list[bytes]) -> Command:
    """Read ``me KEY``."""
    asked = read(words, 2, _DEBUG_FLAGS)
    return PhrasedAnew(commands.DumpStats([asked.key]), MetaForm(key=asked.sent))


def _nothing(_: list[bytes]) -> Command:
    """Read ``mn``, whose reply shows that all commands before it have been executed."""
    return PhrasedAnew(commands.Acknowledge(quiet=False), MetaForm(_DONE))


def _form(
    asked: Asked,
    outcomes: Mapping[Outcome, bytes],
    *,
    value: bool = False,
    nothing: bytes = MISS,
    silent: bytes = b"",
    details: Mapping[int, bytes | Detail] = _NO_DETAILS,
) -> MetaForm:
    """Return the form of a reply.

    ``outcomes`` has the word for each outcome, ``details`` what each flag tells of an item,
    ``silent`` the word that a quiet request is not told, ``nothing`` that of a get without an item.
    """
    known = [(flag, asked.known(flag)) for flag in asked.tokens]
    told = [details.get(flag) if each is None else each for flag, each in known]
    return MetaForm(
        outcomes,
        b"".join([each for _, each in known if each is not None]),
        tuple([each for each in told if each is not None]),
        value,
        nothing,
        silent if asked.has(b"q") else b"",
    )


PARSERS: dict[bytes, Parser] = {
    b"mg": _answering(_get),
    b"ms": _store,
    b"md": _answering(_delete),
    b"ma": _answering(_change),
    b"me": _answering(_debug),
    b"mn": _nothing,
}
