"""A distributed logger: programs on many machines log into a queue, one writer keeps the file.

    .venv/bin/python examples/distributed_logger.py write app.log
    .venv/bin/python examples/distributed_logger.py demo

``QueueHandler`` is the half that goes into your programs; ``demo`` shows it at work. The writer
may be stopped and started, and so may the server: what was logged waits in the queue.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

from pymemcache.client.base import Client

QUEUE = "log"


class QueueHandler(logging.Handler):
    """Sends log records to a queue, as JSON: any language can read them."""

    def __init__(self, host: str, port: int, queue: str = QUEUE) -> None:
        super().__init__()
        # Trap: a client is one socket and not for two threads at a time. logging calls `emit` with
        # the handler's lock held, so one client a handler is right.
        # The timeout bounds how long a server that is gone can hold up the program.
        self._client = Client((host, port), default_noreply=False, timeout=2)
        self._queue = queue

    def emit(self, record: logging.LogRecord) -> None:
        """Put one record at the end of the queue."""
        try:
            fields = {"time": record.created, "level": record.levelname, "name": record.name}
            # Trap: an item may have 1 MiB by default (`item_size_max`); nobody logs that much.
            item = json.dumps({**fields, "text": self.format(record)})
            if not self._client.set(self._queue, item):
                raise OSError("the record was not stored")
        except Exception:
            # A program must not fail because its log does: logging prints this to stderr.
            self.handleError(record)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
        super().close()


def write(client: Client, path: Path, count: int | None) -> None:
    """Append what comes out of the queue to a file, for ever or up to a count of records."""
    written = 0
    with path.open("a", encoding="utf-8") as file:
        while count is None or written < count:
            item = client.get(f"{QUEUE}/t=1000")
            if item is None:
                continue
            record = json.loads(item)
            file.write(f"{record['time']:.3f} {record['level']} {record['name']}: ")
            file.write(f"{record['text']}\n")
            # Trap: the item is out of the queue. Keep nothing of it in a buffer longer than needed.
            file.flush()
            written += 1


def demo(host: str, port: int, name: str, count: int) -> None:
    """Log something, as a program would."""
    handler = QueueHandler(host, port)
    log = logging.getLogger(name)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    for number in range(1, count + 1):
        log.info("working on %d of %d", number, count)
    try:
        raise ValueError("an example of what goes wrong")
    except ValueError:
        log.exception("the work failed")
    handler.close()


def main() -> None:
    """Write the log, or log something."""
    # In front of a command or behind it.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument("--host")
    where.add_argument("--port", type=int)
    parser = argparse.ArgumentParser(description="Log through a queue.", parents=[where])
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write", parents=[where], help="append what is logged to a file")
    writing.add_argument("file", type=Path)
    writing.add_argument("--count", type=int, help="stop after so many records")
    showing = commands.add_parser("demo", parents=[where], help="log some lines and a traceback")
    showing.add_argument("--name", default="demo", help="the logger's name")
    showing.add_argument("--count", type=int, default=3, help="lines before the traceback")
    options = parser.parse_args(namespace=argparse.Namespace(host="127.0.0.1", port=22122))

    if options.command == "demo":
        demo(options.host, options.port, options.name, options.count)
        return
    client = Client((options.host, options.port), default_noreply=False, timeout=10)
    try:
        write(client, options.file, options.count)
    except KeyboardInterrupt:
        sys.exit(0)
    finally:
        client.close()


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        raise SystemExit(
            f"{problem.filename or 'no server'}: {problem.strerror or problem}"
        ) from None
