"""The main job on real input: a log file through a server that is killed on the way.

    .venv/bin/python examples/main_job.py [FILE]

Two producers send every line of FILE to one queue, a consumer takes them out, and meanwhile the
server is killed with SIGKILL several times and started again on the same spool. It starts a
server of its own, so none has to run. Afterwards the books are checked, and it ends with 1 if
anything is wrong with them.

What is promised:

- A line whose ``set`` was answered is there after the kill. It arrives once, byte for byte, and
  in the order of its producer.
- A line whose reply was lost has an unknown outcome: it may be in the queue or not. The producer
  sends it again before it goes on, so it arrives once or twice, never out of order. The consumer
  can tell: every line carries its producer's name and number.
- A plain ``get`` hands an item out at most once. Its removal is in the journal before the reply is
  sent; if the server dies in between, that item reaches nobody. So at most one item is lost for
  each kill that met a get under way, and none if the consumer is between two gets.

Lost in flight is told from lost for good by the items' ids, which ``gets`` returns: they count up
by one for ever. An id that is skipped, just where the reply to a get was lost, belongs to the item
that was on its way. A line that is missing without that is a broken promise.
"""

import argparse
import contextlib
import itertools
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError

QUEUE = "lines"
PATIENCE = 60.0
RETRY = 0.005


@dataclass
class Sent:
    """One producer's book."""

    name: bytes
    lines: Sequence[bytes]
    acknowledged: int = 0
    """Lines that were answered, from the first on."""
    unknown: Counter[int] = field(default_factory=Counter)
    """How often the reply for a line was lost, by its number."""


@dataclass
class Arrival:
    """What the consumer got in one reply."""

    producer: bytes
    number: int
    line: bytes
    id: int


@dataclass
class Received:
    """The consumer's book."""

    arrivals: list[Arrival] = field(default_factory=list)
    lost_replies: Counter[int] = field(default_factory=Counter)
    """How many replies were lost after so many arrivals."""


@dataclass
class Report:
    """How the job went."""

    sent: Sequence[Sent]
    received: Received
    kills: int
    total_items: int
    """Items that the server says were put into the queue, over all its lives."""
    seconds: float
    problems: list[str] = field(default_factory=list)
    """What is wrong with the books; nothing if all promises were kept."""
    repeated: int = 0
    """Arrivals of lines that had arrived already."""
    lost_in_flight: int = 0
    """Items that left the queue when the reply was lost."""


class Gate:
    """Where the consumer can be made to stand still between two gets."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._standing = threading.Event()

    def go_through(self) -> bool:
        """Pass, or stand still until the gate is open again; return whether it stood."""
        if self._open.is_set():
            return False
        self._standing.set()
        self._open.wait()
        return True

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Let the consumer stand still meanwhile."""
        self._standing.clear()
        self._open.clear()
        try:
            if not self._standing.wait(PATIENCE):
                raise RuntimeError("the consumer does not come to the gate")
            yield
        finally:
            self._open.set()


class Server:
    """A server that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def client(self) -> Client:
        """Return a client that insists on replies."""
        # Trap: with pymemcache's default_noreply=True nothing would be promised at all.
        return Client(("127.0.0.1", self.port), default_noreply=False, timeout=PATIENCE)

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "starling_py", "-p", str(self.port)]
        with (self._folder / "server.log").open("ab") as log:
            spool = str(self._folder / "spool")
            self._process = subprocess.Popen([*command, "-q", spool], stderr=log)
        client = self.client()
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError, MemcacheError):
                client.version()
                break
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_text = (self._folder / "server.log").read_text()
                raise RuntimeError(f"the server does not start:\n{log_text}")
            time.sleep(RETRY)
        client.close()

    def kill(self) -> None:
        """Kill it where it stands."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """Stop it in order; return its exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(PATIENCE)
        self._process = None
        return code


def produce(client: Client, book: Sent, give_up: threading.Event) -> None:
    """Send every line, and go on to the next only when it was answered."""
    for number, line in enumerate(book.lines):
        while not give_up.is_set():
            try:
                stored = client.set(QUEUE, b"%b %d\n%b" % (book.name, number, line))
            except ConnectionRefusedError:
                # Nobody was there: it was certainly not stored.
                time.sleep(RETRY)
            except (OSError, MemcacheError):
                # It was sent, and the reply is lost: stored or not, nobody can tell.
                book.unknown[number] += 1
            else:
                if not stored:
                    raise RuntimeError(f"line {number} was refused")
                book.acknowledged += 1
                break
    client.close()


def consume(
    client: Client,
    book: Received,
    gate: Gate,
    finish: threading.Event,
    give_up: threading.Event,
) -> None:
    """Take what there is until the end is near and nothing is left."""
    while not give_up.is_set():
        if gate.go_through():
            client.close()  # its connection died with the server; the next get makes a new one
        last = finish.is_set()
        try:
            # Trap: the client's timeout must be longer than this wait of 100 ms.
            item, item_id = client.gets(f"{QUEUE}/t=100")
        except ConnectionRefusedError:
            time.sleep(RETRY)
            continue
        except (OSError, MemcacheError):
            # An item may have been on its way: its id will be missing.
            book.lost_replies[len(book.arrivals)] += 1
            continue
        if item is not None:
            head, _, line = item.partition(b"\n")
            producer, number = head.split(b" ")
            book.arrivals.append(Arrival(producer, int(number), line, int(item_id)))
        elif last:
            client.close()
            return


def run(
    lines: Sequence[bytes], folder: Path, *, kills: int, any_moment: bool, seed: int | None = None
) -> Report:
    """Send the lines through a server that is killed so many times; return the checked books.

    Unless it may be ``any_moment``, the server is killed while the consumer is between two gets.
    """
    if len(lines) < 10 * (kills + 1):
        raise ValueError(f"{len(lines)} lines are too few for {kills} kills")
    begin = time.monotonic()
    dice = random.Random(seed)
    server = Server(folder)
    server.start()
    sent = [Sent(b"odd", lines[0::2]), Sent(b"even", lines[1::2])]
    received = Received()
    gate = Gate()
    finish = threading.Event()
    give_up = threading.Event()
    total_items = 0
    with ThreadPoolExecutor(3) as pool:
        try:
            producers = [pool.submit(produce, server.client(), book, give_up) for book in sent]
            consumer = pool.submit(consume, server.client(), received, gate, finish, give_up)
            for number in range(kills):
                # Somewhere in each part, while the producers are at work.
                part = len(lines) // (kills + 1)
                _wait_for(sent, number * part + dice.randrange(part), producers, consumer)
                with contextlib.nullcontext() if any_moment else gate.closed():
                    server.kill()
                    server.start()
            for producer in producers:
                producer.result()
            finish.set()
            consumer.result()
            observer = server.client()
            total_items = int(observer.stats()[b"queue_%b_total_items" % QUEUE.encode()])
            observer.close()
            if server.stop() != 0:
                raise RuntimeError("the server did not stop in order")
        finally:
            give_up.set()
            server.kill()
    report = Report(sent, received, kills, total_items, time.monotonic() - begin)
    check(report)
    return report


def _wait_for(
    sent: Sequence[Sent], count: int, producers: Sequence["Future[None]"], consumer: "Future[None]"
) -> None:
    """Return when so many lines were answered; raise what a thread has failed with."""
    while sum(book.acknowledged for book in sent) < count:
        for thread in (*producers, consumer):
            if thread.done():
                thread.result()
        time.sleep(0.001)


def check(report: Report) -> None:
    """Compare the books: note what is wrong, and what the kills explain."""
    books = {book.name: book for book in report.sent}
    for arrival in report.received.arrivals:
        book = books.get(arrival.producer)
        if book is None or not 0 <= arrival.number < len(book.lines):
            report.problems.append(f"item {arrival.id} was sent by nobody")
        elif arrival.line != book.lines[arrival.number]:
            report.problems.append(f"item {arrival.id} is not what was sent")
    skipped = _check_ids(report)
    missing = sum(_check_producer(report, book) for book in report.sent)
    report.lost_in_flight = skipped
    if missing > skipped:
        report.problems.append(f"{missing} lines are missing, but only {skipped} were in flight")


def _check_ids(report: Report) -> int:
    """Check that ids count up by one; return how many were skipped where replies were lost."""
    received = report.received
    skipped = 0
    ids = [0, *(arrival.id for arrival in received.arrivals), report.total_items + 1]
    for position, (last, here) in enumerate(itertools.pairwise(ids)):
        gap = here - last - 1
        if gap < 0:
            report.problems.append(f"item {here} came after item {last}")
        elif gap > received.lost_replies[position]:
            report.problems.append(
                f"between the items {last} and {here}, {gap} vanished"
                f" though {received.lost_replies[position]} replies were lost there"
            )
        else:
            skipped += gap
    return skipped


def _check_producer(report: Report, book: Sent) -> int:
    """Check order and repetitions of one producer's lines; return how many are missing."""
    arrivals = report.received.arrivals
    numbers = [arrival.number for arrival in arrivals if arrival.producer == book.name]
    name = book.name.decode()
    for number, count in Counter(numbers).items():
        report.repeated += count - 1
        if count > 1 + book.unknown[number]:
            report.problems.append(f"{name} {number} came {count} times")
    for earlier, later in itertools.pairwise(numbers):
        if later < earlier:
            report.problems.append(f"{name} {later} came after {earlier}")
    return len(book.lines) - len(set(numbers))


def default_file() -> Path:
    """Return a log file of this machine, or else a long text that is on every one."""
    log = Path("/var/log/dpkg.log")
    if os.access(log, os.R_OK) and log.stat().st_size > 100_000:
        return log
    return Path(os.__file__).parent / "_pydecimal.py"


def main() -> None:
    """Do the job twice, and say how it went."""
    parser = argparse.ArgumentParser(
        description="Send a log file through a server that is killed on the way."
    )
    parser.add_argument("file", nargs="?", type=Path, default=default_file())
    parser.add_argument("--kills", type=int, default=5, help="kills in each of the two runs")
    options = parser.parse_args()

    lines = options.file.read_bytes().splitlines(keepends=True)
    failed = False
    for any_moment in (False, True):
        when = "at any moment" if any_moment else "while the consumer is between two gets"
        print(f"{options.file}: {len(lines)} lines, {options.kills} kills {when}", flush=True)
        with tempfile.TemporaryDirectory(prefix="main-job-") as folder:
            report = run(lines, Path(folder), kills=options.kills, any_moment=any_moment)
        unknown = sum(book.unknown.total() for book in report.sent)
        print(f"  {len(report.received.arrivals)} items arrived in {report.seconds:.1f} s")
        print(f"  {unknown} replies to a set were lost: {report.repeated} lines came twice")
        print(
            f"  {report.received.lost_replies.total()} replies to a get were lost:"
            f" {report.lost_in_flight} items with them"
        )
        for problem in report.problems:
            print(f"  WRONG: {problem}")
        failed = failed or bool(report.problems)
    print("some promises were broken" if failed else "all promises were kept")
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
