"""Long work, a slice at a time, so that nobody waits for all of it.

A put may have ten thousand copies, a thousand leases may end at once, and a settings file may be
read again for every queue there is. Such work is an iterator, and each of its *steps* is short. A
turn does steps until its time for them is *spent*; the rest comes in later turns, so that between
two slices of one client's work all others have their turn. The work of a client is done by its
session; what belongs to no client waits here, in line. Invariant: whatever is in line gets on,
however much other work there is.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Final, Protocol, TypeVar

from mypy_extensions import mypyc_attr

from starling_py.clock import Clock
from starling_py.journal.commit import Committed, GroupCommit
from starling_py.journal.errors import JournalError
from starling_py.queues.errors import NotLoaded

ALLOWANCE: Final = 0.003
"""Seconds of long work before others have their turn, what its commit will take included."""
AT_ONCE: Final = 64
"""Steps that each command may do however busy the server is: what is short is no long work."""
MAKING: Final = 0.0003
"""Seconds that it takes to make a queue's first segment, or to remove a queue (measured)."""
WAKING: Final = 0.00003
"""Seconds that it takes to go on with a client whose wait is over (measured)."""
LARGE: Final = 8192
"""Bytes of an item beyond which it counts how long it takes to be written."""
WRITING: Final = 1e-9
"""Seconds to write a byte of such an item (measured; twice that on a busy machine)."""
_WRITING: Final = 0.00003
"""Seconds that it takes to write one journal, as long as it was not measured."""
_LATEST: Final = 16
"""About how many of the latest commits the average covers."""

_FREED: Final = 500
"""Things to be freed in one step."""

Steps = Generator[NotLoaded | None, None, None]
"""Work in steps; after each, it yields ``None``, or ``LATER`` if others have to go on first.

Where something must be read from disk, it yields that signal: it goes on when that is there, or
``JournalError`` is thrown in where it stands."""


Thing = TypeVar("Thing")


def _nothing(_: object) -> None:
    """Do nothing."""


LATER: Final = NotLoaded(_nothing)
"""What work yields that cannot go on in this turn."""
DONE: Final = NotLoaded(_nothing)
"""What stands for the end of the steps."""


class Stack(Protocol):
    """What has many things, of which it can give the last one."""

    def __len__(self) -> int: ...

    def pop(self) -> object:
        """Take out the last one."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Slices:
    """How much long work a turn does, and the work that belongs to no client."""

    def __init__(self, clock: Clock, commits: GroupCommit) -> None:
        self._clock = clock
        self._commits = commits
        self.line: deque[tuple[Steps, JournalError | None]] = deque()
        """The work that belongs to no client, in line; each with why it could not be read on."""
        self._began = 0.0
        self._touched = 0
        self._charged = 0.0
        self._writing = _WRITING
        self.allowance = ALLOWANCE
        """Seconds of long work in one go; tests choose other ones."""
        self.at_once = AT_ONCE
        """Steps that each command may do at once."""

    def begin(self) -> None:
        """Begin a slice: from now on it may take ``allowance`` seconds."""
        self._began = self._clock.now()
        self._touched = len(self._commits.touched)
        self._charged = 0.0

    @property
    def spent(self) -> bool:
        """Whether the slice is over: its time, with what its commit will take."""
        touched = max(
            0, len(self._commits.touched) - self._touched
        )  # there may be a commit between
        used = self._clock.now() - self._began + self._charged + touched * self._writing
        return used >= self.allowance

    def is_spent(self) -> bool:
        """Tell whether the slice is over, as ``spent`` does."""
        return self.spent

    def charge(self, seconds: float) -> None:
        """Count what the slice has caused to be done after it."""
        self._charged += seconds

    def commit(self) -> Committed:
        """Commit many journals, and learn how long the writing of one takes."""
        touched = len(self._commits.touched)
        began = self._clock.now()
        committed = self._commits.commit()
        if touched:
            took = (self._clock.now() - began) / touched
            # What takes longer is believed at once: the next commit may be of many more.
            slower = took > self._writing
            self._writing = took if slower else self._writing + (took - self._writing) / _LATEST
        return committed

    def add(self, steps: Steps) -> None:
        """Do work that belongs to no client, after what is in line already."""
        self.line.append((steps, None))

    def start(self, steps: Steps) -> None:
        """Begin work that belongs to no client in this very slice; the rest waits in line."""
        if self.spent:
            self.add(steps)
        else:
            self._do(steps)

    def free(self, things: Stack) -> None:
        """Let go of many things, some at a time: each piece of memory takes time to be freed."""
        if len(things) > _FREED:
            self.add(_freeing(things))

    def run(self) -> None:
        """Do as much of the work in line as one slice allows, at least one step of the first."""
        self.begin()
        line = self.line
        for _ in range(len(line)):
            self._do(*line.popleft())
            if self.spent:
                return

    def _do(self, steps: Steps, failure: JournalError | None = None) -> None:
        """Do steps of one piece of work until it is done, waits for the disk or time is spent."""
        try:
            missing = next_step(steps, failure)
            while missing is None and not self.spent:
                missing = next_step(steps)
        except Exception:
            # It is given up, and all else goes on.
            self._commits.guard.caught("work that belongs to no client")
            return
        if missing is None or missing is LATER:
            self.line.append((steps, None))
        elif missing is not DONE:
            missing.when_loaded(lambda failure: self.line.append((steps, failure)))


def _freeing(things: Stack) -> Steps:
    while things:
        for _ in range(min(len(things), _FREED)):
            things.pop()
        yield None


def one_by_one(things: Iterable[Thing]) -> Iterator[Thing]:
    """Yield what there is now, and let go of what was yielded.

    Long work that kept ten thousand queues until its end, most of which are deleted by then, would
    have all of them freed in its last step.
    """
    left = list(things)
    left.reverse()
    while left:
        yield left.pop()


def next_step(steps: Steps, failure: JournalError | None = None) -> NotLoaded | None:
    """Do one step; return what it yields, ``DONE`` at the end.

    ``failure`` is why what it waited for could not be read from disk.
    """
    if failure is None:
        return next(steps, DONE)
    try:
        return steps.throw(failure)
    except StopIteration:
        return DONE
