"""Old spools as files, whoever wrote them: made, cut short anywhere, and damaged."""

from itertools import accumulate
from pathlib import Path

from starling_py.offline.old_spool import OldQueue, OldSpool

NOW_MS = 1_700_000_000_000


def write(directory: Path, files: dict[str, bytes]) -> Path:
    """Write these files, in a directory that is made if need be; return the directory."""
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def queues_in(spool: OldSpool) -> list[OldQueue]:
    """Read everything in an old spool that may be a queue, for the first time."""
    return [spool.read(name) for name in spool.names]


def lengths(records: list[bytes]) -> range:
    """Return every length to which a file of these records can be cut."""
    return range(len(b"".join(records)) + 1)


def whole(records: list[bytes], length: int) -> list[bytes]:
    """Return those of the records that are whole in the first so many bytes of them."""
    return records[: sum(end <= length for end in accumulate(map(len, records)))]


def check_unread(queue: OldQueue, path: Path, offset: int, size: int, what: str) -> None:
    """See that so many bytes were not read, for a reason, and that this is the only problem."""
    (problem,) = queue.problems
    assert (problem.path, problem.offset) == (path, offset)
    assert what in problem.what
    assert f"{size} bytes" in problem.done
    assert str(problem).startswith(f"{path}: at byte {offset}: ")
