"""What a follower makes of the stream: the owner's files at one moment, whatever happens to it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.replica.follower import DivergedError, Follower, ForeignFilesError
from starling_py.replica.position import BUILDS, PositionFile
from tests.journal.simulated_disk import ProcessKilled, SimulatedDisk
from tests.journal.spool_harness import SPOOL, Harness, empty_disk
from tests.replica.shipping import STARTED, STREAM, Contents, Owner, follow, follower, shared

NAMES = (b"jobs", b"Mail", b"x")

STEP = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES), st.integers(1, 150)),
    st.tuples(st.just("take"), st.sampled_from(NAMES), st.integers(1, 4)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("flush"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("restart"), st.just(b""), st.just(0)),
    st.tuples(st.just("restate"), st.just(b""), st.integers(1, 4)),
)


def play(owner: Owner, steps: list[tuple[str, bytes, int]]) -> None:
    """Have an owner do what clients and operators do, and purge what the stream need not keep."""
    harness = Harness(owner.files)
    for what, name, number in steps:
        if what == "put":
            harness.put(b"d" * number, name)
        elif what == "take":
            harness.pop_all(number, name)
        elif what == "delete":
            harness.queues.delete(name)
        elif what == "flush":
            harness.queues.flush(name)
        elif what == "restart":
            harness.close()
            harness = Harness(owner.files)
        else:
            restate(owner, number)
        harness.commit()
        owner.outbox.send()
    harness.close()
    owner.outbox.send()


def restate(owner: Owner, files: int) -> None:
    """Tell some of the oldest files again, and purge what is not needed then."""
    owner.outbox.send()
    ledger, last = owner.outbox.ledger, owner.outbox.sequence
    for path in ledger.victims(0, 2 * last, 1 << 60)[:files]:
        for _ in owner.files.restate(path):
            owner.outbox.send()
    owner.outbox.send()
    owner.outbox.purge(ledger.first_needed(last))


def moments(owner: Owner) -> list[Contents]:
    """Return the owner's files at every moment."""
    return owner.outbox.states


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=25), st.data())
def test_at_any_crash_a_followers_files_are_a_prefix_of_the_owners(
    steps: list[tuple[str, bytes, int]], data: st.DataObject
) -> None:
    owner = Owner()
    play(owner, [each for each in steps if each[0] != "restate"])
    disk = empty_disk()
    node = follower(disk)
    node.start(1, 0)
    last = owner.outbox.sequence
    for _ in range(data.draw(st.integers(0, 3), label="crashes")):
        disk.kill_process_after(data.draw(st.integers(0, 60), label="calls"))
        died = False
        try:
            follow(node, owner.outbox)
        except ProcessKilled:
            died = True
        disk = disk.for_next_process()
        if died:
            check_is_a_moment(owner, disk)
        node = follower(disk)
        node.start(1, last)
    follow(node, owner.outbox)
    assert node.whole
    assert shared(disk) == shared(owner.disk)
    assert node.ledger.live == sum(map(len, shared(disk).values()))


def test_a_follower_that_dies_in_any_call_goes_on_where_it_was() -> None:
    owner = Owner()
    steps = [("put", b"jobs", 20)] * 9 + [("restart", b"", 0), ("delete", b"jobs", 0)]
    play(owner, [*steps, ("put", b"Mail", 20), ("take", b"Mail", 1)])
    died, calls = True, 0
    while died:
        disk = empty_disk()
        node = follower(disk)
        node.start(1, 0)
        disk.kill_process_after(calls)
        calls += 1
        died = False
        try:
            follow(node, owner.outbox)
        except ProcessKilled:
            died = True
            disk = disk.for_next_process()
            node = follower(disk)
            node.start(1, owner.outbox.sequence)
            follow(node, owner.outbox)
        assert node.whole
        assert shared(disk) == shared(owner.disk)


def check_is_a_moment(owner: Owner, disk: SimulatedDisk) -> None:
    """Expect a dead follower's files to be the owner's at some moment, but for half a write."""
    found = shared(disk)
    for before in moments(owner):
        if found.keys() == before.keys():
            different = [path for path in found if found[path] != before[path]]
            longer = all(found[path].startswith(before[path]) for path in different)
            if len(different) <= 1 and longer:
                return
    pytest.fail("these are the owner's files at no moment")


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=30), st.integers(0, 100))
def test_a_new_node_builds_everything_from_the_stream_alone(
    steps: list[tuple[str, bytes, int]], share: int
) -> None:
    owner = Owner()
    play(owner, steps)
    last = owner.outbox.sequence
    disk = empty_disk()
    node = follower(disk)
    node.start(min(owner.outbox.messages, default=1), last)
    follow(node, owner.outbox)
    assert node.whole or not last
    assert shared(disk) == shared(owner.disk)
    items = Harness(SimulatedDisk.holding(shared(owner.disk) or {f"{SPOOL}/": b""}))
    again = Harness(SimulatedDisk.holding(shared(disk) or {f"{SPOOL}/": b""}))
    assert [items.items(each) for each in NAMES] == [again.items(each) for each in NAMES]


def some_messages() -> tuple[Owner, SimulatedDisk, Follower]:
    """Return an owner that did a little, and a follower that has all but the last two messages."""
    owner = Owner()
    play(owner, [("put", b"jobs", 20)] * 3)
    disk = empty_disk()
    node = follower(disk)
    node.start(1, 0)
    follow(node, owner.outbox, owner.outbox.sequence - 2)
    return owner, disk, node


def test_a_missing_message_is_noticed() -> None:
    owner, _, node = some_messages()
    last = owner.outbox.sequence
    with pytest.raises(DivergedError, match="not the next one"):
        node.apply(last, owner.outbox.messages[last])


def test_a_file_that_is_gone_on_a_follower_is_noticed() -> None:
    owner, disk, node = some_messages()
    node.close()
    for name in disk.list_directory(f"{SPOOL}/jobs"):
        disk.unlink(f"{SPOOL}/jobs/{name}")
    with pytest.raises(DivergedError, match="is missing"):
        follow(node, owner.outbox)


def test_a_node_that_was_the_owner_builds_its_files_anew() -> None:
    owner, disk, node = some_messages()
    node.own()
    disk.put(f"{SPOOL}/jobs/0000000000000009.segment", b"what nobody was told of")
    again = follower(disk.for_next_process())
    again.start(1, owner.outbox.sequence)
    assert not again.whole
    follow(again, owner.outbox)
    assert again.whole
    assert shared(disk) == shared(owner.disk)


def test_after_a_power_cut_only_a_node_that_had_stopped_goes_on() -> None:
    owner, disk, _ = some_messages()
    after = follower(disk.for_next_process(), b"another start   ")
    after.start(1, owner.outbox.sequence)
    assert not after.whole
    follow(after, owner.outbox)
    after.stop(owner.outbox.sequence, after.position.number)
    assert shared(disk) == shared(owner.disk)
    once_more = follower(disk.after_power_cut(), STARTED)
    once_more.start(1, owner.outbox.sequence)
    assert once_more.whole


def test_a_node_that_is_stopped_before_it_has_started_keeps_its_place() -> None:
    owner, disk, node = some_messages()
    before = node.position
    node.close()
    again = follower(disk.for_next_process())
    again.stop(again.position.sequence, again.position.number)
    once_more = follower(disk.for_next_process())
    once_more.start(1, owner.outbox.sequence)
    assert once_more.position == before
    follow(once_more, owner.outbox)
    assert shared(disk) == shared(owner.disk)


def test_queues_for_the_stream_are_so_after_a_stop_before_the_start() -> None:
    owner = Owner()
    play(owner, [("put", b"jobs", 20)])
    disk = SimulatedDisk.holding(shared(owner.disk))
    follower(disk).stop(0, 0)
    again = follower(disk.for_next_process())
    again.start(0, 0)
    assert again.adopts


def test_a_power_cut_leaves_a_new_node_its_position() -> None:
    disk = empty_disk()
    follower(disk).start(1, 7)
    found = PositionFile(disk.after_power_cut(), SPOOL, STARTED).read()
    assert found is not None
    assert (found.stream, found.state) == (STREAM, BUILDS)


def test_another_stream_is_not_taken_for_the_one_that_was_followed() -> None:
    owner, disk, node = some_messages()
    node.close()
    other = Follower(disk, SPOOL, node._file, b"another stream  ")
    with pytest.raises(ForeignFilesError, match="belongs to another stream"):
        other.start(1, owner.outbox.sequence)


def test_queues_that_no_stream_has_are_not_thrown_away() -> None:
    owner = Owner()
    play(owner, [("put", b"jobs", 20)])
    disk = SimulatedDisk.holding(shared(owner.disk))
    with pytest.raises(ForeignFilesError, match="not of the stream"):
        follower(disk).start(1, 7)
    node = follower(disk)
    node.start(0, 0)
    assert node.adopts
    with pytest.raises(ForeignFilesError, match="another server has begun"):
        node.apply(1, owner.outbox.messages[1])
    assert shared(disk) == shared(owner.disk)


def test_what_is_not_of_a_queue_stays_where_files_are_built_anew() -> None:
    owner, disk, node = some_messages()
    disk.put(f"{SPOOL}/lost+found/a")
    node.build(owner.outbox.sequence)
    follow(node, owner.outbox)
    assert f"{SPOOL}/lost+found/a" in disk.contents(SPOOL)
