"""What a subcommand is: its name, its options, and what it does. A new one is one more of these."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from starling_py.connecting import login
from starling_py.connecting.address import Address, AddressError
from starling_py.ctl.errors import UsageError
from starling_py.ctl.output import Output
from starling_py.ctl.remote import Remote


@attrs.define
class Context:
    """What every command has at hand."""

    options: argparse.Namespace
    output: Output
    connect: Callable[[Address, float], Remote] = Remote.at
    _remote: Remote | None = None

    @property
    def address(self) -> Address:
        """Where the server is. Raises ``UsageError``."""
        try:
            return Address.parse(self.options.server)
        except AddressError as error:
            raise UsageError(f"--server: {error}") from error

    @property
    def remote(self) -> Remote:
        """The server, connected to when it is first asked. Raises ``UnreachableError``."""
        if self._remote is None:
            self._remote = self.connect(self.address, self.options.timeout)
        return self._remote

    def close(self) -> None:
        """Hang up."""
        if self._remote is not None:
            self._remote.close()
            self._remote = None

    def confirm(self, question: str) -> None:
        """Ask whether to go on, unless ``--yes`` was given.

        Raises ``UsageError`` when the answer is no, or there is nobody to ask.
        """
        if self.options.yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(f"{question} Without a terminal, say --yes; nothing was done")
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("nothing was done")


def nothing(_: argparse.ArgumentParser) -> None:
    """Add no options."""


@attrs.frozen
class Command:
    """A subcommand, or a family of them."""

    name: str
    help: str
    """One line, beginning with a verb in lower case."""
    run: Callable[[Context], int]
    """Does it, and returns the exit status; raises ``CtlError``."""
    arguments: Callable[[argparse.ArgumentParser], None] = nothing
    more: str = ""
    """What ``--help`` says beyond that."""
    family: Sequence["Command"] = ()
    """Commands below this one, as ``add`` in ``user add``; ``run`` is not used then."""


def queue_argument(parser: argparse.ArgumentParser, name: str = "queue", **more: Any) -> None:  # noqa: ANN401 - as argparse has it
    """Add an argument that is a queue's name, completed from those of the server."""
    argument = parser.add_argument(
        name, metavar=more.pop("metavar", name.lstrip("-").upper()), **more
    )
    argument.completer = complete_queue  # type: ignore[attr-defined]


def queue_patterns(parser: argparse.ArgumentParser, *, at_least_one: bool) -> None:
    """Add an argument of names and patterns."""
    queue_argument(
        parser,
        "queues",
        metavar="QUEUE",
        nargs="+" if at_least_one else "*",
        help="names, or patterns with * ? [a-z], in quotes for the shell"
        + ("" if at_least_one else "; all without"),
    )


def complete_queue(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Return the names that begin so, for the shell's completion; nothing if that fails."""
    try:
        remote = Remote.at(Address.parse(parsed_args.server), 2.0, login.nobody)
        try:
            return [each.shown for each in remote.queues() if each.shown.startswith(prefix)]
        finally:
            remote.close()
    except Exception:  # a shell that completes must hear nothing
        return []


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers in a range, for argparse."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")
        return int(text)

    return number


def seconds(text: str) -> float:
    """Read a span of time: seconds, or with a unit: ``90``, ``1.5s``, ``5m``, ``2h``, ``1d``."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    digits = text[:-1] if text[-1:] in units else text
    try:
        value = float(digits) * units.get(text[-1:], 1)
    except ValueError:
        value = -1.0
    if not (0 <= value < 1e9):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no span of time, such as 90, 1.5s, 5m, 2h, 1d"
        )
    return value
