"""Recovery: cut anywhere, flipped anywhere, it gives a true state or refuses, never a false one."""

import logging
import re
import tracemalloc
import zlib
from collections.abc import Callable

import attrs
import pytest

from starling_py.journal.errors import JournalDamagedError, JournalError, SpoolError
from starling_py.journal.format import record, segment
from starling_py.journal.recovery.examination import state_at
from starling_py.queues.errors import NotLoaded
from tests.journal.parts import item, ledger_facts, new_journal, place_on, sync
from tests.journal.simulated_disk import SALT, ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import (
    DIRECTORY,
    Harness,
    Items,
    empty_disk,
    read_back,
    recovered_items,
    segments_of,
)

FIRST = f"{DIRECTORY}/0000000000000001.segment"
Step = Callable[[Harness], object]


@attrs.frozen
class Written:
    """A journal on a disk, and what the queue held whenever the journal had a certain size."""

    segments: dict[str, bytes]
    states: dict[int, Items | None]
    """By the bytes of all segments together, as long as none was given up."""
    final: Items | None

    @property
    def last(self) -> str:
        """The path of the last segment."""
        return max(self.segments)

    def state_at(self, size: int) -> Items | None:
        """Return the state that the first ``size`` bytes tell of."""
        return self.states[max(each for each in self.states if each <= size)]


def written(steps: list[Step], segment_size: int) -> Written:
    """Carry steps out, each with a commit of its own."""
    disk = empty_disk()
    harness = Harness(disk, segment_size=segment_size)
    states: dict[int, Items | None] = {0: None}
    for step in steps:
        step(harness)
        if step is delete_and_put:
            states[max(states) + record.HEADER_SIZE] = None
        harness.commit()
        states[sum(map(len, segments_of(disk).values()))] = harness.items()
    final = harness.items()
    harness.close()
    return Written(segments_of(disk), states, final)


def header_end(data: bytes) -> int:
    """Return where a segment's header ends."""
    return segment.decode(memoryview(data))[1]


def checkpoint_end(data: bytes) -> int:
    """Return where a segment's checkpoint ends."""
    found = next(record.walk(memoryview(data), header_end(data), SALT))
    assert found[0] == record.CHECKPOINT
    return found[3]


def put(data: bytes, flags: int = 0) -> Step:
    """Return a step that puts an item."""
    return lambda harness: harness.put(data, flags=flags)


def pop(harness: Harness) -> None:
    """Take an item."""
    harness.pop()


def flush(harness: Harness) -> None:
    """Remove all items."""
    harness.queues.flush(b"jobs")


def delete_and_put(harness: Harness) -> None:
    """Delete the queue and put an item, in one commit."""
    harness.queues.delete(b"jobs")
    harness.put(b"first of the new queue")


ONE_SEGMENT = written(
    [put(b"a" * 40, 5), put(b""), pop, put(b"\0\r\n\xff"), flush, put(b"d"), delete_and_put, pop,
     put(b"e"), put(b"f", 2**32 - 1)],
    segment_size=10**6,
)  # fmt: skip
# What stays at the head keeps all segments.
FOUR_SEGMENTS = written(
    [put(b"0"), put(b"head"), pop, *[put(b"item %d" % n * 12, n) for n in range(20)]],
    segment_size=500,
)
# The first segments are no longer needed, and gone.
LATER_SEGMENTS = written(
    [put(b"%d" % n * 80) for n in range(14)] + [pop] * 9 + [put(b"x"), put(b"y")],
    segment_size=500,
)
JOURNALS = {"one": ONE_SEGMENT, "four": FOUR_SEGMENTS, "later": LATER_SEGMENTS}


def test_the_journals_under_test_are_what_they_should_be() -> None:
    assert [path[-9:-8] for path in ONE_SEGMENT.segments] == ["1"]
    assert len(FOUR_SEGMENTS.segments) >= 4
    assert FIRST in FOUR_SEGMENTS.segments
    assert len(LATER_SEGMENTS.segments) >= 2
    assert FIRST not in LATER_SEGMENTS.segments


@pytest.mark.parametrize("journal", JOURNALS.values(), ids=JOURNALS)
def test_a_journal_is_read_back_as_it_was_written_and_the_disk_unchanged(
    journal: Written,
) -> None:
    disk = SimulatedDisk.holding(journal.segments)
    assert recovered_items(disk, read_back(disk)) == journal.final
    assert disk.contents() == journal.segments


@pytest.mark.parametrize("journal", [ONE_SEGMENT, FOUR_SEGMENTS], ids=["one", "four"])
def test_a_cut_at_any_byte_of_the_last_segment_keeps_the_operations_before(
    journal: Written,
) -> None:
    whole = journal.segments[journal.last]
    before = {path: data for path, data in journal.segments.items() if path != journal.last}
    size_before = sum(map(len, before.values()))
    for size in range(len(whole) + 1):
        disk = SimulatedDisk.holding(before | {journal.last: whole[:size]})
        expected = journal.state_at(size_before + size)
        if header_end(whole) <= size < checkpoint_end(whole):
            # It had its name, so this much of it was safe: no crash takes that away.
            contents = disk.contents()
            with pytest.raises(JournalDamagedError, match="the checkpoint is missing"):
                read_back(disk)
            assert disk.contents() == contents
            continue
        state = read_back(disk)
        assert recovered_items(disk, state) == expected

        # What was cut off is kept, and what is left is all that the journal is from now on.
        contents = disk.contents()
        left = contents.get(journal.last, b"")
        aside = [data for path, data in contents.items() if ".torn" in path]
        assert left + b"".join(aside) == whole[:size]
        assert len(aside) <= 1
        assert aside != [b""]
        kept = journal.state_at(size_before + len(left))
        assert kept == expected

        # Read again, it says the same and changes nothing more.
        assert recovered_items(disk, read_back(disk)) == recovered_items(disk, state)
        assert disk.contents() == contents


@pytest.mark.parametrize("journal", [ONE_SEGMENT, FOUR_SEGMENTS], ids=["one", "four"])
def test_a_queue_goes_on_after_a_cut_at_any_byte_and_is_read_back_right(journal: Written) -> None:
    whole = journal.segments[journal.last]
    for size in (*range(header_end(whole)), *range(checkpoint_end(whole), len(whole))):
        disk = SimulatedDisk.holding(journal.segments | {journal.last: whole[:size]})
        harness = Harness(disk, segment_size=200)
        before = harness.datas()
        harness.put_all([b"new one", b"n" * 100, b"another"])
        popped = harness.pop_all(2)
        expected = [*before, b"new one", b"n" * 100, b"another"]
        assert popped == expected[:2]
        again = Harness(disk.after_power_cut(), segment_size=200)
        assert again.items() == harness.items()
        assert again.datas() == expected[2:]


def test_a_cut_behind_which_segments_were_given_up_is_refused_or_true() -> None:
    journal = LATER_SEGMENTS
    whole = journal.segments[journal.last]
    states = set(journal.states.values())
    for size in range(len(whole)):
        contents = journal.segments | {journal.last: whole[:size]}
        disk = SimulatedDisk.holding(contents)
        try:
            state = read_back(disk)
        except JournalDamagedError:
            assert disk.contents() == contents
        else:
            assert recovered_items(disk, state) in states


def _items_or_damage(disk: SimulatedDisk) -> tuple[Items | None, JournalDamagedError | None]:
    """Recover; damage that is reported must say where it is and leave the disk as it was."""
    contents = disk.contents()
    try:
        return recovered_items(disk, read_back(disk)), None
    except JournalDamagedError as problem:
        damage = problem
    assert disk.contents() == contents, "damage was reported, but something was changed"
    assert str(damage).startswith(f"{damage.path}: damaged at byte {damage.offset}: ")
    return None, damage


def _check_damage(contents: dict[str, bytes], hit: str, last: str, right: Items | None) -> str:
    """Recover damaged contents; return how it ended, and fail if it ended in a lie."""
    disk = SimulatedDisk.holding(contents)
    items, damage = _items_or_damage(disk)
    if damage is not None:
        assert damage.path == hit
        assert 0 <= damage.offset <= len(contents[hit])
        return "refused"
    if items == right and disk.contents() == contents:
        return "same"
    assert hit == last, "only the last segment may lose its tail"
    aside = [data for path, data in disk.contents().items() if ".torn" in path]
    left = disk.contents().get(last, b"")
    assert len(aside) == 1
    assert left + aside[0] == contents[last]
    return "shorter"


@pytest.mark.parametrize("journal", JOURNALS.values(), ids=JOURNALS)
def test_any_single_wrong_bit_is_reported_or_costs_a_tail_that_is_kept(journal: Written) -> None:
    right = journal.final
    states = set(journal.states.values())
    ends = []
    for path, whole in journal.segments.items():
        for bit in range(len(whole) * 8):
            wrong = bytearray(whole)
            wrong[bit // 8] ^= 1 << bit % 8
            contents = journal.segments | {path: bytes(wrong)}
            end = _check_damage(contents, path, journal.last, right)
            ends.append(end)
            if end == "shorter":
                disk = SimulatedDisk.holding(contents)
                assert recovered_items(disk, read_back(disk)) in states
    assert "same" not in ends
    assert "refused" in ends


@pytest.mark.parametrize("journal", JOURNALS.values(), ids=JOURNALS)
def test_any_cut_of_any_segment_is_reported_or_costs_a_tail_that_is_kept(
    journal: Written,
) -> None:
    states = set(journal.states.values())
    for path, whole in journal.segments.items():
        for size in range(len(whole)):
            contents = journal.segments | {path: whole[:size]}
            disk = SimulatedDisk.holding(contents)
            items, damage = _items_or_damage(disk)
            if damage is not None:
                # Without the last one's header, it is the others that do not fit any more.
                assert damage.path == path or (path == journal.last and DIRECTORY in damage.path)
            else:
                assert path == journal.last, "only the last segment may lose its tail"
                assert items in states
                aside = b"".join(data for name, data in disk.contents().items() if ".torn" in name)
                assert disk.contents().get(path, b"") + aside == whole[:size]


@pytest.mark.parametrize("journal", JOURNALS.values(), ids=JOURNALS)
def test_a_wrong_bit_in_a_header_with_records_behind_it_is_always_reported(
    journal: Written,
) -> None:
    for path, whole in journal.segments.items():
        _, size = segment.decode(memoryview(whole))
        for bit in range(size * 8):
            wrong = bytearray(whole)
            wrong[bit // 8] ^= 1 << bit % 8
            contents = journal.segments | {path: bytes(wrong)}
            assert _check_damage(contents, path, journal.last, journal.final) == "refused", (
                f"{path}, bit {bit}"
            )


def test_a_wrong_bit_in_an_empty_last_segment_is_told_or_costs_nothing() -> None:
    number = len(FOUR_SEGMENTS.segments) + 1
    state = read_back(SimulatedDisk.holding(FOUR_SEGMENTS.segments))
    assert state is not None
    end = len(FOUR_SEGMENTS.segments[FOUR_SEGMENTS.last])
    beginning = place_on(SimulatedDisk()).beginning(number, state.ledger, end)
    path = f"{DIRECTORY}/{segment.file_name(number)}"
    right = FOUR_SEGMENTS.final
    contents = FOUR_SEGMENTS.segments | {path: beginning}
    disk = SimulatedDisk.holding(contents)
    assert recovered_items(disk, read_back(disk)) == right
    for bit in range(len(beginning) * 8):
        wrong = bytearray(beginning)
        wrong[bit // 8] ^= 1 << bit % 8
        contents = FOUR_SEGMENTS.segments | {path: bytes(wrong)}
        assert _check_damage(contents, path, path, right) == "refused"


def test_a_torn_item_whose_data_looks_like_a_record_is_still_a_torn_tail() -> None:
    # A client may put whatever it likes, a piece of somebody's journal too.
    data = b"before" + record.bare(record.REMOVE, 1) + b"behind" * 10
    journal = written([put(b"a"), put(data)], segment_size=10**6)
    disk = SimulatedDisk.holding({FIRST: journal.segments[FIRST][:-1]})
    state = read_back(disk)
    assert [item[1] for item in recovered_items(disk, state) or ()] == [b"a"]


def test_a_sound_record_behind_damage_is_never_given_up() -> None:
    whole = ONE_SEGMENT.segments[FIRST]
    hole = bytearray(whole)
    hole[60:70] = bytes(10)
    contents = {FIRST: bytes(hole)}
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(JournalDamagedError, match=r"a sound one follows at byte \d+"):
        read_back(disk)
    assert disk.contents() == contents


@pytest.mark.parametrize("torn", [b"", b"\0" * 4096, b"STAR", b"STARLING"])
def test_a_last_segment_without_a_whole_header_is_set_aside(torn: bytes) -> None:
    number = len(FOUR_SEGMENTS.segments) + 1
    path = f"{DIRECTORY}/{segment.file_name(number)}"
    disk = SimulatedDisk.holding(FOUR_SEGMENTS.segments | {path: torn})
    state = read_back(disk)
    assert recovered_items(disk, state) == FOUR_SEGMENTS.final
    aside = {f"{path}.torn-0": torn} if torn else {}
    assert disk.contents() == FOUR_SEGMENTS.segments | aside


@pytest.mark.parametrize("torn", [b"", b"\0" * 4096, b"STAR"])
def test_a_journal_of_one_segment_without_a_header_is_no_queue(torn: bytes) -> None:
    disk = SimulatedDisk.holding({FIRST: torn})
    harness = Harness(disk)
    assert harness.items() is None
    harness.put_all([b"a"])
    assert Harness(disk.after_power_cut()).datas() == [b"a"]


def test_a_lone_later_segment_without_a_header_is_no_empty_queue() -> None:
    # Its predecessors were given up because it existed, so it was whole once.
    path = f"{DIRECTORY}/{segment.file_name(5)}"
    disk = SimulatedDisk.holding({path: b"\0" * 4096})
    with pytest.raises(JournalDamagedError):
        read_back(disk)


@pytest.mark.parametrize("torn", [b"", b"\0" * 300, b"STAR", FOUR_SEGMENTS.segments[FIRST][:-1]])
def test_only_the_last_segment_may_be_torn(torn: bytes) -> None:
    for path in FOUR_SEGMENTS.segments:
        if path == FOUR_SEGMENTS.last:
            continue
        contents = FOUR_SEGMENTS.segments | {path: torn}
        disk = SimulatedDisk.holding(contents)
        with pytest.raises(JournalDamagedError):
            read_back(disk)
        assert disk.contents() == contents


def test_a_missing_segment_that_is_needed_is_refused_by_name() -> None:
    for path in sorted(FOUR_SEGMENTS.segments)[:-1]:
        contents = {each: data for each, data in FOUR_SEGMENTS.segments.items() if each != path}
        disk = SimulatedDisk.holding(contents)
        with pytest.raises(JournalDamagedError, match="missing") as damage:
            read_back(disk)
        assert damage.value.path == path
        assert disk.contents() == contents


def test_a_missing_segment_is_refused_before_a_torn_tail_is_touched() -> None:
    contents = {path: data for path, data in FOUR_SEGMENTS.segments.items() if path != FIRST}
    contents[FOUR_SEGMENTS.last] += b"torn"
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(JournalDamagedError, match="missing"):
        read_back(disk)
    assert disk.contents() == contents


def test_a_segment_under_another_number_is_refused() -> None:
    *others, last = sorted(FOUR_SEGMENTS.segments)
    contents = {each: FOUR_SEGMENTS.segments[each] for each in others}
    contents[f"{DIRECTORY}/{segment.file_name(len(others) + 2)}"] = FOUR_SEGMENTS.segments[last]
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(
        JournalDamagedError, match=f"the header says that this is segment {len(others) + 1}"
    ):
        read_back(disk)
    assert disk.contents() == contents


def test_a_segment_of_another_queue_among_the_others_is_refused() -> None:
    header = segment.encode(segment.Header(b"other", 2, 1, 1, SALT))
    contents = {FIRST: ONE_SEGMENT.segments[FIRST], FIRST.replace("1.seg", "2.seg"): header}
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(JournalDamagedError, match=r"belongs to the queue b'(other|jobs)'"):
        read_back(disk)
    assert disk.contents() == contents


@pytest.mark.parametrize("number", [1, 2])
def test_a_newer_format_is_refused_whichever_segment_has_it(number: int) -> None:
    newer = bytearray(segment.encode(segment.Header(b"jobs", number, 30, 1, SALT)))
    newer[8] = segment.VERSION + 1
    newer[-4:] = zlib.crc32(newer[:-4]).to_bytes(4, "little")
    path = f"{DIRECTORY}/{segment.file_name(number)}"
    contents = {FIRST: ONE_SEGMENT.segments[FIRST], path: bytes(newer)}
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(JournalDamagedError, match=r"version 6 is newer than this server's 5"):
        read_back(disk)
    assert disk.contents() == contents


def test_dead_segments_that_reappear_in_any_combination_change_nothing() -> None:
    steps = [put(b"%d" % n * 80) for n in range(20)]
    disk = empty_disk()
    harness = Harness(disk, segment_size=400)
    ever: dict[str, bytes] = {}
    for step in [*steps, *[pop] * 18, put(b"x")]:
        step(harness)
        harness.commits.commit()
        while harness.background.waiting:
            ever |= segments_of(disk)
            harness.background.do_one()
    now = segments_of(disk)
    gone = sorted(set(ever) - set(now))
    assert len(gone) >= 4
    for choice in range(2 ** len(gone)):
        back = {path: ever[path] for bit, path in enumerate(gone) if choice >> bit & 1}
        again = SimulatedDisk.holding(now | back)
        state = read_back(again)
        assert recovered_items(again, state) == harness.items()
        assert again.contents() == now


def test_unfinished_files_are_set_aside_or_removed_and_foreign_ones_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    foreign = {f"{DIRECTORY}/notes.txt": b"mine", f"{DIRECTORY}/settings.new": b"mine too"}
    torn = f"{DIRECTORY}/{segment.file_name(2)}.new"
    unfinished = {
        torn: b"STARL",
        f"{DIRECTORY}/{segment.file_name(1)}.new": b"of an older number",
        f"{DIRECTORY}/{segment.file_name(3)}.new": bytes(300),
        f"{DIRECTORY}/{segment.file_name(1)}.compacting": b"half a copy",
    }
    disk = SimulatedDisk.holding(ONE_SEGMENT.segments | foreign | unfinished)
    assert recovered_items(disk, read_back(disk)) == ONE_SEGMENT.final
    assert disk.contents() == ONE_SEGMENT.segments | foreign | {f"{torn}.torn-0": b"STARL"}
    assert "notes.txt: not a file of this server" in caplog.text
    assert caplog.text.count("not a file of this server") == 2


def test_a_huge_number_in_a_file_name_costs_nothing() -> None:
    contents = ONE_SEGMENT.segments | {f"{DIRECTORY}/{segment.file_name(10**15)}": b""}
    disk = SimulatedDisk.holding(contents)
    tracemalloc.start()
    state = read_back(disk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6
    assert recovered_items(disk, state) == ONE_SEGMENT.final


def test_a_torn_tail_is_told_loudly_once(caplog: pytest.LogCaptureFixture) -> None:
    disk = SimulatedDisk.holding({FIRST: ONE_SEGMENT.segments[FIRST] + b"torn"})
    with caplog.at_level(logging.WARNING):
        read_back(disk)
        read_back(disk)
    (entry,) = caplog.records
    assert "the last 4 bytes" in entry.getMessage()
    assert f"{FIRST}.torn-" in entry.getMessage()


def test_the_copies_of_two_torn_tails_at_one_place_are_both_kept() -> None:
    disk = SimulatedDisk.holding({FIRST: ONE_SEGMENT.segments[FIRST] + b"one"})
    read_back(disk)
    descriptor = disk.open(FIRST)
    disk.write(descriptor, b"two")
    disk.close(descriptor)
    read_back(disk)
    contents = disk.contents()
    assert sorted(data for path, data in contents.items() if ".torn" in path) == [b"one", b"two"]


def test_a_recovery_that_dies_at_any_call_loses_nothing() -> None:
    number = len(FOUR_SEGMENTS.segments) + 1
    torn = {
        "tail": FOUR_SEGMENTS.segments
        | {FOUR_SEGMENTS.last: FOUR_SEGMENTS.segments[FOUR_SEGMENTS.last] + b"torn" * 9},
        "header": FOUR_SEGMENTS.segments
        | {f"{DIRECTORY}/{segment.file_name(number)}": b"STARLING\1"},
    }
    for contents in torn.values():
        calls = 0
        while True:
            disk = SimulatedDisk.holding(contents)
            disk.kill_process_after(calls)
            try:
                read_back(disk)
            except ProcessKilled:
                for survivor in (disk.after_power_cut(), disk.after_process_death()):
                    state = read_back(survivor)
                    assert recovered_items(disk, state) == FOUR_SEGMENTS.final
                    copies = [data for path, data in survivor.contents().items() if ".torn" in path]
                    assert copies, "the copy of the torn tail is lost"
            else:
                break
            calls += 1
        assert calls > 5


# What a start reads, and what was before.


def test_a_start_reads_every_header_and_the_records_of_the_last_alone() -> None:
    disk = SimulatedDisk.holding(FOUR_SEGMENTS.segments)
    read_back(disk)
    names = [path.rpartition("/")[2] for path in FOUR_SEGMENTS.segments]
    reads = [call for call in disk.calls if call.startswith("read")]
    assert sorted(call.split()[1] for call in reads if call.startswith("read_at ")) == names[:-1]
    assert [call for call in reads if call.startswith("read ")] == [f"read {names[-1]}"]


def test_the_end_of_a_journal_at_any_moment_gives_the_ledger_of_then() -> None:
    disk = empty_disk()
    journal = new_journal(disk, segment_size=700)
    moments = []
    for number in range(1, 30):
        journal.recorder.push(item(number, b"x" * number))
        if number % 3 == 0:
            journal.recorder.remove(item(number - 1, b"x" * (number - 1)))
        if number == 15:
            journal.recorder.flush()
        journal.write()
        moments.append((journal.end, journal.ledger.copy()))
        if number % 5 == 0:
            work = journal.begin_sync()
            assert work is not None
            work.run()
            journal.end_sync(work, None)
    sync(journal)
    contents = disk.contents()
    found = 0
    there = {each.number for each in journal.ledger.segments if not each.compacted}
    for end, then in moments:
        if there.issuperset(each.number for each in then.segments):
            ledger = state_at(disk, DIRECTORY, *end)
            assert ledger_facts(ledger) == ledger_facts(then)
            found += 1
    assert found > 4
    assert disk.contents() == contents


def test_a_moment_that_the_files_do_not_hold_any_more_is_not_found() -> None:
    (path,) = ONE_SEGMENT.segments
    whole = ONE_SEGMENT.segments[path]
    start = checkpoint_end(whole)
    for size in range(start, len(whole)):
        disk = SimulatedDisk.holding({path: whole[:size]})
        with pytest.raises(JournalDamagedError):
            state_at(disk, DIRECTORY, 1, len(whole))
    with pytest.raises(JournalDamagedError):
        state_at(SimulatedDisk.holding({f"{DIRECTORY}/": b""}), DIRECTORY, 1, len(whole))


def test_a_start_that_syncs_makes_safe_what_was_written_under_never() -> None:
    disk = empty_disk()
    harness = Harness(disk, segment_size=600, interval=None)
    harness.put_all([b"%d" % number * 100 for number in range(20)])
    expected = harness.items()
    assert len(segments_of(disk)) > 3
    again = Harness(disk.after_process_death(), interval=0)
    assert again.items() == expected
    assert Harness(disk.after_power_cut()).items() == expected


# Segments that are given up.


def without(path: str) -> dict[str, bytes]:
    """Return the journal without one of its segments."""
    return {each: data for each, data in FOUR_SEGMENTS.segments.items() if each != path}


def harmed(path: str, how: str) -> dict[str, bytes]:
    """Return the journal with one of its segments damaged."""
    data = bytearray(FOUR_SEGMENTS.segments[path])
    if how == "missing":
        return without(path)
    if how == "header":
        data[20] ^= 1
    elif how == "short":
        del data[-5:]
    elif how == "empty":
        data.clear()
    elif how == "record":
        data[header_end(bytes(data)) + 5] ^= 1
    else:
        data[-3] ^= 1
    return without(path) | {path: bytes(data)}


HARMS = ["missing", "header", "short", "empty", "record", "last record"]
OLDER = sorted(FOUR_SEGMENTS.segments)[:-1]


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("path", OLDER, ids=["first", "second", "third", "fourth"][: len(OLDER)])
def test_an_unreadable_older_segment_is_given_up_if_the_operator_says_so(
    path: str, how: str
) -> None:
    disk = SimulatedDisk.holding(harmed(path, how))
    state = read_back(SimulatedDisk.holding(FOUR_SEGMENTS.segments))
    assert state is not None
    held = next(each for each in state.ledger.segments if each.path == path)
    later = [each.first_id for each in state.ledger.segments if each.number > held.number]
    expected = tuple(
        each for each in FOUR_SEGMENTS.final or () if not held.first_id <= each[0] < later[0]
    )
    harness = Harness(disk, segment_size=10**6, quarantine=True)
    harness.commit()
    harness.put_all([b"more"])
    queue = harness.queues.directory.find(b"jobs")
    assert queue is not None
    assert len(queue) + queue.quarantined_items == len(FOUR_SEGMENTS.final or ()) + 1
    aside = {each: data for each, data in disk.contents().items() if ".damaged" in each}
    if how != "missing":
        assert aside == {f"{path}.damaged": harmed(path, how)[path]}

    # From then on nothing is missing.
    copy = SimulatedDisk.holding(disk.contents())
    again = Harness(copy, quarantine=True)
    found = again.items() or ()
    assert {each for each in copy.contents() if ".damaged" in each} == set(aside)
    assert found[-1][1] == b"more"
    # What stands in front of the damage in its segment may have been saved.
    kept_ids = {each[0] for each in expected}
    assert tuple(each for each in found if each[0] in kept_ids) == expected
    assert all(each in (FOUR_SEGMENTS.final or ()) for each in found[:-1])
    assert queue.quarantined_items > 0

    # And the server that has given the items up serves the same.
    assert harness.pop_all(len(found) + 1) == [*(each[1] for each in found), None]
    harness.close()


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("path", OLDER, ids=["first", "second", "third", "fourth"][: len(OLDER)])
def test_an_unreadable_older_segment_is_told_of_with_its_file_and_byte(path: str, how: str) -> None:
    contents = harmed(path, how)
    disk = SimulatedDisk.holding(contents)
    if how in ("record", "last record"):
        harness = Harness(disk)
        queue = harness.queues.directory.find(b"jobs")
        assert queue is not None
        while True:
            try:
                harness.background.do_all()
                item = queue.pop(0)
            except JournalError as error:
                refusal = str(error)
                break
            except NotLoaded:
                assert harness.background.waiting, "nobody reads on"
            else:
                assert item is not None
                assert (item.id, item.data, item.flags) in (FOUR_SEGMENTS.final or ())
                harness.commit()
    else:
        with pytest.raises(SpoolError) as problem:
            Harness(disk)
        refusal = str(problem.value)
        assert {
            each: data for each, data in disk.contents().items() if DIRECTORY in each
        } == contents
    assert re.search(rf"{re.escape(path)}: damaged at byte \d+: ", refusal)


def test_the_last_segment_is_never_given_up() -> None:
    wrong = bytearray(FOUR_SEGMENTS.segments[FOUR_SEGMENTS.last])
    wrong[20] ^= 1
    contents = FOUR_SEGMENTS.segments | {FOUR_SEGMENTS.last: bytes(wrong)}
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(SpoolError, match="damaged at byte 0"):
        Harness(disk, quarantine=True)
    assert {each: data for each, data in disk.contents().items() if DIRECTORY in each} == contents
