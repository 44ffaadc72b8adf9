"""Which sockets are ready: epoll itself where there is one, else what the system has.

Level-triggered: a socket that is ready and left alone is reported again. The set has a descriptor
that can be watched in turn: so trio waits for all sockets at once. Sockets can be set aside: of all
of these, some are reported at a time, so that the others need not wait for them.
"""

import select
import selectors
from typing import Final, Protocol

READ: Final = 1
WRITE: Final = 4
HANG_UP: Final = 0x2000
"""The client sends nothing more, though it may have sent what is not read yet: known to epoll only,
which reports it to those that watch for ``READ`` as well.

These are epoll's own bits; an error is reported as some other bit, asked for or not."""

Ready = list[tuple[int, int]]


class Readiness(Protocol):
    """A set of watched descriptors."""

    def fileno(self) -> int:
        """Return the descriptor that is readable while anything in the set is ready."""

    def register(self, descriptor: int, interest: int) -> None:
        """Begin to watch a descriptor for ``READ``, ``WRITE``, ``HANG_UP`` or several of them."""

    def modify(self, descriptor: int, interest: int) -> None:
        """Watch it for something else; for nothing but errors with 0."""

    def unregister(self, descriptor: int) -> None:
        """Watch it no more; must happen before it is closed."""

    def set_aside(self, descriptor: int, interest: int, *, aside: bool) -> None:
        """Report a watched descriptor with those that are set aside, or with all others again."""

    def ready(self, seconds: float = 0) -> Ready:
        """Return what is ready, with its events; wait for the first up to some seconds."""

    def close(self) -> None:
        """Close the set, not the sockets in it."""


MOST: Final = 128
"""Descriptors that are returned at once. The others come first the next time: epoll returns them in
turns, those that became ready first before the others."""


FEW: Final = 24
"""The same of descriptors that are set aside."""
CROWD: Final = 2048
"""Descriptors that are looked through where many clients hang up at once."""


class EpollReadiness:
    """Linux: no layer between the server and epoll.

    What is set aside is in a set of its own, which is a descriptor among the others.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._aside = select.epoll()
        self._set_aside: set[int] = set()
        self._epoll.register(self._aside.fileno(), READ)
        self.fileno = self._epoll.fileno

    def register(self, descriptor: int, interest: int) -> None:
        """Begin to watch a descriptor."""
        self._epoll.register(descriptor, _with_hang_up(interest))

    def modify(self, descriptor: int, interest: int) -> None:
        """Watch it for something else; for nothing but errors with 0."""
        which = self._aside if descriptor in self._set_aside else self._epoll
        which.modify(descriptor, _with_hang_up(interest))

    def unregister(self, descriptor: int) -> None:
        """Watch it no more; must happen before it is closed."""
        if descriptor in self._set_aside:
            self._set_aside.discard(descriptor)
            self._aside.unregister(descriptor)
        else:
            self._epoll.unregister(descriptor)

    def set_aside(self, descriptor: int, interest: int, *, aside: bool) -> None:
        """Report a watched descriptor with those that are set aside, or with all others again."""
        self.unregister(descriptor)
        if aside:
            self._set_aside.add(descriptor)
            self._aside.register(descriptor, _with_hang_up(interest))
        else:
            self._epoll.register(descriptor, _with_hang_up(interest))

    def ready(self, seconds: float = 0) -> Ready:
        """Return what is ready, waiting for the first of it up to some seconds."""
        ready = self._epoll.poll(seconds, MOST)
        if len(ready) == MOST:
            ready = self._among_leavers(ready)
        if self._set_aside:
            them = (self._aside.fileno(), READ)
            if them in ready:
                ready.remove(them)
                ready += self._aside.poll(0, FEW)
        return ready

    def _among_leavers(self, ready: Ready) -> Ready:
        """Return those who ask something before those who hang up, if many hang up at once.

        All that are found to hang up are returned: it costs little to set them aside.
        """
        if sum(events & HANG_UP > 0 for _, events in ready) <= FEW:
            return ready
        known = {descriptor for descriptor, _ in ready}
        ready += [each for each in self._epoll.poll(0, CROWD) if each[0] not in known]
        asking = [each for each in ready if not each[1] & HANG_UP]
        return asking[:MOST] + [each for each in ready if each[1] & HANG_UP]

    def close(self) -> None:
        """Give the set up, not the sockets in it."""
        self._aside.close()
        self._epoll.close()


class SelectorReadiness:
    """Elsewhere: the standard library's best selector, kqueue on macOS and the BSDs."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def fileno(self) -> int:
        """Return the descriptor that is readable while anything in the set is ready."""
        descriptor: int = self._selector.fileno()
        return descriptor

    def register(self, descriptor: int, interest: int) -> None:
        """Begin to watch a descriptor; with no interest it is only remembered."""
        if interest & (READ | WRITE):
            self._selector.register(descriptor, _events(interest))

    def modify(self, descriptor: int, interest: int) -> None:
        """Watch it for something else."""
        self.unregister(descriptor)
        self.register(descriptor, interest)

    def unregister(self, descriptor: int) -> None:
        """Watch it no more."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def set_aside(self, descriptor: int, interest: int, *, aside: bool) -> None:
        """Do nothing: all that is ready is reported at once."""

    def ready(self, seconds: float = 0) -> Ready:
        """Return what is ready, waiting for the first of it up to some seconds."""
        return [
            (
                key.fd,
                (READ if events & selectors.EVENT_READ else 0)
                | (WRITE if events & selectors.EVENT_WRITE else 0),
            )
            for key, events in self._selector.select(seconds)
        ]

    def close(self) -> None:
        """Give the set up."""
        self._selector.close()


def _with_hang_up(interest: int) -> int:
    return interest | HANG_UP if interest & READ else interest


def _events(interest: int) -> int:
    return (selectors.EVENT_READ if interest & READ else 0) | (
        selectors.EVENT_WRITE if interest & WRITE else 0
    )


def best() -> Readiness:
    """Return the set that suits this system."""
    return EpollReadiness() if hasattr(select, "epoll") else SelectorReadiness()
