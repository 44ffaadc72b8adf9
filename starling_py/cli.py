"""The command ``starling-py``: reads the options, then puts a server together and runs it.

What keeps a server from starting is told in one line on standard error, with exit code 2 for a
wrong configuration or usage and 1 for everything else. A traceback means a defect.
"""

import contextlib
import logging
import sys
import traceback
from collections.abc import Callable, Sequence

import trio

from starling_py import described
from starling_py.clock import Clock
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import SpoolError
from starling_py.server import culprits, fitting, process, signals, streams
from starling_py.server.access import Access
from starling_py.server.core import Core, Storage
from starling_py.server.detaching import detach
from starling_py.server.errors import ProcessError, StartError, StartStoppedError
from starling_py.server.identity import change_identity
from starling_py.server.listeners import Listeners
from starling_py.server.log.start import start_logs
from starling_py.server.pid_file import PidFile
from starling_py.server.preloading import preload
from starling_py.server.rehearsal import is_taken, port_taken, rehearse
from starling_py.server.server import Server
from starling_py.server.signals import Signals
from starling_py.server.start_answers import answering
from starling_py.server.supervisor import Supervisor
from starling_py.server.surroundings import Surroundings
from starling_py.server.threads import Threads
from starling_py.server.web_opening import Opened, open_web
from starling_py.settings import cluster, command_line, sample
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    streams.open_standard_streams()
    try:
        given = command_line.parse(argv)
    except ConfigError as error:
        for problem in error.problems:
            print(f"starling-py: {problem}", file=sys.stderr)
        return 2
    if given.print_config:
        print(sample.render(), end="")
        return 0
    settings = given.settings
    missing = cluster.problems(settings.engine, settings.servers, settings.sync.kind)
    if missing:
        for problem in missing:
            print(f"starling-py: {problem}", file=sys.stderr)
        return 2
    if given.check_config:
        return _check(given.config, settings)
    if not given.settings.daemonize:
        return _run(given.settings, given.read_again, lambda: None)
    front = detach()

    def let_go() -> None:
        if given.settings.logger is None and given.settings.syslog_channel is None:
            streams.tell("in the background the log goes nowhere; set logger, -L FILE")
        front.let_go()

    code = _run(given.settings, given.read_again, let_go)
    front.refuse(code or 1)
    return code


def _check(config: object, settings: Settings) -> int:
    """Try what can be tried without starting; return the exit code."""
    try:
        Access.read(settings)
        cluster = ""
        if settings.engine == "jetstream":
            from starling_py.server.joining import look

            cluster = f"; {look(settings)}"
    except ConfigError as error:
        for problem in error.problems:
            print(f"starling-py: {problem}", file=sys.stderr)
        return 2
    except StartError as problem:
        print(f"starling-py: {problem}", file=sys.stderr)
        return 1
    return _rehearse(settings, f"{config or 'the options'}: ok{_extent(settings)}{cluster}")


def _rehearse(settings: Settings, good: str) -> int:
    """Print what would keep a server from starting here, or that all is good; return the code."""
    found = rehearse(settings)
    for trouble in found.troubles:
        print(f"starling-py: a start would fail: {trouble}", file=sys.stderr)
    if found.troubles:
        return 1
    print(good if found.running is None else f"{good}; process {found.running} has the spool now")
    return 0


def _run(
    settings: Settings, read_again: Callable[[], Settings], on_serving: Callable[[], None]
) -> int:
    if settings.logger is not None and not settings.daemonize:

        def on_serving() -> None:  # its log is elsewhere: it must not look as if it hung
            where = f"spool {settings.queue_path}, log {settings.logger}"
            streams.tell(f"serves {settings.addresses}, {where}")

    try:
        serve(settings, read_again, on_serving)
    except (StartError, SpoolError, ProcessError) as problem:
        streams.tell(f"{problem}{_culprit(problem, settings)}", streams.PATIENCE)
        return 1
    except StartStoppedError:
        return 0
    except Exception:
        # Python would wait for whoever reads standard error.
        streams.tell(f"this is a defect\n{traceback.format_exc()}", streams.PATIENCE)
        return 1
    except KeyboardInterrupt:  # while the queues are read back; nothing is lost by it
        return 130
    return 0


def _culprit(problem: Exception, settings: Settings) -> str:
    """Return who has what the server needs, as far as the system tells."""
    cause = problem.__cause__
    if isinstance(cause, BlockingIOError):
        return culprits.of_file(f"{settings.queue_path}/.lock")
    if is_taken(problem) and settings.listen is None:
        return port_taken(settings, settings.port)
    return ""


def _extent(settings: Settings) -> str:
    """Return how many queue entries and routes a configuration has, in words, if any."""
    queues, routes = len(settings.queues), len(settings.routes)
    if not queues and not routes:
        return ""
    entries = "1 queue entry" if queues == 1 else f"{queues} queue entries"
    return f", {entries} and {'1 route' if routes == 1 else f'{routes} routes'}"


def serve(
    settings: Settings, read_again: Callable[[], Settings], on_serving: Callable[[], None]
) -> None:
    """Run a server until it is stopped; call ``on_serving`` when it listens and obeys signals.

    ``read_again`` reads the configuration again; it raises ``ConfigError``. Raises
    ``StartError``, ``SpoolError``, ``ProcessError`` and ``StartStoppedError``.
    """
    supervisor = Supervisor()
    process.settle()
    fitting.expect_enough(settings, process.file_limit())
    signals.hold_others()
    preload()
    settings, segments, warnings = fitting.fitted(settings, process.file_limit())
    listeners = Listeners(settings, lambda problem: warnings.append(f"{problem}; skipped"))
    web = open_web(settings.http)
    change_identity(settings)
    with contextlib.ExitStack() as at_the_end:
        listeners.open_paths()
        at_the_end.callback(listeners.close)
        if web is not None:
            web.open_path()
            at_the_end.callback(web.close)
        at_the_end.callback(signals.hold)
        pid_file = PidFile(settings.pid_file) if settings.pid_file is not None else None
        if pid_file is not None:
            at_the_end.callback(pid_file.remove)
        lines = start_logs(settings)
        at_the_end.callback(lines.finish, streams.PATIENCE)
        taken = Signals(lines.open_anew)
        at_the_end.callback(taken.end)
        log.info(
            "starling-py %s, spool %s, sync %s", described(), settings.queue_path, settings.sync
        )
        for warning in warnings:
            log.warning("%s", warning)
        access = _access(settings, listeners)
        around = Surroundings(
            listeners.plain, read_again, lines, taken, on_serving, access, supervisor, web
        )
        if settings.engine == "jetstream":
            if pid_file is not None:
                pid_file.write()
            from starling_py.server.joining import member

            member(settings, segments, taken, around).run()
            return
        with process.without_collector():
            core, threads = _read_back(settings, segments, web)
        if pid_file is not None:
            pid_file.write()
        process.collect_only_the_young()
        process.keep_freed_memory()
        server = Server(settings, core, threads, around)
        try:
            trio.run(server.run)
        except Exception as error:
            log.critical("the server failed", exc_info=True)
            raise ProcessError(f"the server failed, as the log tells: {error!r}") from error


def _access(settings: Settings, listeners: Listeners) -> Access:
    """Read who may use the server, and what it shows them; raise ``StartError``."""
    try:
        return Access.read(settings, listeners.tls)
    except ConfigError as error:
        raise StartError("; ".join(error.problems)) from error


def _read_back(settings: Settings, segments: int, web: Opened | None) -> tuple[Core, Threads]:
    """Read the queues back, unless SIGTERM comes; from then on, signals are held back.

    ``segments`` is how many may be open. Who asks by HTTP is told that it starts. What
    reads the pid file may send a signal at once; that waits for the server.
    """
    storage = Storage.of(settings, segments)
    threads = Threads(waits=storage.waits)
    asked, secured = ([], None) if web is None else (web.listeners, web.secured)
    try:
        with signals.stopped_by_sigterm(), answering(asked, secured=secured):
            core = Core.open(storage, Clock(), Files(), threads)
            signals.hold()
    except StartStoppedError as stopped:
        log.info("%s", stopped)
        raise
    return core, threads
