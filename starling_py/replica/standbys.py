"""Which other servers could take over, as they say themselves and the owner keeps it.

A follower says now and then how far it is, to whoever listens and without a trace in the stream.
What was said counts for as long as a take-over lasts. It decides nothing about who may own the
stream: only whether it is worth handing it over.
"""

import json
from collections.abc import Iterable
from typing import Final

import attrs

BEHIND: Final = 256
"""Messages that a server may be behind, and still be ready: they are applied in no time."""
SAID: Final = 0.2
"""Times the take-over between two reports of a follower."""


@attrs.frozen
class Report:
    """What a follower says of itself."""

    node: str
    """Told apart from every other server, and from itself before a restart."""
    address: str
    """Where clients find it, once it is the owner."""
    sequence: int
    """The number of the last message that it has applied."""
    whole: bool
    """Whether it has all files; false as well once it ends."""

    def encode(self) -> bytes:
        """Return its bytes."""
        return json.dumps(attrs.asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Report":
        """Read what another server has said. Raises ``ValueError``."""
        try:
            told = json.loads(data)
            values = [told[each.name] for each in attrs.fields(cls)]
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no report: {error}") from error
        return cls(str(values[0]), str(values[1]), int(values[2]), bool(values[3]))


class Standbys:
    """The other servers of a group, as far as was heard."""

    def __init__(self, takeover: float) -> None:
        """``takeover`` is in seconds: for how long a report counts."""
        self._takeover = takeover
        self._heard: dict[str, tuple[float, Report]] = {}

    def hear(self, reports: Iterable[bytes], now: float, last: int) -> None:
        """Take what was said until ``now``, when the stream's last message is ``last``."""
        for data in reports:
            try:
                each = Report.decode(data)
            except ValueError:
                continue
            if each.whole and last - each.sequence <= BEHIND:
                self._heard[each.node] = now, each
            else:
                self._heard.pop(each.node, None)

    def ready(self, now: float) -> list[str]:
        """Return the addresses of those that could take over at once, in order."""
        since = now - self._takeover
        return sorted(each.address for heard, each in list(self._heard.values()) if heard >= since)
