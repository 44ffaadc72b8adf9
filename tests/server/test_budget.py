"""The budget: who may take what of the memory that clients make the server hold."""

from hypothesis import given
from hypothesis import strategies as st

from starling_py.server.budget import PATIENCE, STANDSTILL, Budget

MB = 1 << 20
NOW = 100.0


def a_crowd(*weights: int, limit: int = 100 * MB, now: float = NOW) -> Budget:
    """Return a budget whose clients, numbered from 0, hold so much; none has more to send."""
    budget = Budget(limit)
    for client, weight in enumerate(weights):
        budget.note(client, weight, 0, now)
    return budget


def test_below_three_quarters_everybody_is_read_from() -> None:
    budget = Budget(100 * MB)
    assert all(budget.note(client, 25 * MB, 25 * MB, NOW) for client in range(3))
    assert not budget.crowded


def test_who_holds_more_than_its_share_is_not_read_from_in_a_crowd() -> None:
    budget = a_crowd(40 * MB, 36 * MB, 20 * MB)
    assert budget.crowded
    assert not budget.note(3, 10 * MB, 5 * MB, NOW)
    assert list(budget.paused) == [3]


def test_who_is_within_its_share_is_read_from_in_any_crowd() -> None:
    budget = a_crowd(*[4 * MB] * 24)
    assert budget.crowded
    assert budget.share == 25 * MB // 24
    assert budget.note(99, budget.share // 2, 50 * MB, NOW)


def test_as_many_as_can_finish_within_the_budget_are_read_from_in_a_crowd() -> None:
    budget = a_crowd(*[8 * MB] * 10)
    assert budget.note(10, 3 * MB, 8 * MB, NOW), "83 MB and 8 to come are within 100"
    assert not budget.note(11, 3 * MB, 8 * MB, NOW), "86 MB, 8 promised and 8 more are not"
    assert budget.note(12, 3 * MB, 1 * MB, NOW), "89 MB, 8 promised and 1 more are"
    assert list(budget.paused) == [11]
    budget.forget(10, NOW)
    assert budget.resumed(NOW) == [11], "what was promised to the first is free again"


def test_the_first_and_the_last_to_come_go_on_in_turns() -> None:
    budget = a_crowd(*[8 * MB] * 11)
    for client in (20, 21, 22, 23):
        assert not budget.note(client, 4 * MB, 20 * MB, NOW)
    assert budget.resumed(NOW) == []
    for client in range(3):
        budget.forget(client, NOW)
    assert budget.total == 80 * MB
    assert budget.resumed(NOW) == [20]
    budget.forget(3, NOW)
    assert not budget.crowded
    assert budget.resumed(NOW) == [21, 23, 22]
    assert not budget.paused


def test_the_budget_itself_is_never_exceeded_for_longer_than_a_turn() -> None:
    budget = a_crowd(*[10 * MB] * 11)
    closed = budget.excess(NOW)
    assert len(closed) == 3
    for client in closed:
        budget.forget(client, NOW)
    assert budget.total <= 100 * MB - 100 * MB // 8
    assert budget.excess(NOW) == []


def test_who_has_held_the_most_for_the_longest_is_closed_first() -> None:
    budget = Budget(100 * MB)
    budget.note(1, 30 * MB, 0, NOW)  # holds much, and does nothing about it
    budget.note(2, 40 * MB, 0, NOW + 9)  # is just being served
    budget.note(3, 45 * MB, 0, NOW + 10)
    assert budget.excess(NOW + 10) == [1]


def test_a_crowd_that_lasts_is_ended_by_closing_those_who_made_it() -> None:
    budget = a_crowd(*[20 * MB] * 4)
    budget.note(9, 20 * 1024, MB, NOW + 1)
    for client in range(4):
        budget.note(client, 20 * MB - 1, 0, NOW + PATIENCE - 1)
    assert budget.overdue(NOW + PATIENCE - 0.1) == []
    assert len(budget.overdue(NOW + PATIENCE)) == 1, "80 MB are 5 MB too many"
    assert 9 not in budget.overdue(NOW + 100), "within its share"


def test_who_stands_still_in_a_crowd_is_closed_sooner() -> None:
    budget = a_crowd(*[20 * MB] * 4)
    budget.note(0, 20 * MB + 1, 0, NOW + 1)
    assert budget.overdue(NOW + STANDSTILL - 0.1) == []
    assert len(budget.overdue(NOW + STANDSTILL)) == 1
    assert 0 not in budget.overdue(NOW + STANDSTILL)


def test_who_has_just_come_is_not_closed_for_the_crowd_before_it() -> None:
    budget = a_crowd(*[20 * MB] * 4)
    budget.note(9, 21 * MB - MB, 0, NOW + PATIENCE)
    assert 9 not in budget.overdue(NOW + PATIENCE + 0.1)


def test_the_time_in_which_a_client_is_not_read_from_is_not_its_own() -> None:
    budget = a_crowd(*[10 * MB] * 8)
    assert not budget.note(9, 8 * MB, 30 * MB, NOW)
    assert 9 not in budget.overdue(NOW + 10 * PATIENCE)
    for client in range(8):
        budget.forget(client, NOW + 10)
    assert budget.resumed(NOW + 10) == [9]
    for client in range(8):
        budget.note(client, 10 * MB, 0, NOW + 11)
    budget.note(9, 8 * MB + 1, 30 * MB, NOW + 11)
    assert 9 not in budget.overdue(NOW + 12)


def test_when_nobody_has_room_to_finish_so_many_are_closed_that_one_has() -> None:
    budget = a_crowd(*[5 * MB] * 16)
    for client in range(16):
        assert not budget.note(client, 6 * MB, 20 * MB, NOW)
    assert budget.resumed(NOW) == []
    assert budget.overdue(NOW + STANDSTILL - 0.1) == []
    closed = budget.overdue(NOW + STANDSTILL)
    assert len(closed) == 3, "96 MB and 20 to come are 16 too many"
    assert 0 not in closed, "it was the first to come"
    for client in closed:
        budget.forget(client, NOW + STANDSTILL)
    assert budget.resumed(NOW + STANDSTILL) == [0]


def test_who_wants_more_than_the_budget_itself_is_closed_at_last() -> None:
    budget = a_crowd(10 * MB, 70 * MB)
    assert not budget.note(0, 30 * MB, 90 * MB, NOW)
    budget.forget(1, NOW)
    budget.note(1, 70 * MB, 90 * MB, NOW)
    assert budget.overdue(NOW + STANDSTILL) == [1]
    budget.forget(1, NOW + STANDSTILL)
    assert not budget.crowded


def test_who_hung_up_is_read_out_however_crowded_it_is() -> None:
    budget = a_crowd(*[8 * MB] * 12)
    assert not budget.note(20, 3 * MB, 8 * MB, NOW)
    budget.resume(20, NOW)
    assert not budget.paused
    assert budget.note(20, 3 * MB + 65536, 8 * MB - 65536, NOW)


def test_a_single_client_may_have_all_but_the_last_quarter_and_finish() -> None:
    """What a setting guarantees: the largest item is at most a quarter of the budget."""
    budget = Budget(4 * MB)
    for came in range(0, MB, 65536):
        assert budget.note(1, came, MB - came, NOW)
    assert budget.excess(NOW) == []


CLIENTS = st.integers(0, 9)
EVENTS = st.one_of(
    st.tuples(st.just("note"), CLIENTS, st.integers(0, 40), st.integers(0, 40)),
    st.tuples(st.just("forget"), CLIENTS, st.just(0), st.just(0)),
    st.tuples(st.just("resume"), CLIENTS, st.just(0), st.just(0)),
    st.tuples(st.just("resumed"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.sampled_from(["excess", "overdue"]), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("wait"), st.just(0), st.integers(0, 9), st.just(0)),
)


@given(st.lists(EVENTS, max_size=60))
def test_the_total_is_what_all_clients_hold_whatever_happens(
    events: list[tuple[str, int, int, int]],
) -> None:
    budget, held, now = Budget(100), dict[int, int](), NOW
    for what, client, weight, missing in events:
        if what == "note":
            reads = budget.note(client, weight, missing, now)
            held[client] = weight
            assert reads != (client in budget.paused)
            assert reads or (weight > budget.share and budget.crowded)
        elif what == "forget":
            budget.forget(client, now)
            held[client] = 0
        elif what == "resume":
            budget.resume(client, now)
            assert client not in budget.paused
        elif what == "resumed":
            assert not set(budget.resumed(now)) & set(budget.paused)
        elif what == "wait":
            now += weight
        else:
            total = budget.total
            closed = budget.excess(now) if what == "excess" else budget.overdue(now)
            assert len(set(closed)) == len(closed)
            assert all(held[each] > budget.share for each in closed)
            for each in closed:
                budget.forget(each, now)
                held[each] = 0
            if what == "excess" and total > 100:
                assert budget.total <= 100 - 100 // 8
        assert budget.total == sum(held.values())
        assert all(budget.weight_of(each) == weight for each, weight in held.items())
        assert budget.crowded == (budget.total > 75)
        assert {each for each in budget.paused if not held[each]} == set()
        assert budget._promised == sum(each.promised for each in budget._holdings.values())
        assert not any(budget._holdings[each].promised for each in budget.paused)
