"""The command ``starling-ctl``: options in, one subcommand run, its exit status out.

Invariants: whatever goes wrong is one line on standard error and a status that ``errors`` names; a
closed pipe is no error; nothing is sent before the whole command line is understood.
"""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import starling_py
from starling_py.connecting.address import DEFAULT_HOST, DEFAULT_PORT, SERVER_VARIABLE
from starling_py.ctl import (
    acting,
    backing_up,
    checking,
    completing,
    items,
    looking,
    serving,
    transfer,
    users,
    watching,
)
from starling_py.ctl.checking import UNKNOWN
from starling_py.ctl.command import Command, Context, seconds
from starling_py.ctl.errors import FAILED, INTERRUPTED, WRONG_USAGE, CtlError
from starling_py.ctl.output import Output, warn

COMMANDS: tuple[Command, ...] = (
    *looking.COMMANDS,
    *items.COMMANDS,
    *acting.COMMANDS,
    *serving.COMMANDS,
    *checking.COMMANDS,
    *watching.COMMANDS,
    *transfer.COMMANDS,
    *backing_up.COMMANDS,
    *users.COMMANDS,
    *completing.COMMANDS,
)
"""All subcommands, in the order in which ``--help`` lists them."""
DEFAULT_SERVER = f"{DEFAULT_HOST}:{DEFAULT_PORT}"
DEFAULT_TIMEOUT = 30.0
_DESCRIPTION = "Looks at the queues of a starling-py server, and acts on them."
_EPILOG = """\
examples:
  starling-ctl ls --sort age                      which queue waits longest
  starling-ctl show jobs                          all about one, with who takes from it
  starling-ctl peek jobs 5                        its first five items
  starling-ctl move 'dead.*' --origin --yes       dead letters back to where they came from
  starling-ctl -s queues.example:22122 ls         another server
  starling-ctl --json ls | jq -r .queue           one JSON object a line

`starling-ctl COMMAND --help` tells the options of a command.

exit status: 0 done, 1 refused or something is wrong, 2 wrong usage or not confirmed: nothing was
done, 3 no such queue or item, or nothing to take, 4 the server cannot be reached or is none of
starling-py, 130 interrupted. That of check is what monitors expect.
"""


class _Parser(argparse.ArgumentParser):
    """Reports a wrong option in one line."""

    def error(self, message: str) -> NoReturn:
        warn(f"{_helpful(message)} (try {self.prog} --help)")
        # To a monitor, 2 would mean that the server is in a critical state.
        sys.exit(UNKNOWN if self.prog.endswith(" check") else WRONG_USAGE)


def _helpful(message: str) -> str:
    """Return what argparse says, but of a wrong command the nearest one in place of all."""
    wrong = re.match(r"argument COMMAND: invalid choice: '(.*)' \(choose from (.*)\)$", message)
    if wrong is None:
        return message
    near = difflib.get_close_matches(wrong[1], re.findall(r"[\w-]+", wrong[2]), 1)
    return f"there is no command {wrong[1]!r}" + (f"; did you mean {near[0]}?" if near else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; wrong options exit with 2."""
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        completing.offer(parser)
    return run(Context(options := parser.parse_args(argv), Output(as_json=options.json)))


def run(context: Context) -> int:
    """Run the subcommand that was chosen; return the exit status."""
    try:
        _ = context.address  # a wrong one is told before anything is done
        status: int = context.options.run(context)
        context.output.flush()
    except CtlError as problem:
        return _fail(context, str(problem), problem.status)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_output()
        return 0
    except OSError as error:
        _abandon_output()
        where = f"{error.filename}: " if error.filename else ""
        return _fail(context, f"{where}{error.strerror or error}", FAILED)
    finally:
        context.close()
    return status


def _fail(context: Context, text: str, status: int) -> int:
    """Tell what went wrong, behind what was printed before it."""
    try:
        context.output.flush()
    except OSError:
        _abandon_output()
    warn(text)
    return UNKNOWN if context.options.command == "check" else status


def _abandon_output() -> None:
    """Give up standard output: what is still in the buffer would fail again at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _parser(None, prog=completing.PROGRAM, description=_DESCRIPTION, epilog=_EPILOG)
    version = f"starling-ctl {starling_py.__version__}"
    parser.add_argument(
        "-V", "--version", action="version", version=version, help="print the version, and exit"
    )
    _common(parser, suppress=False)
    _add(parser, COMMANDS, ())
    return parser


def _parser(each: Any | None, **about: Any) -> argparse.ArgumentParser:  # noqa: ANN401 - argparse's
    make = _Parser if each is None else each.add_parser
    about |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    made: argparse.ArgumentParser = make(**about)
    return made


def _add(
    parser: argparse.ArgumentParser, commands: Sequence[Command], above: Sequence[str]
) -> None:
    """Add subcommands, and those below them."""
    each = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for command in commands:
        text = command.help[0].upper() + command.help[1:] + "."
        made = _parser(
            each, name=command.name, help=command.help, description=text, epilog=command.more
        )
        _common(made, suppress=True)
        path = (*above, command.name)
        if command.family:
            _add(made, command.family, path)
            continue
        command.arguments(made)
        made.set_defaults(run=command.run, command=" ".join(path))


def _common(parser: argparse.ArgumentParser, *, suppress: bool) -> None:
    """Add what every command takes, in front of its name or behind it."""

    def default(value: object) -> object:
        return argparse.SUPPRESS if suppress else value

    parser.add_argument(
        "-s",
        "--server",
        metavar="SERVER",
        default=default(os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER),
        help="host:port, host, [::1]:port, tls:host:port or unix:/path, with USER@ before the host "
        "where the server has users; "
        f"default: ${SERVER_VARIABLE}, or {DEFAULT_SERVER}",
    )
    parser.add_argument(
        "--json", action="store_true", default=default(False), help="one JSON object a line"
    )
    parser.add_argument(
        "-y", "--yes", action="store_true", default=default(False), help="ask nothing"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SPAN",
        default=default(DEFAULT_TIMEOUT),
        help=f"how long the server may be silent; default: {DEFAULT_TIMEOUT:.0f}",
    )
