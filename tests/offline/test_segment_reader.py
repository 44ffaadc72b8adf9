"""Segments read in blocks: what is sound is found, whatever is between."""

from pathlib import Path
from random import Random

import pytest

from starling_py.journal.disk.files import Files
from starling_py.journal.format import record
from starling_py.journal.format.record import Item, MarkedItem
from starling_py.offline import segment_reader
from starling_py.offline.segment_reader import Gap, Stretch
from tests.journal.format.test_search import CRAFTED, crafted

SALT = 0x5EED


def put(item_id: int, data: bytes) -> bytes:
    """Return a record."""
    return b"".join(record.push(Item(item_id, 1, 0, 0, data), SALT))


def read(path: Path, start: int = 0) -> list[tuple[int, int] | int]:
    """Return the ids of sound records, and gaps as their ends."""
    found: list[tuple[int, int] | int] = []
    for part in segment_reader.read(Files(), str(path), start, path.stat().st_size, SALT):
        if isinstance(part, Gap):
            found.append((part.offset, part.end))
        else:
            assert isinstance(part, Stretch)
            found += [record_id for _, record_id, _, _ in part.found]
    return found


@pytest.fixture(params=[60, 100, 1 << 20])
def _block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in blocks that records do and do not fit into."""
    monkeypatch.setattr(segment_reader, "BLOCK", request.param)


pytestmark = pytest.mark.usefixtures("_block")


def test_sound_records_are_read_whole_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "file"
    random = Random(1)
    sizes = [random.choice((0, 1, 20, 22, 23, 24, 60, 99, 300)) for _ in range(200)]
    path.write_bytes(b"".join(put(n, random.randbytes(size)) for n, size in enumerate(sizes, 1)))
    assert read(path) == list(range(1, 201))


def test_an_empty_file_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    assert read(path) == []


@pytest.mark.parametrize("size", [0, 5, 40, 300])
def test_what_is_behind_damage_is_found(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    one, two, three = put(1, b"a" * size), put(2, b"b" * size), put(3, b"c" * size)
    whole = one + two + three
    for offset in range(len(one), len(one) + len(two)):
        content = bytearray(whole)
        content[offset] ^= 0x10
        path.write_bytes(content)
        assert read(path) == [1, (len(one), len(one + two)), 3], offset


def test_every_type_of_record_is_found_behind_damage(tmp_path: Path) -> None:
    path = tmp_path / "file"
    whole = put(1, b"a" * 40)
    broken = whole[:20] + bytes([whole[20] ^ 1]) + whole[21:]
    marked = MarkedItem(2, 1, 0, 0, b"b", 5, 6, True)
    for each in (
        record.remove(2, 5, SALT),
        record.flush(2, [(1, 5)], SALT),
        record.discard(2, 3, 1, 5, SALT),
        record.bare(record.OPEN, 2, SALT),
        record.delay(2, 5, SALT),
        b"".join(record.push_marked(marked, SALT)),
    ):
        path.write_bytes(broken + each)
        assert read(path) == [(0, len(broken)), 2], each[8]


def test_damage_up_to_the_end_is_one_gap(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for rest in (b"\0", bytes(500), b"\x01" * 500, put(2, b"b" * 70)[:-1], b"\xff" * 16):
        path.write_bytes(put(1, b"a") + rest)
        end = len(put(1, b"a"))
        assert read(path) == [1, (end, end + len(rest))]


def test_a_record_of_another_journal_in_an_items_data_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    foreign = b"".join(record.push(Item(7, 1, 0, 0, b"foreign"), SALT + 1))
    content = bytearray(put(1, b"x" * 30 + foreign) + put(2, b"b"))
    content[20] ^= 1
    path.write_bytes(content)
    assert read(path) == [(0, len(put(1, b"x" * 30 + foreign))), 2]


class CountingFiles(Files):
    """Files that count how often they were read, and how much."""

    def __init__(self) -> None:
        self.calls = self.bytes = 0

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """Count it."""
        self.calls += 1
        self.bytes += size
        return super().read_at(path, offset, size)


@pytest.mark.parametrize("name", CRAFTED)
def test_damage_is_passed_in_proportion_whatever_a_client_wrote(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    data = crafted(name, 1 << 15)
    # Two gaps: the second must not look through the file again.
    path.write_bytes(data + put(1, b"a") + data)
    files = CountingFiles()
    parts = list(segment_reader.read(files, str(path), 0, path.stat().st_size, SALT))
    assert [type(part) for part in parts] == [Gap, Stretch, Gap]
    size = path.stat().st_size
    assert files.calls < 3 * size / segment_reader.BLOCK + size / 6
    assert files.bytes < 2000 * size
