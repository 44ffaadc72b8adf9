"""Declare settings: the kinds of values, the defaults, and the words for people.

A class of settings is a frozen attrs class whose fields are made by ``setting``. ``table`` lists
them for help, for documentation and for messages about unknown names. The kinds here are those that
more than one class uses. Nothing here reads a file or knows which settings there are.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, TypeVar

import attrs

from starling_py.keys import MAX_KEY

_Class = TypeVar("_Class", bound=attrs.AttrsInstance)

_FACTORY: Final[Any] = attrs.Factory  # a class, which its stub calls a function
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@attrs.frozen
class Kind:
    """The values that a setting may have.

    ``parse`` takes what a file, an option or code gives, its own results included, and returns the
    value as a field holds it. It raises ``ValueError`` with what is wrong or without a message;
    then the message is "must be" and ``allowed``.
    """

    allowed: str
    parse: Callable[[object], object]

    def __call__(self, value: object) -> object:
        """Return the value as a field holds it; raise ``ValueError`` with what is wrong with it."""
        try:
            return self.parse(value)
        except ValueError as error:
            reason = str(error) or f"must be {self.allowed}"
        if isinstance(value, bool):
            reason += " (YAML reads yes, no, on and off as booleans; a name like that needs quotes)"
        raise ValueError(reason)


def text_of(value: object, numbers: bool = False) -> str:
    """Return a text that is not empty; with ``numbers``, also an int or a float as text.

    Raises ``ValueError`` without a message for anything else.
    """
    if numbers and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise ValueError


def whole(low: int, high: int, allowed: str, units: str = "") -> Kind:
    """Make the kind of whole numbers from ``low`` to ``high``.

    ``units`` is a pattern for the unit after the number, in capitals or not: ``[kmg]?`` allows k, m
    and g, powers of 1024. By default there is none.
    """

    def parse(value: object) -> int:
        # No leading zeros: YAML reads 0777 as octal, people do not.
        pattern = f"(0|[1-9][0-9]{{0,12}})({units})"
        match = re.fullmatch(pattern, text_of(value, numbers=True), re.IGNORECASE)
        if not match or not low <= (number := int(match[1]) * _UNITS[match[2].lower()]) <= high:
            raise ValueError
        return number

    return Kind(allowed, parse)


def word(pattern: str, allowed: str, numbers: bool = False) -> Kind:
    """Make the kind of printable texts that match ``pattern`` from end to end.

    With ``numbers``, a number is taken as its text.
    """

    def parse(value: object) -> str:
        text = text_of(value, numbers)
        if not text.isprintable() or not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return Kind(allowed, parse)


def words_of(value: object) -> list[str]:
    """Return the words of a list, or of one text that has them with blanks or commas between.

    Raises ``ValueError`` without a message for anything else, and for no word at all.
    """
    each = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    words = [
        word for text in each for word in text_of(text, numbers=True).replace(",", " ").split()
    ]
    if not words or not all(word.isprintable() for word in words):
        raise ValueError
    return words


def _seconds(value: object) -> float:
    text = text_of(value, numbers=True)
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", text, re.ASCII):
        raise ValueError
    return float(text)


def _span(value: object) -> float:
    if (seconds := _seconds(value)) < 0.001:
        raise ValueError
    return seconds


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _who(value: object) -> bool | str:
    if value == "local" or isinstance(value, bool):
        return value
    raise ValueError


def legal_name(value: object) -> bytes:
    """Return the name of a queue in bytes, as a client may send it; text becomes UTF-8.

    A pattern of names is legal, too. Raises ``ValueError`` without a message.
    """
    text = (
        value.decode("utf-8", "surrogateescape")
        if isinstance(value, bytes)
        else text_of(value, numbers=True)
    )
    try:
        name = value if isinstance(value, bytes) else text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which YAML can write
        raise ValueError from None
    if not 1 <= len(name) <= MAX_KEY or any(
        each == "/" or each.isspace() or unicodedata.category(each) == "Cc" for each in text
    ):
        raise ValueError
    return name


def _queue(value: object) -> bytes:
    name = legal_name(value)
    if set(b"*?") & set(name):
        raise ValueError("must be the name of one queue; * and ? are for patterns")
    return name


FLAG: Final = Kind("true or false", _flag)
WHO: Final = Kind("true, false or local", _who)
SECONDS: Final = Kind("a number of seconds, 0 or more", _seconds)
SPAN: Final = Kind("a number of seconds, 0.001 or more", _span)
TLS_VERSION: Final = word(r"1\.[23]", "1.2 or 1.3", numbers=True)
COUNT: Final = whole(1, 1_000_000, "a whole number from 1 to 1000000")
ITEM_SIZE: Final = whole(1, 1 << 30, "bytes from 1 to 1g, such as 4096, 64k or 1m", "[kmg]?")
QUEUE: Final = Kind(f"a queue's name, 1 to {MAX_KEY} bytes without slashes and blanks", _queue)


@attrs.frozen
class Setting:
    """What is known about one field of a class of settings.

    ``default`` is in the form of a file; None stands for none. ``allowed`` and ``meaning`` are
    phrases for people, without a full stop. ``flags`` are the command line options, short one
    first, and ``metavar`` names their value; an option without a metavar stands for the value
    ``const``. ``alias`` is the old name, if any.
    """

    name: str
    section: str
    default: object
    allowed: str
    meaning: str
    flags: tuple[str, ...]
    metavar: str | None
    alias: str | None = None
    const: object = None
    limits_puts: bool = False
    """Whether it can have a put refused or changed, so that each put has to be looked at."""

    @property
    def default_text(self) -> str:
        """The default as people read it: ``none``, ``false``, ``50ms``, ``22122``."""
        plain = self.default is None or isinstance(self.default, bool)
        return str(self.default).lower() if plain else str(self.default)


def setting(
    section: str, default: object, kind: Kind, meaning: str, option: str = "", **more: object
) -> Any:  # noqa: ANN401 - as attrs.field itself: the annotation of the field is the type
    """Declare a field of a class of settings.

    ``default`` is in the form of a file; None makes a setting that may be empty. ``option`` has the
    flags and the metavar, as in ``-p --port PORT``. ``more`` are ``alias``, ``const`` and
    ``limits_puts`` of ``Setting``. Raises ``ValueError`` for a default that is not of this kind.
    """
    words = option.split()
    about = {
        "section": section,
        "default": default,
        "allowed": kind.allowed,
        "meaning": meaning,
        "flags": tuple(each for each in words if each.startswith("-")),
        "metavar": next((each for each in words if not each.startswith("-")), None),
    }
    convert: Any = attrs.converters.optional(kind) if default is None else kind
    # The default is judged here, so that no load has to.
    return attrs.field(default=convert(default), converter=convert, metadata=about | more)


@cache
def table(settings: type) -> tuple[Setting, ...]:
    """Return the settings of a class in the order of their declaration."""
    return tuple(
        Setting(name=field.name, **field.metadata)
        for field in attrs.fields(settings)
        if field.metadata
    )


def aliases(settings: type) -> dict[str, str]:
    """Return the old names of a class's settings, each with the present name."""
    return {each.alias: each.name for each in table(settings) if each.alias}


def from_converted(settings: type[_Class], /, **good: object) -> _Class:
    """Make an object of a class of settings without judging what it is given.

    ``good`` has values as the fields hold them, which come from ``problems.converted`` or from the
    ``judge`` of ``queue_table`` or ``routes``. Fields that it does not name get their defaults. All
    other values go to the class itself, which judges its arguments. Raises ``AttributeError`` for a
    name that is no field.
    """
    made = object.__new__(settings)
    # By ``object``, as the class is frozen and its ``__init__`` would convert, defaults included.
    for name, value in good.items():
        object.__setattr__(made, name, value)
    for field in attrs.fields(settings):
        if field.name not in good:
            default: Any = field.default
            if isinstance(default, _FACTORY):
                default = default.factory(made) if default.takes_self else default.factory()
            object.__setattr__(made, field.name, default)
    return made
