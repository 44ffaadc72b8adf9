"""The command ``starling-top``: options in, one of four outputs out, errors as one line.

Invariants: a server that cannot be reached at the start, or that has no queues because it is none
of the family, is one line on stderr and status 1 in every mode; a closed pipe is no error.
"""

import argparse
import io
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TextIO

import starling_py
from starling_py.connecting import login
from starling_py.connecting.address import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    SERVER_VARIABLE,
    Address,
    AddressError,
    port_number,
)
from starling_py.connecting.errors import LoginError
from starling_py.connecting.login import Login
from starling_py.top import plain
from starling_py.top.client import StatsClient, StatsError
from starling_py.top.formats import json_value, printable
from starling_py.top.rows import COLUMNS
from starling_py.top.snapshot import Snapshot, foreign, take_changes, take_snapshot

_DESCRIPTION = """\
Shows what a starling-py server, or any server that answers memcached's `stats` with
Starling's names, is doing: as a live table of its queues, or once and for all as text.
In the live table a queue can be looked into, paused, moved, emptied and deleted.
"""
_EPILOG = """\
SERVER is HOST:PORT, HOST, [::1]:PORT, tls:HOST:PORT or unix:/PATH, with USER@ before the host
where the server has users. The password is in STARLING_PASSWORD_FILE or STARLING_PASSWORD, or asked
for. STARLING_USER, STARLING_CA and STARLING_CERT are those of starling-ctl.

examples:
  starling-top                              watch the server on this machine
  starling-top queues.example:22122 -d 5    watch another one, every five seconds
  starling-top --sort age                   the queue whose head waits longest first
  starling-top --once                       the table, once, as text
  starling-top --once --raw | grep _age     every statistic, a line each, sorted
  starling-top --json | jq .curr_items      the same as one JSON object

keys of the live table: ? shows them all
  Enter  look at one queue    /  filter    < > 1-9 r  sort    q  quit

exit status: 0 done, 1 the server could not be reached, 2 wrong usage.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; wrong options exit with 2, as argparse does."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.raw and not options.once:
        parser.error("--raw goes with --once")
    try:
        address = _address(options)
    except AddressError as error:
        parser.error(str(error))
    once = options.once or options.json
    if not (once or (_is_terminal(sys.stdin) and _is_terminal(sys.stdout))):
        return _fail("the live table needs a terminal; use --once or --json", 2)
    try:
        user = Login.of(address)
    except LoginError as error:
        return _fail(str(error), 2)
    with closing(StatsClient(address, user=user)) as client:
        try:
            everything = options.json or options.raw
            stats = client.stats() if everything else client.changes(b"", 100_000)
        except StatsError as error:
            return _fail(f"cannot reach {address}: {login.advice(str(error))}", 1)
        taken = time.monotonic()
        snapshot = take_changes(None, stats, taken) or take_snapshot(stats, taken)
        if (other := foreign(snapshot)) is not None:
            return _fail(f"{address} is a {other} server: it has no queues", 1)
        if options.json:
            return _print(_json_text(stats))
        if options.once and options.raw:
            return _print(_lines(stats))
        if options.once:
            column = next(column for column in COLUMNS if column.key == options.sort)
            return _print(plain.table(snapshot, column, options.reverse, _width()))
        return _watch(client, snapshot, address, options)


def _is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal; one that was closed is none."""
    return stream is not None and stream.isatty()


def _width() -> int | None:
    """Return how many cells a line of standard output has; None where nobody cares."""
    if not _is_terminal(sys.stdout):
        return None
    return shutil.get_terminal_size().columns


def _address(options: argparse.Namespace) -> Address:
    """Return where the server is. Raises ``AddressError``."""
    if options.server is not None and options.at is not None:
        raise AddressError("the server is given twice")
    text = options.server if options.server is not None else options.at
    if text is not None and options.hostname is not None:
        raise AddressError("the server is given twice: leave -h out")
    if text is None:
        text = options.hostname
    if text is None and options.port is None:
        text = os.environ.get(SERVER_VARIABLE)
    return Address.parse(text or DEFAULT_HOST, options.port or DEFAULT_PORT)


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
    add("at", nargs="?", metavar="SERVER", help=f"default: ${SERVER_VARIABLE}, or 127.0.0.1:22122")
    add("--server", metavar="SERVER", help="the same")
    add("-h", "--hostname", metavar="HOST", help="the same, as in the original (so not help)")
    add("-p", "--port", type=_port, help=f"where SERVER has none; default: {DEFAULT_PORT}")
    add("--once", action="store_true", help="print the table once, and exit")
    add("--raw", action="store_true", help="with --once: all statistics, as sorted lines")
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
    try:
        return port_number(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _delay(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 3600")
    return seconds


def _watch(
    client: StatsClient, first: Snapshot, address: Address, options: argparse.Namespace
) -> int:
    # Loading urwid and trio takes longer than all of --once.
    from starling_py.top import terminal
    from starling_py.top.monitor import Monitor

    column = next(column for column in COLUMNS if column.key == options.sort)
    monitor = Monitor(str(address), column, options.reverse)
    # The convention of no-color.org: any value but the empty one.
    colours = not os.environ.get("NO_COLOR")
    terminal.run(client, first, monitor, options.delay, colours)
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
    if sys.stdout is None:
        return _fail("cannot write: standard output is closed", 1)
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


def _fail(text: str, status: int) -> int:
    print(f"starling-top: {text}", file=sys.stderr)
    return status
