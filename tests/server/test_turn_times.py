"""How long turns and commands take, counted once a turn."""

from starling_py.clock import Clock
from starling_py.server.turn_times import TurnTimes
from starling_py.stats import SUM, Counters, Histogram


class MovedClock(Clock):
    """A clock that a test moves, by microseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.monotonic = 0.0
        self.later = 0.0

    def now(self) -> float:
        return self.monotonic + self.later


def turn(
    times: TurnTimes, clock: MovedClock, took: int, ticket: int = 0, finished: int = 0
) -> None:
    """Let a turn take so many microseconds."""
    clock.later = took / 1e6 + 1e-9
    times.ticket = ticket
    times.end(finished)
    clock.monotonic += clock.later
    clock.later = 0.0


def seen(histogram: Histogram) -> tuple[int, int]:
    """Return how many there were, and their sum."""
    return histogram.number, histogram.counts[SUM]


def test_all_commands_of_a_turn_took_what_the_turn_took() -> None:
    clock, counters = MovedClock(), Counters()
    times = TurnTimes(clock, counters)
    counters.cmd_set += 3
    counters.cmd_get += 2
    turn(times, clock, 100)
    assert (seen(times.puts), seen(times.gets), seen(times.turns)) == (
        (3, 300),
        (2, 200),
        (1, 100),
    )
    turn(times, clock, 50)
    assert (seen(times.puts), seen(times.turns)) == ((3, 300), (2, 150))


def test_what_waits_for_a_sync_took_until_that_is_done() -> None:
    clock, counters = MovedClock(), Counters()
    times = TurnTimes(clock, counters)
    counters.cmd_set += 1
    turn(times, clock, 100, ticket=7, finished=6)
    assert seen(times.puts) == (0, 0)
    turn(times, clock, 400, finished=6)
    assert seen(times.puts) == (0, 0)
    turn(times, clock, 500, finished=7)
    assert seen(times.puts) == (1, 1000)


def test_a_sync_within_the_turn_is_part_of_it() -> None:
    clock, counters = MovedClock(), Counters()
    times = TurnTimes(clock, counters)
    counters.cmd_set += 1
    turn(times, clock, 100, ticket=7, finished=7)
    assert seen(times.puts) == (1, 100)


def test_counters_that_were_reset_count_nothing() -> None:
    clock, counters = MovedClock(), Counters()
    counters.cmd_set = 5
    times = TurnTimes(clock, counters)
    counters.reset()
    turn(times, clock, 100)
    assert seen(times.puts) == (0, 0)
    counters.cmd_set += 1
    turn(times, clock, 100)
    assert seen(times.puts) == (1, 100)
