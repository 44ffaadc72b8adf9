"""The command ``starling-journal``: options in, lines out, errors as one line.

Invariants: ``verify``, ``dump`` and ``stats`` write nothing; a path or an option that is wrong is
one line on stderr and status 2; a closed pipe is no error.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, TypeAlias

import starling_py
from starling_py.offline import commands, output
from starling_py.offline.errors import (
    ImportFailedError,
    ImportRefused,
    OutputClosedError,
    OutputFailedError,
    WrongPathError,
)

_DESCRIPTION = """\
Works on the journals of starling-py on disk, without a server: checks them, shows what is in
them, and takes over the queues of a Ruby Starling or of Kestrel.
"""
_EPILOG = """\
examples:
  starling-journal verify /var/spool/starling            is everything as it was written?
  starling-journal stats /var/spool/starling             how much is in each queue
  starling-journal dump /var/spool/starling/jobs         every record of one queue
  starling-journal dump --live --json .../jobs           its items alone, as JSON
  starling-journal dump --data 17 .../jobs > item        the data of one item
  starling-journal flatten /var/spool/starling           write back what the log tells
  starling-journal import --from starling OLD NEW        the queues of a Ruby Starling

`starling-journal COMMAND --help` tells the options of a command.

exit status: 0 sound and done, 1 there is damage or something could not be read, 2 wrong usage
or refused: nothing was done.
"""
_VERIFY = """\
Reads every byte of a spool, or of one queue's directory, and changes nothing: checksums, headers,
the order of ids, that each checkpoint agrees with what is in front of it, and that every item in
the queues is there. One line a queue; below it what is damaged, with the file and the byte, and
notes on what a crash leaves, which is no damage.
"""
_DUMP = """\
Prints every record of one queue's journal, one a line, oldest first. What is damaged is passed
over up to the next sound record, and a line says how many bytes that were. If something is
damaged or missing, standard error says at the end that the dump is partial, and the status is 1.
"""
_STATS = """\
Prints what each queue of a spool, or the queue in a directory, holds, as a start would find it.
DISK is all files, LIVE the records of the items that are in the queue, DEAD the rest of DISK, AGE
how long the item at the head has waited. Only the last segment of each queue is read: verify finds
damage in the others.
"""
_FLATTEN = """\
Writes what the log of a spool tells into the segments, syncs them, and removes the log, as a
start does. There is a log only after a server was killed or lost its power. Do this before you take
single queues out of the spool, or go back to an older server.
"""
_IMPORT = """\
Takes queues of an old spool over into a spool of this server, all of them unless --queue is given:
items in their order, with when they were put and when they expire. Stop the old server first; its
files are only read. NEW is made if it is missing; otherwise no server may be using it, and it must
have no queue of the same name. All queues arrive together, or none of them does; if the import is
killed, give the same command again.

A file without a single sound record is left alone: OLD may be a folder of logs, say.
"""
_IMPORT_EXAMPLES = """\
examples:
  starling-journal import --from starling log /var/spool/starling
  starling-journal import --from kestrel --queue jobs --queue 'mail.*' OLD NEW
  starling-journal import --from starling --rename 'my queue=my_queue' OLD NEW
"""


class _Parser(argparse.ArgumentParser):
    """Reports a wrong option in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (try --help)", file=sys.stderr)
        sys.exit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; wrong options exit with 2."""
    options = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A path may have characters that the terminal's encoding does not.
            stream.reconfigure(errors="backslashreplace")
    try:
        status: int = options.run(options)
        output.flush()
    except (WrongPathError, ImportRefused) as problem:
        return _fail(str(problem), 2)
    except ImportFailedError as problem:
        return _fail(str(problem), 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)
    except (OutputClosedError, OutputFailedError) as problem:
        # What is still in the buffer would fail again, loudly, when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if isinstance(problem, OutputClosedError) else _fail(str(problem), 1)
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="starling-journal",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = f"starling-journal {starling_py.__version__}"
    parser.add_argument(
        "-V", "--version", action="version", version=version, help="print the version, and exit"
    )
    each = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    verify = _command(each, "verify", "check journals and tell what is damaged", _VERIFY)
    verify.add_argument("path", metavar="PATH", help="a spool, or one queue's directory")
    _add_progress(verify)
    verify.set_defaults(run=commands.run_verify)
    _add_dump(each)
    stats = _command(each, "stats", "print how much is in each queue", _STATS)
    stats.add_argument("path", metavar="PATH", help="a spool, or one queue's directory")
    stats.add_argument("--json", action="store_true", help="print one JSON object")
    stats.set_defaults(run=commands.run_stats)
    flatten = _command(each, "flatten", "write back what the log tells, and remove it", _FLATTEN)
    flatten.add_argument("path", metavar="PATH", help="a spool that no server is using")
    flatten.set_defaults(run=commands.run_flatten)
    _add_import(each)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def _command(
    commands: _Commands, name: str, short: str, text: str, examples: str | None = None
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=short,
        description=text,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_dump(each: _Commands) -> None:
    dump = _command(each, "dump", "print the records of one queue's journal", _DUMP)
    dump.add_argument("path", metavar="PATH", help="one queue's directory")
    what = dump.add_mutually_exclusive_group()
    what.add_argument(
        "--live",
        action="store_true",
        help="only the items in the queue, the next to be handed out first",
    )
    what.add_argument(
        "--data", type=_item_id, metavar="ID", help="the data of this item alone, as it is"
    )
    dump.add_argument(
        "--json", action="store_true", help="one JSON object a line, data whole, as base64"
    )
    dump.set_defaults(run=commands.run_dump)


def _add_import(each: _Commands) -> None:
    short = "take over the queues of another server"
    take = _command(each, "import", short, _IMPORT, _IMPORT_EXAMPLES)
    take.add_argument(
        "--from",
        dest="server",
        required=True,
        choices=commands.OLD_SERVERS,
        help="whose spool OLD is",
    )
    take.add_argument("old", metavar="OLD", help="the old server's queue_path")
    take.add_argument("new", metavar="NEW", help="the queue_path of this server")
    take.add_argument(
        "--queue",
        action="append",
        default=[],
        type=os.fsencode,
        metavar="NAME",
        help="take over this queue only, or those that match a pattern with * and ?; repeatable",
    )
    take.add_argument(
        "--rename",
        action="append",
        default=[],
        type=os.fsencode,
        metavar="OLD=NEW",
        help="call the queue OLD NEW here; repeatable",
    )
    take.add_argument(
        "--expired",
        choices=("keep", "drop"),
        default="drop",
        help="what to do with items that have expired (default: %(default)s)",
    )
    _add_progress(take)
    take.set_defaults(run=commands.run_import)


def _add_progress(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--progress",
        action="store_true",
        help="show the progress on standard error also where that is no terminal",
    )


def _item_id(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) < 2**64):
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of an item")
    return int(text)


def _fail(text: str, status: int) -> int:
    output.warn(text)
    return status
