"""The page: what it may load, what it shows, and what it offers to whom."""

import json
import re
from pathlib import Path

import pytest

from starling_py.http import assets
from starling_py.http.gate import Gate
from starling_py.http.messages import Answer, Events, Request, Talk
from starling_py.http.site import Offer, Site
from starling_py.http.survey import Wish
from tests.http.parts import FakeQueue, FakeSource, asked

ASSETS = Path(assets.__file__).parent / "assets"
OWN = {"x_starling": "1", "origin": "http://localhost"}


def site(source: FakeSource | None = None, *, acts: bool = False) -> Site:
    return Site(source or FakeSource(), Gate(), Offer(dashboard=True, actions=acts))


def do(where: Site, body: bytes, **headers: str) -> Answer | Talk:
    lines = {name.replace("_", "-"): value for name, value in {**OWN, **headers}.items()}
    answer = where.answer(Request("POST", "/do", {}, {"host": "localhost", **lines}, body))
    assert isinstance(answer, Answer | Talk)
    return answer


def test_the_page_may_load_its_own_files_and_nothing_else() -> None:
    answer = asked(site(), "/")
    assert isinstance(answer, Answer)
    policy = dict(answer.headers)["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_all_that_the_page_names_is_there_and_nothing_is_from_elsewhere() -> None:
    where = site()
    html = (ASSETS / "page.html").read_text()
    paths = set(re.findall(r'(?:src|href)="([^"]+)"', html))
    assert paths
    for path in paths:
        answer = asked(where, path)
        assert isinstance(answer, Answer)
        assert answer.status == 200
    for name in ("page.html", "page.js", "charts.js", "page.css"):
        text = (ASSETS / name).read_text()
        assert not re.search(r"https?://(?!www\.w3\.org)", text)
        assert "innerHTML" not in text
        assert not re.search(r'<script>|\son\w+="|style="|eval\(', text)


def test_the_chart_library_has_its_licence_and_version() -> None:
    assert "MIT License" in (ASSETS / "uplot.LICENSE").read_text()
    assert (ASSETS / "uplot.js").read_text().startswith("/*! https://github.com/leeoniya/uPlot (v")


@pytest.mark.parametrize("path", ["/", "/events", "/queue", "/page.js", "/do"])
def test_without_dashboard_there_is_no_page(path: str) -> None:
    answer = asked(Site(FakeSource(), Gate(), Offer()), path)
    assert isinstance(answer, Answer)
    assert answer.status == 404


def test_what_is_shown_is_the_same_for_all_who_wish_the_same() -> None:
    queue = FakeQueue(b"jo\xffbs", 3, {"bytes": 9, "paused": 1, "age": 1500})
    source = FakeSource([queue, FakeQueue(b"other", 1)])
    page = site(source).page
    assert page is not None
    for _ in page.survey.look():
        pass
    made = page.event(Wish(rows=1), b"other")
    assert page.event(Wish(rows=1), b"other") is made
    told = json.loads(made)
    assert told["rows"] == [["jo%FFbs", "jo\\xffbs", 3, 9, 0, 0, 0, 0, 0, 0, 1.5, "paused"]]
    assert told["one"][:3] == ["other", "other", 1]
    assert (told["queues"], told["items"], told["matching"], told["state"]) == (2, 4, 2, "up")
    source.unready = "stopping"
    source.time += 1
    for _ in page.survey.look():
        pass
    assert json.loads(page.event(Wish(rows=1), b""))["state"] == "stopping"


def test_an_owner_shows_what_it_is_in_its_group() -> None:
    source = FakeSource()
    page = site(source).page
    assert page is not None
    assert json.loads(page.event(Wish(rows=1), b""))["group"] is None
    now = source.snapshot().time
    source.extra = [
        ("replica_role", "owner"),
        ("replica_lag", 3),
        ("replica_last_takeover", now - 60),
        ("replica_standbys", "10.0.0.2:22122"),
    ]
    source.time += 1
    for _ in page.survey.look():
        pass
    told = json.loads(page.event(Wish(rows=1), b""))["group"]
    assert told == {"role": "owner", "for": 60, "standbys": 1, "lag": 3}


@pytest.mark.parametrize(
    "query",
    [
        {"sort": b"evil"}, {"rows": b"0"}, {"rows": b"201"}, {"rows": b"9" * 5000},
        {"rows": b"-1"}, {"rows": "\u0663".encode()[:1]},
    ],
)  # fmt: skip
def test_a_wish_that_is_none_is_refused(query: dict[str, bytes]) -> None:
    answer = site().answer(Request("GET", "/events", query, {"host": "localhost"}))
    assert isinstance(answer, Answer)
    assert answer.status == 400


def test_a_wish_becomes_events() -> None:
    query = {"sort": b"age", "order": b"rising", "part": b"\xff", "rows": b"200"}
    answer = site().answer(Request("GET", "/events", query, {"host": "localhost"}))
    assert isinstance(answer, Events)
    assert json.loads(answer.made())["rows"] == []


@pytest.mark.parametrize("path", ["/queue", "/item"])
@pytest.mark.parametrize("name", [b"", b"a b", b"a\r\nshutdown", b"a/open", b"a" * 251])
def test_a_queue_that_cannot_be_named_is_refused(path: str, name: bytes) -> None:
    query = {"name": name, "id": b"1"}
    answer = site().answer(Request("GET", path, query, {"host": "localhost"}))
    assert isinstance(answer, Answer)
    assert answer.status == 400


def test_actions_are_there_only_where_they_are_allowed() -> None:
    body = b'{"verb": "pause", "queue": "jobs"}'
    answer = do(site(), body)
    assert isinstance(answer, Answer)
    assert answer.status == 404
    made = do(site(acts=True), body)
    assert isinstance(made, Talk)
    assert made.commands == [b"pause jobs\r\n"]


def test_an_action_of_another_site_is_refused() -> None:
    body = b'{"verb": "pause", "queue": "jobs"}'
    for headers in (
        {"origin": "http://evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ):
        answer = do(site(acts=True), body, **headers)
        assert isinstance(answer, Answer)
        assert answer.status == 403
    bare = asked(site(acts=True), "/do", "POST")
    assert isinstance(bare, Answer)
    assert bare.status == 403


def test_an_action_is_said_by_the_one_whose_token_it_has() -> None:
    gate = Gate({b"a-token-that-is-long": "ops"})
    where = Site(FakeSource(), gate, Offer(dashboard=True, actions=True))
    body = b'{"verb": "pause", "queue": "jobs"}'
    assert isinstance(do(where, body), Answer)
    talk = do(where, body, authorization="Bearer a-token-that-is-long")
    assert isinstance(talk, Talk)
    assert talk.who == "ops"


def test_an_action_that_is_none_is_refused() -> None:
    answer = do(site(acts=True), b"nonsense")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (400, b'{"error": "the request is no JSON"}')
