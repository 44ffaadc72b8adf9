"""The server as one user may see it.

A report about many queues passes over those that the user may not know of, and a queue's numbers do
not name others. What concerns the server as a whole is for those who administer it; the rules of
``permission`` have refused it to others before, and here nothing is there to be told.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from starling_py import stats
from starling_py.queues.changes import Changes
from starling_py.queues.errors import NotLoaded
from starling_py.session.reports import ServerHost
from starling_py.settings.users import User
from starling_py.stats import Pairs


class View:
    """What ``ServerHost`` tells, as far as a user may know it."""

    def __init__(self, host: ServerHost, user: User) -> None:
        self._host = host
        self._user = user

    @property
    def version(self) -> str:
        """The server's version."""
        return self._host.version

    @property
    def draining(self) -> bool:
        """Whether no puts are accepted."""
        return self._host.draining

    def snapshot(self) -> stats.Snapshot:
        """Return the state of the server, without its queues."""
        return self._host.snapshot()

    def queue_snapshot(self, name: bytes) -> stats.QueueSnapshot | None:
        """Return one queue's numbers; ``None`` when there is none that the user may know of."""
        if not self._user.sees(name):
            return None
        found = self._host.queue_snapshot(name)
        if found is None or self._user.may_administer(name):
            return found
        return dataclasses.replace(found, children="")

    def to_be_loaded(self, name: bytes) -> NotLoaded | None:
        """Return the signal if the age of a queue's oldest item is not known yet."""
        return self._host.to_be_loaded(name) if self._user.sees(name) else None

    def queue_names(self) -> list[bytes]:
        """Return the names of all queues: of many, each is asked for in its turn."""
        return self._host.queue_names()

    def queue_size(self, name: bytes) -> tuple[int, int] | None:
        """Return how many items a queue has and their bytes; ``None`` if that is not to be told."""
        return self._host.queue_size(name) if self._user.sees(name) else None

    @property
    def changes(self) -> Changes | None:
        """Which queues have changed, and how much there is in all of them together."""
        return self._host.changes if self._user.is_admin else None

    def settings(self) -> Pairs:
        """Return the settings that the server runs with."""
        return self._host.settings() if self._user.is_admin else []

    def queue_settings(self, name: bytes) -> Pairs:
        """Return the settings of a queue."""
        return self._host.queue_settings(name) if self._user.may_administer(name) else []

    def readers(self, name: bytes) -> Iterable[Pairs]:
        """Return who holds each of the open reads of a queue."""
        return self._host.readers(name) if self._user.may_administer(name) else []

    def consumers(self, name: bytes) -> Iterable[Pairs]:
        """Return of each client that has taken from a queue, or waits for it, what there is."""
        return self._host.consumers(name) if self._user.may_administer(name) else []

    def connections(self) -> Iterable[Pairs]:
        """Return what is known of every connection."""
        return self._host.connections() if self._user.is_admin else []

    def reset(self) -> None:
        """Set the server's counters to 0."""
        if self._user.is_admin:
            self._host.reset()

    def drain(self, *, on: bool) -> None:
        """Accept no more puts, or accept them again."""
        if self._user.is_admin:
            self._host.drain(on=on)

    def reload(self) -> str | None:
        """Read the settings again; return why that failed, if it did."""
        return self._host.reload() if self._user.is_admin else "not permitted"

    @property
    def unapplied(self) -> Sequence[str]:
        """What the last reload found changed that only a restart takes up."""
        return self._host.unapplied if self._user.is_admin else []

    def refresh_certs(self) -> str | None:
        """Read the certificates again; return why that failed, if it did."""
        return self._host.refresh_certs() if self._user.is_admin else "not permitted"

    def hand_over(self) -> str | None:
        """Hand the queues over to another server; return why that cannot be, if so."""
        return self._host.hand_over() if self._user.is_admin else "not permitted"

    def shut_down(self) -> None:
        """Begin to stop the server."""
        if self._user.is_admin:
            self._host.shut_down()
