"""The key and the flags of a meta command, which are the same for all of them.

A flag is a letter, some with a token right behind it. ``P`` and ``L`` are for proxies, and ignored
with whatever token they have. Any other flag that is unknown, comes twice or has a token that it
does not take is always an error: one that is ignored may be the one that was to keep the item in
the queue.
"""

import base64
import binascii
from dataclasses import dataclass

from starling_py.keys import MAX_KEY
from starling_py.protocol.errors import MetaFlagError
from starling_py.protocol.lines import BAD_FORMAT, is_flags, is_number

MAX_OPAQUE = 32
"""Bytes of the longest opaque token."""
MAX_SENT_KEY = (MAX_KEY + 2) // 3 * 4
"""Bytes of the longest key in base64."""

INVALID_FLAG = b"CLIENT_ERROR invalid flag\r\n"
_DUPLICATE_FLAG = b"CLIENT_ERROR duplicate flag\r\n"
_BAD_TOKEN = b"CLIENT_ERROR bad token in command line format\r\n"
_LONG_OPAQUE = b"CLIENT_ERROR opaque token too long\r\n"
_BAD_KEY = b"CLIENT_ERROR error decoding key\r\n"

_WITH_TOKEN = frozenset(b"CDEFJLMNOPRT")
_NUMBERS = frozenset(b"DEJNRT")
"""The flags whose token is a number, perhaps a negative one."""


@dataclass(frozen=True)
class Asked:
    """What the words of a line ask for."""

    key: bytes
    sent: bytes
    """The key as it was sent, perhaps in base64."""
    tokens: dict[int, bytes]
    """The flags and their tokens, in the order of the line; empty for a flag without a token."""

    def has(self, flag: bytes) -> bool:
        """Tell whether there is a flag."""
        return flag[0] in self.tokens

    def number(self, flag: bytes) -> int | None:
        """Return a flag's token as a number; ``None`` when the flag is not there."""
        token = self.tokens.get(flag[0])
        return None if token is None else int(token)

    def known(self, flag: int) -> bytes | None:
        """Return what a reply tells for a flag, if that needs no item; otherwise ``None``."""
        if flag == ord("O"):
            return b" O" + self.tokens[flag]
        if flag == ord("k"):
            # As memcached does: the key as it was sent, and that it is in base64.
            return b" k" + self.sent + (b" b" if self.has(b"b") else b"")
        return None


def read(words: list[bytes], first: int, flags: bytes) -> Asked:
    """Read the key and the flags, which begin at the word ``first``.

    ``flags`` are the letters that the command knows. Raises ``MetaFlagError``.
    """
    tokens: dict[int, bytes] = {}
    for word in words[first:]:
        flag, token = word[0], word[1:]
        if flag not in flags or (token and flag not in _WITH_TOKEN):
            raise MetaFlagError(INVALID_FLAG)
        if flag in tokens:
            raise MetaFlagError(_DUPLICATE_FLAG)
        _check(flag, token)
        tokens[flag] = token
    sent = words[1]
    key = _decoded(sent) if ord("b") in tokens else sent
    if len(key) > MAX_KEY:
        raise MetaFlagError(BAD_FORMAT)
    return Asked(key, sent, tokens)


def _check(flag: int, token: bytes) -> None:
    """Raise ``MetaFlagError`` when a flag has a token that is not right."""
    if flag == ord("O"):
        if len(token) > MAX_OPAQUE:
            raise MetaFlagError(_LONG_OPAQUE)
    elif flag == ord("F"):
        if not is_flags(token):
            raise MetaFlagError(_BAD_TOKEN)
    elif flag == ord("C"):
        if not token.isdigit() or len(token) > 20:
            raise MetaFlagError(_BAD_TOKEN)
    elif flag in _NUMBERS and not is_number(token):
        raise MetaFlagError(_BAD_TOKEN)


def _decoded(sent: bytes) -> bytes:
    if len(sent) > MAX_SENT_KEY:
        raise MetaFlagError(BAD_FORMAT)
    try:
        key = base64.b64decode(sent, validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise MetaFlagError(_BAD_KEY)
    return key
