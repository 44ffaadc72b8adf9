"""Scripts that were written for Ruby's Starling class, line by line in Python.

    .venv/bin/python examples/starling_scripts.py hello
    .venv/bin/python examples/starling_scripts.py consume &
    .venv/bin/python examples/starling_scripts.py produce --count 100 --pause 0

Beside each line stands the Ruby that it was. ``starling_scripts_trio.py`` has the same for trio.
"""

import argparse
import itertools
import time
from pathlib import Path

from starling_py.client import Starling, StarlingError


def hello(starling: Starling) -> None:
    """Send a greeting through a queue."""
    starling.set("hello", "Hello, World!")  # starling.set('hello', 'Hello, World!')
    print(starling.get("hello"))  # puts starling.get('hello')
    print(starling.fetch("hello"))  # p starling.fetch('hello')


def produce(starling: Starling, count: int | None, pause: float) -> None:
    """Put increasing numbers into a queue."""
    for number in itertools.islice(itertools.count(1), count):  # (1..count).each do |number|
        starling.set("numbers", number)  # starling.set('numbers', number)
        print("put", number, flush=True)  # puts "put #{number}"
        time.sleep(pause)  # sleep pause


def consume(starling: Starling, count: int | None) -> None:
    """Take numbers out of a queue as they come."""
    for _ in itertools.islice(itertools.count(), count):  # count.times do
        print("got", starling.get("numbers"), flush=True)  # puts "got #{starling.get('numbers')}"


def log(starling: Starling, name: str) -> None:
    """Log into a queue, as the programs on many machines do."""
    for level, text in (("info", "begin"), ("error", "the work failed")):
        # Ruby kept the hash's keys as symbols; JSON has only texts.
        record = {"program": name, "level": level, "text": text}
        starling.set("log", record)  # starling.set('log', record)


def write(starling: Starling, path: Path, count: int | None) -> None:
    """Write what all of them logged into one file."""
    with path.open("a", encoding="utf-8") as file:  # File.open(path, 'a') do |file|
        for _ in itertools.islice(itertools.count(), count):  # count.times do
            record = starling.get("log")  # record = starling.get('log')
            file.write(f"{record['program']} {record['level']}: {record['text']}\n")
            file.flush()  # file.flush


def show(starling: Starling) -> None:
    """Show what is in the queues, empty them, and delete them."""
    print(starling.available_queues())  # p starling.available_queues
    print(starling.sizeof())  # p starling.sizeof(:all)
    for queue in starling.available_queues():  # starling.available_queues.each do |queue|
        print(queue, starling.sizeof(queue))  # puts "#{queue} #{starling.sizeof(queue)}"
        starling.flush(queue, print)  # starling.flush(queue) { |value| puts value }
        starling.delete(queue)  # starling.delete(queue)
    for server, stats in starling.stats().items():  # starling.stats.each do |server, stats|
        # puts "#{server} took #{stats['cmd_set']} items"
        print(f"{server} took {stats['cmd_set']} items")


def main() -> None:
    """Run one of them."""
    # In front of a command or behind it.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument("--server", action="append", help="host:port; may be given several times")
    description = "Scripts of Ruby's Starling class, in Python."
    parser = argparse.ArgumentParser(description=description, parents=[where])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("hello", hello), ("show", show)):
        commands.add_parser(name, parents=[where], help=what.__doc__)
    producing = commands.add_parser("produce", parents=[where], help=produce.__doc__)
    producing.add_argument("--pause", type=float, default=0.5, help="seconds between two numbers")
    logging = commands.add_parser("log", parents=[where], help=log.__doc__)
    logging.add_argument("name", help="the program's name")
    writing = commands.add_parser("write", parents=[where], help=write.__doc__)
    writing.add_argument("file", type=Path)
    consuming = commands.add_parser("consume", parents=[where], help=consume.__doc__)
    for parts in (producing, writing, consuming):
        parts.add_argument("--count", type=int, help="stop after so many")
    options = parser.parse_args(namespace=argparse.Namespace(server=None))

    # starling = Starling.new(['127.0.0.1:22122'])
    starling = Starling(options.server or ["127.0.0.1:22122"])
    match options.command:
        case "hello":
            hello(starling)
        case "produce":
            produce(starling, options.count, options.pause)
        case "consume":
            consume(starling, options.count)
        case "log":
            log(starling, options.name)
        case "write":
            write(starling, options.file, options.count)
        case _:
            show(starling)
    starling.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    except StarlingError as problem:
        raise SystemExit(f"no server: {problem}") from None
