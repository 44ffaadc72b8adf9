"""What would keep a server from starting here, found without starting it.

Addresses are listened on for a moment, and folders and files are looked at as the user that the
server would run as. Nothing is made, changed or removed. A server that has the spool already is
not in its own way: what it holds would be free if it were restarted.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from starling_py.connecting.address import TLS, UNIX, Address
from starling_py.server import culprits, pid_file, process, unix_socket
from starling_py.server.access import Access
from starling_py.server.errors import ProcessError, StartError
from starling_py.server.fitting import expect_enough
from starling_py.server.identity import change_identity
from starling_py.server.listening import listen
from starling_py.server.log import formats
from starling_py.server.web_opening import open_web
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings

_ENTER: Final = os.W_OK | os.X_OK
_USE: Final = os.R_OK | _ENTER


@attrs.frozen
class Rehearsal:
    """What was found."""

    troubles: list[str]
    """What would keep a server from starting, a line each."""
    running: int | None
    """The process of a server that has the spool now; ``None`` if none has, as far as is told."""


def rehearse(settings: Settings) -> Rehearsal:
    """Find what would keep a server from starting with these settings."""
    running = culprits.holder_of_file(f"{settings.queue_path}/.lock")
    troubles = [*_files(settings), *_addresses(settings, running), *_web(settings, running)]
    if settings.user is None and settings.group is None:
        troubles += _as_the_user(settings, running)
    else:
        troubles += _in_a_child(lambda: _changed(settings, running))
    return Rehearsal(troubles, running)


def port_taken(settings: Settings, port: int) -> str:
    """Return who has a port that the server needs, and what else may be done about it."""
    advice = "; another port is --port N" if settings.listen is None else ""
    return f"{culprits.of_port(port)}{advice}"


def is_taken(problem: BaseException) -> bool:
    """Tell whether an address is not free because somebody else listens there."""
    cause = problem.__cause__
    return isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE


def _addresses(settings: Settings, running: int | None) -> Iterator[str]:
    for each in settings.addresses:
        if each.kind == UNIX:
            continue
        try:
            for sock in listen(each.host, each.port):
                with sock:
                    reason = settings.open_to(sock.getsockname()[0], is_tls=each.kind == TLS)
                if reason is not None:
                    yield f"cannot listen: {reason}"
        except StartError as problem:
            if not is_taken(problem):
                yield str(problem)
            elif not _is_its_own(each, running):
                yield f"{problem}{port_taken(settings, each.port)}"


def _is_its_own(address: Address, running: int | None) -> bool:
    """Tell whether the server that runs has a port, or systemd, which hands it over."""
    holder = culprits.holder_of_port(address.port)
    return holder == 1 if running is None else holder in (1, running, None)


def _web(settings: Settings, running: int | None) -> Iterator[str]:
    try:
        opened = open_web(settings.http)
    except StartError as problem:
        cause = problem.__cause__
        where = settings.http and settings.http.listen
        if where and cause and is_taken(cause) and _is_its_own(where, running):
            return
        yield str(problem)
    else:
        if opened is not None:
            opened.close()


def _files(settings: Settings) -> list[str]:
    try:
        expect_enough(settings, process.most_files())
    except StartError as problem:
        return [str(problem)]
    return []


def _in_a_child(find: Callable[[], list[str]]) -> list[str]:
    """Return what a process of its own finds, so that this one stays who it is."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, "\n".join(find()).encode(errors="surrogateescape"))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="surrogateescape") as told:
        found = told.read().splitlines()
    if os.waitpid(child, 0)[1]:
        found.append("the folders and files could not be looked at as the user of the server")
    return found


def _changed(settings: Settings, running: int | None) -> list[str]:
    try:
        change_identity(settings)
    except ProcessError as problem:
        return [str(problem)]
    return _as_the_user(settings, running)


def _as_the_user(settings: Settings, running: int | None) -> list[str]:
    """Return what would be wrong for this process's user."""
    found = [
        *_socket_paths(settings, running),
        *_pid_file(settings, running),
        *(
            f"{path}: cannot log there: {reason}"
            for path in (settings.logger, settings.audit_log)
            if path is not None and (reason := _unwritable(path)) is not None
        ),
        *_spool(settings.queue_path.absolute()),
    ]
    try:
        Access.read(settings)
    except ConfigError as error:
        found += error.problems
    try:
        if settings.log_format == "json":
            formats.json_format()
    except formats.FormatMissingError as missing:
        found.append(str(missing))
    return found


def _socket_paths(settings: Settings, running: int | None) -> Iterator[str]:
    web = [] if settings.http is None else [settings.http.listen]
    for each in (*settings.addresses, *web):
        if each.kind != UNIX:
            continue
        path = Path(each.path)
        try:
            unix_socket.look(each.path)
            reason = _unenterable(path.parent)
        except OSError as error:
            is_own = error.errno == errno.EADDRINUSE and running is not None
            reason = None if is_own else unix_socket.told(error)
        if reason is not None:
            yield f"cannot listen on {each}: {reason}"


def _pid_file(settings: Settings, running: int | None) -> Iterator[str]:
    path = settings.pid_file
    if path is None:
        return
    refusal, holder = pid_file.refusal(path), culprits.holder_of_file(str(path))
    if refusal is not None:
        yield f"{path}: {refusal}; not replaced"
    elif holder is not None and holder != running:
        yield f"{path}: a server is running already, process {holder}"
    elif (reason := _unwritable(path)) is not None:
        yield f"{path}: cannot be written: {reason}"


def _spool(spool: Path) -> Iterator[str]:
    there = next(each for each in (spool, *spool.parents) if each == Path("/") or _exists(each))
    reason = _unenterable(there, _USE if there == spool else _ENTER)
    if reason == os.strerror(errno.ENOTDIR):
        yield f"{spool}: the spool must be a folder, and {there} is none; see queue_path"
    elif reason is not None:
        told = "use the spool" if there == spool else f"make it in {there}"
        yield f"{spool}: this user cannot {told} ({reason}); see queue_path, -q DIR"


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # it may be there, and this user may not know: what is above it tells why
    return True


def _unwritable(path: Path) -> str | None:
    """Return why a file can neither be written nor be made, nor the last part of its folder."""
    try:
        if path.exists():
            if path.is_dir():
                return os.strerror(errno.EISDIR)
            return None if os.access(path, os.W_OK) else os.strerror(errno.EACCES)
        folder = path.parent
        return _unenterable(folder if folder.exists() else folder.parent)
    except OSError as error:
        return error.strerror or str(error)


def _unenterable(folder: Path, mode: int = _ENTER) -> str | None:
    """Return why this user cannot make anything in a folder."""
    try:
        folder.stat()
        if not folder.is_dir():
            return os.strerror(errno.ENOTDIR)
    except OSError as error:
        return error.strerror or str(error)
    if os.access(folder, mode):
        return None
    is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    return os.strerror(errno.EROFS if is_read_only else errno.EACCES)
