"""The ledger against the plainest model of it: a dict of the live items."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from starling_py.journal.format import record
from starling_py.journal.format.segment import Segment
from starling_py.journal.ledger import Facts, Ledger
from tests.journal.parts import item


class LedgerAgainstDict(RuleBasedStateMachine):
    """Puts, takes in any order, flushes, gives up, begins segments and drops dead ones."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(deleted=True)
        self.live: dict[int, tuple[int, int]] = {}
        """The size and the segment of every live item."""
        self.marks: dict[int, Facts] = {}
        self.next_id = 1
        self.deleted = True
        self.number = 0
        self.begin()

    @rule()
    def begin(self) -> None:
        """Begin a segment, as a journal does."""
        ledger = self.ledger
        if ledger.segments and not ledger.segments[-1].items:
            ledger.has_dead = True
        self.number += 1
        ledger.segments.append(Segment(self.number, f"/{self.number}", ledger.next_id, 50))

    @rule(sizes=st.lists(st.integers(0, 100), min_size=1, max_size=4))
    def push(self, sizes: list[int]) -> None:
        for size in sizes:
            self.live[self.next_id] = (size, self.number)
            self.next_id += 1
        self.ledger.pushed(len(sizes), sum(sizes), self.next_id)
        self.ledger.segments[-1].size += sum(sizes) + len(sizes) * record.PUSH_HEADER_SIZE
        self.deleted = False

    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        """Hand any item out, live or not."""
        item_id = self.any_id(data)
        self.ledger.opened(item_id)
        if item_id in self.live:
            old = self.marks.get(item_id, Facts())
            self.marks[item_id] = Facts(old.deliveries + 1, old.due_ms, old.front)

    @rule(data=st.data(), due_ms=st.integers(1, 9))
    def delay(self, data: st.DataObject, due_ms: int) -> None:
        """Keep any item back, live or not."""
        item_id = self.any_id(data)
        self.ledger.delayed(item_id, due_ms)
        if item_id in self.live:
            old = self.marks.get(item_id, Facts())
            self.marks[item_id] = Facts(old.deliveries, due_ms, old.front)

    def any_id(self, data: st.DataObject) -> int:
        """Draw an id of an item that is live, was, or will be."""
        return data.draw(st.integers(max(0, self.next_id - 12), self.next_id + 1))

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Remove any item, live or not."""
        item_id = self.any_id(data)
        size, _ = self.live.pop(item_id, (7, 0))
        self.ledger.removed(item_id, size)

    @rule(count=st.integers(1, 5))
    def pop(self, count: int) -> None:
        """Remove items from the head."""
        ids = sorted(self.live)[:count]
        self.ledger.removed_all([item(each, bytes(self.live[each][0])) for each in ids])
        for each in ids:
            del self.live[each]

    @rule(deleted=st.booleans())
    def flush(self, deleted: bool) -> None:
        self.ledger.flushed(self.next_id - 1)
        self.ledger.deleted = self.deleted = deleted
        self.live.clear()

    @rule(data=st.data())
    def flush_but_some(self, data: st.DataObject) -> None:
        """Flush all but some, among which may be some that are not live any more."""
        asked = data.draw(st.lists(st.integers(1, max(self.next_id - 1, 1)), max_size=6))
        chosen = sorted(set(asked))
        kept = [(each, self.live.get(each, (7, 0))[0]) for each in chosen if each < self.next_id]
        self.ledger.flushed(self.next_id - 1, kept)
        self.live = {each: told for each, told in self.live.items() if each in chosen}

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """Give up the end of what is live in a segment."""
        older = sorted({number for _, number in self.live.values() if number != self.number})
        if not older:
            return
        number = data.draw(st.sampled_from(older))
        held = [each for each, (_, where) in self.live.items() if where == number]
        from_id = data.draw(st.sampled_from(held))
        lost = [each for each in held if each >= from_id]
        size = sum(self.live[each][0] for each in lost)
        self.ledger.given_up(from_id, max(lost), len(lost), size)
        for each in lost:
            del self.live[each]

    @rule()
    def drop_dead(self) -> None:
        needed = {number for _, number in self.live.values()} | {self.number}
        before = {each.number for each in self.ledger.segments}
        dead = {each.number for each in self.ledger.take_dead()}
        assert dead == before - needed
        assert self.ledger.take_dead() == []

    @rule()
    def copy(self) -> None:
        """Go on with a copy, and spoil the original."""
        original, self.ledger = self.ledger, self.ledger.copy()
        original.flushed(10**6)
        original.removed_ids.add(1, 10**6)
        original.segments.clear()
        original.facts.clear()

    @invariant()
    def it_tells_what_is_live(self) -> None:
        ledger = self.ledger
        assert (ledger.items, ledger.bytes) == (
            len(self.live),
            sum(size for size, _ in self.live.values()),
        )
        assert ledger.next_id == self.next_id
        assert ledger.deleted == self.deleted
        asked = range(self.next_id + 3)
        assert {each for each in asked if ledger.is_live(each)} == set(self.live)
        self.marks = {each: mark for each, mark in self.marks.items() if each in self.live}
        assert ledger.facts == self.marks
        assert ledger.head == min(self.live, default=self.next_id)
        assert all(start > ledger.head for start, _ in ledger.removed_ids)
        assert ledger.live_size == ledger.bytes + len(self.live) * record.PUSH_HEADER_SIZE

    @invariant()
    def it_tells_what_each_segment_holds(self) -> None:
        for each in self.ledger.segments:
            held = {
                number: size for number, (size, where) in self.live.items() if where == each.number
            }
            assert (each.items, each.bytes) == (len(held), sum(held.values()))
        for number, (_, where) in self.live.items():
            assert self.ledger.segment_of(number).number == where
        assert self.ledger.size == sum(each.size for each in self.ledger.segments)


TestLedgerAgainstDict = LedgerAgainstDict.TestCase
TestLedgerAgainstDict.settings = settings(max_examples=200, stateful_step_count=40)


def test_what_it_costs_grows_with_the_gaps_and_not_with_the_items() -> None:
    ledger = Ledger(segments=[Segment(1, "", 1, 0)])
    ledger.pushed(100_000, 0, 100_001)
    for number in range(2, 100_000):
        ledger.removed(number, 0)
    assert list(ledger.removed_ids) == [(2, 100_000)]
    ledger.removed(1, 0)
    assert ledger.head == 100_000
    assert not ledger.removed_ids


def test_a_segment_is_found_by_its_number() -> None:
    ledger = Ledger(segments=[Segment(3, "", 1, 0), Segment(5, "", 9, 0)])
    found = ledger.segment(5)
    assert found is not None
    assert found.first_id == 9
    assert ledger.segment(4) is None
