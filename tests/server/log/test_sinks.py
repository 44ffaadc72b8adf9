"""Files, pipes, devices and sockets that a log goes to, and what may become of them."""

import errno
import fcntl
import os
import socket
import termios
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from starling_py.server.log.sinks import LogFile, StandardError, Syslog
from tests.process.server_process import PATIENCE, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "starling.log"


def refusal(sink: LogFile | Syslog | StandardError) -> int | None:
    with pytest.raises(OSError, match="\\[Errno") as refused:
        sink.write(6, b"lost\n")
    return refused.value.errno


def waiting_in(pipe: int) -> int:
    """Return how many bytes wait to be read."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


class TestFile:
    def test_folder_and_file_are_made_with_modes_of_their_own(self, path: Path) -> None:
        before = os.umask(0o027)
        try:
            LogFile(path)
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == 0o640
        assert path.parent.stat().st_mode & 0o777 == 0o750

    def test_only_the_last_folder_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            LogFile(tmp_path / "none" / "log" / "starling.log")
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_was_moved_away_is_begun_anew(self, path: Path) -> None:
        sink = LogFile(path)
        sink.write(6, b"one\n")
        path.rename(path.with_suffix(".1"))
        sink.write(6, b"two\n")
        assert path.read_bytes() == b"two\n"
        assert path.with_suffix(".1").read_bytes() == b"one\n"

    def test_a_file_that_was_emptied_goes_on_at_its_beginning(self, path: Path) -> None:
        sink = LogFile(path)
        sink.write(6, b"one\n")
        os.truncate(path, 0)
        sink.write(6, b"two\n")
        assert path.read_bytes() == b"two\n"

    def test_lines_are_lost_while_the_folder_is_gone_and_no_longer(self, path: Path) -> None:
        sink = LogFile(path)
        path.unlink()
        path.parent.rmdir()
        assert refusal(sink) == errno.ENOENT
        path.parent.mkdir()
        sink.write(6, b"again\n")
        assert path.read_bytes() == b"again\n"

    def test_nothing_is_lost_while_the_old_file_has_a_name(self, path: Path) -> None:
        sink = LogFile(path)
        path.rename(path.with_suffix(".1"))
        path.mkdir()
        sink.write(6, b"one\n")
        assert isinstance(sink.trouble, IsADirectoryError)
        path.rmdir()
        sink.write(6, b"two\n")
        assert sink.trouble is None
        assert path.with_suffix(".1").read_bytes() == b"one\n"
        assert path.read_bytes() == b"two\n"

    @pytest.mark.parametrize("what", ["a folder", "a socket"])
    def test_what_can_be_no_log_is_refused_at_once(self, path: Path, what: str) -> None:
        path.parent.mkdir()
        if what == "a folder":
            path.mkdir()
        else:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(path))
        with pytest.raises(OSError, match="\\[Errno"):
            LogFile(path)

    def test_a_full_device_costs_its_lines_and_nothing_else(self) -> None:
        sink = LogFile(Path("/dev/full"))
        assert refusal(sink) == errno.ENOSPC

    def test_a_line_that_was_torn_is_ended_before_the_next(self, path: Path) -> None:
        sink = LogFile(path)
        sink.write(6, b"whole\n")
        sink._is_torn = True
        with path.open("ab") as file:
            file.write(b"to")
        sink.write(6, b"next\n")
        assert path.read_bytes() == b"whole\nto\nnext\n"

    def test_a_pipe_without_a_reader_is_not_waited_for(self, path: Path) -> None:
        path.parent.mkdir()
        os.mkfifo(path)
        sink = LogFile(path)
        assert refusal(sink) == errno.ENXIO
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        sink.write(6, b"one\n")
        assert os.read(reader, 100) == b"one\n"
        os.close(reader)
        assert refusal(sink) == errno.EPIPE

    def test_a_pipe_that_is_full_is_given_up_for_a_file_in_its_place(self, path: Path) -> None:
        path.parent.mkdir()
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        sink = LogFile(path)
        written = threading.Event()

        def write() -> None:
            while not path.is_file():
                sink.write(6, b"x" * 1000 + b"\n")
            sink.write(6, b"last\n")
            written.set()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        wait_until(lambda: waiting_in(reader) > 1 << 15)
        other = path.with_name("other")
        other.write_bytes(b"")
        other.replace(path)
        assert written.wait(PATIENCE)
        os.close(reader)
        assert path.read_bytes().splitlines()[-1] == b"last"


class TestStandardError:
    @pytest.fixture
    def pipe(self) -> Iterator[tuple[int, int]]:
        reader, writer = os.pipe()
        yield reader, writer
        os.close(reader)
        os.close(writer)

    def test_a_line_is_written_whole(self, pipe: tuple[int, int]) -> None:
        StandardError(descriptor=pipe[1]).write(6, b"x" * 10_000 + b"\n")
        assert os.read(pipe[0], 20_000) == b"x" * 10_000 + b"\n"

    def test_for_journald_each_line_begins_with_its_priority(self, pipe: tuple[int, int]) -> None:
        StandardError(for_journald=True, descriptor=pipe[1]).write(3, b"error\nTraceback\n")
        assert os.read(pipe[0], 100) == b"<3>error\n<3>Traceback\n"

    def test_a_pipe_that_somebody_begins_to_read_gets_every_line(
        self, pipe: tuple[int, int]
    ) -> None:
        lines = [b"%d " % number + b"x" * 3000 + b"\n" for number in range(100)]
        sink = StandardError(descriptor=pipe[1])

        def write() -> None:
            for line in lines:
                sink.write(6, line)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        wait_until(lambda: waiting_in(pipe[0]) > 1 << 15)
        expected = b"".join(lines)
        got = b""
        while len(got) < len(expected):
            got += os.read(pipe[0], 1 << 16)
        assert got == expected
        thread.join(PATIENCE)


class TestSyslog:
    @pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
    def test_a_line_has_its_priority_and_the_channel(self, tmp_path: Path, kind: int) -> None:
        with listening(tmp_path / "log", kind) as sock:
            sink = Syslog(["/nowhere", str(tmp_path / "log")], "queue")
            peer = sock.accept()[0] if kind == socket.SOCK_STREAM else sock.dup()
            sink.write(3, b"broken\n")
            with peer:
                assert peer.recv(100) == b"<11>queue: broken\0"
            sink.close()

    def test_a_syslog_that_was_restarted_is_found_again(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        with listening(path, socket.SOCK_DGRAM):
            sink = Syslog([str(path)], "queue")
        path.unlink()
        assert refusal(sink) == errno.ENOENT
        with listening(path, socket.SOCK_DGRAM) as sock:
            sink.write(6, b"again\n")
            assert sock.recv(100) == b"<14>queue: again\0"
            sink.close()

    def test_without_a_socket_there_is_no_syslog(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="there is no syslog"):
            Syslog([str(tmp_path / "log")], "queue")

    def test_a_syslog_that_nobody_reads_is_waited_for(self, tmp_path: Path) -> None:
        with listening(tmp_path / "log", socket.SOCK_DGRAM) as sock:
            sink = Syslog([str(tmp_path / "log")], "queue")
            count = 2000

            def write() -> None:
                for number in range(count):
                    sink.write(6, b"%d\n" % number)

            thread = threading.Thread(target=write, daemon=True)
            thread.start()
            sock.settimeout(PATIENCE)
            got = [sock.recv(100) for _ in range(count)]
            thread.join(PATIENCE)
            sink.close()
        assert got == [b"<14>queue: %d\0" % number for number in range(count)]


def listening(path: Path, kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(str(path))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock
