"""A spool that others write to, that cannot be read, and a server whose start or time is disturbed.

Whatever the server does not understand it leaves as it is: it serves beside it or refuses to
start, with one line that names the file.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from starling_py.clock import Clock
from starling_py.journal.disk.files import Files
from starling_py.server.core import Core, InlineThreads, Storage
from tests.core import put
from tests.process.raw_client import Given, RawClient
from tests.process.server_process import (
    COMMAND,
    PATIENCE,
    ServerProcess,
    environment,
    expect_refusal,
    seconds,
    settings_file,
    starting,
    wait_until,
)

NOBODY = 65534
AS_NOBODY = ("-u", NOBODY, "-g", NOBODY)
MANY = 80_000
"""Items whose recovery takes long enough to be disturbed at several moments."""
JUMPS = ("+10y", "-10y")
FAKETIME = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)


def content(folder: Path) -> dict[Path, bytes | None]:
    """Return everything below a folder, links unfollowed, with the bytes of what is a file."""
    return {
        path: path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in folder.rglob("*")
        if path.name != ".lock"
    }


def fill(spool: Path, *names: bytes, count: int = 3, segment_size: int = 1 << 24) -> None:
    """Leave a spool with some items in each queue (``q``), as a server does that was stopped."""
    storage = Storage(str(spool), interval=None, segment_size=segment_size)
    core = Core.open(storage, Clock(), Files(), InlineThreads())
    for name in names or (b"q",):
        for number in range(count):
            put(core.queues, name, b"item %d" % number)
            if number % 100 == 0:
                core.commits.commit()
    core.close()


def check_refused(spool: Path, *options: object, names: tuple[bytes, ...] = (b"q",)) -> list[str]:
    """Check that a server refuses these queues alone; return the lines that the log has of them.

    Nothing of the queues may change.
    """
    before = {name: content(spool / name.decode()) for name in names}
    with ServerProcess(spool, *options) as server:
        with RawClient(server.port) as client:
            client.check_put(Given(b"other", b"1"))
            for name in names:
                for command in (b"get %b\r\n", b"set %b 0 0 1\r\nx\r\n", b"delete %b\r\n"):
                    reply = client.ask(command % name)
                    assert reply.startswith(b"SERVER_ERROR the queue is refused: "), reply
                    assert str(spool / name.decode()).encode() in reply
            assert client.get_all([b"other"] * 2) == [b"1", None]
            stats = client.stats()
            assert stats[b"refused_queues"] == b"%d" % len(names)
            assert all(stats[b"queue_%b_journal_broken" % name] == b"1" for name in names)
        log = "".join(server.log)
        assert server.stop() == 0
    assert {name: content(spool / name.decode()) for name in names} == before
    lines = [line for line in log.splitlines() if " The queue is refused" in line]
    assert len(lines) == len(names)
    return lines


# Two servers


def test_a_second_server_on_a_spool_refuses_and_the_first_goes_on(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with ServerProcess(spool, "--sync", "always") as first, RawClient(first.port) as client:
        client.check_put(Given(b"q", b"1"), Given(b"q", b"2"))
        before = content(spool)
        for _ in range(3):
            line = expect_refusal(1, "-q", spool, "-p", 0)
            assert f"{spool}: another server is using this spool (process {first.pid}," in line
        assert content(spool) == before
        client.check_put(Given(b"q", b"3"))
        assert client.get_one(b"q") == b"1"
        first.restart()
        with RawClient(first.port) as again:
            assert again.get_all([b"q"] * 3) == [b"2", b"3", None]


def test_of_servers_that_start_on_one_spool_at_the_same_time_one_serves(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    processes = [
        subprocess.Popen(
            [*COMMAND, "-q", spool, "-p", "0"],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        wait_until(lambda: sum(each.poll() is not None for each in processes) == 3)
        (serving,) = (each for each in processes if each.poll() is None)
        assert serving.stderr is not None
        while "listening on" not in (line := serving.stderr.readline()):
            assert line
        with RawClient(int(line.rpartition(":")[2])) as client:
            assert client.get_all([b"q"] * 4) == [b"item 0", b"item 1", b"item 2", None]
    finally:
        for each in processes:
            each.kill()
        said = [each.communicate(timeout=PATIENCE)[1] for each in processes]
    refused = [text for text, each in zip(said, processes, strict=True) if each is not serving]
    assert all("another server is using this spool" in text for text in refused)
    assert [each.returncode for each in processes if each is not serving] == [1, 1, 1]


# A newer format


@pytest.mark.parametrize("version", [2**8 - 1, 2**16 - 1])
@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
def test_a_queue_with_a_segment_of_a_newer_format_is_refused_and_unchanged(
    tmp_path: Path, version: int, which: int
) -> None:
    spool = tmp_path / "spool"
    fill(spool, count=1000, segment_size=4096)
    segment = sorted((spool / "q").glob("*.segment"))[which]
    data = bytearray(segment.read_bytes())
    data[8:10] = version.to_bytes(2, "little")
    segment.write_bytes(data)
    (line,) = check_refused(spool)
    assert str(segment) in line
    assert f"version {version}" in line


# Foreign files


def test_what_is_not_the_servers_in_the_spool_is_warned_of_and_left_alone(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    (spool / "lost+found").mkdir()
    (spool / "notes").mkdir()
    (spool / "notes" / "notes.txt").write_text("mine")
    (spool / "Folder").mkdir()
    (spool / "file").write_text("mine too")
    (spool / "q.tar").write_bytes(b"\x1f\x8b")
    (spool / "0000000000000001.segment").write_bytes(b"")
    (spool / "link+out").symlink_to(tmp_path)
    (spool / "link+nowhere").symlink_to(tmp_path / "nowhere")
    os.mkfifo(spool / "pipe")
    before = content(spool)
    with ServerProcess(spool) as server:
        with RawClient(server.port) as client:
            client.check_put(Given(b"q", b"new"), Given(b"notes", b"a queue"))
            assert client.get_all([b"q"] * 4) == [b"item 0", b"item 1", b"item 2", b"new"]
        log = "".join(server.log)
        assert server.stop() == 0
    foreign = ["lost+found", "notes", "Folder", "file", "q.tar", "0000000000000001.segment"]
    foreign += ["link+out", "link+nowhere", "pipe"]
    for name in foreign:
        assert any(" WARNING " in line and name in line for line in log.splitlines()), name
    after = content(spool)
    mine = {path: what for path, what in before.items() if not path.is_relative_to(spool / "q")}
    assert mine.items() <= after.items()
    with ServerProcess(spool) as server, RawClient(server.port) as client:
        assert client.get_one(b"notes") == b"a queue"


def test_a_link_to_nowhere_in_the_spool_keeps_no_server_from_serving(
    tmp_path: Path,
) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    (spool / "link").symlink_to(tmp_path / "nowhere")
    with ServerProcess(spool) as server:
        with RawClient(server.port) as client:
            assert client.get_one(b"q") == b"item 0"
        assert server.stop() == 0
    assert (spool / "link").is_symlink()


def test_foreign_files_of_a_queues_directory_are_warned_of_and_left_alone(
    tmp_path: Path,
) -> None:
    spool = tmp_path / "spool"
    conf = settings_file(tmp_path, segment_size="4k")
    fill(spool, segment_size=4096)
    (segment,) = (spool / "q").glob("*.segment")
    folder = segment.parent
    (folder / "notes.txt").write_text("mine")
    (folder / "subfolder").mkdir()
    (folder / "subfolder" / segment.name).write_bytes(segment.read_bytes())
    (folder / "notes.segment").write_text("no number")
    (folder / "1.segment").write_text("too few digits")
    (folder / f"{segment.name}.bak").write_bytes(segment.read_bytes())
    (folder / "link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe")
    before = content(folder)
    del before[segment]
    with ServerProcess(spool, "-f", conf, "--sync", "50ms") as server:
        with RawClient(server.port) as client:
            # More than one segment, and all of it out again: segments are removed.
            client.check_put_all(Given(b"q", b"%d" % number) for number in range(1000))
            expected = [*(b"item %d" % n for n in range(3)), *(b"%d" % n for n in range(1000))]
            assert client.get_all([b"q"] * 1004) == [*expected, None]

            def is_removed() -> bool:
                """Go on until it is: what is just being copied goes after a later sync."""
                client.check_put(Given(b"q", b"one more"))
                assert client.get_one(b"q") == b"one more"
                return not segment.exists()

            wait_until(is_removed)
        log = "".join(server.log)
        assert server.stop() == 0
    for path in before:
        if path.parent == folder:
            lines = [line for line in log.splitlines() if f"{path}:" in line]
            assert lines, path
            assert all(" WARNING " in line for line in lines)
    assert before.items() <= content(folder).items()


# Permissions


@pytest.fixture
def others_folder() -> Iterator[Path]:
    """Give a folder that other users can enter, which pytest's own cannot."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a server that becomes another user")
    folder = Path(tempfile.mkdtemp(prefix="starling-test-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


def give_away(folder: Path) -> None:
    """Make a folder and all that is in it the unprivileged user's."""
    os.chown(folder, NOBODY, NOBODY)
    for path in folder.rglob("*"):
        os.chown(path, NOBODY, NOBODY)


def test_an_unwritable_spool_is_refused_by_name_and_nothing_changes(
    others_folder: Path,
) -> None:
    spool = others_folder / "spool"
    fill(spool)
    give_away(spool)
    os.chown(spool, 0, 0)
    spool.chmod(0o755)
    (spool / ".lock").unlink()
    before = content(spool)
    line = expect_refusal(1, "-q", spool, "-p", 0, *AS_NOBODY)
    assert line.startswith(f"starling-py: {spool}: this user cannot use the spool")
    assert content(spool) == before
    assert not (spool / ".lock").exists()


@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
def test_a_queue_with_an_unreadable_segment_is_refused_and_nothing_changes(
    others_folder: Path, which: int
) -> None:
    spool = others_folder / "spool"
    fill(spool, count=1000, segment_size=4096)
    give_away(spool)
    segment = sorted((spool / "q").glob("*.segment"))[which]
    os.chown(segment, 0, 0)
    segment.chmod(0o600)
    (line,) = check_refused(spool, *AS_NOBODY)
    assert f"{segment}: Permission denied. " in line


def test_a_queue_that_may_not_be_read_is_refused_and_nothing_changes(
    others_folder: Path,
) -> None:
    spool = others_folder / "spool"
    fill(spool)
    give_away(spool)
    os.chown(spool / "q", 0, 0)
    (spool / "q").chmod(0o700)
    (line,) = check_refused(spool, *AS_NOBODY)
    assert f"{spool / 'q'}: Permission denied. " in line


def test_a_spool_that_is_the_users_again_is_served_with_all_that_was_in_it(
    others_folder: Path,
) -> None:
    spool = others_folder / "spool"
    fill(spool)
    (spool / "q").chmod(0o700)
    give_away(spool)
    os.chown(spool / "q", 0, 0)
    with ServerProcess(spool, *AS_NOBODY) as server, RawClient(server.port) as client:
        assert client.ask(b"get q\r\n").startswith(b"SERVER_ERROR the queue is refused")
        give_away(spool)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: client.stats()[b"refused_queues"] == b"0")
        client.check_put(Given(b"q", b"new"), Given(b"other", b"1"))
        assert client.get_all([b"q"] * 5) == [b"item 0", b"item 1", b"item 2", b"new", None]
    assert (spool / "other").stat().st_uid == NOBODY


# A signal during the start


def check_ended_in_order(process: "subprocess.Popen[str]") -> None:
    """Check that a server ended soon after SIGTERM: stopped, or ended by it before it served."""
    process.wait(PATIENCE)
    # Not ``communicate``, which would pass over what came with the first line and is read already.
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in said
    assert " ERROR " not in said
    if process.returncode == 0:
        served = "listening on" in said
        assert said.endswith("stopped\n" if served else "nothing was lost\n"), said


def recovery_time(spool: Path) -> float:
    """Return how many seconds a server reads before it serves."""
    with starting(spool) as process:
        begun = time.monotonic()
        assert process.stderr is not None
        while "listening on" not in (line := process.stderr.readline()):
            assert line
        return time.monotonic() - begun


def test_sigterm_amid_a_long_recovery_ends_it_soon_and_loses_nothing(
    tmp_path: Path,
) -> None:
    spool = tmp_path / "spool"
    fill(spool, count=MANY)
    whole = recovery_time(spool)
    for tenth in (0, 1, 3, 5, 7, 9, 10, 11):
        with starting(spool) as process:
            time.sleep(whole * tenth / 10)
            process.send_signal(signal.SIGTERM)
            check_ended_in_order(process)
    with ServerProcess(spool) as server, RawClient(server.port) as client:
        stats = client.stats()
        assert int(stats[b"queue_q_items"]) == int(stats[b"queue_q_total_items"]) == MANY
        expected = [b"item %d" % number for number in range(MANY)]
        assert client.get_all([b"q"] * MANY) == expected


def test_sigterm_as_soon_as_the_pid_file_is_there_stops_it_in_order(tmp_path: Path) -> None:
    spool, pid_file = tmp_path / "spool", tmp_path / "pid"
    fill(spool)
    for _ in range(5):
        with starting(spool, "-P", pid_file) as process:
            while not (pid_file.exists() and pid_file.read_text()):
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            check_ended_in_order(process)
        assert not pid_file.exists()


# The wall clock


class WallClock:
    """The wall clock of the servers that are started, which can be set to another time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.jump("+0")

    def jump(self, offset: str) -> None:
        """Set the clock so far from the true time."""
        new = self._path.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.replace(self._path)


@pytest.fixture
def wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WallClock]:
    """Give all processes that are started a wall clock that can be set; others keep theirs."""
    libraries = [path for pattern in FAKETIME for path in Path("/").glob(pattern[1:])]
    if not libraries:
        pytest.skip("libfaketime is not installed (Debian package faketime)")
    path = tmp_path / "clock"
    clock = WallClock(path)
    monkeypatch.setenv("LD_PRELOAD", str(libraries[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(path))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    yield clock
    for shared in Path("/dev/shm").glob("*faketime_s??_*"):
        # A process that is killed leaves this behind, in the way of the next one of its number.
        if not Path("/proc", shared.name.rpartition("_")[2]).exists():
            shared.unlink(missing_ok=True)


def years_away(client: RawClient) -> int:
    """Return by how many years the server's time is ahead of the true one."""
    return round((client.stat(b"time") - time.time()) / (365.25 * 86400))


def years(jump: str) -> int:
    """Return how many years a jump goes."""
    return int(jump.removesuffix("y"))


def check_age(client: RawClient) -> int:
    """Return the age of the queue ``q``, which is never negative."""
    value = client.stat(b"queue_q_age")
    assert value >= 0
    return value


TEN_YEARS_MS = 10 * 365 * 86_400_000


def test_a_clock_jump_between_runs_changes_no_order_and_no_age_is_below_0(
    tmp_path: Path, wall_clock: WallClock
) -> None:
    expected: list[bytes] = []
    with ServerProcess(tmp_path / "spool") as server:
        for run_number, jump in enumerate(("+0", *JUMPS, "+0")):
            server.kill()
            wall_clock.jump(jump)
            server.start()
            with RawClient(server.port) as client:
                assert years_away(client) == years(jump)
                items = [b"%d.%d" % (run_number, number) for number in range(3)]
                client.check_put(*(Given(b"q", data) for data in items))
                expected += items
                check_age(client)
                assert client.get_one(b"q/peek") == expected[0]
                assert client.get_one(b"q") == expected.pop(0)
        wall_clock.jump("-10y")
        assert server.stop() == 0
        server.start()
        with RawClient(server.port) as client:
            assert client.stat(b"queue_q_items") == len(expected)
            assert client.get_all([b"q"] * len(expected)) == expected
            assert client.get_one(b"q") is None


def test_expiry_and_age_go_by_the_wall_clock_of_the_present_run(
    tmp_path: Path, wall_clock: WallClock
) -> None:
    with ServerProcess(tmp_path / "spool") as server:
        with RawClient(server.port) as client:
            client.check_put(Given(b"q", b"stays"))
            client.send(b"set dies 0 100 1\r\nx\r\nset early 0 100 1\r\ny\r\n")
            client.expect_stored()
            client.expect_stored()
        assert server.stop() == 0
        wall_clock.jump("-10y")
        server.start()
        with RawClient(server.port) as client:
            assert check_age(client) == 0
            assert client.get_one(b"early") == b"y"
        assert server.stop() == 0
        wall_clock.jump("+10y")
        server.start()
        with RawClient(server.port) as client:
            # Until its first item is read back, a queue does not know its age.
            assert client.get_one(b"q/peek") == b"stays"
            assert check_age(client) >= TEN_YEARS_MS
            assert client.get_all([b"dies", b"q"]) == [None, b"stays"]
            assert client.stat(b"queue_dies_expired_items") == 1


def test_a_clock_jump_while_the_server_runs_changes_only_expiry_and_age(
    tmp_path: Path, wall_clock: WallClock
) -> None:
    begun = time.monotonic()
    with ServerProcess(tmp_path / "spool") as server:
        expected: list[bytes] = []
        for offset in ("+0", *JUMPS, "+0"):
            wall_clock.jump(offset)
            with RawClient(server.port) as client:
                assert years_away(client) == years(offset)
                client.check_put(*(Given(b"q", b"%d" % (len(expected) + n)) for n in range(3)))
                expected += [b"%d" % (len(expected) + n) for n in range(3)]
                assert (check_age(client) >= TEN_YEARS_MS) == (offset == "+10y")
                assert client.stat(b"uptime") <= time.monotonic() - begun
        server.restart()
        with RawClient(server.port) as client:
            assert client.get_all([b"q"] * len(expected)) == expected


def put_later(server: ServerProcess, how: str, delay: int) -> None:
    """Put an item that is due later: as it is put, or as it comes back."""
    with RawClient(server.port) as client:
        if how == "put":
            client.check_put(Given(b"q/delay=%d" % delay, b"x"))
        else:
            client.check_put(Given(b"q", b"x"))
            assert client.get_one(b"q/open") == b"x"
            assert client.get_one(b"q/abort/delay=%d" % delay) is None


@pytest.mark.parametrize("how", ["put", "abort"])
def test_a_delay_read_back_while_the_clock_was_behind_ends_in_its_time(
    tmp_path: Path, wall_clock: WallClock, how: str
) -> None:
    with ServerProcess(tmp_path / "spool", "--sync", "never") as server:
        due = time.time() + 5
        put_later(server, how, 5)
        server.kill()
        wall_clock.jump("-7d")
        server.start()
        with RawClient(server.port) as client:
            assert client.get_one(b"q") is None
            assert client.stat(b"queue_q_delayed") == 1
            wall_clock.jump("+0")
            assert client.get_one(b"q/t=%d" % (PATIENCE * 1000 - 1000)) == b"x"
            assert time.time() > due - 0.1


@pytest.mark.parametrize("how", ["put", "abort"])
def test_a_delay_ends_when_the_clock_jumps_past_it_and_wakes_who_waits(
    tmp_path: Path, wall_clock: WallClock, how: str
) -> None:
    with ServerProcess(tmp_path / "spool") as server, RawClient(server.port) as waiter:
        put_later(server, how, 86_400)
        waiter.send(b"get q/t=%d\r\n" % (PATIENCE * 1000 - 1000))
        with RawClient(server.port) as other:
            wait_until(lambda: b"waiting" in other.stats(b"conns").values())
        wall_clock.jump("+25h")
        assert [taken.data for taken in waiter.read_taken()] == [b"x"]


@pytest.mark.parametrize("jump", JUMPS)
def test_clock_jumps_before_and_during_a_wait_do_not_change_its_length(
    tmp_path: Path, wall_clock: WallClock, jump: str
) -> None:
    with (
        ServerProcess(tmp_path / "spool") as server,
        RawClient(server.port) as client,
        RawClient(server.port) as observer,
    ):
        wall_clock.jump(jump)
        # If a wait went by the wall clock, it would end at once or in ten years.
        assert seconds(lambda: client.get(b"q/t=200")) > 0.18
        begun = time.monotonic()
        client.send(b"get q/t=3000\r\n")
        wait_until(lambda: b"waiting" in observer.stats(b"conns").values())
        wall_clock.jump("+0")
        # Something to do for the server, so that it looks at its clocks.
        observer.check_put(Given(b"other", b"1"))
        assert client.read_taken() == []
        assert time.monotonic() - begun > 2.95


@pytest.mark.parametrize("jump", JUMPS)
def test_a_waiter_is_served_though_the_clock_jumps_while_it_waits(
    tmp_path: Path, wall_clock: WallClock, jump: str
) -> None:
    with (
        ServerProcess(tmp_path / "spool") as server,
        RawClient(server.port) as waiter,
        RawClient(server.port) as producer,
    ):
        waiter.send(b"get q/t=%d\r\n" % (PATIENCE * 1000 - 1000))
        wait_until(lambda: b"waiting" in producer.stats(b"conns").values())
        wall_clock.jump(jump)
        producer.check_put(Given(b"q", b"1"))
        assert [taken.data for taken in waiter.read_taken()] == [b"1"]


@pytest.mark.parametrize("jump", JUMPS)
def test_a_sync_comes_after_its_interval_though_the_clock_jumps_within_it(
    tmp_path: Path, wall_clock: WallClock, jump: str
) -> None:
    with (
        ServerProcess(tmp_path / "spool", "--sync", "200ms") as server,
        RawClient(server.port) as client,
    ):

        def put_and_wait_for_the_sync(offset: str) -> float:
            """Set the clock after a put, and return how long its sync was in coming."""
            before = client.stat(b"fsyncs")
            begun = time.monotonic()
            client.check_put(Given(b"q", offset.encode()))
            wall_clock.jump(offset)
            wait_until(lambda: client.stat(b"fsyncs") > before)
            return time.monotonic() - begun

        put_and_wait_for_the_sync("+0")
        for offset in (jump, "+0"):
            assert put_and_wait_for_the_sync(offset) > 0.15


@pytest.mark.parametrize("jump", JUMPS)
def test_a_client_is_not_idle_because_the_clock_jumped(
    tmp_path: Path, wall_clock: WallClock, jump: str
) -> None:
    with ServerProcess(tmp_path / "spool", "-t", 60) as server, RawClient(server.port) as client:
        client.check_put(Given(b"q", b"1"))
        wall_clock.jump(jump)
        # The house is kept twice a second.
        time.sleep(1.1)
        assert client.get_one(b"q") == b"1"
        assert client.stat(b"idle_kicks") == 0


@pytest.mark.parametrize("jump", JUMPS)
def test_a_stop_does_not_wait_for_the_clock(
    tmp_path: Path, wall_clock: WallClock, jump: str
) -> None:
    """One client is in the middle of a command, so the whole grace time is used."""
    conf = settings_file(tmp_path, grace_time=0.5)
    with (
        ServerProcess(tmp_path / "spool", "-f", conf) as server,
        RawClient(server.port) as half_way,
    ):
        half_way.send(b"set q 0 0 10\r\nhalf")
        with RawClient(server.port) as client:
            wait_until(lambda: client.stat(b"bytes_read") > len(b"set q 0 0 10\r\nhalf"))
        jumper = threading.Timer(0.1, wall_clock.jump, [jump])
        jumper.start()
        assert seconds(server.stop) > 0.4
        jumper.join()
