"""The user and the group that the server runs as, when root starts it.

Nothing of root's is left afterwards: neither user nor group, real, effective or saved, nor other
groups; that is read back. A number needs no entry among the users and groups of the machine.
"""

import grp
import os
import pwd
from typing import Final

import attrs

from starling_py.server.errors import ProcessError
from starling_py.settings.server_settings import Settings

_MOST: Final = 2**32 - 2
"""The largest number of a user or a group; the one above it means "no change" to the system."""


@attrs.frozen
class Identity:
    """A user and a group, by their numbers; ``name`` is the user's, if it has one."""

    user: int
    group: int
    name: str | None


def change_identity(settings: Settings) -> None:
    """Become the user and group of the settings. Raises ``ProcessError``."""
    if settings.user is None and settings.group is None:
        return
    wanted = ":".join(filter(None, (settings.user, settings.group)))
    try:
        identity = _identity(settings.user, settings.group)
        if _is(identity):
            return
        _become(identity)
    except PermissionError as error:
        raise ProcessError(f"cannot run as {wanted}: only root can") from error
    except (LookupError, ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.args[0]
        raise ProcessError(f"cannot run as {wanted}: {reason}") from error
    if not _is(identity) or not set(os.getgroups()) <= set(_groups(identity)):
        raise ProcessError(
            f"cannot run as {wanted}: the system let the process keep its old rights"
        )


def _identity(user: str | None, group: str | None) -> Identity:
    number, own_group, name = os.geteuid(), os.getegid(), None
    if user is not None:
        number, own_group, name = _user(user)
    return Identity(number, own_group if group is None else _group(group), name)


def _user(user: str) -> tuple[int, int, str | None]:
    """Return a user's number, group and name; a number without an entry is its own group."""
    if user.isdecimal():
        number = _number(user)
        try:
            entry = pwd.getpwuid(number)
        except KeyError:
            return number, number, None
    else:
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            raise LookupError(f"there is no user {user}") from None
    return entry.pw_uid, entry.pw_gid, entry.pw_name


def _group(group: str) -> int:
    if group.isdecimal():
        return _number(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise LookupError(f"there is no group {group}") from None


def _number(text: str) -> int:
    number = int(text)
    if number > _MOST:
        raise ValueError(f"{text} is too large a number")
    return number


def _become(identity: Identity) -> None:
    """Change the groups first: a user may not."""
    os.setgroups(_groups(identity))
    os.setgid(identity.group)
    os.setuid(identity.user)


def _groups(identity: Identity) -> list[int]:
    """Return the group and the others that the user is in."""
    if identity.name is None:
        return [identity.group]
    return os.getgrouplist(identity.name, identity.group)


def _is(identity: Identity) -> bool:
    """Tell whether the process is this user and group, and can be no other."""
    users: tuple[int, ...] = (os.getuid(), os.geteuid())
    groups: tuple[int, ...] = (os.getgid(), os.getegid())
    if hasattr(os, "getresuid"):
        users, groups = os.getresuid(), os.getresgid()
    return set(users) == {identity.user} and set(groups) == {identity.group}
