"""The process around a server: log, user, daemon, signals, pid file.

Log, user and daemon are set up before trio starts: a fork or a change of user under a running event
loop would leave it with threads and descriptors it no longer has. Detaching from the terminal and
changing the user are python-daemon's work.
"""

import contextlib
import grp
import logging
import logging.handlers
import os
import pwd
import resource
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import daemon
import daemon.daemon

from starling_py.server.errors import ProcessError, StartStoppedError
from starling_py.settings.server_settings import Settings

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FEWEST_SEGMENTS = 16
_SYSLOG_SOCKETS = ("/dev/log", "/var/run/syslog")


def start_log(settings: Settings) -> None:
    """Send the log where the settings say. Raises ``ProcessError``.

    A log file is opened anew when it was moved away, so it may be rotated at any time.
    """
    try:
        handler = _handler(settings)
    except OSError as error:
        place = "syslog" if settings.syslog_channel is not None else settings.logger
        raise ProcessError(f"{place}: cannot log there: {error.strerror or error}") from error
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(settings.log_level)


def _handler(settings: Settings) -> logging.Handler:
    handler: logging.Handler
    if settings.syslog_channel is not None:
        address = next((path for path in _SYSLOG_SOCKETS if Path(path).exists()), None)
        if address is None:
            raise ProcessError("syslog: there is no syslog socket on this machine")
        handler = logging.handlers.SysLogHandler(address)
        handler.ident = f"{settings.syslog_channel}: "
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        return handler
    if settings.logger is None:
        handler = logging.StreamHandler()
    else:
        settings.logger.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.WatchedFileHandler(settings.logger, encoding="utf-8")
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler


def change_user(settings: Settings) -> None:
    """Become the user and group of the settings. Raises ``ProcessError``."""
    if settings.user is None and settings.group is None:
        return
    try:
        user = _user(settings.user)
        group = user.pw_gid if settings.group is None else _group(settings.group)
        daemon.daemon.change_process_owner(user.pw_uid, group, initgroups=True)
    except (KeyError, daemon.daemon.DaemonOSEnvironmentError) as error:
        wanted = ":".join(filter(None, (settings.user, settings.group)))
        reason = error.args[0] if error.args else error
        raise ProcessError(f"cannot run as {wanted}: {reason}") from error


def _user(name: str | None) -> pwd.struct_passwd:
    if name is None:
        return pwd.getpwuid(os.getuid())
    return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)


def _group(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def detach(sockets: Sequence[socket.socket], lock: int) -> None:
    """Leave the terminal and go on in the background; the calling process ends with 0.

    ``sockets``, the descriptor ``lock`` and the log stay open.
    """
    keep: list[object] = [*sockets, lock]
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            keep.append(handler.stream)
        elif isinstance(handler, logging.handlers.SysLogHandler):
            keep.append(handler.socket)  # type: ignore[attr-defined]
    daemon.DaemonContext(
        files_preserve=keep,
        umask=0o027,
        detach_process=True,
        signal_map={
            signal.SIGHUP: None,
            signal.SIGTSTP: None,
            signal.SIGTTIN: None,
            signal.SIGTTOU: None,
        },
    ).open()


STOPPING = (signal.SIGTERM, signal.SIGINT)
"""The signals that stop a server."""
HANDLED = (*STOPPING, signal.SIGHUP, signal.SIGUSR1)
"""The signals that a server handles."""


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the body, wherever it is, by raising ``StartStoppedError`` there.

    This is for reading the queues back, which may be ended anywhere.
    """

    def stop(*_: object) -> None:
        raise StartStoppedError(
            "SIGTERM: stopped before the queues were read back; nothing was lost"
        )

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def hold_signals() -> None:
    """Let the signals that a server handles wait until ``take_signals``."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def take_signals() -> None:
    """Deliver the signals that were held back; call this when there are handlers."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def write_pid_file(path: Path) -> None:
    """Write the process id to a file, whose directory is made if need be.

    Raises ``ProcessError``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise ProcessError(f"{path}: cannot be written: {error.strerror or error}") from error


def remove_pid_file(path: Path) -> None:
    """Remove the file, unless another process has put its id there."""
    with contextlib.suppress(OSError):
        if path.read_text() == f"{os.getpid()}\n":
            path.unlink()


def usage() -> tuple[int, float, float]:
    """Return the process id and its seconds of CPU time, outside of the kernel and inside."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return os.getpid(), used.ru_utime, used.ru_stime


def raise_file_limit() -> None:
    """Allow this process as many open files as the system lets it have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_open_segments() -> int:
    """Return how many segments may be open: a quarter of the files that this process may have."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(_FEWEST_SEGMENTS, (limit if limit != resource.RLIM_INFINITY else 1 << 20) // 4)
