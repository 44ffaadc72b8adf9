"""The page's requests on a server in process: events, one queue in depth, actions."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import trio

from starling_py.security.passwords import Hash
from starling_py.server import inner, watching, web
from starling_py.settings.http_settings import HttpSettings
from tests.server.in_process import PATIENCE, RunningServer, Servers, item, put
from tests.server.web_client import Reply, WebClient, ask

PAGE: dict[str, Any] = {"listen": "127.0.0.1:0", "dashboard": True, "actions": True}


@pytest.fixture
async def running(start: Servers, monkeypatch: pytest.MonkeyPatch) -> RunningServer:
    monkeypatch.setattr(watching, "EVERY", 0.01)
    return await start(http=HttpSettings(**PAGE))


class Watcher:
    """Watches the page."""

    def __init__(self, client: WebClient) -> None:
        self._stream = client.stream
        self._read = b""

    async def begin(self, path: str = "/events") -> Any:  # noqa: ANN401 - whatever is in JSON
        """Ask for events, and return the first one."""
        asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await self._stream.send_all(asked.encode())
        return await self.next()

    async def next(self) -> Any:  # noqa: ANN401
        """Return the next event."""
        while b"\n\n" not in self._read:
            with trio.fail_after(PATIENCE):
                data = await self._stream.receive_some(65536)
            assert data, self._read
            self._read += data
        event, _, self._read = self._read.partition(b"\n\n")
        return json.loads(event.partition(b"data: ")[2])


async def act(
    running: RunningServer, headers: dict[str, str] | None = None, **asked: object
) -> Reply:
    own = {"X-Starling": "1"} if headers is None else headers
    async with WebClient(running.web_port) as client:
        return await client.ask("/do", "POST", own, json.dumps(asked).encode())


async def test_what_changes_is_shown_to_who_watches(running: RunningServer) -> None:
    async with running.client() as client, WebClient(running.web_port) as watcher:
        await client.expect_reply(put(b"jobs", b"abc"), b"STORED\r\n")
        told = Watcher(watcher)
        first = await told.begin("/events?sort=items&queue=jobs")
        assert [row[1:3] for row in first["rows"]] == [["jobs", 1]]
        assert first["one"][1:3] == ["jobs", 1]
        await client.expect_reply(put(b"jobs", b"abc"), b"STORED\r\n")
        while (await told.next())["items"] != 2:
            pass
        await client.expect_reply(b"delete jobs\r\n", b"DELETED\r\n")
        while (await told.next())["rows"]:
            pass


async def test_nobody_looks_while_nobody_watches(running: RunningServer) -> None:
    assert isinstance(running.server._web, web.Web)
    seen = running.server._web.watching
    assert seen is not None
    async with WebClient(running.web_port) as watcher:
        await Watcher(watcher).begin()
        assert seen.watchers == 1
    with trio.fail_after(PATIENCE):
        while seen.watchers or seen._survey.at:
            await trio.sleep(0.001)


async def test_only_so_many_may_watch_at_the_same_time(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "MOST_WATCHERS", 1)
    async with WebClient(running.web_port) as watcher:
        await Watcher(watcher).begin()
        reply = await ask(running.web_port, "/events")
        assert (reply.status, reply.text) == (503, "too many watch already\n")
        assert (await ask(running.web_port, "/healthz")).status == 200


async def test_who_watches_and_never_reads_is_let_go(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "WATCHING_TIME", 0.2)
    async with running.client() as client:
        await client.send(b"".join(put(b"queue%0200d" % number, b"a") for number in range(200)))
        await client.expect(b"STORED\r\n" * 200)
    assert isinstance(running.server._web, web.Web)
    seen = running.server._web.watching
    assert seen is not None
    async with WebClient(running.web_port) as watcher:
        await watcher.stream.send_all(b"GET /events?rows=200 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with trio.fail_after(PATIENCE):
            while not seen.watchers:
                await trio.sleep(0.001)
            while seen.watchers:
                await trio.sleep(0.01)


async def test_one_queue_is_told_in_depth(running: RunningServer) -> None:
    async with running.client() as client:
        await client.expect_reply(b"hello worker\r\n", b"OK\r\n")
        for data in (b"a", b"b", b"c"):
            await client.expect_reply(put(b"jobs", data), b"STORED\r\n")
        await client.expect_reply(b"get jobs\r\n", item(b"jobs", b"a"))
        await client.expect_reply(b"get jobs/open\r\n", item(b"jobs/open", b"b"))
        told = json.loads((await ask(running.web_port, "/queue?name=jobs")).body)
        assert told["numbers"]["items"] == "1"
        assert [each["name"] for each in told["consumers"]] == ["worker"]
        assert [(each["id"], each["name"]) for each in told["open"]] == [("2", "worker")]
        assert [(each["id"], each["state"]) for each in told["items"]] == [
            ("2", "open"),
            ("3", "waiting"),
        ]
        told = json.loads((await ask(running.web_port, "/item?name=jobs&id=3")).body)
        assert told == {"size": 1, "shown": 1, "text": "c", "is_text": True}
        assert (await ask(running.web_port, "/item?name=jobs&id=9")).status == 404
        assert (await ask(running.web_port, "/queue?name=none")).status == 404
        await client.expect_reply(b"get jobs/close\r\n", b"END\r\n")


async def test_actions_are_commands_of_a_client_by_name(
    running: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running.client() as client:
        for data in (b"a", b"b", b"c"):
            await client.expect_reply(put(b"jobs", data), b"STORED\r\n")
        assert (await act(running, verb="pause", queue="jobs")).body == b'{"told": "OK"}'
        await client.expect_reply(b"get jobs\r\n", b"END\r\n")
        assert (await act(running, verb="resume", queue="jobs")).status == 200
        await act(running, verb="drop", queue="jobs", id=1, confirm="jobs")
        await client.expect_reply(b"get jobs\r\n", item(b"jobs", b"b"))
        reply = await act(running, verb="move", queue="jobs", to="other", confirm="jobs")
        assert reply.body == b'{"told": "MOVED 1"}'
        await client.expect_reply(b"get other\r\n", item(b"other", b"c"))
        assert (await act(running, verb="delete", queue="jobs", confirm="jobs")).status == 200
        assert (await act(running, verb="drop", queue="jobs", id=1, confirm="jobs")).status == 409
        refused = await act(running, verb="flush", queue="other", confirm="jobs")
        assert refused.status == 400
    audit = [each.getMessage() for each in caplog.records if each.name == "starling_py.audit"]
    told = [each for each in audit if " (page:anybody): " in each]
    assert all(each.startswith("127.0.0.1:") for each in told)
    said = [each.partition(" (page:anybody): ")[2] for each in told]
    assert [each for each in said if each.startswith(("asked", "refused"))] == [
        "asked: pause jobs: OK",
        "asked: resume jobs: OK",
        "asked: drop jobs 1: DELETED",
        "asked: move jobs other: MOVED 1",
        "asked: delete jobs: DELETED",
        "asked: drop jobs 1: NOT_FOUND",
        "refused: it is not confirmed: the name of the queue is another",
    ]
    assert "queue jobs deleted" in said


async def test_an_action_without_the_header_of_the_page_changes_nothing(
    running: RunningServer,
) -> None:
    async with running.client() as client:
        await client.expect_reply(put(b"jobs", b"a"), b"STORED\r\n")
        asked = {"verb": "delete", "queue": "jobs", "confirm": "jobs"}
        for headers in ({}, {"X-Starling": "1", "Origin": "http://evil.example"}):
            assert (await act(running, headers, **asked)).status == 403
        await client.expect_reply(b"get jobs\r\n", item(b"jobs", b"a"))


async def test_who_may_not_browse_or_pause_may_not_do_so_by_the_page(start: Servers) -> None:
    running = await start(http=HttpSettings(**PAGE), allow_admin=False)
    async with running.client() as client:
        await client.expect_reply(put(b"jobs", b"a"), b"STORED\r\n")
    reply = await act(running, verb="pause", queue="jobs")
    assert (reply.status, reply.body) == (409, b'{"error": "ERROR: pause not enabled"}')
    told = json.loads((await ask(running.web_port, "/queue?name=jobs")).body)
    assert (told["refused"], told["items"]) == ("ERROR: browse not enabled", [])


async def test_behind_a_proxy_the_page_needs_no_proxy_header(start: Servers) -> None:
    running = await start(http=HttpSettings(**PAGE), proxy_protocol=True)
    assert (await ask(running.web_port, "/queue?name=none")).status == 404


async def test_without_a_token_nothing_of_the_page_is_told(start: Servers, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("ops:a-token-that-is-long\n")
    running = await start(http=HttpSettings(**PAGE, token_file=tokens))
    for path in ("/", "/page.js", "/events", "/queue?name=jobs", "/metrics", "/nothing"):
        reply = await ask(running.web_port, path)
        assert (reply.status, reply.text) == (401, "a token is needed\n")
        assert reply.headers["www-authenticate"].startswith("Basic ")
    assert (await act(running, verb="pause", queue="jobs")).status == 401
    assert (await ask(running.web_port, "/readyz")).status == 200
    key = {"Authorization": "Bearer a-token-that-is-long"}
    assert (await ask(running.web_port, "/", headers=key)).status == 200


async def test_a_conversation_without_an_end_is_given_up(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inner, "PATIENCE", 0)
    reply = await ask(running.web_port, "/queue?name=jobs")
    assert (reply.status, reply.text) == (
        503,
        "the server has not answered within 0 seconds\n",
    )
    monkeypatch.undo()
    assert (await ask(running.web_port, "/queue?name=jobs")).status == 404
    await running.until_connected(0)


async def test_on_a_server_with_users_a_token_acts_as_the_user_of_its_name(
    start: Servers, tmp_path: Path
) -> None:
    users, tokens = tmp_path / "users", tmp_path / "tokens"
    users.write_text("".join(f"{name}:{Hash.of(b'secret')}\n" for name in ("ops", "dev")))
    users.chmod(0o600)
    tokens.write_text("ops:the-token-of-ops--\ndev:the-token-of-dev--\nx:the-token-of-x----\n")
    running = await start(
        http=HttpSettings(**PAGE, token_file=tokens),
        users_file=users,
        users={"ops": {"admin": True}, "dev": {"get": ["jobs"]}},
    )
    told = {}
    for name in ("ops", "dev", "x--"):
        own = {"X-Starling": "1", "Authorization": f"Bearer the-token-of-{name}--"}
        reply = await act(running, own, verb="pause", queue="jobs")
        told[name] = json.loads(reply.body)["error"]
    assert told == {
        "ops": "NOT_FOUND",
        "dev": "CLIENT_ERROR not permitted: admin jobs",
        "x--": "CLIENT_ERROR unauthenticated",
    }
    key = {"Authorization": "Bearer the-token-of-x----"}
    reply = await ask(running.web_port, "/queue?name=jobs", headers=key)
    assert (reply.status, reply.body) == (403, b'{"error": "CLIENT_ERROR unauthenticated"}')
