"""Items read back a block at a time: all of them, in order, once, or the damage by its place."""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal import blocks
from starling_py.journal.blocks import OVERHEAD, Position, Reading
from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import record
from starling_py.journal.format.record import Item
from starling_py.journal.format.segment import Segment
from starling_py.journal.id_ranges import IdRanges
from starling_py.journal.ledger import Ledger
from tests.journal.parts import item, place_on
from tests.journal.simulated_disk import SALT, SimulatedDisk

LARGE = 1 << 30


def written(parts: list[list[tuple[int, bytes] | None]]) -> tuple[SimulatedDisk, list[Segment]]:
    """Write segments; ``None`` stands for a record that is no item's."""
    disk = SimulatedDisk()
    place = place_on(disk)
    segments = []
    next_id = 1
    for number, things in enumerate(parts, 1):
        content = place.beginning(number, Ledger(next_id=next_id), 0)
        for thing in things:
            if thing is None:
                content += record.remove(1, 4, SALT)
            else:
                content += b"".join(record.push(item(*thing), SALT))
                next_id = thing[0] + 1
        disk.put(place.path(number), content)
        segments.append(Segment(number, place.path(number), 1, len(content)))
    return disk, segments


def numbered(sizes: list[list[int | None]]) -> list[list[tuple[int, bytes] | None]]:
    """Give the items of some sizes their ids."""
    ids = iter(range(1, 10**6))
    return [[None if size is None else (next(ids), b"x" * size) for size in part] for part in sizes]


def read_all(
    disk: SimulatedDisk,
    segments: list[Segment],
    room: int = LARGE,
    after_id: int = 0,
    gone: IdRanges | None = None,
    position: Position = (0, 0),
) -> Iterator[Item]:
    """Read on until the end is reached."""
    gone = IdRanges() if gone is None else gone
    while True:
        reading = Reading(disk, SALT, segments, position, after_id, gone, room)
        reading.run()
        if reading.error is not None:
            raise reading.error
        yield from reading.items
        if reading.items:
            after_id = reading.items[-1].id
        if reading.at_end:
            return
        assert reading.position >= position
        position = reading.position


parts = st.lists(st.lists(st.none() | st.integers(0, 300), max_size=12), min_size=1, max_size=5)


@given(
    sizes=parts,
    room=st.integers(1, 2000),
    block=st.integers(17, 700),
    after_id=st.integers(0, 20),
    gone=st.sets(st.integers(1, 40)),
)
def test_reading_on_gives_every_item_that_is_wanted_once_and_in_order(
    sizes: list[list[int | None]], room: int, block: int, after_id: int, gone: set[int]
) -> None:
    things = numbered(sizes)
    disk, segments = written(things)
    ids = IdRanges()
    for number in gone:
        ids.add(number, number + 1)
    expected = [
        item(*thing)
        for part in things
        for thing in part
        if thing is not None and thing[0] > after_id and thing[0] not in gone
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        assert list(read_all(disk, segments, room, after_id, ids)) == expected


@given(sizes=parts, block=st.integers(17, 700))
def test_the_records_of_all_items_are_found_whatever_the_block(
    sizes: list[list[int | None]], block: int
) -> None:
    things = numbered(sizes)
    disk, segments = written(things)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        for each, part in zip(segments, things, strict=True):
            found = [pair for pairs in blocks.pushes(disk, SALT, each) for pair in pairs]
            assert found == [
                (thing[0], b"".join(record.push(item(*thing), SALT)))
                for thing in part
                if thing is not None
            ]


def test_no_more_is_read_than_there_is_room_for_but_for_the_last_item() -> None:
    disk, segments = written(numbered([[100] * 50]))
    reading = Reading(disk, SALT, segments, (1, 0), 0, IdRanges(), 2 * (100 + OVERHEAD) + 1)
    reading.run()
    assert [each.id for each in reading.items] == [1, 2, 3]
    assert not reading.at_end


def test_an_item_that_is_larger_than_a_block_is_read() -> None:
    size = blocks.BLOCK + 12345
    disk, segments = written(numbered([[5, size, 7]]))
    assert [len(each.data) for each in read_all(disk, segments)] == [5, size, 7]


def test_what_was_written_after_the_reading_was_asked_for_is_left() -> None:
    disk, segments = written(numbered([[5, 6]]))
    descriptor = disk.open(segments[0].path)
    disk.write(descriptor, b"half of a reco")
    disk.close(descriptor)
    assert [len(each.data) for each in read_all(disk, segments)] == [5, 6]


def test_no_file_is_left_open() -> None:
    disk, segments = written(numbered([[5, 6], [7]]))
    list(read_all(disk, segments))
    assert disk.open_descriptors == 0


def test_a_segment_that_has_got_its_name_in_the_meantime_is_read() -> None:
    disk, segments = written(numbered([[5, 6], [7]]))
    segments[1].path += ".new"
    assert [len(each.data) for each in read_all(disk, segments)] == [5, 6, 7]


def test_every_wrong_bit_or_cut_is_told_by_its_place_and_is_never_an_item() -> None:
    disk, segments = written(numbered([[5, None, 20], [3, 0]]))
    right = list(read_all(disk, segments))
    contents = disk.contents()
    for each in segments:
        whole = contents[each.path]
        harmed = [whole[:size] for size in range(len(whole))]
        for bit in range(len(whole) * 8):
            wrong = bytearray(whole)
            wrong[bit // 8] ^= 1 << bit % 8
            harmed.append(bytes(wrong))
        for content in harmed:
            again = SimulatedDisk.holding(contents | {each.path: content})
            found: list[Item] = []
            with pytest.raises(JournalDamagedError) as damage:
                found.extend(read_all(again, segments))
            assert damage.value.path == each.path
            assert 0 <= damage.value.offset <= len(content)
            with pytest.raises(JournalDamagedError):
                list(blocks.pushes(again, SALT, each))
    assert len(right) == 4


def test_what_stands_in_front_of_the_damage_is_read() -> None:
    disk, segments = written(numbered([[5] * 4]))
    path = segments[0].path
    content = bytearray(disk.contents()[path])
    content[-1] ^= 1
    again = SimulatedDisk.holding({path: bytes(content)})
    reading = Reading(again, SALT, segments, (1, 0), 0, IdRanges(), LARGE)
    reading.run()
    assert reading.error is None
    found = [each.id for each in reading.items]
    reading = Reading(again, SALT, segments, reading.position, 3, IdRanges(), LARGE)
    reading.run()
    assert isinstance(reading.error, JournalDamagedError)
    assert reading.items == []
    assert found == [1, 2, 3]


def test_a_file_that_cannot_be_read_is_that_error() -> None:
    disk, segments = written(numbered([[5], [6]]))
    disk.unlink(segments[1].path)
    reading = Reading(disk, SALT, segments, (2, 0), 0, IdRanges(), LARGE)
    reading.run()
    assert isinstance(reading.error, FileNotFoundError)
    assert not reading.at_end


def test_reading_goes_on_where_it_stopped_whatever_the_place() -> None:
    random = Random(1)
    disk, segments = written(numbered([[random.randrange(200) for _ in range(30)]] * 3))
    whole = list(read_all(disk, segments))
    assert len(whole) == 90
    position, after_id, found = (1, 0), 0, list[Item]()
    while len(found) < 90:
        room = random.randrange(1, 900)
        reading = Reading(disk, SALT, segments, position, after_id, IdRanges(), room)
        reading.run()
        found += reading.items
        position = reading.position
        after_id = found[-1].id
    assert found == whole
