"""The server's own sessions, group commit and tick, as the simulation watches them."""

import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starling_py import keys
from starling_py.guard import Guard
from starling_py.journal.commit import Batch, GroupCommit
from starling_py.journal.errors import JournalError
from starling_py.journal.journal import Journal
from starling_py.keys import RequestError
from starling_py.protocol import commands, operations
from starling_py.queues.errors import NotLoaded
from starling_py.server.tick import Tick
from starling_py.session.client import Client
from starling_py.session.guarded import Account, GuardedSession
from starling_py.session.session import Session
from tests.simulation.clients import Entry, SimulatedClient
from tests.simulation.model import QueueModel, Reader, Violation
from tests.simulation.rights import USERS, OpenGate

if TYPE_CHECKING:
    from tests.simulation.world import Life


class WatchedGuard(Guard):
    """A guard that should have nothing to catch but what the disk has no memory for."""

    life: "Life"

    def caught(self, what: str) -> None:
        if not isinstance(sys.exception(), MemoryError):
            self.life.crash = self.life.crash or sys.exception()
        super().caught(what)


class WatchedCommits(GroupCommit):
    """The group commit, with notes for the model of what is synced."""

    life: "Life"
    finishing = False

    def _batch(self) -> Batch:
        batch = super()._batch()
        self.life.note_begun(batch)
        return batch

    def finish(self, batch: Batch) -> frozenset[Journal]:
        self.life.note_synced(batch)
        self.finishing = True
        try:
            return super().finish(batch)
        finally:
            self.finishing = False


class WatchedClient(Client):
    """A client that is known to whatever is done for it."""

    life: "Life"
    simulated: SimulatedClient

    def __init__(self, *args: Any) -> None:  # noqa: ANN401 - whatever a client takes
        super().__init__(*args)
        self.reader = Reader()
        self.entry = Entry()
        """What was done for the last command."""
        self.command: commands.Command | None = None
        self.resumes = False
        """Whether it goes on with a command, and begins none."""
        self.called = b"-"
        """What it has said that it is called."""
        self.taken: Counter[bytes] = Counter()
        """How many items it was given or has opened, by queue."""

    def go_on(self, proceed: Callable[[], None]) -> None:
        def resume() -> None:
            self.resumes = True
            try:
                proceed()
            finally:
                self.resumes = False

        super().go_on(resume)

    def wait_until_loaded(
        self,
        problem: NotLoaded,
        again: Callable[[], None],
        give_up: Callable[[JournalError], None] | None = None,
        *,
        quiet: bool = False,
        weight: int = 0,
    ) -> None:
        def make_do(failure: JournalError) -> None:
            assert give_up is not None
            self.entry.makes_do = True
            give_up(failure)

        gives_up = None if give_up is None else make_do
        super().wait_until_loaded(problem, again, gives_up, quiet=quiet, weight=weight)

    def names_id(self, item_id: int) -> bool:
        """Tell whether the command at hand names an item by its id."""
        asked = self.command.keys if isinstance(self.command, commands.Get) else ()
        return item_id in {keys.parse(key).item_id for key in asked}

    def fail(self, problem: Any, *, quiet: bool = False) -> None:  # noqa: ANN401 - as it is
        if isinstance(problem, RequestError):
            self._check_refusal(str(problem))
        super().fail(problem, quiet=quiet)

    def _check_refusal(self, reason: str) -> None:
        """Check that a command is refused because of what is open, or is not."""
        asked = self.command.keys if isinstance(self.command, commands.Get) else ()
        requests = [keys.parse(key) for key in asked]
        models = self.life.models
        if isinstance(self.command, operations.Move):
            right = "itself" in reason
        elif "dead_letter" in reason:
            right = any(models[each.name].settings.dead_letter is None for each in requests)
        elif "close or abort" in reason:
            right = any(models[each.name].count(self.reader) for each in requests)
        else:
            there = [models[each.name].open.get(each.item_id) for each in requests if each.item_id]
            right = any(
                each is None
                if "elsewhere" not in reason
                else each is not None and each.reader is not self.reader and each.lease_end is None
                for each in there
            )
        if not right:
            raise Violation(f"{self.peer}: {self.command} is refused: {reason}")


class WatchedSession(Session):
    """A session that says whose command is executed."""

    def __init__(self, client: WatchedClient) -> None:
        super().__init__(client)
        self.watched = client

    def run(self, data: bytes = b"") -> None:
        life = self.watched.life
        outer, life.current = life.current, self.watched
        try:
            super().run(data)
        finally:
            life.current = outer

    def execute(self, command: commands.Command) -> None:
        client = self.watched
        if not client.resumes:
            client.entry = Entry()
            client.command = command
            models = client.life.models
            client.entry.begun = {name: model.last for name, model in models.items()}
            if not getattr(command, "quiet", False):
                client.simulated.entries.append(client.entry)
        if isinstance(command, operations.Hello):
            client.called = command.name
        touched = self._touched(command) if isinstance(command, commands.Touch) else None
        super().execute(command)
        if touched is not None and isinstance(command, commands.Touch) and command.exptime >= 0:
            model, item_id = touched
            seconds = command.exptime or model.settings.open_timeout
            end = None if seconds is None else client.life.clock.monotonic + seconds
            model.open[item_id].lease_end = end

    def _touched(self, command: commands.Touch) -> tuple[QueueModel, int] | None:
        model = self.watched.life.models[command.key]
        item_id = model.oldest(self.watched.reader)
        return None if item_id is None else (model, item_id)

    def disconnected(self) -> None:
        life = self.watched.life
        before = {name: dict(model.open) for name, model in life.models.items()}
        for model in life.models.values():
            model.reader_gone(self.watched.reader)
        super().disconnected()
        life.queues.come_back(before)


class WatchedGuardedSession(WatchedSession, GuardedSession):
    """The same of a client that is a user from the beginning."""

    def __init__(self, client: WatchedClient) -> None:
        GuardedSession.__init__(self, client, OpenGate())
        self.watched = client
        user = client.simulated.user
        assert self.admit(Account(user, USERS[user])) is None


class WatchedTick(Tick):
    """A tick in which no session may run into a defect."""

    life: "Life"

    def _crashed(self, connection: Any) -> None:  # noqa: ANN401 - a connection
        self.life.crash = self.life.crash or sys.exception()  # what follows may follow from it
        super()._crashed(connection)
