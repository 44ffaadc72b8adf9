"""The commands snapshot, backup and restore: what all queues held at one moment.

A backup is made on the machine of the server: the snapshot stands in its spool.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

from starling_py.ctl import spool_copy
from starling_py.ctl.command import Command, Context
from starling_py.ctl.errors import DONE, CommandRefused, CtlError, UsageError
from starling_py.ctl.output import count, progress, size
from starling_py.ctl.serving import ask

_SNAPSHOTS = ".snapshots"
_PATIENCE = 3600.0
"""Seconds that the server may take for a snapshot: it copies what is still written to."""


def snapshot(context: Context) -> int:
    """Have the server keep what all queues hold now."""
    context.options.timeout = max(context.options.timeout, _PATIENCE)
    name = context.options.name or _a_name("snapshot")
    _take(context, name)
    where = f"{context.remote.settings().get('queue_path', '')}/{_SNAPSHOTS}/{name}"
    context.output.record({"snapshot": name, "path": where}, f"snapshot {name} made: {where}")
    return DONE


def backup(context: Context) -> int:
    """Take a snapshot, copy it to a directory, and remove it."""
    context.options.timeout = max(context.options.timeout, _PATIENCE)
    target = Path(os.path.abspath(context.options.directory))  # noqa: PTH100 - links stay
    spool = _spool(context)
    _refuse_wrong(target, spool)
    name = _a_name("backup")
    made = spool / _SNAPSHOTS / name
    _take(context, name)
    try:
        if not made.is_dir():
            raise CtlError(
                f"{made}: the snapshot is not here; a backup is made where the server is"
            )
        queues, total = spool_copy.sizes(made)
        with progress(total, "bytes") as bar:
            spool_copy.back_up(made, target, bar.update)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    text = f"{count(queues, 'queue')}, {size(total)} in {target}"
    context.output.record({"path": str(target), "queues": queues, "bytes": total}, text)
    return DONE


def _take(context: Context, name: str) -> None:
    told = ask(context.remote, b"snapshot %b" % os.fsencode(name), "snapshot")
    if told != "OK":
        raise CommandRefused(told)


def _a_name(kind: str) -> str:
    return f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def _spool(context: Context) -> Path:
    """Return where the server's spool is, on this machine. Raises ``UsageError``."""
    told = context.options.spool or context.remote.settings().get("queue_path", "")
    spool = Path(told)
    if not (context.options.spool or spool.is_absolute()):
        raise UsageError(f"the server's queue_path, {told!r}, is relative: say --spool PATH")
    if not os.access(spool, os.R_OK | os.W_OK | os.X_OK):
        why = "cannot be changed by this user" if spool.exists() else "is not on this machine"
        raise UsageError(f"{spool}, the server's spool, {why}")
    return spool


def _refuse_wrong(target: Path, spool: Path) -> None:
    """Refuse a place for a backup before anything is done. Raises ``UsageError``."""
    if spool.resolve() in (target.resolve(), *target.resolve().parents):
        raise UsageError(f"{target} is in the spool")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: is there already; a backup makes a directory of its own")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: no such directory")


def restore(context: Context) -> int:
    """Copy a backup into an empty spool that no server is using."""
    source, spool = Path(context.options.directory), Path(context.options.into)
    spool_copy.look_like_a_spool(source)
    if not spool.resolve().parent.is_dir():
        raise UsageError(f"{spool.resolve().parent}: no such directory")
    queues, total = spool_copy.sizes(source)
    with progress(total, "bytes") as bar:
        spool_copy.restore(source, spool, bar.update)
    text = f"{count(queues, 'queue')}, {size(total)} restored into {spool}; start a server on it"
    context.output.record({"path": str(spool), "queues": queues, "bytes": total}, text)
    return DONE


def _snapshot_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="the date and time without")


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="is made; it must not be there, or empty")
    parser.add_argument(
        "--spool", metavar="PATH", help="the server's spool, if it is called otherwise here"
    )


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="a backup, or a snapshot")
    parser.add_argument("into", metavar="SPOOL", help="the queue_path of a server that is stopped")


COMMANDS = (
    Command(
        "snapshot",
        "keep what all queues hold now, in the server's spool",
        snapshot,
        _snapshot_arguments,
        "It stands in .snapshots/NAME of the spool; remove it as any directory. The server needs\n"
        "allow_snapshot: true.",
    ),
    Command(
        "backup",
        "copy what all queues hold now to a directory, while the server serves",
        backup,
        _backup_arguments,
        "Run it on the server's machine, as its user or root. The server needs\n"
        "allow_snapshot: true. starling-journal verify DIR checks every byte of it.",
    ),
    Command("restore", "copy a backup into an empty spool", restore, _restore_arguments),
)
"""What this module brings."""
