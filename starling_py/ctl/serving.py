"""The commands for the whole server: drain, handover, reload."""

import argparse
import time
from collections.abc import Sequence

from starling_py.ctl import names
from starling_py.ctl.command import Command, Context, queue_patterns, seconds
from starling_py.ctl.connection import SocketWire
from starling_py.ctl.errors import DONE, CommandRefused, CtlError, UnreachableError
from starling_py.ctl.output import count, progress
from starling_py.ctl.overview import Overview
from starling_py.ctl.remote import Remote

RESTART = " This needs a restart: "
"""What a server says before the settings that a reload does not change."""
_LOOKS = 0.5
"""Seconds between two looks at how much is left."""
_LOOKS_FOR_OWNER = 0.02
"""Seconds between two looks at who serves."""
_PATIENCE = 30.0
_FOLLOWS = "the owner is "
"""What is followed by the owner's address, where another server says that."""


def drain(context: Context) -> int:
    """Have the server accept no more puts, and wait until the queues are empty."""
    options, remote = context.options, context.remote
    ask(remote, b"status UP" if options.off else b"status READONLY", "drain")
    if options.off:
        context.output.record({"draining": False}, "puts are accepted again")
        return DONE
    context.output.record({"draining": True}, "no puts are accepted; gets take what is there")
    if options.wait:
        _wait(context)
    return DONE


def _wait(context: Context) -> None:
    options = context.options
    end = None if options.patience is None else time.monotonic() + options.patience
    overview = Overview(context.remote)
    left = at_first = _left(overview, options.queues)
    with progress(at_first, "items") as bar:
        while left:
            if end is not None and time.monotonic() >= end:
                raise CtlError(f"{count(left, 'item')} left when the time was over")
            time.sleep(_LOOKS)
            now = _left(overview, options.queues)
            bar.update(left - now)
            left = now
    context.output.record({"left": 0}, "all empty")


def _left(overview: Overview, patterns: Sequence[str]) -> int:
    """Return how many items there are now, open ones too."""
    overview.look()
    return sum(
        queue.number("items") + queue.number("open_transactions")
        for queue in overview.queues.values()
        if not patterns or names.matches(queue.shown, patterns)
    )


def reload(context: Context) -> int:
    """Have the server read its configuration file again."""
    told = ask(context.remote, b"reload", "reload")
    done, _, needed = told.partition(RESTART)
    restart = needed.split("; ") if needed else []
    lines = [done, *(f"needs a restart: {each}" for each in restart)]
    context.output.record({"reloaded": True, "restart": restart, "text": told}, "\n".join(lines))
    return DONE


def handover(context: Context) -> int:
    """Have another server of the group take over, and wait until it serves."""
    began = time.monotonic()
    ask(context.remote, b"handover", "admin")
    owner = _next_owner(context, began + context.options.patience)
    took = time.monotonic() - began
    context.output.record(
        {"owner": owner, "seconds": round(took, 3)}, f"{owner} serves now, after {took:.1f} s"
    )
    return DONE


def _next_owner(context: Context, end: float) -> str:
    """Return where the owner is, once another server is it."""
    address, timeout, user = context.address, context.options.timeout, context.remote.user
    while time.monotonic() < end:
        time.sleep(_LOOKS_FOR_OWNER)
        try:
            Remote.over(SocketWire(address, timeout), str(address), user).close()
        except UnreachableError as problem:
            _, follows, owner = str(problem).partition(_FOLLOWS)
            if follows:
                return owner
    raise CtlError("it hands over, but no other server has taken over yet")


def ask(remote: Remote, command: bytes, setting: str) -> str:
    """Send a command that a setting allows, and return the reply; a refusal names the setting."""
    try:
        return remote.connection.ask(command).decode(errors="backslashreplace")
    except CommandRefused as problem:
        if str(problem).endswith("not enabled"):
            advice = f"{problem}; set allow_{setting}: true in its configuration, and restart it"
            raise CommandRefused(advice) from problem
        raise


def _drain_arguments(parser: argparse.ArgumentParser) -> None:
    queue_patterns(parser, at_least_one=False)
    parser.add_argument("--off", action="store_true", help="accept puts again")
    parser.add_argument("--wait", action="store_true", help="until the queues are empty")
    parser.add_argument(
        "--for", dest="patience", type=seconds, metavar="SPAN", help="wait so long at most: 5m"
    )


def _handover_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="patience",
        type=seconds,
        metavar="SPAN",
        default=_PATIENCE,
        help=f"wait so long at most for the other server; default: {_PATIENCE:.0f}",
    )


COMMANDS = (
    Command(
        "drain",
        "accept no more puts, so that the queues run empty",
        drain,
        _drain_arguments,
        "The queues that are named are those that --wait waits for. The server needs\n"
        "allow_drain: true.",
    ),
    Command(
        "handover",
        "have another server of the group take over, at once and without a loss",
        handover,
        _handover_arguments,
        "For servers with engine: jetstream. If no other server is ready, nothing happens.",
    ),
    Command(
        "reload",
        "read the settings of the queues again",
        reload,
        more="Settings of the server itself need a restart; those that are others now are named.\n"
        "The server needs allow_reload: true.",
    ),
)
"""What this module brings."""
