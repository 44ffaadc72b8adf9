"""A client of a server with users, on the synchronous core."""

from collections.abc import Callable, Mapping

from starling_py.session.guarded import Account, GuardedSession, Told
from starling_py.settings.users import User
from tests.core import Client, CoreHarness


class FakeGate:
    """Knows some users, whose passwords are their names backwards."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self.users = users
        self.waiting: list[Callable[[], None]] = []
        """What is answered when a test says so."""
        self.is_patient = False
        self.inside: list[str] = []
        self.refusal: str | None = None

    def check(
        self, peer: str, user: bytes, password: bytes, told: Told, is_wanted: Callable[[], bool]
    ) -> None:
        """Answer at once, or later."""
        assert peer
        name = user.decode("latin-1")
        right = name in self.users and password.decode("latin-1") == name[::-1]
        found: Account | str = Account(name, self.users[name]) if right else "wrong"
        self.waiting.append(lambda: told(found) if is_wanted() else None)
        if not self.is_patient:
            self.answer()

    def answer(self) -> None:
        """Answer whoever waits."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()

    def enter(self, account: Account) -> str | None:
        """Let it in, if a test does not say otherwise."""
        if self.refusal is None:
            self.inside.append(account.name)
        return self.refusal

    def leave(self, account: Account) -> None:
        """Let it go."""
        self.inside.remove(account.name)


class GuardedClient(Client):
    """A client that has to say who it is."""

    def __init__(self, core: CoreHarness, gate: FakeGate) -> None:
        super().__init__(core)
        self.session: GuardedSession = GuardedSession(self.state, gate)

    def log_in(self, name: str) -> "GuardedClient":
        """Say who it is, in text."""
        assert self.ask(token(name)) == b"STORED\r\n"
        return self

    @property
    def closing(self) -> bool:
        """Whether the server is about to close it."""
        return self.state.closing


def token(name: str, password: str | None = None) -> bytes:
    """Return the command with which a user says who it is."""
    data = f"{name} {name[::-1] if password is None else password}".encode()
    return b"set _ _ _ %d\r\n%b\r\n" % (len(data), data)
