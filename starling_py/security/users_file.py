"""The file of users: a line for each, with its name, a colon, and the hash of its password.

Empty lines and those that begin with ``#`` mean nothing, and are left as they are. Nothing here
opens a file: text comes in, and text goes out. Invariant: no message has any part of a line but the
name of a user that is a right one.
"""

import re
from typing import Final

from starling_py.security.passwords import Hash

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
"""What a user may be called: nothing that could be a comment, a colon, a blank or a log's word."""
MAX_USERS: Final = 10_000


class UsersFileError(Exception):
    """What is wrong with a file of users; its text is fit to be shown."""


def read(text: str) -> dict[str, Hash]:
    """Return the hash of each user; raise ``UsersFileError`` for the first line that is wrong."""
    users: dict[str, Hash] = {}
    for number, line in enumerate(text.split("\n"), 1):
        name, colon, kept = line.strip("\r \t").partition(":")
        if not name + colon or name.startswith("#"):
            continue
        if not colon or not NAME.fullmatch(name):
            raise UsersFileError(f"line {number}: is not of the form NAME:HASH")
        if name in users:
            raise UsersFileError(f"line {number}: {name} stands twice")
        try:
            users[name] = Hash.parse(kept)
        except ValueError as problem:
            hint = "; starling-ctl user passwd makes one"
            raise UsersFileError(f"line {number}: what {name} has {problem}{hint}") from None
        if len(users) > MAX_USERS:
            raise UsersFileError(f"line {number}: there are more than {MAX_USERS} users")
    return users


def with_user(text: str, name: str, kept: Hash) -> str:
    """Return the text with a user's new hash, in its place if it has one.

    Raises ``UsersFileError`` for a name that no user can have.
    """
    if not NAME.fullmatch(name):
        raise UsersFileError(f"{name!r} is no name of a user: letters, digits, . _ - and @")
    lines = text.split("\n") if text else [""]
    places = [place for place, line in enumerate(lines) if _is_of(line, name)]
    if places:
        lines[places[0]] = f"{name}:{kept}"
    else:
        last = lines.pop()
        lines += [*([last] if last else []), f"{name}:{kept}", ""]
    return "\n".join(lines)


def without_user(text: str, name: str) -> str:
    """Return the text without a user; raise ``UsersFileError`` if there is no such user."""
    lines = text.split("\n")
    left = [line for line in lines if not _is_of(line, name)]
    if len(left) == len(lines):
        raise UsersFileError(f"there is no user {name!r}")
    return "\n".join(left)


def _is_of(line: str, name: str) -> bool:
    return line.strip("\r \t").partition(":")[0] == name and ":" in line
