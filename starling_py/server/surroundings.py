"""What a server has around it, from its start to its end, and does not make itself."""

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from starling_py.server.access import Access
from starling_py.server.host import LogLines
from starling_py.server.listening import address_of
from starling_py.server.supervisor import Supervisor
from starling_py.server.web_opening import Opened
from starling_py.settings.server_settings import Settings


class Obeying(Protocol):
    """Where signals come from."""

    def obey(self, stop: Callable[[str], None], reload: Callable[[], None]) -> None:
        """Call ``stop`` with a signal's name to stop, and ``reload`` to read settings again."""


@attrs.frozen
class Surroundings:
    """By default, there is nothing but sockets to listen on."""

    listeners: Sequence[socket.socket]
    """Listening sockets at which clients speak without TLS."""
    read_settings: Callable[[], Settings] | None = None
    """Reads the configuration again; raises ``ConfigError``."""
    lines: LogLines | None = None
    """Counts what the log leaves out."""
    signals: Obeying | None = None
    on_serving: Callable[[], None] = lambda: None
    """Is called when the server listens and obeys the signals."""
    access: Access = attrs.field(factory=Access)
    """Who may use the server, and where TLS is spoken."""
    supervisor: Supervisor = attrs.field(factory=Supervisor)
    """Is told when the server serves, is well, and stops."""
    web: Opened | None = None
    """Where HTTP is served."""

    @property
    def addresses(self) -> list[str]:
        """Where clients reach the server, in the form that ``listen`` takes."""
        secured = (f"tls:{address_of(each)}" for each in self.access.secured)
        return [*map(address_of, self.listeners), *secured]
