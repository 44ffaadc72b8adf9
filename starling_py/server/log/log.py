"""The log of a server: nothing that happens to it can hold up or end the one who logs.

Whoever logs has the line made, limited and put into a queue, and goes on; a thread writes it. The
queue is bounded in bytes: what does not fit, and what cannot be written, is dropped and counted.
The thread says on standard error, once, what is wrong, and in the log, when that works again, how
much is missing. Invariant: nothing here raises to the caller, and no lock is held while something
is written.
"""

import contextlib
import logging
import math
import queue
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from starling_py.server import streams
from starling_py.server.log.repeats import Kind, Repeats
from starling_py.server.log.sinks import Sink

MOST_BYTES: Final = 1 << 20
"""Bytes of lines that wait to be written; the next one is dropped."""
LOOK: Final = 1.0
"""Seconds between two looks whether lines that were held back are to be told of."""
COMPLAIN: Final = 60.0
"""Seconds for which nothing more is said on standard error, after something was."""
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)

_Line = tuple[int, bytes]
"""A line's priority in syslog, and the line."""


def priority(level: int) -> int:
    """Return syslog's priority of a level."""
    return next((number for least, number in _PRIORITIES if level >= least), 7)


class Log(logging.Handler):
    """The handler of all loggers, and the thread behind it."""

    def __init__(
        self,
        sink: Sink,
        formatter: logging.Formatter,
        now: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = streams.tell,
    ) -> None:
        """Begin to write to ``sink``; ``now`` returns seconds, ``tell`` says what is wrong.

        The process must not fork afterwards.
        """
        super().__init__()
        self.setFormatter(formatter)
        self._sink = sink
        self._now = now
        self._tell = tell
        self._repeats = Repeats()
        self._lines: queue.SimpleQueue[_Line | Callable[[], None] | None] = queue.SimpleQueue()
        self._put_bytes = 0
        """Bytes ever put into the queue; only who logs counts here, under the handler's lock."""
        self._taken_bytes = 0
        """Bytes ever taken out of it; only the thread counts here."""
        self._too_many = 0
        """Lines that did not fit; counted under the handler's lock."""
        self._too_many_told = 0
        """Those of them that the log tells of."""
        self._unwritten = 0
        """Lines that could not be written; only the thread counts here."""
        self._unwritten_told = 0
        """Those of them that the log tells of."""
        self._complained: float | None = None
        """When something was last said on standard error."""
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        # Signals are for the main thread while it starts, then for a thread of their own.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, held)

    @property
    def dropped(self) -> int:
        """Lines that are missing in the log, as they did not fit or could not be written."""
        return self._too_many + self._unwritten

    @property
    def held_back(self) -> int:
        """Lines that are missing in the log, as there were too many of their kind."""
        return self._repeats.held_back

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line to the thread, unless there were too many of its kind."""
        try:
            now = self._now()
            self._sum_up(now)
            begun = not self._repeats.holding
            if self._repeats.admits((record.name, record.levelno, str(record.msg)), now):
                self._put(record.levelno, self._line(record))
            elif begun:
                self._lines.put(_nothing)  # the thread has to look for the end of the period
        except Exception:  # out of memory, or of stack; whoever logs must not suffer by it
            self._too_many += 1

    def open_anew(self) -> None:
        """Open the log anew, and say so in it; may be called in any thread."""
        self._sink.open_anew()
        self.handle(logging.LogRecord(__name__, logging.INFO, __file__, 0, "opened anew", (), None))

    def finish(self, seconds: float) -> None:
        """Write what is left, for at most so many seconds; nothing is written afterwards.

        How many lines were held back is told, too, though no period is over.
        """
        with contextlib.suppress(Exception):  # out of memory
            self._sum_up(math.inf)
        self._lines.put(None)
        self._thread.join(seconds)

    def _line(self, record: logging.LogRecord) -> bytes:
        try:
            text = self.format(record)
        except Exception as error:
            text = f"{record.levelname} {record.name}: {record.msg!r:.200} cannot be told: {error}"
        return text.encode("utf-8", "backslashreplace") + b"\n"

    def _own_line(self, level: int, name: str, text: str, *values: object) -> bytes:
        record = logging.LogRecord(name, level, __file__, 0, text, values, None)
        return self._line(record)

    def _put(self, level: int, line: bytes) -> None:
        if self._put_bytes - self._taken_bytes + len(line) > MOST_BYTES:
            self._too_many += 1
            return
        if self._too_many > self._too_many_told:
            lost = self._missing(self._too_many - self._too_many_told)
            self._too_many_told = self._too_many
            line, level = lost + line, max(level, logging.WARNING)
        self._put_bytes += len(line)
        self._lines.put((priority(level), line))

    def _missing(self, count: int) -> bytes:
        text = "lines missing here: %d, as the log could not be written, or not as fast"
        return self._own_line(logging.WARNING, __name__, text, count)

    def _sum_up(self, now: float) -> None:
        """Log how many lines were held back of the kinds whose periods are over."""
        if self._repeats.holding:
            for kind, count in self._repeats.ended(now):
                self._put(kind[1], self._summary(kind, count))

    def _summary(self, kind: Kind, count: int) -> bytes:
        name, level, text = kind
        if not name:
            return self._own_line(level, __name__, "%d more lines of many kinds", count)
        return self._own_line(level, name, "%d more lines of this kind: %s", count, text)

    # What follows is the thread's.

    def _run(self) -> None:
        is_open = True
        while is_open:
            try:
                is_open = self._take()
            except Exception:  # out of memory; there may be enough for the next line
                self._unwritten += 1

    def _take(self) -> bool:
        """Write the next line, or do what else is to be done; return whether the log goes on."""
        try:
            line = self._lines.get(timeout=LOOK if self._repeats.holding else None)
        except queue.Empty:
            self.acquire()
            try:
                self._sum_up(self._now())
            finally:
                self.release()
            return True
        if line is None:
            self._sink.close()
            return False
        try:
            if isinstance(line, tuple):
                self._taken_bytes += len(line[1])
                self._write(*line)
            else:
                line()
        except Exception as error:
            self._unwritten += isinstance(line, tuple)
            self._complain(error)
        return True

    def _write(self, number: int, line: bytes) -> None:
        """Write a line; if lines before it could not be written, say so first."""
        if self._unwritten > self._unwritten_told:
            unwritten = self._unwritten
            self._sink.write(4, self._missing(unwritten - self._unwritten_told))
            self._unwritten_told = unwritten
        self._sink.write(number, line)
        if self._sink.trouble is None:
            self._is_failing = False
        else:
            self._complain(self._sink.trouble, "the log goes on in the file that was open")

    def _complain(self, error: Exception, instead: str = "lines are being dropped") -> None:
        """Say on standard error what is wrong, once for each time that the log fails."""
        now = self._now()
        quiet = self._complained is not None and now - self._complained < COMPLAIN
        if not self._is_failing and not quiet:
            self._complained = now
            reason = getattr(error, "strerror", None) or error or type(error).__name__
            self._tell(f"{self._sink.place}: cannot log there: {reason}; {instead}")
        self._is_failing = True


def _nothing() -> None:
    """Do nothing: the thread is only to look again."""
