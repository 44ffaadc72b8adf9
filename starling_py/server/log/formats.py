"""What a line of the log looks like: text or JSON, one line each, and never too long.

A message is one line whatever is in it: control characters are escaped, as they could forge lines
or reach a terminal. A traceback keeps its lines in text; in JSON it is a field. Nothing is imported
here while the server serves: what a format needs is there when it is made.
"""

import importlib
import logging
from types import TracebackType
from typing import Final

TEXT: Final = "%(asctime)s %(levelname)s %(where)s: %(message)s"
"""A line for people; ``where`` is the last part of the logger's name."""
BARE: Final = "%(levelname)s %(where)s: %(message)s"
"""A line for syslog and journald, which have the time themselves."""
MOST_MESSAGE: Final = 4096
"""Characters of a message; what is longer is cut."""
MOST_TRACEBACK: Final = 16384
"""Characters of a traceback. Cut in the middle: the beginning says who called, the end why."""
_FIELDS: Final = {"asctime": "time", "levelname": "level", "name": "logger"}
_JSON_TIME: Final = "%Y-%m-%dT%H:%M:%S%z"

_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class FormatMissingError(Exception):
    """A library that a format needs is not installed; the text says which."""


def one_line(text: str) -> str:
    """Return a text as one line that any terminal can be shown, cut if it is too long."""
    if len(text) > MOST_MESSAGE:
        text = f"{text[:MOST_MESSAGE]}... ({len(text)} characters)"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def cut_in_the_middle(text: str) -> str:
    """Return a traceback, without its middle if it is too long."""
    if len(text) <= MOST_TRACEBACK:
        return text
    half = MOST_TRACEBACK // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half} characters)\n{text[-half:]}"


class TextFormat(logging.Formatter):
    """Lines for people, for syslog and for journald."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Make the message one line and put it into the format."""
        record.message = one_line(record.message)
        record.where = record.name.rpartition(".")[2]
        return super().formatMessage(record)

    def formatException(self, ei: _Raised) -> str:  # noqa: N802 - logging's name
        """Return the traceback, cut if it is too long."""
        return cut_in_the_middle(super().formatException(ei))


def json_format() -> logging.Formatter:
    """Make the format for programs: an object a line. Raises ``FormatMissingError``."""
    try:
        library = importlib.import_module("pythonjsonlogger.json")
    except ImportError:
        raise FormatMissingError(
            "log_format: json needs python-json-logger (pip install 'starling-py[json]')"
        ) from None

    class JsonFormat(library.JsonFormatter):  # type: ignore[name-defined,misc]
        """Lines for programs."""

        def process_log_record(self, log_data: dict[str, object]) -> dict[str, object]:
            """Cut what is too long; JSON escapes by itself."""
            message = str(log_data["message"])
            if len(message) > MOST_MESSAGE:
                log_data["message"] = f"{message[:MOST_MESSAGE]}... ({len(message)} characters)"
            return log_data

        def formatException(self, ei: _Raised) -> str:  # noqa: N802 - logging's name
            """Return the traceback, cut if it is too long."""
            return cut_in_the_middle(super().formatException(ei))

    made: logging.Formatter = JsonFormat(
        ["asctime", "levelname", "name", "message"], datefmt=_JSON_TIME, rename_fields=_FIELDS
    )
    return made
