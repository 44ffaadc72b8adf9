"""Starts the log where the settings say, and leads there what Python itself would print."""

import logging
import os
import sys
import threading
from typing import Final

from starling_py.server.errors import ProcessError
from starling_py.server.log import formats
from starling_py.server.log.log import Log
from starling_py.server.log.sinks import LogFile, Sink, StandardError, Syslog
from starling_py.session import audit
from starling_py.settings.server_settings import Settings

_SYSLOG_SOCKETS: Final = ("/dev/log", "/var/run/syslog")

log = logging.getLogger(__name__)


def start_log(settings: Settings) -> Log:
    """Send the log of this process where the settings say. Raises ``ProcessError``."""
    place = "syslog" if settings.syslog_channel is not None else settings.logger
    try:
        made = Log(_sink(settings), _formatter(settings))
    except OSError as error:
        raise ProcessError(f"{place}: cannot log there: {error.strerror or error}") from error
    except formats.FormatMissingError as missing:
        raise ProcessError(str(missing)) from missing
    logging.raiseExceptions = False
    # Each of these would write on standard error, where it might wait for ever.
    logging.captureWarnings(True)
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_end_of_thread
    root = logging.getLogger()
    root.addHandler(made)
    root.setLevel(settings.log_level)
    _load_all_of(made)
    return made


def start_audit_log(settings: Settings) -> Log | None:
    """Send the audit log to a file of its own, if the settings name one; raise ``ProcessError``.

    What is in it is not in the other log then.
    """
    if settings.audit_log is None:
        return None
    try:
        made = Log(LogFile(settings.audit_log), _formatter(settings, has_time=False))
    except OSError as error:
        reason = error.strerror or error
        raise ProcessError(f"{settings.audit_log}: cannot log there: {reason}") from error
    audit.log.addHandler(made)
    audit.log.setLevel(logging.INFO)
    audit.log.propagate = False
    return made


def _sink(settings: Settings) -> Sink:
    if settings.syslog_channel is not None:
        return Syslog(_SYSLOG_SOCKETS, settings.syslog_channel)
    if settings.logger is not None:
        return LogFile(settings.logger)
    return StandardError(for_journald=_is_journald())


def _formatter(settings: Settings, has_time: bool | None = None) -> logging.Formatter:
    """Return what makes the lines; ``has_time`` tells whether whoever takes them adds the time."""
    if settings.log_format == "json":
        return formats.json_format()
    if has_time is None:
        is_syslog = settings.syslog_channel is not None
        has_time = is_syslog or (settings.logger is None and _is_journald())
    return formats.TextFormat(formats.BARE if has_time else formats.TEXT)


def _is_journald() -> bool:
    """Tell whether standard error is a connection to systemd's journal, as systemd says."""
    about = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def _load_all_of(made: Log) -> None:
    """Load what formatting a traceback may load at its first time."""
    try:
        raise ProcessError("nothing is wrong")
    except ProcessError:
        record = logging.LogRecord(__name__, logging.DEBUG, __file__, 0, "", (), sys.exc_info())
        made.format(record)


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Log an error that nobody can be told of, such as one in a finalizer."""
    value = unraisable.exc_value
    about = unraisable.err_msg or "error that nobody can be told of"
    log.error("%s: %r", about, unraisable.object, exc_info=value)


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread."""
    name = ended.thread.name if ended.thread is not None else "?"
    log.critical("thread %s: ended by an error", name, exc_info=ended.exc_value)
