"""The command ``starling-top``: options in, one of three outputs out, errors as one line.

Invariants: a server that cannot be reached at the start is one line on stderr and status 1 in every
mode; a closed pipe is no error. Nothing is written to the server but ``stats``.
"""

import argparse
import io
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing

import starling_py
from starling_py.top.client import StatsClient, StatsError
from starling_py.top.model import COLUMNS, json_value, printable, take_snapshot

_DESCRIPTION = """\
Shows what a starling-py server, or any server that answers memcached's `stats` with
Starling's names, is doing: as a live table of its queues, or once and for all as text.
"""
_EPILOG = """\
examples:
  starling-top                              watch the server on this machine
  starling-top -h queues.example -d 5       watch another one, every five seconds
  starling-top --sort age                   the queue whose head waits longest first
  starling-top --once | grep _age           every statistic, a line each, sorted
  starling-top --json | jq .curr_items      the same as one JSON object

keys of the live table:
  < >  the column to sort by     1-9  pick it     r  reverse     q  quit
  arrows, PgUp, PgDn  scroll     a click on a heading sorts by it

exit status: 0 done, 1 the server could not be reached, 2 wrong usage.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; wrong options exit with 2, as argparse does."""
    options = _parser().parse_args(argv)
    if not (options.once or options.json or (sys.stdin.isatty() and sys.stdout.isatty())):
        return _fail("the live table needs a terminal; use --once or --json", 2)
    with closing(StatsClient(options.hostname, options.port)) as client:
        try:
            stats = client.stats()
        except StatsError as error:
            address = _address(options.hostname, options.port)
            return _fail(f"cannot reach {address}: {error}", 1)
        if options.json:
            return _print(_json_text(stats))
        if options.once:
            return _print(_lines(stats))
        return _watch(client, stats, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="starling-top",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-h", "--hostname", default="127.0.0.1", metavar="HOST", help="default: %(default)s")
    add("-p", "--port", type=_port, default=22122, help="default: %(default)s")
    add("--once", action="store_true", help="print all statistics as sorted lines, and exit")
    add("--json", action="store_true", help="print all statistics as a JSON object, and exit")
    add(
        "-d",
        "--delay",
        type=_delay,
        default=1.0,
        metavar="SECONDS",
        help="time between two looks at the server, 0.1 to 3600 (default: 1)",
    )
    keys = [column.key for column in COLUMNS]
    add(
        "--sort",
        choices=keys,
        default="items",
        metavar="COLUMN",
        help=f"order of the table: {', '.join(keys)} (default: %(default)s); "
        "names ascend, numbers descend",
    )
    add("-r", "--reverse", action="store_true", help="reverse that order")
    version = f"starling-top {starling_py.__version__}"
    add("-V", "--version", action="version", version=version, help="print the version, and exit")
    add("-?", "--help", action="help", help="print this, and exit")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def _delay(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 3600")
    return seconds


def _watch(client: StatsClient, stats: Mapping[bytes, bytes], options: argparse.Namespace) -> int:
    # Loading urwid and trio takes longer than all of --once.
    from starling_py.top import view

    column = next(column for column in COLUMNS if column.key == options.sort)
    top = view.TopView(_address(options.hostname, options.port), column, options.reverse)
    # The convention of no-color.org: any value but the empty one.
    colours = not os.environ.get("NO_COLOR")
    view.run(client, take_snapshot(stats, time.monotonic()), top, options.delay, colours)
    return 0


def _lines(stats: Mapping[bytes, bytes]) -> str:
    return "".join(
        f"{printable(key)}: {printable(value)}\n" for key, value in sorted(stats.items())
    )


def _json_text(stats: Mapping[bytes, bytes]) -> str:
    pairs = {
        key.decode(errors="backslashreplace"): json_value(key, value)
        for key, value in sorted(stats.items())
    }
    return json.dumps(pairs, indent=2) + "\n"


def _print(text: str) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A queue's name may have characters that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is still in the buffer would fail again, loudly, when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 0
        return _fail(f"cannot write: {error.strerror}", 1)
    return 0


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _fail(text: str, status: int) -> int:
    print(f"starling-top: {text}", file=sys.stderr)
    return status
