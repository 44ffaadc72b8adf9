"""The paths, and what is told at each."""

import pytest

from starling_py.http.gate import Gate
from starling_py.http.messages import Answer
from starling_py.http.site import LONGEST_TURN, Offer, Site
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
