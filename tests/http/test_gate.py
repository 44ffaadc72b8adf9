"""Who may ask for what: hosts, tokens, other sites."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.http.gate import Gate
from starling_py.http.messages import Request

TOKEN = b"s3cret-s3cret-s3cret"
OPEN = Gate(hosts=frozenset({"queues.example"}))
LOCKED = Gate({TOKEN: "ops", b"another-token-here": "dev"})


def status(gate: Gate, path: str = "/metrics", method: str = "GET", **headers: str) -> int:
    """Return the status of a refusal; 200 if there is none."""
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    refusal = gate.refusal(Request(method, path, {}, {"host": "localhost", **lines}))
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LocalHost:22180", "a.localhost", "127.0.0.1", "127.0.0.1:1", "[::1]:22180",
        "[::1]", "10.1.2.3:22180", "queues.example", "Queues.Example:443",
    ],
)  # fmt: skip
def test_this_machine_is_asked_for_by_its_names_and_addresses(host: str) -> None:
    assert status(OPEN, host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "queues.example.",
        "evil.example:localhost", "[::1", "::1]", "[evil]", "127.0.0.1:22180:1", "xlocalhost",
    ],
)  # fmt: skip
def test_another_host_is_not_this_one(host: str) -> None:
    assert status(OPEN, host=host) == 421


@given(st.text(max_size=50))
def test_no_host_raises_anything(host: str) -> None:
    assert status(OPEN, host=host) in {200, 421}


def basic(token: bytes) -> str:
    return "Basic " + base64.b64encode(b"anybody:" + token).decode()


def test_with_tokens_everything_needs_one() -> None:
    assert status(LOCKED) == 401
    assert status(LOCKED, authorization=f"Bearer {TOKEN.decode()}") == 200
    assert status(LOCKED, authorization=f"bearer  {TOKEN.decode()} ") == 200
    assert status(LOCKED, authorization=basic(TOKEN)) == 200
    assert status(LOCKED, authorization=basic(TOKEN + b"x")) == 401
    assert status(LOCKED, authorization="Bearer ") == 401
    assert status(LOCKED, authorization=TOKEN.decode()) == 401


@given(st.text(max_size=60))
def test_no_authorization_but_a_token_opens(given_: str) -> None:
    assert status(LOCKED, authorization=given_) == 401
    assert status(LOCKED, authorization=f"Basic {given_}") == 401
    assert status(LOCKED, authorization=f"Bearer {given_}") == 401


def test_who_has_a_token_is_known_by_its_name() -> None:
    request = Request("GET", "/", {}, {"authorization": basic(b"another-token-here")})
    assert LOCKED.who(request) == "dev"
    assert LOCKED.who(Request("GET", "/")) is None
    assert OPEN.who(Request("GET", "/")) == "anybody"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_fetches_is_refused(site: str) -> None:
    assert status(OPEN, sec_fetch_site=site) == 403
    assert status(OPEN, "/", sec_fetch_site=site, sec_fetch_mode="no-cors") == 403
    assert status(OPEN, "/events", sec_fetch_site=site, sec_fetch_mode="navigate") == 403


def test_a_link_of_another_site_to_the_page_is_followed() -> None:
    assert status(OPEN, "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200
    assert status(OPEN, "/", sec_fetch_site="none", sec_fetch_mode="navigate") == 200


def test_what_changes_something_comes_from_the_page_alone() -> None:
    def changing(**headers: str) -> int:
        return status(OPEN, "/do", "POST", **headers)

    own = {"x_starling": "1", "origin": "http://localhost", "sec_fetch_site": "same-origin"}
    assert changing(**own) == 200
    assert changing(x_starling="1") == 200
    assert changing(origin="http://localhost", sec_fetch_site="same-origin") == 403
    assert changing(**{**own, "origin": "http://evil.example"}) == 403
    assert changing(**{**own, "origin": "null"}) == 403
    assert changing(**{**own, "origin": "http://localhost:8080"}) == 403
    assert changing(**{**own, "sec_fetch_site": "same-site"}) == 403
    assert changing(**{**own, "sec_fetch_site": "none"}) == 403
