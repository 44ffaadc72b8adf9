"""The tick looks again before it sleeps, as long as that pays."""

from random import Random

import pytest

from starling_py.server.backoff import SELDOM
from starling_py.server.idle_wait import LOOK, STAY, IdleWait
from starling_py.server.readiness import READ, Ready
from tests.simulation.threads import SimulatedReadiness

REQUEST: Ready = [(7, READ)]
STEP = LOOK / 8
"""What an offer of the processor takes while nobody wants it."""


class World(SimulatedReadiness):
    """A client that sends its next request after a while, and what the server does meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pause = STEP * 3.5
        """Seconds from a reply to the next request."""
        self.taken_by_others = 0.0
        """Seconds that others take of the processor, when it is offered to them."""
        self.looks = self.sleeps = 0
        self._request_at = 0.0

    def ready(self, seconds: float = 0) -> Ready:
        """Return the request once it has come, asleep until then or for so many seconds."""
        if seconds:
            self.sleeps += 1
            self.now = max(self.now, min(self._request_at, self.now + seconds))
        return REQUEST if self.now >= self._request_at else []

    def offer(self) -> None:
        self.looks += 1
        self.now += STEP + self.taken_by_others

    def ask(self, patience: IdleWait, times: int = 1) -> None:
        """Have the client's next requests answered."""
        for _ in range(times):
            self._request_at = self.now + self.pause
            while not patience.wait():
                continue

    def count(self, patience: IdleWait, times: int) -> tuple[int, int]:
        """Return how often the server looked and slept for so many requests."""
        self.looks = self.sleeps = 0
        self.ask(patience, times)
        return self.looks, self.sleeps


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def patience(world: World) -> IdleWait:
    return IdleWait(world, lambda: world.now, world.offer)


def test_while_requests_follow_each_other_closely_the_server_never_sleeps(
    world: World, patience: IdleWait
) -> None:
    assert world.count(patience, 100) == (400, 0)


def test_what_is_ready_at_once_is_taken_without_a_look(world: World, patience: IdleWait) -> None:
    world.pause = 0.0
    assert world.count(patience, 100) == (0, 0)


def test_requests_that_come_later_are_slept_for_and_hardly_looked_for(
    world: World, patience: IdleWait
) -> None:
    world.pause = 3 * LOOK
    world.ask(patience, 3 * SELDOM)
    looks, sleeps = world.count(patience, 10 * SELDOM)
    # A look takes eight steps of the clock, or nine.
    assert 8 * 8 <= looks <= 9 * 10
    assert sleeps == 10 * SELDOM


def test_one_look_takes_no_longer_than_falling_asleep_and_being_woken(
    world: World, patience: IdleWait
) -> None:
    world.pause = STAY / 2
    assert world.count(patience, 1) == (8, 1)


def test_nothing_ready_for_a_moment_is_left_to_trio(world: World, patience: IdleWait) -> None:
    world.pause = 10 * STAY
    world.ask(patience)
    begun = world.now
    world._request_at = begun + world.pause
    assert patience.wait() == []
    assert world.now - begun <= STAY + LOOK + STEP


def test_on_a_processor_that_others_want_the_tick_sleeps_between_requests(
    world: World, patience: IdleWait
) -> None:
    world.taken_by_others = 40 * LOOK
    world.ask(patience, 3 * SELDOM)
    begun = world.now
    looks, sleeps = world.count(patience, 10 * SELDOM)
    assert looks <= 10
    assert sleeps >= 10 * SELDOM - looks
    slept = world.now - begun - looks * world.taken_by_others
    assert slept == pytest.approx(10 * SELDOM * world.pause, rel=0.01)


def test_looking_is_found_to_pay_again_soon(world: World, patience: IdleWait) -> None:
    world.pause = 3 * LOOK
    world.ask(patience, 3 * SELDOM)
    world.pause = STEP
    world.ask(patience, 2 * SELDOM + 20)
    assert world.count(patience, 100) == (100, 0)


@pytest.mark.parametrize(("soon", "least", "most"), [(0.95, 0.05, 0.25), (0.5, 0.9, 1.0)])
def test_whether_to_look_is_decided_by_what_happens_more_often(
    world: World, patience: IdleWait, soon: float, least: float, most: float
) -> None:
    """``soon`` is the share of requests that come soon; the others are slept for in any case."""
    chance = Random(1)

    def ask(times: int) -> None:
        for _ in range(times):
            world.pause = STEP if chance.random() < soon else 3 * LOOK
            world.ask(patience)

    ask(3 * SELDOM)
    world.sleeps = 0
    ask(10 * SELDOM)
    assert least <= world.sleeps / (10 * SELDOM) <= most
