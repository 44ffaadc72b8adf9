"""A disk that fails or is slow: no lie to anybody, and the queue goes on by itself.

``strace`` is attached to a running server and lets chosen system calls fail or take long; when it
is detached, the disk has healed.
"""

import contextlib
import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheServerError

from tests.process.mounted_disk import needs, server_on_image
from tests.process.raw_client import Given, RawClient
from tests.process.server_process import (
    PATIENCE,
    ServerProcess,
    seconds,
    settings_file,
    wait_until,
)
from tests.process.told import Told

ONE_SYNC_FAILS = "fdatasync:error=EIO:when=1"
EVERY_SYNC_FAILS = "fdatasync,fsync:error=EIO"
SYNC_TIME = 1.0
"""Seconds that a slow sync takes: many times what a reply does that need not wait for one."""
EVERY_SYNC_IS_SLOW = f"fdatasync,fsync:delay_enter={SYNC_TIME * 1_000_000:.0f}"
WRITES = "write,pwrite64,writev,pwritev,pwritev2"


def why_no_strace() -> str:
    """Return what keeps this machine from letting system calls fail, or nothing."""
    if os.geteuid() != 0:
        return "needs root: traces a process that is no child of the tracer"
    return "" if shutil.which("strace") else "needs strace"


pytestmark = pytest.mark.skipif(bool(why_no_strace()), reason=why_no_strace() or "it is here")


@contextlib.contextmanager
def injected(server: ServerProcess, fault: str, *paths: Path) -> Iterator[None]:
    """Let system calls of a server go wrong until the end of the block, perhaps on some files."""
    only = [word for path in paths for word in ("-P", str(path))]
    with subprocess.Popen(
        ["strace", "-f", "-o", os.devnull, *only, "-p", str(server.pid), "-e", f"inject={fault}"],
        stderr=subprocess.PIPE,
        text=True,
    ) as tracer:
        assert tracer.stderr is not None
        try:
            lines = []
            while "attached" not in (line := tracer.stderr.readline()):
                lines.append(line)
                if "not permitted" in line:
                    pytest.skip(f"needs the right to trace: {line.strip()}")
                assert line, f"strace ended: {lines}"
            yield
        finally:
            tracer.terminate()
            tracer.stderr.read()
            tracer.wait(PATIENCE)


def put_until_synced(told: Told) -> int:
    """Put items until all that was stored before them is on the disk; return how many those are."""
    stored, before = len(told.stored), told.server.stat("fsyncs")
    # One sync may have been under way, and it may have been one of two files.
    wait_until(lambda: told.put() and told.server.stat("fsyncs") >= before + 3)
    return stored


def wait_for_the_log(server: ServerProcess, *words: str) -> None:
    """Wait for a line of the log that has all these words."""
    wait_until(lambda: any(all(word in line for word in words) for line in list(server.log)))


# Syncs that fail


def test_under_always_a_failed_sync_is_an_error_and_the_queue_goes_on(
    tmp_path: Path,
) -> None:
    with ServerProcess(tmp_path / "spool", "--sync", "always") as server:
        told = Told(server)
        told.check_put_many(5)
        told.check_take()
        with injected(server, ONE_SYNC_FAILS):
            assert not told.put()
            wait_until(told.put)
            told.check_put_many(5)
        told.check_put_many(5)
        told.check_take()
        assert server.stat("journal_failures") > 0
        wait_for_the_log(server, str(tmp_path / "spool" / "jobs"), ".segment", "Input/output error")
        told.check_after_a_kill()


def test_under_an_interval_a_failed_sync_loses_and_stops_nothing(
    tmp_path: Path,
) -> None:
    with ServerProcess(tmp_path / "spool", "--sync", "50ms") as server:
        told = Told(server)
        told.check_put_many(5)
        told.check_take()
        with injected(server, ONE_SYNC_FAILS):
            told.put()
            wait_until(lambda: server.stat("journal_failures") > 0)
            wait_until(told.put)
            put_until_synced(told)
        told.check_put_many(5)
        wait_for_the_log(server, str(tmp_path / "spool" / "jobs"), ".segment", "Input/output error")
        told.check_after_a_kill()


@pytest.mark.parametrize("sync", ["always", "50ms"])
def test_while_every_sync_fails_nothing_is_promised_and_later_all_goes_on(
    tmp_path: Path, sync: str
) -> None:
    with ServerProcess(tmp_path / "spool", "--sync", sync) as server:
        told = Told(server)
        told.check_put_many(5)
        with injected(server, EVERY_SYNC_FAILS):
            # Under an interval nobody waits for a sync, so it takes one until it is known.
            wait_until(lambda: not told.put())
            wait_until(lambda: server.stat("journal_failures") > 0)
            with contextlib.closing(server.client()) as client:
                assert client.version()
                if sync == "always":
                    assert not any(told.put() for _ in range(5))
                    with pytest.raises(MemcacheServerError):
                        client.get("jobs")
                    # Whether it was taken is open.
                    told.refused.add(told.stored.pop(0))
        wait_until(told.put)
        told.check_put_many(5)
        told.check_after_a_kill()


@needs("ext4")
@pytest.mark.parametrize("sync", ["always", "50ms"])
def test_after_a_failed_sync_a_power_cut_takes_nothing_that_was_stored(
    tmp_path: Path, sync: str
) -> None:
    """The file whose sync failed is not trusted: what stood in it is on the disk elsewhere."""
    with server_on_image(tmp_path, "ext4", "--sync", sync) as server:
        told = Told(server)
        told.check_put_many(5)
        told.check_take()
        with injected(server, ONE_SYNC_FAILS):
            told.put()
            wait_until(lambda: server.stat("journal_failures") > 0)
            wait_until(told.put)
        safe = None if sync == "always" else put_until_synced(told)
        server.lose_power()
        server.come_back()
        told.check(safe)


# Writes that fail


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", pytest.param("EROFS", marks=pytest.mark.long)])
@pytest.mark.parametrize("sync", ["always", "50ms"])
def test_a_failed_write_promises_nothing_and_later_the_queue_goes_on(
    tmp_path: Path, sync: str, error: str
) -> None:
    spool = tmp_path / "spool"
    with ServerProcess(spool, "--sync", sync) as server:
        told = Told(server)
        told.check_put_many(5)
        told.check_take()
        # The segment is written to under another name until it is safe.
        wait_until(lambda: any((spool / "jobs").glob("*.segment")))
        (segment,) = (spool / "jobs").glob("*.segment")
        with injected(server, f"{WRITES}:error={error}", segment):
            for _ in range(5):
                told.put()
            assert server.stat("journal_failures") > 0
            # After a failed write nothing was stored.
            assert server.stat("curr_items") == len(told.stored)
        wait_until(told.put)
        told.check_put_many(5)
        told.check_take()
        wait_for_the_log(server, str(spool / "jobs"), os.strerror(getattr(errno, error)))
        told.check_after_a_kill()


@needs("ext4")
@pytest.mark.parametrize("sync", ["always", "50ms"])
def test_a_disk_that_turns_read_only_ends_no_server_and_loses_nothing(
    tmp_path: Path, sync: str
) -> None:
    with server_on_image(tmp_path, "ext4", "--sync", sync) as server:
        told = Told(server)
        told.check_put_many(5)
        told.check_take()
        safe = None if sync == "always" else put_until_synced(told)
        server.disk.turn_read_only()
        wait_until(lambda: not told.put())
        assert not told.put()
        assert server.stat("journal_failures") > 0
        with contextlib.closing(server.client()) as client:
            assert client.version()
            assert client.get("nothing") is None
        wait_for_the_log(server, str(server.disk.path / "spool" / "jobs"), "Read-only file system")
        server.kill()
        server.come_back()
        told.check(safe)
        told.stored.clear()
        told.check_put_many(5)
        told.check()


# Syncs that take long


@pytest.mark.parametrize("segment_size", ["4k", pytest.param("16m", marks=pytest.mark.long)])
def test_under_an_interval_a_slow_disk_slows_no_reply(tmp_path: Path, segment_size: str) -> None:
    conf = settings_file(tmp_path, segment_size=segment_size)
    with (
        ServerProcess(tmp_path / "spool", "-f", conf, "--sync", "50ms") as server,
        contextlib.closing(server.client()) as client,
    ):
        puts = 0

        def put_and_count_syncs() -> int:
            nonlocal puts
            assert client.set("jobs", b"x" * 500)
            puts += 1
            return int(client.stats()[b"fsyncs"])

        with injected(server, EVERY_SYNC_IS_SLOW):
            before, puts = put_and_count_syncs(), 0
            wait_until(lambda: put_and_count_syncs() >= before + 3)
        # Nearly all the time a sync is under way, so whoever waited for them would put one or two
        # items in each.
        assert puts > 3 * 3


def test_under_always_only_those_who_wait_for_a_slow_disk_are_slow(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path / "spool", "--sync", "always") as server,
        contextlib.closing(server.client()) as slow,
        contextlib.closing(server.client()) as other,
    ):
        assert slow.set("jobs", b"first")
        with injected(server, EVERY_SYNC_IS_SLOW):
            waits = [slow_put(slow, other) for _ in range(3)]
        for duration, answers in waits:
            assert duration > 0.95 * SYNC_TIME
            # If the server waited too, it would answer what was asked before, and once more.
            assert answers > 2 * len(free_questions(other))


def slow_put(slow: Client, other: Client) -> tuple[float, int]:
    """Put an item; return how long it took, and how much another client was answered meanwhile."""
    times: list[float] = []
    thread = threading.Thread(
        target=lambda: times.append(seconds(lambda: slow.set("jobs", b"x" * 500)))
    )
    answers = 0
    thread.start()
    while thread.is_alive():
        for ask in free_questions(other):
            ask()
            answers += 1
    thread.join()
    return times[0], answers


def free_questions(client: Client) -> tuple[Callable[[], object], ...]:
    """Return what a client may ask that needs no disk."""
    return client.version, client.stats, lambda: client.get("empty")


def test_under_always_those_who_come_while_a_slow_sync_runs_share_the_next(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "spool", "--sync", "always") as server:
        assert Told(server).put()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(RawClient(server.port)) for _ in range(20)]
            before = server.stat("fsyncs")
            with injected(server, EVERY_SYNC_IS_SLOW):
                for client in clients:
                    client.send(Given(b"jobs", b"x" * 500).command())
                for client in clients:
                    client.expect_stored()
            # Two, if all puts come while the first sync runs.
            assert server.stat("fsyncs") - before < len(clients) / 2
        assert server.stat("curr_items") == 21
