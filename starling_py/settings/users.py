"""What users may do: put, take and administer, each by names of queues and patterns of such.

A pattern is words with dots between them, as those of routes: ``*`` for one word, ``#`` for any
number of words and for children of queues too. What is not allowed is refused. Nothing here knows
passwords or who is connected.
"""
# ruff: noqa: RUF009 - ``setting`` makes an attrs.field, which is not a default shared by instances

from collections.abc import Mapping
from typing import Final

import attrs

from starling_py.security.patterns import Names, is_legal, words_of
from starling_py.security.users_file import NAME
from starling_py.settings.kinds import (
    COUNT,
    QUEUE,
    Kind,
    from_converted,
    legal_name,
    setting,
    table,
    whole,
)
from starling_py.settings.kinds import words_of as texts_of
from starling_py.settings.problems import Fault, converted, refuse

_MEMORY: Final = whole(4096, 1 << 40, "bytes from 4k to 1024g, such as 2g", "[kmg]?")


def _names(value: object) -> Names:
    if isinstance(value, Names):
        return value
    patterns = []
    for text in texts_of(value):
        try:
            pattern = legal_name(text)
        except ValueError:
            raise ValueError(f"must be {QUEUE.allowed}, or patterns of such") from None
        if not is_legal(words_of(pattern)):
            raise ValueError("* and # must be whole words, with dots or plus signs around them")
        patterns.append(pattern)
    return Names(patterns)


def _admin(value: object) -> bool | Names:
    return value if isinstance(value, bool) else _names(value)


_NAMES: Final = Kind("a list of names and patterns of queues", _names)
_ADMIN: Final = Kind("true, false or a list of names and patterns of queues", _admin)


@attrs.frozen(kw_only=True)
class User:
    """What one user may do; nothing, unless it is said."""

    # fmt: off
    put: Names | None = setting("Rights", None, _NAMES,
        "Queues that it may put items into")
    get: Names | None = setting("Rights", None, _NAMES,
        "Queues that it may take items from, and look at")
    admin: bool | Names = setting("Rights", False, _ADMIN,
        "Queues that it may flush, delete, pause, browse and so on; true: all, and the server")
    max_connections: int | None = setting("Budgets", None, COUNT,
        "Connections that it may have at the same time")
    client_memory: int | None = setting("Budgets", None, _MEMORY,
        "Part of the server's client_memory that all its connections together may take")
    # fmt: on

    @property
    def is_admin(self) -> bool:
        """Whether it administers the server, and so every queue."""
        return self.admin is True

    def may_put(self, name: bytes) -> bool:
        """Tell whether it may put items into a queue."""
        return self.put is not None and name in self.put

    def may_get(self, name: bytes) -> bool:
        """Tell whether it may take items from a queue, and look at them."""
        return self.get is not None and name in self.get

    def may_administer(self, name: bytes) -> bool:
        """Tell whether it may do to a queue what operators do."""
        return self.admin if isinstance(self.admin, bool) else name in self.admin

    def sees(self, name: bytes) -> bool:
        """Tell whether it may know of a queue."""
        return self.may_get(name) or self.may_put(name) or self.may_administer(name)


USER_TABLE: Final = table(User)
"""Every setting of a user, in the order of documentation."""

EVERYBODY: Final = User(put=Names([b"#"]), get=Names([b"#"]))
"""What a user may where the settings say nothing of users."""

Entries = Mapping[str, Mapping[str, object]]
"""Values by setting by name of a user, as a file may have them or as the fields hold them."""


def judge(entries: Entries) -> tuple[dict[str, dict[str, object]], list[Fault]]:
    """Return the good values of entries, as ``User`` holds them, and all faults.

    The place of a fault is the name of a user and, unless that is wrong, a setting.
    """
    good: dict[str, dict[str, object]] = {}
    faults: list[Fault] = []
    for name, values in entries.items():
        if not NAME.fullmatch(name):
            faults.append(Fault((name,), "must be a name of letters, digits, . _ - and @"))
        own, wrong = converted(User, values)
        good[name] = own
        faults += [attrs.evolve(fault, place=(name, *fault.place)) for fault in wrong]
    return good, faults


def _checked(entries: Entries) -> Mapping[str, User]:
    good, faults = judge(entries)
    refuse(faults)
    return {name: from_converted(User, **values) for name, values in good.items()}


@attrs.frozen
class Users:
    """All users of whom the settings say something.

    Raises ``ValueError`` with all faults of the entries, one a line.
    """

    entries: Mapping[str, User] = attrs.field(factory=dict, converter=_checked)

    def __len__(self) -> int:
        return len(self.entries)

    def of(self, name: str) -> User:
        """Return what a user may do: nothing, if others are named and this one is not."""
        if not self.entries:
            return EVERYBODY
        return self.entries.get(name, User())
