"""Collect everything that is wrong with values given for settings, each fault with its place.

A place is the path of keys down to a value, without the section of the file: ``("port",)``,
``("jobs", "max_items")``, ``("orders.*", 0)``. Nothing here knows a file, and only ``refuse``
raises for bad values.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from starling_py.settings.kinds import aliases
from starling_py.settings.relatives import advice


@attrs.frozen
class Fault:
    """One thing that is wrong, and where; ``message`` is a phrase without a full stop."""

    place: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(shown(str(each)) for each in self.place)}: {self.message}"


def refuse(faults: Iterable[Fault]) -> None:
    """Raise a ``ValueError`` with all faults, one a line, if there are any."""
    if told := [str(fault) for fault in faults]:
        raise ValueError("\n".join(told))


def shown(text: str, most: int = 60) -> str:
    """Return text fit for a one-line message: at most ``most`` characters, escaped if need be.

    Dots for what was cut off, quotes and escapes come on top.
    """
    short = text if len(text) <= most else f"{text[:most]}..."
    return short if short and short.isprintable() else repr(short)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a setting or a section has an unknown name, and what to write instead.

    ``what`` is the word for it in the message. What another server calls by the name is told, or
    which known name is similar.
    """
    plain = name.lower().replace("-", "_")
    near = difflib.get_close_matches(plain, known, n=1)
    elsewhere = advice(name)
    if elsewhere is not None and not (near and f"'{near[0]}'" in elsewhere):
        return f"unknown {what}; {elsewhere}"
    return f"unknown {what}" + (f"; did you mean '{near[0]}'?" if near else "")


def converted(
    settings: type, values: Mapping[str, object]
) -> tuple[dict[str, object], list[Fault]]:
    """Convert values given for a class of settings; each value is judged here, and once.

    ``values`` go by the names of fields and need not name all of them. Returns the good ones as the
    fields hold them, and the faults of the others in the order of the class, unknown names last.
    Values that are wrong only beside others are returned as good.
    """
    fields = {field.name: field for field in attrs.fields(settings) if field.metadata}
    good: dict[str, object] = {}
    faults: list[Fault] = []
    for name, field in fields.items():
        if name in values:
            convert: Any = field.converter
            try:
                good[name] = convert(values[name])
            except ValueError as error:
                faults.append(Fault((name,), str(error)))
    for name in values:
        if name not in fields:
            message = unknown("setting", name, [*fields, *aliases(settings)])
            faults.append(Fault((name,), message))
    return good, faults
