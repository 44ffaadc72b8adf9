"""Recovery: cut anywhere, flipped anywhere, it gives a true state or refuses, never a false one."""

import logging
import tracemalloc
import zlib
from collections.abc import Callable

import attrs
import pytest

from starling_py.journal import record, segment
from starling_py.journal.recovery import JournalDamaged
from tests.journal.simulated_disk import ProcessKilled, SimulatedDisk
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
    [put(b"0"), put(b"head"), pop, *[put(b"item %d" % n * 5, n) for n in range(12)]],
    segment_size=200,
)
# The first segments are no longer needed, and gone.
LATER_SEGMENTS = written(
    [put(b"%d" % n * 30) for n in range(14)] + [pop] * 9 + [put(b"x"), put(b"y")],
    segment_size=200,
)
JOURNALS = {"one": ONE_SEGMENT, "four": FOUR_SEGMENTS, "later": LATER_SEGMENTS}


def test_the_journals_under_test_are_what_they_should_be() -> None:
    assert [path[-9:-8] for path in ONE_SEGMENT.segments] == ["1"]
    assert len(FOUR_SEGMENTS.segments) >= 4
    assert FIRST in FOUR_SEGMENTS.segments
    assert len(LATER_SEGMENTS.segments) >= 2
    assert FIRST not in LATER_SEGMENTS.segments


@pytest.mark.parametrize("journal", JOURNALS.values(), ids=JOURNALS)
def test_a_journal_is_read_back_as_it_was_written_and_nothing_on_disk_changes(
    journal: Written,
) -> None:
    disk = SimulatedDisk.holding(journal.segments)
    assert recovered_items(read_back(disk)) == journal.final
    assert disk.contents() == journal.segments


@pytest.mark.parametrize("journal", [ONE_SEGMENT, FOUR_SEGMENTS], ids=["one", "four"])
def test_a_journal_cut_at_any_byte_of_its_last_segment_tells_of_the_operations_before_it(
    journal: Written,
) -> None:
    whole = journal.segments[journal.last]
    before = {path: data for path, data in journal.segments.items() if path != journal.last}
    size_before = sum(map(len, before.values()))
    for size in range(len(whole) + 1):
        disk = SimulatedDisk.holding(before | {journal.last: whole[:size]})
        expected = journal.state_at(size_before + size)
        state = read_back(disk)
        # A header alone makes the queue exist, and that comes before its first item.
        assert recovered_items(state) == expected or (
            state is not None and not state.deleted and not state.items and expected is None
        )

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
        assert recovered_items(read_back(disk)) == recovered_items(state)
        assert disk.contents() == contents


@pytest.mark.parametrize("journal", [ONE_SEGMENT, FOUR_SEGMENTS], ids=["one", "four"])
def test_a_queue_goes_on_after_a_cut_at_any_byte_and_is_read_back_right(journal: Written) -> None:
    whole = journal.segments[journal.last]
    for size in range(len(whole)):
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
        except JournalDamaged:
            assert disk.contents() == contents
        else:
            assert recovered_items(state) in states


def _check_damage(contents: dict[str, bytes], hit: str, last: str, right: Items | None) -> str:
    """Recover damaged contents; return how it ended, and fail if it ended in a lie."""
    disk = SimulatedDisk.holding(contents)
    damage: JournalDamaged | None = None
    try:
        state = read_back(disk)
    except JournalDamaged as problem:
        damage = problem
    if damage is not None:
        assert disk.contents() == contents, "damage was reported, but something was changed"
        assert str(damage).startswith(f"{damage.path}: damaged at byte {damage.offset}: ")
        assert damage.path == hit
        assert 0 <= damage.offset < len(contents[hit])
        return "refused"
    items = recovered_items(state)
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
                assert recovered_items(read_back(disk)) in states
    assert "same" not in ends
    assert "refused" in ends


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


def test_a_wrong_bit_in_a_last_segment_without_records_is_reported_or_costs_nothing() -> None:
    number = len(FOUR_SEGMENTS.segments) + 1
    state = read_back(SimulatedDisk.holding(FOUR_SEGMENTS.segments))
    assert state is not None
    header = segment.encode(segment.Header(b"jobs", number, state.next_id, 1))
    path = f"{DIRECTORY}/{segment.file_name(number)}"
    right = FOUR_SEGMENTS.final
    for bit in range(len(header) * 8):
        wrong = bytearray(header)
        wrong[bit // 8] ^= 1 << bit % 8
        contents = FOUR_SEGMENTS.segments | {path: bytes(wrong)}
        if _check_damage(contents, path, path, right) == "shorter":
            again = read_back(SimulatedDisk.holding(contents))
            assert recovered_items(again) == right


def test_a_torn_item_whose_data_looks_like_a_record_is_still_a_torn_tail() -> None:
    # A client may put whatever it likes, a piece of somebody's journal too.
    data = b"before" + record.bare(record.REMOVE, 1) + b"behind" * 10
    journal = written([put(b"a"), put(data)], segment_size=10**6)
    disk = SimulatedDisk.holding({FIRST: journal.segments[FIRST][:-1]})
    state = read_back(disk)
    assert [item[1] for item in recovered_items(state) or ()] == [b"a"]


def test_a_sound_record_behind_damage_is_never_given_up() -> None:
    whole = ONE_SEGMENT.segments[FIRST]
    hole = bytearray(whole)
    hole[60:70] = bytes(10)
    contents = {FIRST: bytes(hole)}
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(JournalDamaged, match=r"a sound one follows at byte \d+"):
        read_back(disk)
    assert disk.contents() == contents


@pytest.mark.parametrize("torn", [b"", b"\0" * 4096, b"STAR", b"STARLING"])
def test_a_last_segment_without_a_whole_header_is_set_aside(torn: bytes) -> None:
    number = len(FOUR_SEGMENTS.segments) + 1
    path = f"{DIRECTORY}/{segment.file_name(number)}"
    disk = SimulatedDisk.holding(FOUR_SEGMENTS.segments | {path: torn})
    state = read_back(disk)
    assert recovered_items(state) == FOUR_SEGMENTS.final
    aside = {f"{path}.torn-0": torn} if torn else {}
    assert disk.contents() == FOUR_SEGMENTS.segments | aside


@pytest.mark.parametrize("torn", [b"", b"\0" * 4096, b"STAR"])
def test_a_journal_of_one_segment_without_a_header_is_no_queue(torn: bytes) -> None:
    disk = SimulatedDisk.holding({FIRST: torn})
    harness = Harness(disk)
    assert harness.items() is None
    harness.put_all([b"a"])
    assert Harness(disk.after_power_cut()).datas() == [b"a"]


def test_a_lone_later_segment_without_a_header_is_not_taken_for_an_empty_queue() -> None:
    # Its predecessors were given up because it existed, so it was whole once.
    path = f"{DIRECTORY}/{segment.file_name(5)}"
    disk = SimulatedDisk.holding({path: b"\0" * 4096})
    with pytest.raises(JournalDamaged):
        read_back(disk)


@pytest.mark.parametrize("torn", [b"", b"\0" * 300, b"STAR", FOUR_SEGMENTS.segments[FIRST][:-1]])
def test_only_the_last_segment_may_be_torn(torn: bytes) -> None:
    for path in FOUR_SEGMENTS.segments:
        if path == FOUR_SEGMENTS.last:
            continue
        contents = FOUR_SEGMENTS.segments | {path: torn}
        disk = SimulatedDisk.holding(contents)
        with pytest.raises(JournalDamaged):
            read_back(disk)
        assert disk.contents() == contents


def test_a_missing_segment_that_is_needed_is_refused_by_name() -> None:
    for path in sorted(FOUR_SEGMENTS.segments)[:-1]:
        contents = {each: data for each, data in FOUR_SEGMENTS.segments.items() if each != path}
        disk = SimulatedDisk.holding(contents)
        with pytest.raises(JournalDamaged, match="missing") as damage:
            read_back(disk)
        assert damage.value.path == path
        assert disk.contents() == contents


def test_a_missing_segment_is_refused_before_a_torn_tail_is_touched() -> None:
    contents = {path: data for path, data in FOUR_SEGMENTS.segments.items() if path != FIRST}
    contents[FOUR_SEGMENTS.last] += b"torn"
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(JournalDamaged, match="missing"):
        read_back(disk)
    assert disk.contents() == contents


def test_a_segment_under_another_number_is_refused() -> None:
    *others, last = sorted(FOUR_SEGMENTS.segments)
    contents = {each: FOUR_SEGMENTS.segments[each] for each in others}
    contents[f"{DIRECTORY}/{segment.file_name(len(others) + 2)}"] = FOUR_SEGMENTS.segments[last]
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(
        JournalDamaged, match=f"the header says that this is segment {len(others) + 1}"
    ):
        read_back(disk)
    assert disk.contents() == contents


def test_a_segment_of_another_queue_among_the_others_is_refused() -> None:
    header = segment.encode(segment.Header(b"other", 2, 1, 1))
    contents = {FIRST: ONE_SEGMENT.segments[FIRST], FIRST.replace("1.seg", "2.seg"): header}
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(JournalDamaged, match="belongs to the queue b'other'"):
        read_back(disk)
    assert disk.contents() == contents


@pytest.mark.parametrize("number", [1, 2])
def test_a_newer_format_is_refused_whichever_segment_has_it(number: int) -> None:
    newer = bytearray(segment.encode(segment.Header(b"jobs", number, 30, 1)))
    newer[8] = 2
    newer[-4:] = zlib.crc32(newer[:-4]).to_bytes(4, "little")
    path = f"{DIRECTORY}/{segment.file_name(number)}"
    contents = {FIRST: ONE_SEGMENT.segments[FIRST], path: bytes(newer)}
    disk = SimulatedDisk.holding(contents)
    with pytest.raises(JournalDamaged, match=r"version 2 is newer than this server's 1"):
        read_back(disk)
    assert disk.contents() == contents


def test_dead_segments_that_reappear_in_any_combination_change_nothing() -> None:
    steps = [put(b"%d" % n * 30) for n in range(14)]
    disk = empty_disk()
    harness = Harness(disk, segment_size=200)
    ever: dict[str, bytes] = {}
    for step in [*steps, *[pop] * 12, put(b"x")]:
        step(harness)
        while harness.commits.pending:
            harness.commits.commit()
            ever |= segments_of(disk)
    now = segments_of(disk)
    gone = sorted(set(ever) - set(now))
    assert len(gone) >= 4
    for choice in range(2 ** len(gone)):
        back = {path: ever[path] for bit, path in enumerate(gone) if choice >> bit & 1}
        again = SimulatedDisk.holding(now | back)
        state = read_back(again)
        assert recovered_items(state) == harness.items()
        assert again.contents() == now


def test_unfinished_segments_are_removed_and_foreign_files_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    foreign = {f"{DIRECTORY}/notes.txt": b"mine", f"{DIRECTORY}/settings.new": b"mine too"}
    unfinished = {f"{DIRECTORY}/{segment.file_name(2)}.new": b"STARL"}
    disk = SimulatedDisk.holding(ONE_SEGMENT.segments | foreign | unfinished)
    assert recovered_items(read_back(disk)) == ONE_SEGMENT.final
    assert disk.contents() == ONE_SEGMENT.segments | foreign
    assert "notes.txt: not a file of this server" in caplog.text


def test_a_huge_number_in_a_file_name_is_refused_at_no_cost() -> None:
    contents = ONE_SEGMENT.segments | {f"{DIRECTORY}/{segment.file_name(10**5)}": b""}
    disk = SimulatedDisk.holding(contents)
    tracemalloc.start()
    with pytest.raises(JournalDamaged, match="missing"):
        read_back(disk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


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
                    assert recovered_items(state) == FOUR_SEGMENTS.final
                    copies = [data for path, data in survivor.contents().items() if ".torn" in path]
                    assert copies, "the copy of the torn tail is lost"
            else:
                break
            calls += 1
        assert calls > 5
