"""What is wrong with values that are given for settings: each fault with its place, all at once.

A place is the path of keys down to a value, without the section of the file: `("port",)`,
`("jobs", "max_items")`, `("orders.*", 0)`. Nothing here knows a file or raises for bad values.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from starling_py.settings.kinds import aliases, table


@attrs.frozen
class Fault:
    """One thing that is wrong, and where; `message` is a phrase without a full stop."""

    place: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(shown(str(each)) for each in self.place)}: {self.message}"


def refuse(faults: Iterable[Fault]) -> None:
    """Raise a `ValueError` with all faults, one a line, if there are any."""
    if told := [str(fault) for fault in faults]:
        raise ValueError("\n".join(told))


def shown(text: str, most: int = 60) -> str:
    """Make any text fit for a place in a one-line message, of `most` characters and a little."""
    short = text if len(text) <= most else f"{text[:most]}..."
    return short if short and short.isprintable() else repr(short)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is none of those that are known, and which of them it is like."""
    plain = name.lower().replace("-", "_")
    near = difflib.get_close_matches(plain, known, n=1)
    return f"unknown {what}" + (f"; did you mean '{near[0]}'?" if near else "")


def converted(
    settings: type, values: Mapping[str, object]
) -> tuple[dict[str, object], list[Fault]]:
    """Judge values by the names of a class of settings, which need not be all of its names.

    Returns the good ones as the fields hold them, and the faults of the others. What only several
    values together make wrong is left to the class.
    """
    faults = list(_faults(settings, values))
    bad = {fault.place[0] for fault in faults}
    fields = attrs.fields_dict(settings)
    good = {
        name: _convert(fields[name])(value) for name, value in values.items() if name not in bad
    }
    return good, faults


def _faults(settings: type, values: Mapping[str, object]) -> Iterable[Fault]:
    try:
        _converter(settings).structure(values, settings)
    except cattrs.ClassValidationError as error:
        noted, others = error.group_exceptions()
        yield from (Fault((note.name,), str(cause)) for cause, note in noted)
        for cause in others:
            if isinstance(cause, cattrs.ForbiddenExtraKeysError):
                known = [each.name for each in table(settings)] + list(aliases(settings))
                for name in cause.extra_fields:
                    yield Fault((name,), unknown("setting", name, known))
            elif not isinstance(cause, ValueError):
                raise


@lru_cache
def _converter(settings: type) -> cattrs.Converter:
    """Make a reader of a class: attrs would stop at the first bad value, cattrs collects all."""
    made = cattrs.Converter()
    overrides: Any = {
        field.name: override(struct_hook=_hook(_convert(field)), omit=not field.metadata)
        for field in attrs.fields(settings)
    }
    made.register_structure_hook(
        settings,
        make_dict_structure_fn(settings, made, _cattrs_forbid_extra_keys=True, **overrides),
    )
    return made


def _hook(convert: Callable[[object], object]) -> Callable[[object, object], object]:
    return lambda value, _: convert(value)


def _convert(field: "attrs.Attribute[Any]") -> Callable[[object], object]:
    convert: Any = field.converter
    return convert  # type: ignore[no-any-return]
