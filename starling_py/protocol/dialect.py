"""What every dialect does: it turns bytes into commands, and replies into bytes."""

from abc import abstractmethod

from mypy_extensions import trait

from starling_py.protocol.commands import Command
from starling_py.protocol.writer import Writer


@trait
class Dialect(Writer):
    """Reads one connection's commands, and writes the replies to most of them."""

    more: bool
    """Whether ``next_command`` may return a command before more bytes come: if not, it need not be
    called."""

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take what the client sent."""

    @abstractmethod
    def next_command(self) -> Command | None:
        """Return the next whole command; ``None`` when more bytes are needed."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Bytes that came and do not belong to a command that was returned, but for a body's."""

    @property
    @abstractmethod
    def weight(self) -> int:
        """Bytes kept of what came: those that are buffered, and of a body that is not whole."""

    @property
    @abstractmethod
    def missing(self) -> int:
        """The most bytes that must come until the command that has begun is whole."""

    @property
    @abstractmethod
    def midway(self) -> bool:
        """Whether a part of a command has come and the rest has not."""
