"""Text of a client that may begin by saying who it is, to a server that has no users.

Some clients that have a password put it, unasked, with their first ``set``, in a form that anybody
would take for an item: ``USER PASSWORD`` under the key ``auth``. Kept as one, it would be given to
whoever takes from that queue next. So a first command of just that form is refused, in memcached's
words; anything else is what it was.
"""

import re
from typing import Final

from starling_py.protocol.commands import Command, Refusal, Store, Verb
from starling_py.protocol.text import TextDialect

_BEGINNING: Final = b"set auth "
_TOKEN: Final = re.compile(rb"[^\x00-\x20]{1,256} [^\x00-\x20]{1,1024}")
REFUSAL: Final = b"CLIENT_ERROR authentication failure\r\n"


def may_authenticate(data: bytes) -> bool:
    """Tell whether a connection that begins with these bytes may begin by authenticating."""
    return data.startswith(_BEGINNING) or _BEGINNING.startswith(data)


class WaryTextDialect(TextDialect):
    """Refuses a first command that is an authentication."""

    def __init__(self, item_size_max: int) -> None:
        super().__init__(item_size_max)
        self._is_first = True

    def next_command(self) -> Command | None:
        """Return the next whole command; ``None`` when more bytes are needed."""
        command = super().next_command()
        if command is not None and self._is_first:
            self._is_first = False
            if isinstance(command, Store) and _is_authentication(command):
                return Refusal(b"" if command.quiet else REFUSAL)
        return command


def _is_authentication(command: Store) -> bool:
    is_plain = command.verb is Verb.SET and not (command.flags or command.exptime)
    return is_plain and command.key == b"auth" and _TOKEN.fullmatch(command.data) is not None
