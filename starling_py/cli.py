"""The command ``starling-py``: reads the options, then puts a server together and runs it.

What keeps a server from starting is told in one line on standard error, with exit code 2 for a
wrong configuration or usage and 1 for everything else. A traceback means a defect.
"""

import gc
import logging
import sys
from collections.abc import Callable, Sequence

import trio

from starling_py import described
from starling_py.clock import Clock
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import SpoolError
from starling_py.server import process
from starling_py.server.core import Core, Storage
from starling_py.server.errors import ProcessError, StartError, StartStoppedError
from starling_py.server.listening import listen
from starling_py.server.server import Server
from starling_py.server.threads import Threads
from starling_py.settings import command_line
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        given = command_line.parse(argv)
    except ConfigError as error:
        for problem in error.problems:
            print(f"starling-py: {problem}", file=sys.stderr)
        return 2
    if given.check_config:
        print(f"{given.config or 'the options'}: ok{_extent(given.settings)}")
        return 0
    try:
        serve(given.settings, given.read_again)
    except (StartError, SpoolError, ProcessError) as problem:
        print(f"starling-py: {problem}", file=sys.stderr)
        return 1
    except StartStoppedError as stopped:
        log.info("%s", stopped)
    except KeyboardInterrupt:  # while the queues are read back; nothing is lost by it
        return 130
    return 0


def _extent(settings: Settings) -> str:
    """Return how many queue entries and routes a configuration has, in words, if any."""
    queues, routes = len(settings.queues), len(settings.routes)
    if not queues and not routes:
        return ""
    entries = "1 queue entry" if queues == 1 else f"{queues} queue entries"
    return f", {entries} and {'1 route' if routes == 1 else f'{routes} routes'}"


def serve(settings: Settings, read_again: Callable[[], Settings]) -> None:
    """Run a server until it is stopped.

    All that can keep it from starting happens before it detaches from the terminal, where it is
    seen. ``read_again`` reads the configuration again; it raises ``ConfigError``. Raises
    ``StartError``, ``SpoolError``, ``ProcessError`` and ``StartStoppedError``.
    """
    process.raise_file_limit()
    listeners = listen(settings.host, settings.port)
    process.change_user(settings)
    process.start_log(settings)
    log.info("starling-py %s, spool %s, sync %s", described(), settings.queue_path, settings.sync)
    with process.stopped_by_sigterm():
        storage = Storage.of(settings, process.most_open_segments())
        threads = Threads(waits=storage.waits)
        core = Core.open(storage, Clock(), Files(), threads)
    pid_file = settings.pid_file
    # What reads the pid file may send a signal at once; that waits until the server can handle it.
    process.hold_signals()
    if pid_file is not None:
        process.write_pid_file(pid_file)
    if settings.daemonize:
        process.detach(listeners, core.spool.lock)
        if pid_file is not None:
            process.write_pid_file(pid_file)
    # What is in memory now stays there: the collector need not look at it again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        trio.run(Server(settings, core, threads, listeners, read_again).run)
    except Exception:
        log.critical("the server failed", exc_info=True)
        raise
    finally:
        if pid_file is not None:
            process.remove_pid_file(pid_file)
