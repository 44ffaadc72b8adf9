"""Settings made to fit the machine and each other, once, when the server starts.

What does not fit is made smaller or larger, with a warning that says so; the server runs with the
fitted values, and tells them. A server that starts with fewer places for clients is better than one
that does not start, and better than one whose queues run out of files: only where it would have no
place for clients at all, a start is refused.
"""

from typing import Final

import attrs

from starling_py.server.errors import StartError
from starling_py.server.file_limit import FEWEST, share_out
from starling_py.settings.server_settings import Settings

ITEMS: Final = 4
"""Items of the largest size that must fit into the memory for clients: in its last quarter, there
has to be room for one to come to its end."""


HTTP: Final = 52
"""Files for what is told by HTTP: sockets that listen, clients, and what they ask the server."""


def fitted(settings: Settings, file_limit: int) -> tuple[Settings, int, list[str]]:
    """Return the settings that fit, how many segments may be open, and what to warn of.

    ``file_limit``: how many files the process may have open.
    """
    warnings = []
    shares = share_out(max(file_limit - _kept(settings), FEWEST), settings.max_connections)
    if shares.clients < settings.max_connections:
        warnings.append(
            f"max_connections: {shares.clients} instead of {settings.max_connections}, as the"
            f" process may have {file_limit} files open, and the queues need some of them"
        )
    memory = max(settings.client_memory, ITEMS * settings.item_size_max)
    if memory > settings.client_memory:
        warnings.append(
            f"client_memory: {memory} bytes instead of {settings.client_memory}, which is"
            f" {ITEMS} times item_size_max"
        )
    fit = attrs.evolve(settings, max_connections=shares.clients, client_memory=memory)
    return fit, shares.segments, warnings


def expect_enough(settings: Settings, file_limit: int) -> None:
    """Raise ``StartError`` if a server cannot do its work with so few files open."""
    needed = FEWEST + _kept(settings)
    if file_limit < needed:
        files = "1 file" if file_limit == 1 else f"{file_limit} files"
        raise StartError(
            f"the process may have {files} open, and needs {needed} at least; see ulimit -n,"
            " or LimitNOFILE of a unit"
        )


def _kept(settings: Settings) -> int:
    """Return how many files are for others than clients and queues."""
    return 0 if settings.http is None else HTTP
