"""The paths, and what is told at each."""

import pytest

from starling_py.http.gate import Gate
from starling_py.http.messages import Answer
from starling_py.http.site import LONGEST_TURN, Offer, Site
from starling_py.http.standby_site import StandbySite
from tests.http.parts import FakeSource, asked, whole

LOCKED = Gate({b"a-token-that-is-long": "ops"})


def test_health_goes_by_the_turns_of_the_server() -> None:
    source = FakeSource()
    site = Site(source, Gate(), Offer())
    assert asked(site, "/healthz") == Answer(200, b"ok\n")
    source.since_turn = LONGEST_TURN + 1
    answer = asked(site, "/healthz")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (503, b"the server has made no turn for 6 seconds\n")


def test_a_server_that_takes_no_work_is_not_ready_and_says_why() -> None:
    source = FakeSource()
    site = Site(source, Gate(), Offer())
    assert asked(site, "/readyz") == Answer(200, b"ready\n")
    source.unready = "the disk is full"
    assert asked(site, "/readyz") == Answer(503, b"the disk is full\n")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_token_and_no_particular_host(path: str) -> None:
    answer = asked(Site(FakeSource(), LOCKED, Offer()), path, host="anything", sec_fetch_site="x")
    assert isinstance(answer, Answer)
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/metrics", "/", "/nothing"])
def test_all_else_needs_the_token_and_tells_nothing_without(path: str) -> None:
    answer = asked(Site(FakeSource(), LOCKED, Offer()), path)
    assert isinstance(answer, Answer)
    assert answer.status == 401


def test_what_is_not_offered_is_not_there() -> None:
    answer = asked(Site(FakeSource(), Gate(), Offer(metrics=False)), "/metrics")
    assert isinstance(answer, Answer)
    assert answer.status == 404


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_what_is_only_read_is_not_written(path: str, method: str) -> None:
    answer = asked(Site(FakeSource(), Gate(), Offer()), path, method)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers) == (405, (("allow", "GET, HEAD"),))


def test_metrics_come_in_the_form_that_is_asked_for() -> None:
    site = Site(FakeSource(), Gate(), Offer())
    assert whole(asked(site, "/metrics")).endswith(b"\n")
    told = whole(asked(site, "/metrics", accept="application/openmetrics-text"))
    assert told.endswith(b"# EOF\n")


GROUP: list[tuple[str, object]] = [
    ("replica_role", "follower"),
    ("replica_owner", "10.0.0.1:22122"),
    ("replica_epoch", 3),
    ("replica_lag", 12),
    ("replica_silent_ms", 1500),
    ("replica_last_takeover", 0),
    ("replica_standbys", ""),
]
FOLLOWS = "this server follows; the owner is 10.0.0.1:22122"


def standby(gate: Gate | None = None, *, metered: bool = True) -> StandbySite:
    return StandbySite(gate or Gate(), lambda: FOLLOWS, lambda: GROUP, metered=metered)


def test_a_server_that_follows_is_well_not_ready_and_tells_of_the_owner() -> None:
    assert asked(standby(), "/healthz") == Answer(200, b"ok\n")
    for path in ("/readyz", "/", "/api/queues"):
        answer = asked(standby(), path)
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body) == (503, FOLLOWS.encode() + b"\n")
    answer = asked(standby(metered=False), "/metrics")
    assert isinstance(answer, Answer)
    assert answer.status == 503


def test_a_server_that_follows_tells_its_numbers_to_who_has_the_token() -> None:
    told = whole(asked(standby(), "/metrics"))
    assert b"\nstarling_ready 0\n" in told
    assert b"\nstarling_replica_owner 0\n" in told
    assert b"\nstarling_replica_lag_messages 12\n" in told
    assert b"\nstarling_replica_silent_seconds 1.5\n" in told
    answer = asked(standby(LOCKED), "/metrics")
    assert isinstance(answer, Answer)
    assert answer.status == 401
    assert asked(standby(LOCKED), "/healthz", host="anything") == Answer(200, b"ok\n")
