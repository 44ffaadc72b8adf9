"""What the users of the simulation may do, and what that means, said by the plainest means."""

from collections.abc import Mapping

from starling_py.security.patterns import Names
from starling_py.session.guarded import Account
from starling_py.settings.users import User
from tests.simulation.clients import Asked, SimulatedClient
from tests.simulation.model import Violation

RIGHTS: Mapping[str, tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]] = {
    "producer": ((b"jobs", b"Other"), (), ()),
    "worker": ((b"dead",), (b"jobs", b"jobs+x", b"Other"), ()),
    "operator": ((b"jobs", b"a+b"), (b"jobs",), (b"jobs", b"dead", b"Other")),
    "nobody": ((), (), ()),
}
"""The queues that each user may put into, take from, and administer."""
USERS = {
    name: User(put=Names(put), get=Names(get), admin=Names(admin))
    for name, (put, get, admin) in RIGHTS.items()
}
_OF: Mapping[str, int] = {
    "set": 0, "get": 1, "look": 1, "touch": 1, "confirm": 1, "monitor": 1,
    "delete": 2, "flush": 2, "flush_expired": 2, "pause": 2, "resume": 2, "browse": 2, "drop": 2,
    "move": 2, "consumers": 2,
}  # fmt: skip
"""Which right each kind of command needs for the queues that it names."""
_REFUSED = b"CLIENT_ERROR not permitted: "


class OpenGate:
    """Lets everybody in whom the simulation brings."""

    def check(self, *_: object) -> None:
        """Nobody asks: who a client is, is said when it connects."""
        raise AssertionError

    def enter(self, _: Account) -> str | None:
        """Let it in."""
        return None

    def leave(self, _: Account) -> None:
        """Let it go."""


def may(user: str, asked: Asked) -> bool:
    """Tell whether a user may do what was asked."""
    if not user or asked.kind in ("stats", "hello"):
        return True
    if asked.kind == "flush_all":
        return False
    rights = RIGHTS[user]
    permitted = all(name in rights[_OF[asked.kind]] for name in asked.names)
    return permitted and (not asked.to or asked.to in rights[0])


def sees(user: str, name: bytes) -> bool:
    """Tell whether a user may know of a queue."""
    return not user or any(name in names for names in RIGHTS[user])


def check_permitted(client: SimulatedClient, asked: Asked, line: bytes) -> bool:
    """Check that what is not permitted is refused, and nothing else; return whether it was."""
    refused = line.startswith(_REFUSED)
    if refused is may(client.user, asked):
        raise Violation(f"{client.peer} ({client.user}): {asked} is answered {line!r}")
    return refused
