"""The commands for the file of users: add, passwd, rm. They change a file, and ask no server.

The file is replaced as a whole, by one that is written beside it, so that a server which reads it
meanwhile has the old or the new one. A password comes from the terminal, twice and unseen, or as
the first line of standard input; it is never an argument, which every process could read.
"""

import argparse
import contextlib
import getpass
import os
import stat
import sys
from pathlib import Path
from typing import Final

from starling_py.ctl.command import Command, Context
from starling_py.ctl.errors import DONE, CtlError, NotFoundError, UsageError
from starling_py.security import users_file
from starling_py.security.passwords import MAX_PASSWORD, Hash
from starling_py.security.users_file import UsersFileError

DEFAULT_FILE: Final = "/etc/starling/users"
_MODE: Final = 0o600
_AGAIN: Final = "a server reads it again with: starling-ctl reload"


def add(context: Context) -> int:
    """Add a user with a password."""
    text, name = _text(context, may_be_missing=True), context.options.name
    if name in _read(text):
        raise UsageError(f"there is a user {name} already; passwd changes its password")
    return _change(context, text, name, "added")


def passwd(context: Context) -> int:
    """Give a user another password."""
    text, name = _text(context), context.options.name
    if name not in _read(text):
        raise NotFoundError(f"there is no user {name!r}")
    return _change(context, text, name, "changed")


def remove(context: Context) -> int:
    """Remove a user."""
    text, name = _text(context), context.options.name
    if name not in _read(text):
        raise NotFoundError(f"there is no user {name!r}")
    _write(_path(context), users_file.without_user(text, name))
    context.output.record({"user": name, "done": "removed"}, f"{name} removed; {_AGAIN}")
    return DONE


def _change(context: Context, text: str, name: str, done: str) -> int:
    if not users_file.NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a user: letters, digits, . _ - and @")
    changed = users_file.with_user(text, name, Hash.of(_password()))
    _write(_path(context), changed)
    context.output.record({"user": name, "done": done}, f"{name} {done}; {_AGAIN}")
    return DONE


def is_asked() -> bool:
    """Tell whether there is somebody to ask for a password."""
    return sys.stdin.isatty()


def _password() -> bytes:
    if is_asked():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise UsageError("the two are not the same; nothing was done")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    data = password.encode("utf-8", "surrogateescape")
    if not data:
        raise UsageError("a password must not be empty; nothing was done")
    if len(data) > MAX_PASSWORD or b"\0" in data:
        raise UsageError(f"a password has at most {MAX_PASSWORD} bytes, and no zero among them")
    return data


def _path(context: Context) -> Path:
    """Return the file itself: behind a link, what the link leads to."""
    return Path(context.options.file).resolve()


def _text(context: Context, *, may_be_missing: bool = False) -> str:
    try:
        return _path(context).read_text("utf-8")
    except FileNotFoundError:
        if may_be_missing:
            return ""
        raise
    except UnicodeDecodeError:
        raise CtlError(f"{context.options.file}: is not UTF-8") from None


def _read(text: str) -> dict[str, Hash]:
    try:
        return users_file.read(text)
    except UsersFileError as problem:
        raise CtlError(str(problem)) from None


def _write(path: Path, text: str) -> None:
    """Replace a file by one with its owner and its mode, or a new one that only its owner reads."""
    beside = path.with_name(f".{path.name}.new")
    before = path.stat() if path.exists() else None
    mode = _MODE if before is None else stat.S_IMODE(before.st_mode)
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if before is not None and (before.st_uid, before.st_gid) != (
                os.geteuid(),
                os.getegid(),
            ):
                os.chown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the user")
    parser.add_argument(
        "-f",
        "--file",
        default=DEFAULT_FILE,
        help=f"users_file of the server (default: {DEFAULT_FILE})",
    )


_PASSWORD: Final = "The password is asked for, or is the first line of standard input."

COMMANDS: Final = (
    Command(
        "user",
        "change the file of users",
        lambda _: DONE,
        family=(
            Command("add", "add a user with a password", add, _arguments, _PASSWORD),
            Command("passwd", "give a user another password", passwd, _arguments, _PASSWORD),
            Command("rm", "remove a user", remove, _arguments),
        ),
    ),
)
