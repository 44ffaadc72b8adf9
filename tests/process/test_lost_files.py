"""Files that are removed, moved or replaced under a running server: nothing told is lost by that.

What is in memory, or in a file that is still open, is written anew; whatever is acknowledged
afterwards is found by the next start.
"""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.raw_client import Given, RawClient
from tests.process.server_process import ServerProcess, expect_refusal, settings_file, wait_until

POLICIES = ["always", "50ms", "never"]


def remove_segments(spool: Path) -> None:
    """Remove a queue's segments."""
    for path in (spool / "q").glob("*.segment*"):
        path.unlink()


def rename_segments(spool: Path) -> None:
    """Give a queue's segments other names."""
    for path in (spool / "q").glob("*.segment*"):
        path.rename(path.with_suffix(".old"))


def replace_segments(spool: Path) -> None:
    """Put copies in the place of a queue's segments, as some editors and backups do."""
    for path in (spool / "q").glob("*.segment*"):
        copy = path.with_suffix(".copy")
        shutil.copy(path, copy)
        copy.replace(path)


def remove_queue(spool: Path) -> None:
    """Remove a queue's directory."""
    shutil.rmtree(spool / "q")


def move_queue(spool: Path) -> None:
    """Move a queue's directory out of the spool."""
    (spool / "q").rename(spool.parent / "moved")


def remove_spool(spool: Path) -> None:
    """Remove all that is in the spool, and the spool."""
    shutil.rmtree(spool)


def move_spool(spool: Path) -> None:
    """Move the whole spool away."""
    spool.rename(spool.parent / "elsewhere")


def replace_spool(spool: Path) -> None:
    """Put an empty directory in the place of the spool."""
    spool.rename(spool.parent / "elsewhere")
    spool.mkdir()


WAYS = [
    remove_segments,
    rename_segments,
    replace_segments,
    remove_queue,
    move_queue,
    remove_spool,
    move_spool,
    replace_spool,
]
QUICK = (replace_segments, remove_spool)
"""Ways that are met under each policy in every run."""


def wait_until_noticed(client: RawClient) -> None:
    """Wait until the server has noticed that files are lost, and has healed."""
    wait_until(
        lambda: client.stat(b"files_lost") > 0 and client.stat(b"queue_q_journal_broken") == 0
    )


@pytest.mark.parametrize(
    ("policy", "way"),
    [
        pytest.param(
            policy, way, marks=() if policy == "always" or way in QUICK else pytest.mark.long
        )
        for policy in POLICIES
        for way in WAYS
    ],
)
def test_what_was_and_is_told_is_found_though_files_are_lost(
    tmp_path: Path, policy: str, way: Callable[[Path], None]
) -> None:
    spool = tmp_path / "spool"
    with ServerProcess(spool, "--sync", policy) as server:
        with RawClient(server.port) as client, RawClient(server.port) as other:
            client.check_put(*(Given(b"q", b"%d" % number) for number in range(20)))
            assert client.get_all([b"q"] * 5) == [b"%d" % number for number in range(5)]
            assert other.get_one(b"q/open") == b"5"
            way(spool)
            wait_until_noticed(client)
            client.check_put(*(Given(b"q", b"%d" % number) for number in range(20, 25)))
            assert client.get_one(b"q") == b"6"
            assert client.stat(b"queue_q_items") == 18
        server.kill()
        server.start()
        with RawClient(server.port) as client:
            expected = [b"5", *(b"%d" % number for number in range(7, 25))]
            assert client.get_all([b"q"] * 20) == [*expected, None]


@pytest.mark.parametrize("way", WAYS)
def test_under_always_what_is_stored_right_after_the_loss_is_found(
    tmp_path: Path, way: Callable[[Path], None]
) -> None:
    spool = tmp_path / "spool"
    with ServerProcess(spool, "--sync", "always") as server:
        told = []
        with RawClient(server.port) as client:
            client.check_put(Given(b"q", b"first"))
            way(spool)
            for number in range(200):
                told += [
                    b"%d" % (10 * number + each)
                    for each, stored in enumerate(
                        client.try_put(
                            *(Given(b"q", b"%d" % (10 * number + each)) for each in range(10))
                        )
                    )
                    if stored
                ]
            wait_until_noticed(client)
        server.kill()
        server.start()
        with RawClient(server.port) as client:
            found = client.get_all([b"q"] * 2100)
            assert set(told) <= set(found)
            assert b"first" in found


def test_what_only_a_lost_file_had_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    settings = settings_file(tmp_path, segment_size="64k", window_size="20k")
    with ServerProcess(spool, "-f", settings, "--sync", "always") as server:
        with RawClient(server.port) as client:
            items = (Given(b"q", b"%d" % number + bytes(900)) for number in range(1000))
            client.check_put_all(items, at_once=20)
            names = sorted(path.name for path in (spool / "q").glob("*.segment"))
            (spool / "q" / names[3]).unlink()
            wait_until_noticed(client)
            left = client.stat(b"queue_q_items")
            assert 900 < left < 1000
            assert client.stat(b"queue_q_quarantined") == 1000 - left
            found = client.get_all([b"q"] * 500)
        server.kill()
        server.start()
        with RawClient(server.port) as client:
            found += client.get_all([b"q"] * (left - 500))
            assert client.get_one(b"q") is None
    numbers = [int(data[:-900]) for data in found if data is not None]
    assert len(numbers) == left
    assert numbers == sorted(numbers)


def test_the_servers_own_files_come_again_and_keep_a_second_server_out(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with ServerProcess(spool) as server, RawClient(server.port) as client:
        client.check_put(Given(b"q", b"1"), Given(b"gone", b"1"))
        assert client.get_one(b"gone") == b"1"
        with RawClient(server.port) as other:
            other.send(b"delete gone\r\n")
        wait_until(lambda: (spool / ".ids").exists())
        for name in (".lock", ".ids", ".reserve"):
            (spool / name).unlink()
        line = expect_refusal(1, "-q", spool, "-p", 0)
        assert "another server is using this spool" in line
        wait_until(lambda: {".lock", ".ids", ".reserve"} <= {each.name for each in spool.iterdir()})
        client.check_put(Given(b"q", b"2"))
        assert client.get_all([b"q"] * 3) == [b"1", b"2", None]


def test_a_server_whose_spool_another_has_refuses_and_writes_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with ServerProcess(spool) as server, RawClient(server.port) as client:
        client.check_put(Given(b"q", b"1"))
        os.kill(server.pid, signal.SIGSTOP)
        spool.rename(tmp_path / "elsewhere")
        with ServerProcess(spool) as second, RawClient(second.port) as other:
            os.kill(server.pid, signal.SIGCONT)
            other.check_put(Given(b"q", b"other"))
            wait_until(lambda: any("is another spool now" in line for line in server.log))
            assert client.try_put(Given(b"new", b"2"), Given(b"q", b"3")) == [False, False]
            second.restart()
            with RawClient(second.port) as again:
                assert again.get_all([b"q"] * 2) == [b"other", None]
                assert again.get_one(b"new") is None


def test_a_spool_with_other_queues_in_the_place_of_ours_is_left_alone(tmp_path: Path) -> None:
    spool, other = tmp_path / "spool", tmp_path / "other"
    with ServerProcess(other) as before, RawClient(before.port) as client:
        client.check_put(Given(b"q", b"theirs"))
        assert before.stop() == 0
    with ServerProcess(spool) as server, RawClient(server.port) as client:
        client.check_put(Given(b"q", b"ours"))
        os.kill(server.pid, signal.SIGSTOP)
        spool.rename(tmp_path / "elsewhere")
        other.rename(spool)
        names = sorted(each.name for each in (spool / "q").iterdir())
        os.kill(server.pid, signal.SIGCONT)
        wait_until(lambda: any("is another spool now" in line for line in server.log))
        assert client.try_put(Given(b"q", b"2"), Given(b"new", b"2")) == [False, False]
        assert sorted(each.name for each in (spool / "q").iterdir()) == names
        server.kill()
        server.start()
        with RawClient(server.port) as again:
            assert again.get_all([b"q"] * 2) == [b"theirs", None]
