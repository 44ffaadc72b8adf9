"""The gate on real sockets: who is let in, who is not, and who waits for whom."""

import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from starling_py.guard import Guard
from starling_py.security.passwords import Hash
from starling_py.server.accounts import Accounts
from starling_py.server.connections import STRANGERS
from starling_py.server.gate import DELAY, Gate
from starling_py.server.readiness import READ
from starling_py.session.guarded import MAX_COMMANDS, Account
from starling_py.settings.users import User, Users
from tests.server.in_process import PATIENCE, RunningServer, Servers, item, put

CHEAP = Hash(4, 8, 1, b"saltsalt", bytes(32))
USERS = {
    "anna": {"put": ["jobs"], "get": ["jobs"], "max_connections": 2},
    "bob": {"get": ["jobs"]},
    "boss": {"put": ["#"], "get": ["#"], "admin": True},
}
UNKNOWN = b"CLIENT_ERROR unauthenticated\r\n"
FAILURE = b"CLIENT_ERROR authentication failure\r\n"


def hashed(password: str) -> Hash:
    """Return a hash that costs little."""
    return Hash(4, 8, 1, CHEAP.salt, CHEAP.derive(password.encode()))


def token(name: str, password: str = "geheim") -> bytes:
    data = f"{name} {password}".encode()
    return b"set _ _ _ %d\r\n%b\r\n" % (len(data), data)


def sasl(name: str, password: str = "geheim") -> bytes:
    value = f"\0{name}\0{password}".encode()
    head = struct.pack(">BBHBBHIIQ", 0x80, 0x21, 5, 0, 0, 0, 5 + len(value), 1, 0)
    return head + b"PLAIN" + value


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text("".join(f"{name}:{hashed('geheim')}\n" for name in USERS))
    path.chmod(0o600)
    return path


@pytest.fixture
async def running(start: Servers, users_file: Path) -> RunningServer:
    return await start(users_file=users_file, users=USERS)


async def test_who_says_who_it_is_may_do_what_its_user_may(running: RunningServer) -> None:
    async with running.client() as anna, running.client() as bob:
        await anna.expect_reply(b"get jobs\r\n", UNKNOWN)
        await anna.expect_reply(token("anna"), b"STORED\r\n")
        await anna.expect_reply(put(b"jobs", b"a"), b"STORED\r\n")
        await bob.expect_reply(token("bob"), b"STORED\r\n")
        await bob.expect_reply(put(b"jobs", b"b"), b"CLIENT_ERROR not permitted: put jobs\r\n")
        await bob.expect_reply(b"get other\r\n", b"CLIENT_ERROR not permitted: get other\r\n")
        await bob.expect_reply(b"get jobs\r\n", item(b"jobs", b"a"))
        await bob.expect_reply(b"mg other v\r\n", b"CLIENT_ERROR not permitted: get other\r\n")


async def test_all_that_is_sent_along_with_it_is_done(running: RunningServer) -> None:
    async with running.client() as client:
        await client.send(token("anna") + put(b"jobs", b"a") + b"get jobs\r\nquit\r\n")
        expected = b"STORED\r\nSTORED\r\n" + item(b"jobs", b"a")
        assert await client.read_to_the_end() == expected


async def test_sasl_lets_a_binary_client_in(running: RunningServer) -> None:
    async with running.client() as client:
        await client.send(sasl("anna"))
        reply = await client.read(24 + 13)
        assert (reply[6:8], reply[24:]) == (b"\0\0", b"Authenticated")


@pytest.mark.parametrize("wrong", [("anna", "x"), ("nobody", "geheim"), ("", ""), ("anna", "")])
async def test_three_failures_close_and_none_is_told_at_once(
    running: RunningServer, wrong: tuple[str, str]
) -> None:
    async with running.client() as client:
        for number in range(3):
            began = trio.current_time()
            await client.expect_reply(token(*wrong), FAILURE)
            assert trio.current_time() - began >= DELAY * 0.9
            if number == 1:
                await client.expect_reply(b"get jobs\r\n", UNKNOWN)
        assert await client.read_to_the_end() == b""
    async with running.client() as boss:
        await boss.expect_reply(token("boss"), b"STORED\r\n")
        stats = await boss.stats()
        assert (stats["auth_cmds"], stats["auth_errors"]) == ("4", "3")


async def test_nobody_else_waits_while_a_password_is_checked(
    start: Servers, users_file: Path
) -> None:
    with users_file.open("a") as file:
        file.write(f"slow:{Hash(14, 8, 1, b'saltsalt', bytes(32))}\n")
    running = await start(users_file=users_file, users=USERS)
    async with running.client() as anna, running.client() as slow:
        await anna.expect_reply(token("anna"), b"STORED\r\n")
        slow.say(token("slow") + b"version\r\n")
        for _ in range(50):
            await anna.expect_reply(
                put(b"jobs", b"a") + b"get jobs\r\n", b"STORED\r\n" + item(b"jobs", b"a")
            )
        await slow.expect(FAILURE + b"VERSION 1.0.0\r\n")


async def test_a_user_has_only_so_many_connections(running: RunningServer) -> None:
    async with running.client() as first, running.client() as second, running.client() as third:
        for each in (first, second):
            await each.expect_reply(token("anna"), b"STORED\r\n")
        await third.send(token("anna"))
        told = await third.read_to_the_end()
        assert told == b"SERVER_ERROR the user has 2 connections already\r\n"
        first.hang_up()
        await running.until_gate_has("anna", 1)
        async with running.client() as fourth:
            await fourth.expect_reply(token("anna"), b"STORED\r\n")


async def test_few_who_are_not_known_are_read_from_in_one_turn(running: RunningServer) -> None:
    anna = running.client()
    await anna.expect_reply(token("anna"), b"STORED\r\n")
    crowd = running.clients(3 * STRANGERS)
    for each in crowd:
        await each.expect_reply(b"get jobs\r\n", UNKNOWN)
    connections = running.server._tick.connections
    ready = [(descriptor, READ) for descriptor in reversed(connections.by_descriptor)]
    known = [each for each in connections if each.session.admitted]
    silent = sorted(each.active for each in connections if not each.session.admitted)
    kept = [connections.by_descriptor[each] for each, _ in connections.fewer_strangers(ready)]
    strangers = [each for each in kept if not each.session.admitted]
    assert [each for each in kept if each.session.admitted] == known
    assert sorted(each.active for each in strangers) == silent[:STRANGERS]
    for each in crowd:
        each.say(token("anna", "falsch") + b"version\r\n")
    await anna.expect_reply(put(b"jobs", b"a"), b"STORED\r\n")
    for each in crowd:
        await each.expect(FAILURE + b"VERSION 1.0.0\r\n")
        each.hang_up()
    anna.hang_up()


async def test_who_asks_much_and_does_not_say_who_it_is_is_closed(running: RunningServer) -> None:
    async with running.client() as client:
        await client.send(b"get jobs\r\n" * (MAX_COMMANDS + 10))
        assert await client.read_to_the_end() == UNKNOWN * MAX_COMMANDS
    async with running.client() as client:
        await client.send(b"get " + b"a " * 2000)
        assert await client.read_to_the_end() == b"CLIENT_ERROR line too long\r\n"


async def test_the_reports_call_clients_by_their_users(running: RunningServer) -> None:
    async with running.client() as boss:
        await boss.expect_reply(token("boss"), b"STORED\r\n")
        conns = await boss.stats(b"stats conns")
        assert [value for name, value in conns.items() if name.endswith(":user")] == ["boss"]


async def test_no_secret_is_in_any_report(
    running: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with running.client() as boss, running.client() as wrong:
        await boss.expect_reply(token("boss"), b"STORED\r\n")
        await wrong.expect_reply(token("anna", "verraten"), FAILURE)
        await boss.expect_reply(put(b"jobs", b"x"), b"STORED\r\n")
        told = b""
        for words in (b"stats", b"stats settings", b"stats conns", b"stats queue jobs",
                      b"dump_config", b"dump_stats"):  # fmt: skip
            await boss.send(words + b"\r\n")
            told += await boss.read_until(b"END\r\n")
    everything = told.decode() + caplog.text
    for secret in ("geheim", "verraten", str(hashed("geheim")).split("$")[-1], "scrypt"):
        assert secret not in everything
    assert "authentication failure: user 'anna'" in caplog.text


class Asking:
    """Asks a gate without a server."""

    def __init__(self, users: dict[str, Hash]) -> None:
        self.gate = Gate(Accounts(Users(), users), Guard(), lambda: None)
        self.gate.delay = 0.0
        self.told: list[str] = []
        self.gone: set[str] = set()

    def ask(self, host: str, user: str, password: str) -> None:
        def told(found: Account | str) -> None:
            self.told.append(f"{host} {found.name if isinstance(found, Account) else 'no'}")

        wanted: Callable[[], bool] = lambda: host not in self.gone  # noqa: E731
        self.gate.check(f"{host}:5", user.encode(), password.encode(), told, wanted)

    async def until_told(self, count: int) -> None:
        with trio.fail_after(PATIENCE):
            while len(self.told) < count:
                await trio.sleep(0.001)


async def test_who_was_right_before_is_recognised_at_once(nursery: trio.Nursery) -> None:
    asking = Asking({"anna": hashed("geheim")})
    nursery.start_soon(asking.gate.run)
    asking.ask("a", "anna", "geheim")
    assert asking.told == []
    await asking.until_told(1)
    asking.ask("b", "anna", "geheim")
    assert asking.told == ["a anna", "b anna"]
    asking.gate.accounts = Accounts(Users(), {"anna": hashed("other")})
    asking.ask("b", "anna", "geheim")
    await asking.until_told(3)
    assert asking.told[2] == "b no"
    nursery.cancel_scope.cancel()


async def test_hosts_take_turns_however_many_tries_one_makes(nursery: trio.Nursery) -> None:
    asking = Asking({"anna": hashed("geheim")})
    for number in range(50):
        asking.ask("many", "anna", f"wrong {number}")
    asking.ask("one", "anna", "geheim")
    nursery.start_soon(asking.gate.run)
    await asking.until_told(51)
    assert asking.told.index("one anna") <= 2
    nursery.cancel_scope.cancel()


async def test_who_is_gone_is_not_checked(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking({"anna": hashed("geheim")})
    asking.gone.add("gone")
    for number in range(200):
        asking.ask("gone", "anna", f"wrong {number}")
    asking.ask("here", "anna", "geheim")
    nursery.start_soon(asking.gate.run)
    await asking.until_told(1)
    assert asking.told == ["here anna"]
    nursery.cancel_scope.cancel()


async def test_passwords_are_checked_in_another_thread(nursery: trio.Nursery) -> None:
    threads: list[str] = []

    class Noting(Hash):
        def fits(self, password: bytes) -> bool:
            threads.append(threading.current_thread().name)
            return super().fits(password)

    kept = hashed("geheim")
    noting = Noting(kept.log_n, kept.block, kept.parallel, kept.salt, kept.value)
    asking = Asking({"anna": noting})
    nursery.start_soon(asking.gate.run)
    asking.ask("a", "anna", "geheim")
    await asking.until_told(1)
    assert threads
    assert threading.current_thread().name not in threads
    nursery.cancel_scope.cancel()


def test_a_user_without_a_password_is_found_by_nobody() -> None:
    accounts = Accounts(Users({"anna": {"put": ["a"]}}), {})
    assert accounts.find("anna") is None
    assert Accounts(Users({"anna": {}}), {"bob": hashed("x")}).find("bob") == Account(
        "bob", User(), hashed("x")
    )
