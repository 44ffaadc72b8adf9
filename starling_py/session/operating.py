"""What operators do to a queue: pause it and have it go on.

Each of these commands is refused unless the settings allow it to this client.
"""

import logging
from collections.abc import Callable
from typing import Any

from starling_py import keys
from starling_py.journal.errors import JournalError
from starling_py.journal.ledger import FOR_EVER
from starling_py.keys import RequestError, printable
from starling_py.protocol import commands, operations
from starling_py.protocol.commands import Outcome
from starling_py.session.client import Client

log = logging.getLogger(__name__)


def permitted(client: Client, verb: str, *, quiet: bool = False) -> bool:
    """Tell whether a client may use a command of operators; if not, it is told."""
    if client.policy.permission.allows(verb, client.peer):
        return True
    told = client.replies.writer.disabled(verb)
    client.replies.add_error(told, f"{verb} is not enabled for it", quiet=quiet)
    return False


def pause(client: Client, command: operations.Pause) -> None:
    """Let the gets of a queue be misses, for some time or until they are resumed."""
    _change(client, command, "paused", command.seconds)


def resume(client: Client, command: operations.Resume) -> None:
    """End a pause that was begun by a client; one of the settings stays."""
    _change(client, command, "resumed", None)


def _change(
    client: Client,
    command: operations.Pause | operations.Resume,
    done: str,
    seconds: float | None,
) -> None:
    if not permitted(client, "pause", quiet=command.quiet):
        return
    try:
        queue = client.queues.directory.find(keys.parse_plain(command.key))
        if queue is None:
            client.replies.add_outcome(Outcome.NOT_FOUND, quiet=command.quiet)
            return
        if isinstance(command, operations.Resume):
            queue.pause.end()
            queue.available()
        elif seconds is None:
            queue.pause.begin(FOR_EVER)
        else:
            queue.pause.begin(client.queues.clock.wall_ms + int(seconds * 1000))
    except (RequestError, JournalError) as problem:
        client.fail(problem, quiet=command.quiet)
        return
    log.info("%s: queue %s %s", client.peer, printable(queue.name), done)
    client.replies.add_for([queue.journal], Outcome.OK, quiet=command.quiet)


HANDLERS: dict[type[commands.Command], Callable[[Client, Any], None]] = {
    operations.Pause: pause,
    operations.Resume: resume,
}
