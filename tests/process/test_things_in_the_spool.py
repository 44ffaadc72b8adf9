"""What is not a plain file or directory, where a queue or a file of the server should be.

Links, FIFOs, sockets, devices, mount points, and disks without an inode: one queue's trouble is
that queue's alone, and nothing that is not the server's is touched.
"""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.process.mounted_disk import MountedDisk, mounted_tmpfs, needs
from tests.process.raw_client import Given, RawClient
from tests.process.server_process import (
    ServerProcess,
    expect_refusal,
    settings_file,
    wait_until,
)
from tests.process.test_hostile_spool import check_refused, content, fill

Make = Callable[[Path], object]


def make_socket(path: Path) -> None:
    """Leave a socket that nobody listens on."""
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as own:
        own.bind(path.name)


def make_device(path: Path) -> None:
    """Make a device without an end."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a device")
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("needs the right to make a device")


def link_to(target: str) -> Make:
    """Return what makes a link."""
    return lambda path: path.symlink_to(target)


THINGS: dict[str, tuple[Make, str]] = {
    "link": (link_to("../../elsewhere/file"), "a link"),
    "dead link": (link_to("nowhere"), "a link"),
    "link to itself": (lambda path: path.symlink_to(path.name), "a link"),
    "FIFO": (os.mkfifo, "a FIFO"),
    "socket": (make_socket, "a socket"),
    "device": (make_device, "a device"),
    "directory": (Path.mkdir, "a directory"),
}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Give a folder beside the spool that must stay as it is."""
    folder = tmp_path / "elsewhere"
    (folder / "empty").mkdir(parents=True)
    (folder / "file").write_bytes(b"foreign" * 1000)
    before = content(folder)
    yield folder
    assert content(folder) == before


@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
def test_what_stands_for_a_segment_refuses_only_its_queue(
    tmp_path: Path, elsewhere: Path, which: int
) -> None:
    spool = tmp_path / "spool"
    names = _named_by(THINGS)
    fill(spool, *names.values(), count=500, segment_size=4096)
    kept = {}
    for thing, name in names.items():
        segment = sorted((spool / name.decode()).glob("*.segment"))[which]
        kept[segment] = segment.rename(tmp_path / f"kept {thing}")
        THINGS[thing][0](segment)
    lines = "\n".join(check_refused(spool, names=tuple(names.values())))
    for segment, (_, kind) in zip(kept, THINGS.values(), strict=True):
        assert f"{segment}: this is {kind}, not a regular file. " in lines
        segment.rmdir() if kind == "a directory" else segment.unlink()
        kept[segment].rename(segment)
    with ServerProcess(spool) as server, RawClient(server.port) as client:
        for name in names.values():
            expected = [*(b"item %d" % each for each in range(500)), None]
            assert client.get_all([name] * 501) == expected


def test_what_stands_for_a_queues_directory_refuses_only_that_queue(
    tmp_path: Path, elsewhere: Path
) -> None:
    spool = tmp_path / "spool"
    names = _named_by(["link", "dead link", "FIFO", "socket", "device"])
    fill(spool, *names.values())
    for thing, name in names.items():
        shutil.rmtree(spool / name.decode())
        THINGS[thing][0](spool / name.decode())
    lines = "\n".join(_refused(spool, *names.values()))
    for thing, name in names.items():
        kind = THINGS[thing][1]
        assert f"{spool / name.decode()}: this is {kind}, not a queue's directory. " in lines


def _named_by(things: Iterable[str]) -> dict[str, bytes]:
    """Return the name of a queue for each thing."""
    return {thing: thing.replace(" ", "_").lower().encode() for thing in things}


@pytest.mark.parametrize("target", ["empty", "queue"])
def test_a_link_to_a_directory_is_not_followed(
    tmp_path: Path, elsewhere: Path, target: str
) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    if target == "queue":
        (spool / "q").rename(tmp_path / "queue")
    else:
        shutil.rmtree(spool / "q")
        (elsewhere / "empty").rename(tmp_path / "empty")
    before = content(tmp_path / target)
    (spool / "q").symlink_to(tmp_path / target)
    (line,) = _refused(spool, b"q")
    assert "this is a link" in line
    assert content(tmp_path / target) == before
    if target == "empty":
        (tmp_path / "empty").rename(elsewhere / "empty")


def _refused(spool: Path, *names: bytes) -> list[str]:
    """Check that queues that are no directories are refused and stay; return the log's lines."""
    paths = [spool / name.decode() for name in names]
    before = [path.lstat().st_ino for path in paths]
    lines = check_refused(spool, names=names)
    assert [path.lstat().st_ino for path in paths] == before
    return lines


def test_what_is_left_of_a_removed_queue_is_not_followed_if_it_is_a_link(
    tmp_path: Path, elsewhere: Path
) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    (spool / "jobs~removed-3").symlink_to(elsewhere)
    with ServerProcess(spool) as server:
        with RawClient(server.port) as client:
            assert client.ask(b"delete q\r\n") == b"DELETED"
            client.check_put(Given(b"q", b"1"))
        assert server.stop() == 0
    assert (spool / "jobs~removed-3").is_symlink()


@pytest.mark.parametrize("thing", ["link", "FIFO", "device", "directory", "other name"])
def test_without_a_file_for_the_reserve_puts_are_accepted(
    tmp_path: Path, elsewhere: Path, thing: str
) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    reserve = spool / ".reserve"
    if thing == "other name":
        reserve.hardlink_to(elsewhere / "file")
    else:
        THINGS[thing][0](reserve)
    before = reserve.lstat()
    with ServerProcess(spool) as server:
        with RawClient(server.port) as client:
            client.check_put(Given(b"q", b"new"))
            assert client.stats()[b"disk_full"] == b"0"
        log = "".join(server.log)
        assert server.stop() == 0
    assert log.count("no room can be reserved for removals") == 1
    assert reserve.lstat().st_ino == before.st_ino
    assert reserve.lstat().st_size == before.st_size


@pytest.mark.parametrize(
    ("name", "thing"),
    [*((".ids", thing) for thing in THINGS), (".lock", "link"), (".lock", "FIFO")],
)
def test_what_stands_for_a_file_of_the_spool_is_named_in_one_line(
    tmp_path: Path, elsewhere: Path, name: str, thing: str
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    make, kind = THINGS[thing]
    make(spool / name)
    line = expect_refusal(1, "-q", spool, "-p", 0)
    assert line.startswith(f"starling-py: {spool / name}: this is {kind}, not a regular file")


@pytest.mark.parametrize("suffix", [".new", ".compacting", ".distrusted"])
def test_a_directory_that_stands_for_a_leftover_costs_no_queue(tmp_path: Path, suffix: str) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    (spool / "q" / f"0000000000000001.segment{suffix}").mkdir()
    with ServerProcess(spool) as server:
        with RawClient(server.port) as client:
            client.check_put(Given(b"q", b"new"))
            assert client.get_all([b"q"] * 4) == [b"item 0", b"item 1", b"item 2", b"new"]
        assert server.stop() == 0


def test_a_spool_that_is_a_link_itself_is_served(tmp_path: Path) -> None:
    (tmp_path / "true").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "true")
    fill(tmp_path / "spool")
    with ServerProcess(tmp_path / "spool") as server, RawClient(server.port) as client:
        assert client.get_one(b"q") == b"item 0"


def test_a_foreign_name_is_escaped_in_the_log(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    (spool / "a\nb\x1b[31m").mkdir()
    os.mkdir(os.fsencode(spool) + b"/\xff\xfe")  # noqa: PTH102
    (spool / ("n" * 255)).mkdir()
    with ServerProcess(spool) as server:
        with RawClient(server.port) as client:
            assert client.get_one(b"q") == b"item 0"
        log = "".join(server.log)
        assert server.stop() == 0
    assert "/a\\nb\\x1b[31m: not a journal of this server; left alone" in log
    assert "/\\udcff\\udcfe: not a journal" in log
    assert all("Traceback" not in line for line in log.splitlines())


# Mount points.


@needs("tmpfs")
@pytest.mark.parametrize("sync", ["always", "never"])
def test_a_queue_on_a_disk_of_its_own_works_and_gives_its_room_back(
    tmp_path: Path, sync: str
) -> None:
    spool = tmp_path / "spool"
    options = ("--sync", sync, "-f", settings_file(tmp_path, segment_size="4k"))
    fill(spool)
    (spool / "q2").mkdir()
    with mounted_tmpfs(tmp_path, 1024) as disk:
        own = MountedDisk("tmpfs", spool / "q2", "-t", "tmpfs", "-o", "size=64k")
        try:
            with ServerProcess(spool, *options) as server:
                for _ in range(3):
                    with RawClient(server.port) as client:
                        client.check_put(*(Given(b"q2", b"x" * 100) for _ in range(150)))
                        assert client.ask(b"delete q2\r\n") == b"DELETED"
                        wait_until(lambda: not os.listdir(spool / "q2"))  # noqa: PTH208
                        client.check_put(Given(b"q2", b"first"))
                    server.restart()
                    with RawClient(server.port) as client:
                        assert client.get_all([b"q2"] * 2) == [b"first", None]
                        assert client.get_all([b"q"])[0] in (b"item 0", b"item 1", b"item 2")
                        assert client.ask(b"delete q2\r\n") == b"DELETED"
                assert server.stop() == 0
        finally:
            own.unmount()
        assert disk.path.is_mount()


@needs("tmpfs")
def test_a_read_only_mount_refuses_only_its_queue(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    (spool / "q").rename(tmp_path / "q")
    (spool / "q").mkdir()
    own = MountedDisk("tmpfs", spool / "q", "-t", "tmpfs", "-o", "size=640k")
    try:
        shutil.copytree(tmp_path / "q", spool / "q", dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", spool / "q"], check=True)
        (line,) = check_refused(spool)
        assert "Read-only file system" in line
    finally:
        own.unmount()


# No inode.


@needs("tmpfs")
def test_without_an_inode_everything_can_be_taken_and_deleted(tmp_path: Path) -> None:
    with _few_inodes(tmp_path, 60) as disk, ServerProcess(disk.path / "spool") as server:
        with RawClient(server.port) as client:
            names = [b"q%d" % number for number in range(10)]
            client.check_put(*(Given(name, b"item") for name in names))
            _use_up_inodes(disk.path)
            assert client.ask(b"set new 0 0 1\r\nx\r\n").startswith(b"SERVER_ERROR ")
            assert client.get_all(names) == [b"item"] * 10
            for name in names[:5]:
                assert client.ask(b"delete %b\r\n" % name) == b"DELETED"
            wait_until(
                lambda: (
                    not [
                        each
                        for each in (disk.path / "spool").iterdir()
                        if each.name[:2] in ("q0", "q1", "q2", "q3", "q4")
                    ]
                )
            )
            client.check_put(Given(b"new", b"1"))
        server.kill()
        server.start()
        with RawClient(server.port) as client:
            assert client.get_one(b"new") == b"1"


@needs("tmpfs")
@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_start_without_an_inode_serves_what_it_can(tmp_path: Path, end: str, torn: bool) -> None:
    with _few_inodes(tmp_path, 60) as disk:
        spool = disk.path / "spool"
        with ServerProcess(spool) as server:
            with RawClient(server.port) as client:
                client.check_put(Given(b"a", b"1"), Given(b"b", b"1"), Given(b"c", b"1"))
            if end == "kill":
                server.kill()
            else:
                assert server.stop() == 0
            if torn:
                (segment,) = (spool / "b").iterdir()
                with segment.open("ab") as file:
                    file.write(b"torn")
            ballast = _use_up_inodes(disk.path)
            server.start()
            with RawClient(server.port) as client:
                assert client.get_one(b"a") == b"1"
                reply = client.ask(b"delete a\r\n")
                assert reply == b"DELETED"
                if not (torn and end == "stop"):
                    assert client.get_one(b"b") == b"1"
                assert client.get_one(b"c") == b"1"
                for path in ballast:
                    path.unlink()
                os.kill(server.pid, signal.SIGHUP)
                wait_until(lambda: client.stats()[b"refused_queues"] == b"0")
                client.check_put(Given(b"a", b"2"), Given(b"new", b"2"))


@contextlib.contextmanager
def _few_inodes(folder: Path, count: int) -> Iterator[MountedDisk]:
    path = folder / "few"
    path.mkdir()
    disk = MountedDisk("tmpfs", path, "-t", "tmpfs", "-o", f"nr_inodes={count},size=64m")
    try:
        yield disk
    finally:
        disk.unmount()


def _use_up_inodes(folder: Path) -> list[Path]:
    """Make files until there can be no more; return them."""
    made = []
    with contextlib.suppress(OSError):
        for number in range(1000):
            made.append(folder / f"ballast-{number}")
            made[-1].touch()
    return made[:-1]
