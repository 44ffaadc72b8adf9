"""Replay: bytes in, a ledger out; the same as the one of the server that wrote them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.journal.errors import JournalDamagedError
from starling_py.journal.format import record, segment
from starling_py.journal.format.record import MarkedItem
from starling_py.journal.format.segment import Header
from starling_py.journal.ledger import Facts, Ledger
from starling_py.journal.recovery.replay import Replay, open_segment, read_checkpoint
from tests.journal.parts import item, ledger_facts, place_on
from tests.journal.simulated_disk import SALT, SimulatedDisk
from tests.journal.spool_harness import NAME

PATH = "/spool/jobs/0000000000000004.segment"
PLACE = place_on(SimulatedDisk())

ops = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 40)),
        st.tuples(st.sampled_from(["remove", "open", "delay"]), st.integers(0, 20)),
        st.tuples(st.sampled_from(["push marked", "flush"]), st.integers(0, 40)),
        st.tuples(st.just("delete"), st.just(0)),
    ),
    max_size=25,
)


def carried_out(ledger: Ledger, todo: list[tuple[str, int]], sizes: dict[int, int]) -> bytes:
    """Carry operations out on a ledger, and return their records."""
    data = b""
    for do, number in todo:
        if do == "push":
            pushed = item(ledger.next_id, b"x" * number)
            data += b"".join(record.push(pushed, SALT))
            sizes[pushed.id] = number
            ledger.pushed(1, number, pushed.id + 1)
        elif do == "push marked":
            front, deliveries, due_ms = bool(number & 1), number & 2, number & 4
            marked = MarkedItem(ledger.next_id, 1, 2, 3, b"x" * number, due_ms, deliveries, front)
            data += b"".join(record.push_marked(marked, SALT))
            sizes[marked.id] = number
            ledger.pushed(1, number, marked.id + 1)
            if front or deliveries:
                ledger.facts[marked.id] = Facts(deliveries, 0, front)
        elif do in ("remove", "open", "delay"):
            live = [each for each in range(1, ledger.next_id) if ledger.is_live(each)]
            if not live:
                continue
            item_id = live[number % len(live)]
            if do == "remove":
                data += record.remove(item_id, sizes[item_id], SALT)
                ledger.removed(item_id, sizes[item_id])
            elif do == "open":
                data += record.bare(record.OPEN, item_id, SALT)
                ledger.opened(item_id)
            else:
                data += record.delay(item_id, number, SALT)
                ledger.delayed(item_id, number)
        elif do == "delete":
            data += record.bare(record.DELETE, ledger.next_id - 1, SALT)
            ledger.flushed(ledger.next_id - 1)
            ledger.deleted = True
            ledger.first_id = ledger.next_id
        else:
            kept = [
                (each, sizes[each])
                for each in range(1, ledger.next_id)
                if ledger.is_live(each) and number >> each % 6 & 1
            ]
            data += record.flush(ledger.next_id - 1, kept, SALT)
            ledger.flushed(ledger.next_id - 1, kept)
            ledger.deleted = False
    return data


def replayed(data: bytes, number: int) -> tuple[Replay, int]:
    """Replay a segment; return the replay and where the sound records end."""
    view = memoryview(data)
    opened = open_segment(PATH, view, number, None)
    assert opened is not None
    replay = Replay()
    start = replay.begin_segment(opened, view)
    assert start is not None
    return replay, replay.run(opened, view, start)


@given(before=ops, after=ops)
def test_a_checkpoint_and_later_records_give_the_ledger_that_wrote_them(
    before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    sizes: dict[int, int] = {}
    ledger = Ledger()
    ledger.segments.append(segment.Segment(3, "/3", 1, 0))
    records = carried_out(ledger, before, sizes)
    ledger.segments[-1].size = 100 + len(records)
    data = PLACE.beginning(4, ledger, 100)
    ledger.segments.append(segment.Segment(4, PATH, ledger.next_id, len(data)))
    data += carried_out(ledger, after, sizes)
    replay, end = replayed(data, 4)
    assert end == len(data)
    assert ledger_facts(replay.ledger) == ledger_facts(ledger)
    assert replay.ledger.segments[-1].size == len(data)


@given(todo=ops)
def test_any_beginning_of_a_segment_gives_the_ledger_of_some_moment(
    todo: list[tuple[str, int]],
) -> None:
    sizes: dict[int, int] = {}
    ledger = Ledger()
    data = PLACE.beginning(4, ledger, 0)
    ledger.segments.append(segment.Segment(4, PATH, 1, len(data)))
    moments = {len(data): ledger_facts(ledger.copy())}
    for each in todo:
        data += carried_out(ledger, [each], sizes)
        moments[len(data)] = ledger_facts(ledger.copy())
    for size in range(min(moments), len(data) + 1):
        replay, end = replayed(data[:size], 4)
        assert end == max(each for each in moments if each <= size)
        assert ledger_facts(replay.ledger) == moments[end]


def test_a_sound_record_behind_damage_is_damage() -> None:
    data = bytearray(PLACE.beginning(4, Ledger(), 0))
    start = len(data)
    data += record.remove(1, 2, SALT) + record.remove(2, 2, SALT)
    data[start + 6] ^= 1
    with pytest.raises(JournalDamagedError, match=f"{PATH}: damaged at byte {start}: this record"):
        replayed(bytes(data), 4)


def test_a_segment_without_its_checkpoint_is_not_begun() -> None:
    data = PLACE.beginning(4, Ledger(), 0)
    _, header_end = segment.decode(memoryview(data))
    for size in range(header_end, len(data)):
        view = memoryview(data[:size])
        opened = open_segment(PATH, view, 4, None)
        assert opened is not None
        assert read_checkpoint(opened, view) is None
        assert Replay().begin_segment(opened, view) is None
    broken = bytearray(data + record.remove(1, 2, SALT))
    broken[header_end + 20] ^= 1
    opened = open_segment(PATH, memoryview(broken), 4, None)
    assert opened is not None
    with pytest.raises(JournalDamagedError, match="the checkpoint is not sound"):
        Replay().begin_segment(opened, memoryview(broken))


def test_a_segment_must_be_what_its_name_and_its_neighbours_say() -> None:
    data = memoryview(PLACE.beginning(4, Ledger(), 0))
    assert open_segment(PATH, data, 4, Header(NAME, 5, 1, 5, SALT)) is not None
    for number, like, reason in (
        (5, None, "says that this is segment 4"),
        (4, Header(b"other", 5, 1, 5, SALT), "belongs to the queue b'jobs'"),
        (4, Header(NAME, 5, 1, 5, SALT + 1), "belongs to another journal"),
    ):
        with pytest.raises(JournalDamagedError, match=f"damaged at byte 0: .*{reason}"):
            open_segment(PATH, data, number, like)


@pytest.mark.parametrize("size", [0, 1, 300])
def test_a_name_without_content_is_what_a_power_cut_leaves(size: int) -> None:
    assert open_segment(PATH, memoryview(bytes(size)), 4, None) is None


def test_version_1_is_replayed_from_its_first_segment_without_sizes() -> None:
    replay = Replay()
    for number, records in (
        (1, [*record.push(item(1, b"aa")), *record.push(item(2, b"bbb"))]),
        (2, [record.bare(record.REMOVE, 1), *record.push(item(3, b"c"))]),
    ):
        header = Header(b"jobs", number, 3 if number > 1 else 1, 1, version=1)
        data = memoryview(segment.encode(header) + b"".join(records))
        opened = open_segment(f"/{number}", data, number, None)
        assert opened is not None
        start = replay.begin_segment(opened, data)
        assert start is not None
        assert replay.run(opened, data, start) == len(data)
    ledger = replay.ledger
    assert (ledger.items, ledger.bytes, ledger.head, ledger.next_id) == (2, 4, 2, 4)
    assert [(each.items, each.bytes) for each in ledger.segments] == [(1, 3), (1, 1)]
    assert replay.oldest == 1


def test_version_1_gives_up_what_stands_in_segments_that_are_not_needed() -> None:
    replay = Replay()
    for number, oldest, records in (
        (1, 1, [*record.push(item(1, b"aa")), *record.push(item(2, b"bbb"))]),
        (2, 1, [*record.push(item(3, b"c")), record.bare(record.RECLAIM, 2)]),
    ):
        header = Header(b"jobs", number, 3 if number > 1 else 1, oldest, version=1)
        data = memoryview(segment.encode(header) + b"".join(records))
        opened = open_segment(f"/{number}", data, number, None)
        assert opened is not None
        start = replay.begin_segment(opened, data)
        assert start is not None
        replay.run(opened, data, start)
    assert (replay.ledger.items, replay.ledger.bytes, replay.ledger.head) == (1, 1, 3)
    assert replay.oldest == 2
