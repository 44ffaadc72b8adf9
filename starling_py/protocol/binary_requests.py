"""The requests of memcached's binary protocol: which opcode is which command.

A key means the same as in text, options included; it may also have blanks and line ends in it,
which text could not name. Every reply is written by its request's own ``BinaryReplies``, which also
keep a quiet request quiet: no command here is quiet itself, so that it is told what went wrong.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from starling_py import keys
from starling_py.keys import MAX_KEY, RequestError
from starling_py.protocol import commands
from starling_py.protocol.binary_replies import BinaryReplies, Opcode
from starling_py.protocol.commands import Command, Phrased, Refusal, Verb

_FLAGS_AND_EXPTIME: Final = struct.Struct(">II")
_EXPTIME: Final = struct.Struct(">I")
PLAIN: Final = b"PLAIN"
"""The mechanism of SASL that is understood."""
_MINUS_ONE: Final = 2**32 - 1


@dataclass(init=False)
class Request:
    """A request whose parts have the right lengths."""

    form: "Form"
    cas: int
    """The id of the item that the client wants to change; 0 for any."""
    extras: bytes
    key: bytes
    writer: BinaryReplies
    value: bytes

    def __init__(
        self, form: "Form", cas: int, extras: bytes, key: bytes, writer: BinaryReplies
    ) -> None:
        self.form = form
        self.cas = cas
        self.extras = extras
        self.key = key
        self.writer = writer
        self.value = b""

    def command(self) -> Command:
        """Return what the request asks for."""
        command = self.form.make(self)
        return command if type(command) is Refusal else Phrased(command, self.writer)


Maker = Callable[[Request], Command]


@dataclass(frozen=True)
class Form:
    """What the requests of an opcode look like, and what they mean."""

    make: Maker
    extras: tuple[int, ...] = (0,)
    """The lengths that the extras may have."""
    keyed: bool | None = True
    """Whether there is a key; ``None`` when there may be one, of several words."""
    valued: bool = False
    """Whether there is a value, which may be empty."""
    quiet: bool = False
    names_key: bool = False
    """Whether the replies repeat the key."""

    def fits(self, extras: int, key: int, value: int) -> bool:
        """Tell whether a request may have parts of these lengths."""
        if extras not in self.extras or key > MAX_KEY or value < 0 or (value and not self.valued):
            return False
        return self.keyed is None or self.keyed == (key > 0)


def _get(request: Request) -> Command:
    return _get_of(request, None)


def _get_and_touch(request: Request) -> Command:
    (exptime,) = _EXPTIME.unpack(request.extras)
    if exptime == _MINUS_ONE:
        # A lease that is over already would give the item to somebody else at once.
        return Refusal(request.writer.client_error("the lease would be over already"))
    return _get_of(request, exptime)


def _get_of(request: Request, touch_exptime: int | None) -> Command:
    if b"/n=" in request.key and _asks_for_several(request.key):
        return Refusal(request.writer.client_error("a reply has one item; /n= asks for more"))
    return commands.Get((request.key,), with_cas=True, touch_exptime=touch_exptime)


def _asks_for_several(key: bytes) -> bool:
    try:
        return keys.parse(key).count > 1
    except RequestError:
        return False


def _store(verb: Verb) -> Maker:
    """Return what makes the command for a verb; with a cas number, that is memcached's cas."""

    def make(request: Request) -> Command:
        flags, exptime = _FLAGS_AND_EXPTIME.unpack(request.extras) if request.extras else (0, 0)
        wanted = Verb.CAS if request.cas else verb
        return commands.Store(wanted, request.key, flags, exptime, request.value, quiet=False)

    return make


def _delete(request: Request) -> Command:
    return commands.Delete(request.key, quiet=False, compares=request.cas != 0)


def _touch(request: Request) -> Command:
    (exptime,) = _EXPTIME.unpack(request.extras)
    return commands.Touch(request.key, -1 if exptime == _MINUS_ONE else exptime, quiet=False)


def _arithmetic(word: str) -> Maker:
    return lambda request: commands.Arithmetic(word, request.key, quiet=False)


def _flush_all(request: Request) -> Command:
    (delay,) = _EXPTIME.unpack(request.extras) if request.extras else (0,)
    return commands.FlushAll(quiet=False, delay=delay)


def _acknowledge(_: Request) -> Command:
    return commands.Acknowledge(quiet=False)


def _authenticate(request: Request) -> Command:
    """Read SASL's PLAIN: the user to act for, the user and the password, with zeros between."""
    parts = request.value.split(b"\0")
    if request.key != PLAIN or len(parts) != 3 or parts[0] not in (b"", parts[1]):
        return commands.Authenticate(b"", b"")
    return commands.Authenticate(parts[1], parts[2])


def _both(loud: Opcode, quiet: Opcode, form: Form) -> dict[int, Form]:
    """Return an opcode and its quiet form."""
    return {loud: form, quiet: replace(form, quiet=True)}


_GET = Form(_get)
_GAT = Form(_get_and_touch, extras=(4,))
_BARE = Form(_acknowledge, keyed=False)


def _storage(verb: Verb, extras: int) -> Form:
    return Form(_store(verb), extras=(extras,), valued=True)


FORMS: dict[int, Form] = {
    **_both(Opcode.GET, Opcode.GETQ, _GET),
    **_both(Opcode.GETK, Opcode.GETKQ, replace(_GET, names_key=True)),
    **_both(Opcode.GAT, Opcode.GATQ, _GAT),
    **_both(Opcode.GATK, Opcode.GATKQ, replace(_GAT, names_key=True)),
    **_both(Opcode.SET, Opcode.SETQ, _storage(Verb.SET, 8)),
    **_both(Opcode.ADD, Opcode.ADDQ, _storage(Verb.ADD, 8)),
    **_both(Opcode.REPLACE, Opcode.REPLACEQ, _storage(Verb.REPLACE, 8)),
    **_both(Opcode.APPEND, Opcode.APPENDQ, _storage(Verb.APPEND, 0)),
    **_both(Opcode.PREPEND, Opcode.PREPENDQ, _storage(Verb.PREPEND, 0)),
    **_both(Opcode.DELETE, Opcode.DELETEQ, Form(_delete)),
    **_both(Opcode.INCREMENT, Opcode.INCREMENTQ, Form(_arithmetic("incr"), extras=(20,))),
    **_both(Opcode.DECREMENT, Opcode.DECREMENTQ, Form(_arithmetic("decr"), extras=(20,))),
    **_both(
        Opcode.FLUSH,
        Opcode.FLUSHQ,
        Form(_flush_all, extras=(0, 4), keyed=False),
    ),
    **_both(Opcode.QUIT, Opcode.QUITQ, _BARE),
    Opcode.NOOP: _BARE,
    Opcode.VERSION: Form(lambda _: commands.Version(), keyed=False),
    Opcode.VERBOSITY: Form(_acknowledge, extras=(4,), keyed=False),
    Opcode.TOUCH: Form(_touch, extras=(4,)),
    Opcode.SASL_LIST_MECHS: Form(lambda _: commands.ListMechanisms(), keyed=False),
    Opcode.SASL_AUTH: Form(_authenticate, valued=True),
    # PLAIN has one step, so there is nothing to go on with.
    Opcode.SASL_STEP: Form(lambda _: commands.Authenticate(b"", b""), keyed=None, valued=True),
    Opcode.STAT: Form(lambda request: commands.Stats(request.key.split()), keyed=None),
}
"""The form of each opcode. A quit is answered like everything else; then the dialect ends the
connection. What is missing is an unknown command, and so is SASL where there are no users: a client
that has a password goes on without it."""
