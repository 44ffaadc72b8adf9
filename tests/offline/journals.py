"""Spools of the real server on a real disk, sound and damaged, and ``starling-journal`` on them."""

import shutil
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from starling_py.journal.directory_names import directory_name
from starling_py.journal.format import segment
from starling_py.journal.format.segment import Header
from starling_py.offline import cli
from tests.core import CoreHarness

SEGMENT_SIZE = 400


@attrs.frozen
class Told:
    """What a run of the command came to."""

    status: int
    out: list[str]
    err: list[str]


@attrs.frozen
class Command:
    """``starling-journal``, run within the test."""

    _captured: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Told:
        """Run it."""
        self._captured.readouterr()
        try:
            status = cli.main([str(each) for each in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        captured = self._captured.readouterr()
        return Told(status, captured.out.splitlines(), captured.err.splitlines())


def open_core(
    path: Path, interval: float | None = 0, segment_size: int = SEGMENT_SIZE
) -> CoreHarness:
    """Open a spool as a server does."""
    core = CoreHarness(path, interval=interval, segment_size=segment_size)
    core.commit()
    return core


def check_put(core: CoreHarness, count: int, queue: bytes = b"jobs", first: int = 1) -> None:
    """Put items that tell their numbers, each in a commit of its own, and check the replies."""
    client = core.client()
    for number in range(first, first + count):
        data = b"item %d" % number
        reply = client.ask(b"set %s %d 0 %d\r\n%s\r\n" % (queue, number, len(data), data))
        assert reply == b"STORED\r\n"


def take(core: CoreHarness, count: int, queue: bytes = b"jobs") -> list[bytes]:
    """Take items, each in a commit of its own; return their data."""
    client = core.client()
    return [client.ask(b"get %s\r\n" % queue).split(b"\r\n")[1] for _ in range(count)]


def make_spool(path: Path, items: int = 40, taken: int = 0, queue: bytes = b"jobs") -> Path:
    """Make a spool with a queue, whose 40 items take several segments; return its directory."""
    with closing(open_core(path)) as core:
        check_put(core, items, queue)
        take(core, taken, queue)
    return path / directory_name(queue)


def drain(path: Path, queue: bytes = b"jobs") -> list[bytes]:
    """Start on a spool, take everything out of a queue, and return its data, none of it empty."""
    with closing(open_core(path)) as core:
        return list(iter(lambda: take(core, 1, queue)[0], b""))


def make_compacted(path: Path) -> tuple[Path, int]:
    """Make a spool with ``jobs`` in several segments, one of which took the place of others.

    Returns the queue's directory, and the id of the item at the head.
    """
    core = open_core(path)
    check_put(core, 80)
    taken = 0
    while not any(header.compacted for header in headers(path / "jobs")):
        take(core, 1)
        taken += 1
    core.close()
    assert len(segments(path / "jobs")) > 2
    return path / "jobs", taken + 1


def left_by_kill(core: CoreHarness, path: Path, to: Path) -> Path:
    """Return a copy of a spool as a server leaves it that is killed at this moment."""
    assert core is not None
    shutil.copytree(path, to)
    return to


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Turn one bit of a file round."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


def segments(directory: Path) -> list[Path]:
    """Return the segments of a queue, in order."""
    return sorted(directory.glob("*.segment"))


def headers(directory: Path) -> list[Header]:
    """Return the headers of a queue's segments."""
    return [segment.decode(memoryview(each.read_bytes()))[0] for each in segments(directory)]


def contents(path: Path) -> dict[str, bytes | None]:
    """Return everything under a path."""
    return {
        str(each.relative_to(path)): each.read_bytes() if each.is_file() else None
        for each in sorted(path.rglob("*"))
    }
