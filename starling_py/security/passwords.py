"""Passwords: how they are kept, and how one is checked.

Kept is a scrypt hash in the form ``$scrypt$ln=14,r=8,p=1$SALT$HASH``, both in base64 without its
end. To check one takes some 60 ms and 16 MB on purpose, so it is nothing for the loop that serves
clients. Invariant: a password is compared in a time that does not depend on where it is wrong, and
none is ever part of an error.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

LOG_N: Final = 14
"""What a new hash costs: 2 to this power. More would let few new clients in a second."""
BLOCK: Final = 8
PARALLEL: Final = 1
MAX_PASSWORD: Final = 1024
"""Bytes of the longest password."""
_SALT: Final = 16
_HASH: Final = 32
_FORM: Final = re.compile(
    r"\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]?),p=([1-9][0-9]?)"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)
_MOST_MEMORY: Final = 1 << 28
_MOST_COST: Final = 20


@dataclass(frozen=True)
class Hash:
    """A password's hash."""

    log_n: int
    block: int
    parallel: int
    salt: bytes = field(repr=False)
    value: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Hash":
        """Read the form in which a hash is kept; raise ``ValueError`` with the reason."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("is no hash of a password")
        log_n, block, parallel = (int(each) for each in found.groups()[:3])
        memory = 128 * block << log_n
        if log_n > _MOST_COST or memory * parallel > _MOST_MEMORY:
            raise ValueError("asks for too much memory or time")
        try:
            salt, value = (_decoded(each) for each in found.groups()[3:])
        except binascii.Error:
            raise ValueError("is no hash of a password") from None
        return cls(log_n, block, parallel, salt, value)

    @classmethod
    def of(cls, password: bytes) -> "Hash":
        """Return a new hash of a password."""
        salt = secrets.token_bytes(_SALT)
        made = cls(LOG_N, BLOCK, PARALLEL, salt, bytes(_HASH))
        return cls(LOG_N, BLOCK, PARALLEL, salt, made.derive(password))

    def __str__(self) -> str:
        cost = f"ln={self.log_n},r={self.block},p={self.parallel}"
        return f"$scrypt${cost}${_encoded(self.salt)}${_encoded(self.value)}"

    def derive(self, password: bytes) -> bytes:
        """Return what a password's value would be under this salt and cost."""
        return hashlib.scrypt(
            password,
            salt=self.salt,
            n=1 << self.log_n,
            r=self.block,
            p=self.parallel,
            maxmem=_MOST_MEMORY + (1 << 20),
            dklen=len(self.value),
        )

    def fits(self, password: bytes) -> bool:
        """Tell whether it is the hash of a password. Takes long."""
        return hmac.compare_digest(self.derive(password), self.value)


NOBODY: Final = Hash(LOG_N, BLOCK, PARALLEL, bytes(_SALT), bytes(_HASH))
"""No password has this hash: it is checked against where there is no such user, as that must take
as long."""


class Remembered:
    """Which passwords were right, so that those who come again need not be hashed again.

    Kept of each is a digest under a key of this process, which costs a microsecond and tells nobody
    anything. A user whose hash has changed is not remembered.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: dict[str, tuple[Hash, bytes]] = {}

    def knows(self, user: str, password: bytes, kept: Hash) -> bool:
        """Tell whether this password was right for this user and this hash before."""
        known = self._known.get(user)
        digest = self._digest(user, password)
        return known is not None and known[0] == kept and hmac.compare_digest(known[1], digest)

    def note(self, user: str, password: bytes, kept: Hash) -> None:
        """Remember that a password is right."""
        self._known[user] = kept, self._digest(user, password)

    def _digest(self, user: str, password: bytes) -> bytes:
        data = user.encode("utf-8", "surrogateescape") + b"\0" + password
        return hmac.digest(self._key, data, "sha256")


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
