"""A spool of an older version of the format, taken over by starts that are killed midway."""

import faulthandler
import os
import random
import shutil
import struct
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from starling_py.journal.format import record, segment
from starling_py.offline import cli
from tests.process.raw_client import Given, RawClient
from tests.process.server_process import COMMAND, ServerProcess, environment

QUEUES = [b"queue-%d" % number for number in range(1000)]
KILLS = 10
PATIENCE = 300.0
_VERSION_AT = 8
_LATER = {2: 12, 3: 8, 4: 0}
"""Bytes at the end of a checkpoint that an older version did not have, where nothing is told of
single items: of how many something is, and the next id when the queue was made."""


def make_older(path: Path, version: int) -> None:
    """Make a segment one of an older version: in what stands here, two things differ.

    These are the header, and how a checkpoint ends.
    """
    whole = path.read_bytes()
    header, start = segment.decode(memoryview(whole))
    record_type, record_id, offset, end = next(record.walk(memoryview(whole), start, header.salt))
    assert record_type == record.CHECKPOINT
    older = bytearray(whole[: start - 4])
    struct.pack_into("<H", older, _VERSION_AT, version)
    payload = whole[offset + record.HEADER_SIZE : end - _LATER[version]]
    checkpoint = record.bare(record.CHECKPOINT, record_id, header.salt, payload)
    path.write_bytes(older + struct.pack("<I", zlib.crc32(older)) + checkpoint + whole[end:])


def spool_of_version(version: int, spool: Path) -> None:
    """Make a spool of so many queues, each with two items of three left, as a kill leaves it."""
    with ServerProcess(spool, "--sync", "never", patience=PATIENCE) as server:
        with RawClient(server.port, PATIENCE) as client:
            for what in (b"first", b"second", b"third"):
                client.check_put_all(Given(queue, what + b" of " + queue) for queue in QUEUES)
            assert client.get_all(QUEUES) == [b"first of " + queue for queue in QUEUES]
        server.kill()
    for path in spool.glob("*/*.segment"):
        make_older(path, version)


def killed_start(spool: Path, seconds: float) -> bool:
    """Start a server, and kill it after some time; return whether it listened by then."""
    log = spool.with_suffix(".log")
    with log.open("w") as told:
        command = [*COMMAND, "-q", str(spool), "--port", "0", "--sync", "always"]
        process = subprocess.Popen(command, stderr=told, env=environment())
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)
    return "listening on" in log.read_text()


@pytest.mark.long
@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_takeover_killed_at_ten_random_moments_loses_nothing(
    version: int, tmp_path: Path
) -> None:
    faulthandler.cancel_dump_traceback_later()
    seed = int(os.environ.get("STARLING_TEST_SEED", version))
    dice = random.Random(seed)
    spool = tmp_path / "spool"
    spool_of_version(version, spool)
    shutil.copytree(spool, tmp_path / "copy")
    began = time.monotonic()
    with ServerProcess(tmp_path / "copy", "--sync", "always", patience=PATIENCE) as server:
        takes = time.monotonic() - began
        server.kill()
    midway = 0
    for _ in range(KILLS):
        midway += not killed_start(spool, dice.uniform(0, takes))
    assert midway, f"no start was killed midway; seed {seed}"
    assert cli.main(["verify", str(spool)]) == 0
    with ServerProcess(spool, "--sync", "always", patience=PATIENCE) as server:
        with RawClient(server.port, PATIENCE) as client:
            client.check_put_all(Given(queue, b"fourth of " + queue) for queue in QUEUES)
            assert client.get_all(QUEUES) == [b"second of " + queue for queue in QUEUES]
        server.restart()
        with RawClient(server.port, PATIENCE) as client:
            for what in (b"third", b"fourth"):
                assert client.get_all(QUEUES) == [what + b" of " + queue for queue in QUEUES]
            assert client.get_all(QUEUES) == [None] * len(QUEUES)
        assert server.stop() == 0
