"""All queues of a server, kept up to date by asking only for what has changed.

Ages and the like are those of the moment at which a queue was told of last.
"""

from starling_py.ctl.remote import Remote
from starling_py.ctl.reports import Queue


class Overview:
    """What is known of a server's queues."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._token = b"-"
        self.server: dict[str, str] = {}
        """The numbers of the server, of the last look."""
        self.queues: dict[bytes, Queue] = {}

    def look(self) -> list[Queue]:
        """Ask what has changed since the last look, and return those queues in order."""
        found: dict[bytes, Queue] = {}
        while True:
            told = self._remote.changed(self._token)
            self._token, self.server = told.token, told.server
            if told.anew:
                self.queues.clear()
            found |= told.queues
            self.queues |= told.queues
            for name in told.gone:
                self.queues.pop(name, None)
                found.pop(name, None)
            if not told.left:
                return [found[name] for name in sorted(found)]
