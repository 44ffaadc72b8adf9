"""What a server with users wants to be told first: who the client is, and its password.

The user stands in the address (``anna@HOST``) or in ``STARLING_USER``. The password is in the file
that ``STARLING_PASSWORD_FILE`` names, as its first line, or in ``STARLING_PASSWORD``, or behind the
user in the address; else the terminal is asked for it. A command line can be read by every process
of a machine, so the address is the last place for it. Invariant: no message has a password, and
``repr()`` has none.
"""

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from starling_py.connecting.address import Address
from starling_py.connecting.errors import LoginError

USER: Final = "STARLING_USER"
PASSWORD: Final = "STARLING_PASSWORD"
PASSWORD_FILE: Final = "STARLING_PASSWORD_FILE"

Ask = Callable[[str], str]
"""Asks for a password with a prompt, and returns it; raises ``LoginError`` if nobody answers."""


@attrs.frozen
class Login:
    """A user and its password."""

    user: bytes
    password: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, address: Address, ask: Ask | None = None) -> "Login | None":
        """Return who is to be at a server; ``None`` if neither it nor the environment says so.

        Without a password anywhere, ``ask`` is called, the terminal by default. Raises
        ``LoginError``.
        """
        user = os.fsencode(address.user) or os.environb.get(USER.encode(), b"")
        if not user:
            return None
        if address.password is not None:
            return cls(user, os.fsencode(address.password))
        password = _from_environment()
        if password is None:
            name = ascii(user.decode(errors="backslashreplace"))[1:-1]
            where = attrs.evolve(address, user="")
            password = os.fsencode((ask or ask_terminal)(f"Password of {name} at {where}: "))
        return cls(user, password)

    @property
    def command(self) -> bytes:
        """The command that says it.

        With these words in place of numbers, a server without users takes it for no item.
        """
        token = self.user + b" " + self.password
        return b"set _ _ _ %d\r\n%b\r\n" % (len(token), token)


def is_done(reply: bytes) -> bool:
    """Tell whether a server's answer to that means that the client may go on.

    One without users says that it is no command.
    """
    return reply == b"STORED" or reply.endswith(b" bad command line format")


def advice(told: str) -> str:
    """Return what a server said, and what to do where it wants to know who asks."""
    if not told.endswith("unauthenticated"):
        return told
    return f"{told}; write USER@ in front of the host, or set {USER}"


def ask_terminal(prompt: str) -> str:
    """Ask the person at the terminal, who sees nothing of what is typed; raise ``LoginError``."""
    try:
        # Python would read from standard input in its place, and show what is typed.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return getpass.getpass(prompt)
    except (OSError, EOFError) as error:
        what = f"set {PASSWORD_FILE} or {PASSWORD}"
        raise LoginError(f"there is no password, and no terminal to ask for it; {what}") from error


def nobody(_: str) -> str:
    """Ask nobody; raise ``LoginError``."""
    raise LoginError(f"there is no password; set {PASSWORD_FILE} or {PASSWORD}")


def _from_environment() -> bytes | None:
    file = os.environ.get(PASSWORD_FILE)
    if not file:
        return os.environb.get(PASSWORD.encode())
    try:
        return Path(file).read_bytes().partition(b"\n")[0].removesuffix(b"\r")
    except OSError as error:
        raise LoginError(f"{PASSWORD_FILE}: {file}: {error.strerror}") from error
