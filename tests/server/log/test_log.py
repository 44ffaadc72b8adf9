"""A log whose writing fails, waits or comes to no end: whoever logs does not feel it."""

import logging
import re
import signal
import threading
from collections.abc import Iterator

import pytest

from starling_py.server.log import formats
from starling_py.server.log.log import COMPLAIN, MOST_BYTES, Log, priority
from starling_py.server.log.repeats import MOST, PERIOD
from tests.process.server_process import PATIENCE, wait_until


class SlowSink:
    """Takes lines when it is let, or fails."""

    place = "the log"

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.error: Exception | None = None
        self.trouble: OSError | None = None
        self.opened = 0
        self.closed = False
        self.tried = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def write(self, priority: int, line: bytes) -> None:
        """Wait, then fail or take it."""
        assert self.may_go_on.wait(PATIENCE)
        try:
            if self.error is not None:
                raise self.error
            self.lines.append(b"<%d>%b" % (priority, line))
        finally:
            self.tried += 1  # a test goes on as soon as it sees this

    def open_anew(self) -> None:
        """Count it."""
        self.opened += 1

    def close(self) -> None:
        """Remember it."""
        self.closed = True


class Logged:
    """A log of its own, on a clock that a test moves."""

    def __init__(self) -> None:
        self.sink = SlowSink()
        self.now = 0.0
        self.said: list[str] = []
        self.log = Log(
            self.sink, formats.TextFormat(formats.BARE), lambda: self.now, self.said.append
        )
        self._tries = 0

    def say(self, text: str, *values: object, level: int = logging.INFO) -> None:
        """Log something."""
        self.log.handle(logging.LogRecord("jobs", level, "f.py", 1, text, values, None))

    def until_tried(self, count: int) -> None:
        """Return when so many lines more were written or could not be."""
        self._tries += count
        wait_until(lambda: self.sink.tried >= self._tries)


@pytest.fixture
def logged() -> Iterator[Logged]:
    made = Logged()
    yield made
    made.sink.may_go_on.set()
    made.log.finish(PATIENCE)


def test_lines_come_in_order_with_their_priorities(logged: Logged) -> None:
    logged.say("one %s", 1)
    logged.say("two", level=logging.CRITICAL)
    logged.until_tried(2)
    assert logged.sink.lines == [b"<6>INFO jobs: one 1\n", b"<2>CRITICAL jobs: two\n"]
    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    assert [priority(level) for level in levels] == [7, 6, 4, 3, 2]


def test_who_logs_never_waits_and_what_does_not_fit_is_counted(logged: Logged) -> None:
    logged.sink.may_go_on.clear()
    size = formats.MOST_MESSAGE - 100
    count = 2 * MOST_BYTES // size
    for number in range(count):  # each is of another kind
        logged.say(f"{number} " + "x" * size)
    dropped = logged.log.dropped
    assert 0 < dropped < count
    logged.sink.may_go_on.set()
    logged.until_tried(count - dropped)
    logged.say("on")
    logged.until_tried(1)
    told = b"".join(logged.sink.lines)
    # The thread may have taken the first line late; then some fit in between.
    assert sum(map(int, re.findall(rb"lines missing here: (\d+),", told))) == dropped
    assert logged.sink.lines[-1].endswith(b"INFO jobs: on\n")
    assert len(logged.sink.lines) + dropped == count + 1
    assert logged.log.dropped == dropped


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_a_failing_log_is_told_of_once_and_goes_on_by_itself(
    logged: Logged, error: Exception
) -> None:
    logged.sink.error = error
    for number in range(5):
        logged.say(f"lost {number}")
    logged.until_tried(5)
    wait_until(lambda: logged.log.dropped == 5)
    (said,) = logged.said
    assert said.startswith("the log: cannot log there: ")
    logged.sink.error = None
    logged.say("again")
    logged.until_tried(2)
    missing, again = logged.sink.lines
    assert b"WARNING" in missing
    assert b"lines missing here: 5," in missing
    assert again == b"<6>INFO jobs: again\n"
    assert logged.log.dropped == 5


def test_a_log_that_fails_now_and_then_is_told_of_now_and_then(logged: Logged) -> None:
    for number in range(20):
        logged.sink.error = OSError(28, "No space left on device")
        logged.say(f"lost {number}")
        logged.until_tried(1)
        logged.sink.error = None
        logged.say(f"written {number}")
        logged.until_tried(2)
    assert len(logged.said) == 1
    logged.now += COMPLAIN
    logged.sink.error = OSError(28, "No space left on device")
    logged.say("lost")
    logged.until_tried(1)
    wait_until(lambda: len(logged.said) == 2)


def test_a_log_that_is_written_elsewhere_is_told_of_and_not_counted(logged: Logged) -> None:
    logged.sink.trouble = PermissionError(13, "Permission denied")
    logged.say("one")
    logged.until_tried(1)
    wait_until(lambda: bool(logged.said))
    assert "Permission denied; the log goes on in the file that was open" in logged.said[0]
    assert logged.log.dropped == 0


def test_of_many_lines_of_one_kind_their_number_is_told(logged: Logged) -> None:
    for number in range(MOST + 1000):
        logged.say("queue %d: created", number)
    logged.until_tried(MOST)
    assert logged.log.held_back == 1000
    logged.now += PERIOD
    logged.until_tried(1)  # though nothing more is logged
    assert logged.sink.lines[-1] == (
        b"<6>INFO jobs: 1000 more lines of this kind: queue %d: created\n"
    )
    assert logged.log.dropped == 0


def test_a_line_that_cannot_be_made_is_told_of_as_such(logged: Logged) -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError("no text")

    logged.say("one %s", Broken())
    logged.say("two %d", "x")
    logged.say("%s", "half a pair: \ud800")
    logged.until_tried(3)
    one, two, three = logged.sink.lines
    assert b"cannot be told: no text" in one
    assert b"cannot be told: " in two
    assert b"half a pair: \\ud800" in three


def test_memory_that_runs_out_in_logging_reaches_nobody(logged: Logged) -> None:
    class Huge:
        def __str__(self) -> str:
            raise MemoryError

    class Deep:
        def __str__(self) -> str:
            return str(self)

    logged.say("%s", Huge())
    logged.say("deep %s", Deep())
    logged.until_tried(2)


def test_the_thread_outlives_whatever_goes_wrong_in_it(logged: Logged) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    logged.log._tell = fails
    logged.sink.error = OSError(28, "No space left on device")
    logged.say("lost")
    logged.until_tried(1)
    logged.sink.error = None
    logged.say("again")
    logged.until_tried(2)
    assert logged.sink.lines[-1] == b"<6>INFO jobs: again\n"


def test_opening_anew_is_told_in_the_log(logged: Logged) -> None:
    logged.log.open_anew()
    logged.until_tried(1)
    assert logged.sink.opened == 1
    assert logged.sink.lines[0].endswith(b": opened anew\n")


def test_the_end_does_not_wait_for_a_log_that_nobody_reads(logged: Logged) -> None:
    logged.sink.may_go_on.clear()
    logged.say("one")
    logged.log.finish(0.01)
    assert logged.sink.lines == []


def test_the_end_waits_until_everything_is_written(logged: Logged) -> None:
    for number in range(500):  # each is of another kind
        logged.say(f"line {number}")
    logged.log.finish(PATIENCE)
    assert len(logged.sink.lines) == 500
    assert logged.sink.closed


def test_the_thread_takes_no_signal() -> None:
    """It would keep one from being held back in the main thread."""
    log = Log(SlowSink(), formats.TextFormat(formats.BARE))
    masks: list[set[int]] = []
    log._lines.put(lambda: masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, []))))
    log.finish(PATIENCE)
    assert {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1} <= masks[0]
