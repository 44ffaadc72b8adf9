"""A disk without room: sets are refused, removals go on, and all heals by itself.

Whoever wants to make room must take items out, so taking one may never need room that is not
there. What was answered ``STORED`` is there after a kill on the full disk, and nothing else.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheServerError

from tests.process.mounted_disk import MountedDisk, mounted_image, mounted_tmpfs, needs
from tests.process.server_process import ServerProcess, wait_until

BATCH = 50
"""Sets that are sent at once while a disk is filled."""
SMALL, LARGE = 64, 10 * 1024
"""Bytes of an item."""
kinds = pytest.mark.parametrize(
    ("size", "segment_size"), [(SMALL, "4k"), (SMALL, "16m"), (LARGE, "4k"), (LARGE, "16m")]
)
two_kinds = pytest.mark.parametrize(("size", "segment_size"), [(SMALL, "16m"), (LARGE, "4k")])
systems = pytest.mark.parametrize(
    "system", [pytest.param(each, marks=needs(each)) for each in ("tmpfs", "ext4")]
)


@contextlib.contextmanager
def small_disk(folder: Path, system: str) -> Iterator[MountedDisk]:
    """Make a disk of which some megabytes are free."""
    if system == "tmpfs":
        with mounted_tmpfs(folder, 2048) as disk:
            yield disk
    else:
        with mounted_image(folder, system, 8) as disk:
            take_room(disk, leave=2 << 20)
            yield disk


@contextlib.contextmanager
def serving(
    folder: Path, system: str, segment_size: str = "16m", sync: str = "50ms"
) -> Iterator[tuple[MountedDisk, ServerProcess, Client]]:
    """Start a server whose spool is on a small disk, and connect to it."""
    conf = folder / "starling.yml"
    conf.write_text(f"starling:\n  segment_size: {segment_size}\n")
    with (
        small_disk(folder, system) as disk,
        ServerProcess(disk.path / "spool", "-f", conf, "--sync", sync) as server,
        contextlib.closing(server.client()) as client,
    ):
        yield disk, server, client


def take_room(disk: MountedDisk, leave: int = 0) -> Path:
    """Fill a disk with a file of somebody else's; return the file."""
    ballast = disk.path / f"ballast-{leave}"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while (chunk := min(disk.free - leave, 1 << 16)) > 0 or not leave:
            file.write(bytes(max(chunk, 512)))
    return ballast


def item(number: int, size: int) -> bytes:
    """Make an item that tells its number."""
    return b"%d " % number + b"x" * (size - len(b"%d " % number))


class Filler:
    """Puts items into a queue, many at a time, and keeps those that were answered ``STORED``."""

    def __init__(self, server: ServerProcess, size: int, queue: bytes = b"jobs") -> None:
        self._server = server
        self._size = size
        self._queue = queue
        self._number = 0
        self.stored: list[bytes] = []

    def fill(self, most: int = 1_000_000) -> None:
        """Put items until one is refused, or so many."""
        end = self._number + most
        with (
            socket.create_connection(("127.0.0.1", self._server.port), timeout=10) as sock,
            sock.makefile("rb") as replies,
        ):
            while self._number < end and self._put(sock, replies, min(BATCH, end - self._number)):
                pass

    def fill_to_the_last_byte(self) -> None:
        """Put items until they are refused again and again, as clients do that try again."""
        for _ in range(5):
            self.fill()

    def _put(self, sock: socket.socket, replies: IO[bytes], count: int) -> bool:
        batch = [item(self._number + each, self._size) for each in range(count)]
        self._number += count
        sock.sendall(
            b"".join(b"set %b 0 0 %d\r\n%b\r\n" % (self._queue, len(each), each) for each in batch)
        )
        room = True
        for each in batch:
            reply = replies.readline()
            if reply == b"STORED\r\n":
                self.stored.append(each)
            else:
                assert reply.startswith(b"SERVER_ERROR "), reply
                room = False
        return room


def take(client: Client, queue: str, expected: list[bytes]) -> None:
    """Take so many items one by one, none of them with an error."""
    for each in expected:
        assert client.get(queue) == each


def items(server: ServerProcess) -> int:
    """Ask for statistics, and return how many items there are."""
    with contextlib.closing(server.client()) as client:
        return int(client.stats()[b"curr_items"])


def is_stored(client: Client, queue: str, value: bytes) -> bool:
    """Try to put an item."""
    try:
        return bool(client.set(queue, value))
    except MemcacheServerError:
        return False


def restart(server: ServerProcess, client: Client) -> None:
    """Kill the server and start it again; the client connects anew."""
    server.kill()
    server.start()
    client.close()


@systems
@kinds
def test_on_a_full_disk_every_item_can_be_taken_and_none_comes_back_after_a_kill(
    tmp_path: Path, system: str, size: int, segment_size: str
) -> None:
    with serving(tmp_path, system, segment_size) as (_, server, client):
        filler = Filler(server, size)
        filler.fill_to_the_last_byte()
        stored = filler.stored
        assert len(stored) > 50
        assert items(server) == len(stored)
        half = len(stored) // 2
        take(client, "jobs", stored[:half])
        assert items(server) == len(stored) - half
        restart(server, client)
        assert items(server) == len(stored) - half
        take(client, "jobs", stored[half:])
        assert client.get("jobs") is None
        restart(server, client)
        assert client.get("jobs") is None
        assert items(server) == 0


@systems
@kinds
def test_once_a_full_queue_is_drained_sets_are_stored_again_without_a_restart(
    tmp_path: Path, system: str, size: int, segment_size: str
) -> None:
    with serving(tmp_path, system, segment_size) as (_, server, client):
        filler = Filler(server, size)
        filler.fill_to_the_last_byte()
        half = len(filler.stored) // 2
        take(client, "jobs", filler.stored)
        filler.stored.clear()

        def there_is_as_much_room() -> bool:
            filler.fill(half - len(filler.stored))
            return len(filler.stored) == half

        wait_until(there_is_as_much_room)
        assert items(server) == half
        restart(server, client)
        take(client, "jobs", filler.stored)
        assert client.get("jobs") is None


@systems
@two_kinds
def test_a_server_killed_on_a_full_disk_starts_there_with_everything_and_can_be_drained(
    tmp_path: Path, system: str, size: int, segment_size: str
) -> None:
    with serving(tmp_path, system, segment_size) as (_, server, client):
        filler = Filler(server, size)
        filler.fill_to_the_last_byte()
        restart(server, client)
        assert items(server) == len(filler.stored)
        take(client, "jobs", filler.stored)
        assert client.get("jobs") is None


@systems
def test_what_is_stored_after_a_refusal_is_there_after_a_kill(tmp_path: Path, system: str) -> None:
    """A large item is refused and leaves nothing half-written in front of smaller ones."""
    with serving(tmp_path, system) as (_, server, client):
        filler = Filler(server, LARGE)
        filler.fill()
        expected = list(filler.stored)
        for number in range(10_000):
            if not is_stored(client, "jobs", b"small %d" % number):
                break
            expected.append(b"small %d" % number)
        assert not is_stored(client, "jobs", item(0, LARGE))
        restart(server, client)
        assert items(server) == len(expected)
        take(client, "jobs", expected)
        assert client.get("jobs") is None


@systems
@kinds
def test_a_disk_that_somebody_else_has_filled_takes_every_removal_and_heals_by_itself(
    tmp_path: Path, system: str, size: int, segment_size: str
) -> None:
    with serving(tmp_path, system, segment_size) as (disk, server, client):
        filler = Filler(server, size)
        filler.fill((3 << 18) // size)
        ballast = take_room(disk)
        filler.fill_to_the_last_byte()
        stored = filler.stored
        third = len(stored) // 3
        take(client, "jobs", stored[:third])
        assert items(server) == len(stored) - third
        restart(server, client)
        take(client, "jobs", stored[third : 2 * third])
        ballast.unlink()
        wait_until(lambda: is_stored(client, "jobs", b"again"))
        assert items(server) == len(stored) - 2 * third + 1
        take(client, "jobs", stored[2 * third :])
        restart(server, client)
        take(client, "jobs", [b"again"])
        assert client.get("jobs") is None


@needs("tmpfs")
@pytest.mark.parametrize("sync", ["never", "always"])
def test_every_removal_works_on_a_full_disk_under_any_policy(tmp_path: Path, sync: str) -> None:
    with serving(tmp_path, "tmpfs", "4k", sync) as (_, server, client):
        filler = Filler(server, LARGE)
        filler.fill_to_the_last_byte()
        take(client, "jobs", filler.stored)
        wait_until(lambda: is_stored(client, "jobs", b"again"))


@systems
def test_a_queue_that_finds_no_room_leaves_the_others_alone(tmp_path: Path, system: str) -> None:
    with serving(tmp_path, system, "4k") as (_, server, client):
        old, other = Filler(server, SMALL, b"old"), Filler(server, LARGE, b"other")
        old.fill(1000)
        other.fill_to_the_last_byte()
        assert len(old.stored) == 1000
        new = [f"new{n}" for n in range(20) if is_stored(client, f"new{n}", item(n, LARGE))]
        take(client, "old", old.stored[:500])
        take(client, "other", other.stored)
        wait_until(lambda: is_stored(client, "last", item(0, LARGE)))
        restart(server, client)
        assert items(server) == 500 + len(new) + 1
        take(client, "old", old.stored[500:])
        take(client, "last", [item(0, LARGE)])


@systems
def test_a_queue_can_be_flushed_and_deleted_on_a_full_disk(tmp_path: Path, system: str) -> None:
    with serving(tmp_path, system, "4k") as (_, server, client):
        flushed, deleted = Filler(server, SMALL, b"flushed"), Filler(server, LARGE, b"deleted")
        flushed.fill(1000)
        deleted.fill_to_the_last_byte()
        assert client.raw_command(b"flush flushed") == b"END"
        assert client.delete("deleted")
        wait_until(lambda: is_stored(client, "jobs", item(0, LARGE)))
        restart(server, client)
        assert items(server) == 1
