"""What the server may be told: one table of settings.

`Settings` is that table: each field declares its default, its values, its meaning, its old name and
its command line option once, and `TABLE` shows them to whoever prints help or checks documentation.
Nothing here reads a file, opens a socket, looks up a user or creates a file; paths are made
absolute, which asks for the working directory and no more.
"""
# ruff: noqa: RUF009 - `_setting` makes an attrs.field, which is not a default shared by instances

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import attrs

_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LEVELS: Final = {"WARN": "WARNING", "FATAL": "CRITICAL"} | {
    name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
}


@attrs.frozen
class SyncPolicy:
    """When the journal is forced to disk; `str()` gives the form that a file has.

    `kind` is `never`, `interval` or `always`. `interval` is in seconds: from 0.001 to 3600 with the
    kind `interval`, else 0. Anything else is a `ValueError`.
    """

    kind: Literal["never", "interval", "always"]
    interval: float = 0.0

    def __attrs_post_init__(self) -> None:
        low, high = (0.001, 3600.0) if self.kind == "interval" else (0.0, 0.0)
        if self.kind not in {"never", "interval", "always"} or not low <= self.interval <= high:
            raise ValueError

    def __str__(self) -> str:
        return f"{round(self.interval * 1000)}ms" if self.kind == "interval" else self.kind

    @classmethod
    def parse(cls, text: str) -> "SyncPolicy":
        """Read `never`, `always`, `<n>ms` or `<n>s`; anything else is a `ValueError`."""
        if text == "never":
            return cls("never")
        if text == "always":
            return cls("always")
        if re.fullmatch("[0-9]+", text):
            raise ValueError("needs its unit, as in 50ms or 1s")
        if not (match := re.fullmatch("([0-9]{1,9})(ms|s)", text)):
            raise ValueError
        return cls("interval", int(match[1]) / (1000 if match[2] == "ms" else 1))


@attrs.frozen
class _Kind:
    """A set of values. `parse` takes what a file, an option or code may give, and its own results.

    A `ValueError` from `parse` says what is wrong, or says nothing; then `allowed` says it.
    """

    allowed: str
    parse: Callable[[object], object]

    def __call__(self, value: object) -> object:
        try:
            return self.parse(value)
        except ValueError as error:
            reason = str(error) or f"must be {self.allowed}"
        if isinstance(value, bool):
            reason += " (YAML reads yes, no, on and off as booleans; a name like that needs quotes)"
        raise ValueError(reason)


def _text(value: object, numbers: bool = False) -> str:
    """Take text that is not empty; with `numbers` also an int or a float, so that one rule does."""
    if numbers and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise ValueError


def _whole(low: int, high: int, allowed: str, units: str = "") -> _Kind:
    def parse(value: object) -> int:
        # No leading zeros: YAML reads 0777 as octal, people do not.
        pattern = f"(0|[1-9][0-9]{{0,11}})({units})"
        match = re.fullmatch(pattern, _text(value, numbers=True), re.IGNORECASE)
        if not match or not low <= (number := int(match[1]) * _UNITS[match[2].lower()]) <= high:
            raise ValueError
        return number

    return _Kind(allowed, parse)


def _word(pattern: str, allowed: str, numbers: bool = False) -> _Kind:
    def parse(value: object) -> str:
        text = _text(value, numbers)
        if not text.isprintable() or not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return _Kind(allowed, parse)


def _seconds(value: object) -> float:
    text = _text(value, numbers=True)
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", text, re.ASCII):
        raise ValueError
    return float(text)


def _path(value: object) -> Path:
    text = _text(str(value) if isinstance(value, Path) else value)
    if text.startswith("~"):
        raise ValueError("must be written out; '~' is not replaced by a home folder here")
    try:
        if b"\0" in os.fsencode(text):
            raise ValueError
        return Path(text).absolute()
    except UnicodeEncodeError:  # half a surrogate pair, which YAML can write and no path can hold
        raise ValueError from None
    except OSError:
        raise ValueError("is relative, and the working directory cannot be read") from None


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _level(value: object) -> str:
    if (level := _LEVELS.get(_text(value).upper())) is None:
        raise ValueError
    return level


def _sync(value: object) -> SyncPolicy:
    if isinstance(value, SyncPolicy):
        return value
    return SyncPolicy.parse(_text(value, numbers=True).lower())


_FLAG: Final = _Kind("true or false", _flag)
_PATH: Final = _Kind("a path", _path)
_SECONDS: Final = _Kind("a number of seconds, 0 or more", _seconds)
_LEVEL: Final = _Kind("DEBUG, INFO, WARN, ERROR or FATAL", _level)
_SYNC: Final = _Kind("never, always or a time from 1ms to 3600s", _sync)
_HOST: Final = _word(r"\S{1,253}", "a host name or an address")
_IDENT: Final = _word(r"[^\s:\[\]]{1,48}", "a name without spaces, colons and brackets")
_OWNER: Final = _word(r"[^\s:/+-][^\s:/]{0,63}", "a name or a number", numbers=True)
_PORT: Final = _whole(0, 65535, "a whole number from 0 to 65535")
_COUNT: Final = _whole(1, 1_000_000, "a whole number from 1 to 1000000")
_ITEM_SIZE: Final = _whole(1, 1 << 30, "bytes from 1 to 1g, such as 4096, 64k or 1m", "[kmg]?")
_SEGMENT_SIZE: Final = _whole(4096, 1 << 30, "bytes from 4k to 1g, such as 16m", "[kmg]?")

_WINDOW_SIZE: Final = _whole(4096, 1 << 40, "bytes from 4k to 1024g, such as 8m", "[kmg]?")


@attrs.frozen
class Setting:
    """What is to be known about one field of `Settings`, for help, documentation and checks.

    `default` has the form it has in a file; `None` stands for none. `allowed` and `meaning` are
    phrases for people, without a full stop. `flags` are the command line options, short one first;
    `metavar` names their value, and an option without one stands for `const`.
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

    @property
    def default_text(self) -> str:
        """The default as a person reads it: `none`, `false`, `50ms`, `22122`."""
        plain = self.default is None or isinstance(self.default, bool)
        return str(self.default).lower() if plain else str(self.default)


def _setting(
    section: str, default: object, kind: _Kind, meaning: str, option: str = "", **more: object
) -> Any:  # noqa: ANN401 - as attrs.field itself: the annotation of the field is the type
    words = option.split()
    about = {
        "section": section,
        "allowed": kind.allowed,
        "meaning": meaning,
        "flags": tuple(word for word in words if word.startswith("-")),
        "metavar": next((word for word in words if not word.startswith("-")), None),
    }
    converter = attrs.converters.optional(kind) if default is None else kind
    return attrs.field(default=default, converter=converter, metadata=about | more)


@attrs.frozen(kw_only=True)
class Settings:
    """All settings of a server. Every value has been checked; every path is absolute.

    Arguments take what a file may have (`item_size_max="1m"`) as well as what the fields then hold
    (`item_size_max=1 << 20`); a wrong one is a `ValueError`. Sizes are in bytes, times in seconds.
    Each field's meaning, range and default are the arguments of its declaration.
    """

    # fmt: off
    host: str = _setting("Network", "127.0.0.1", _HOST,
        "Host name or address to listen on", "-h --host HOST")
    port: int = _setting("Network", 22122, _PORT,
        "TCP port to listen on; 0 takes any free one", "-p --port PORT")
    timeout: float = _setting("Network", 0, _SECONDS,
        "Silence after which a client is disconnected; 0 waits for ever", "-t --timeout SECONDS")
    max_connections: int = _setting("Network", 4096, _COUNT,
        "Clients that may be connected at the same time")
    item_size_max: int = _setting("Network", "1m", _ITEM_SIZE,
        "Largest data of one item that is accepted")
    allow_flush_all: bool = _setting("Network", False, _FLAG,
        "Let flush_all empty the queues; if false, it answers OK and has no effect")
    allow_shutdown: bool = _setting("Network", False, _FLAG,
        "Let clients stop the server with the shutdown command")
    queue_path: Path = _setting("Storage", "/var/spool/starling", _PATH,
        "Folder that holds the journals of all queues", "-q --queue_path PATH", alias="path")
    sync: SyncPolicy = _setting("Storage", "50ms", _SYNC,
        "When journals reach the disk; always: before replies", "--sync POLICY")
    segment_size: int = _setting("Storage", "16m", _SEGMENT_SIZE,
        "Size after which a journal starts a new segment file")
    window_size: int = _setting("Storage", "8m", _WINDOW_SIZE,
        "Memory for the head of one queue; the rest is only on disk")
    window_total: int = _setting("Storage", "64m", _WINDOW_SIZE,
        "Memory for the heads of all queues together")
    quarantine: bool = _setting("Storage", False, _FLAG,
        "Serve a queue without older segments that are damaged; if false, refuse to")
    daemonize: bool = _setting("Process", False, _FLAG,
        "Leave the terminal and run in the background", "-d --daemonize", const=True)
    pid_file: Path | None = _setting("Process", None, _PATH,
        "File that holds the process id while the server runs", "-P --pid FILE")
    user: str | None = _setting("Process", None, _OWNER,
        "User that the server runs as when root starts it", "-u --user USER")
    group: str | None = _setting("Process", None, _OWNER,
        "Group that the server runs as when root starts it", "-g --group GROUP")
    grace_time: float = _setting("Process", 5, _SECONDS,
        "Time that a stop gives to clients in the middle of something")
    logger: Path | None = _setting("Logging", None, _PATH,
        "File that the log goes to instead of standard error", "-L --log FILE", alias="log_file")
    syslog_channel: str | None = _setting("Logging", None, _IDENT,
        "Program name for the log in syslog", "-l --syslog CHANNEL")
    log_level: str = _setting("Logging", "INFO", _LEVEL,
        "Least severe messages that are logged", "-v --verbose", const="DEBUG")
    # fmt: on


TABLE: Final = tuple(
    Setting(name=field.name, default=field.default, **field.metadata)
    for field in attrs.fields(Settings)
)
"""Every setting, in the order of help, samples and documentation."""
