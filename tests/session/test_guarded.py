"""Clients of a server with users: who may do nothing yet, and who may do what.

Every command, in every dialect and with every option of its key, is asked by every kind of user.
What is not permitted is refused, changes nothing and tells nothing.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starling_py import keys
from starling_py.protocol import text_lines
from starling_py.protocol.binary_replies import Opcode
from starling_py.protocol.binary_requests import FORMS
from starling_py.queues.queue_directory import Rules
from starling_py.security.patterns import Names
from starling_py.session.client import Policy
from starling_py.session.permission import Permission
from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes
from starling_py.settings.users import User
from tests.core import CoreHarness
from tests.session.guarded_client import FakeGate, GuardedClient, token

USERS = {
    "putter": User(put=Names([b"open.#"])),
    "taker": User(get=Names([b"open.#"])),
    "both": User(put=Names([b"open.#"]), get=Names([b"open.#"])),
    "operator": User(admin=Names([b"open.#"])),
    "nothing": User(),
    "boss": User(put=Names([b"#"]), get=Names([b"#"]), admin=True),
}
POLICY = Policy(
    1 << 20,
    allow_flush_all=True,
    allow_shutdown=True,
    allow_reload=True,
    allow_drain=True,
    permission=Permission(),
)
RULES = Rules(
    QueueTable({"*": {"max_deliveries": 9, "dead_letter": "secret.failed"}}),
    Routes({"open.routed": ["secret.copies"]}),
)
SECRET = b"secret"


@pytest.fixture
def gate() -> FakeGate:
    return FakeGate(USERS)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[CoreHarness]:
    """Return a core with some queues, and children of one."""
    core = CoreHarness(tmp_path, policy=POLICY, rules=RULES)
    fill(core)
    yield core
    core.close()


def fill(core: CoreHarness) -> None:
    boss = core.client()
    boss.ask(b"get open.jobs+child\r\nget open.jobs+mine\r\n")
    for name in (b"secret.jobs", b"open.jobs", b"open.routed"):
        boss.ask(b"set %b 0 0 6\r\nhidden\r\n" % name)
        boss.ask(b"set %b 0 0 6\r\nhidden\r\n" % name)
    boss.ask(b"move secret.jobs open.moved 1\r\n")
    boss.ask(b"get open.moved/open/lease=60\r\n")
    boss.ask(b"set secret.jobs 0 0 6\r\nhidden\r\n" * 2)
    boss.ask(b"move secret.jobs open.moved 1\r\n")


@attrs.frozen
class Asked:
    """A command that names one queue or more, or the server, and the rights that it needs."""

    line: bytes
    rights: tuple[str, ...] = ()
    """``put``, ``get``, ``admin`` or ``see`` of its queue; ``server``; none for all users."""

    def data(self, queue: bytes) -> bytes:
        return self.line.replace(b"@", queue) + b"\r\n"


def text(line: str, *rights: str) -> Asked:
    return Asked(line.encode(), rights)


STORED_LINES = [
    *(f"{verb} @ 0 0 1" for verb in ("set", "add", "replace", "append", "prepend")),
    "cas @ 0 0 1 7", "set @/sync 0 0 1", "set @/delay=5 0 0 1", "set @/t=0 0 0 1",
    "set @/once=a 0 0 1", "set @/sync/t=0/delay=1/once=b 0 0 1", "set @ 0 0 1 noreply", "ms @ 1",
    "ms @ 1 ME", "ms @ 1 MA N0", "ms @ 1 MP", "ms @ 1 MR c k q", "ms @ 1 C5", "ms @ 1 T5 F3",
]  # fmt: skip
GET_OPTIONS = [
    "", "/peek", "/peek/n=5", "/peek/id=1", "/first", "/t=0", "/open", "/open/lease=9", "/close",
    "/close=1", "/abort", "/abort=1", "/abort/delay=3", "/bury", "/bury=1", "/close/open",
    "/bury/open", "/close/t=0",
]  # fmt: skip
COMMANDS = [
    *(Asked(line.encode() + b"\r\n5", ("put",)) for line in STORED_LINES),
    *(text(f"get @{option}", "get") for option in GET_OPTIONS),
    *(text(f"mg @{option} v k f c o", "get") for option in GET_OPTIONS if "/n=" not in option),
    text("gets @", "get"), text("gat 0 @", "get"), text("gats 0 @", "get"),
    text("get open.jobs/peek @/peek", "get"), text("get @/first open.none/first", "get"),
    text("get " + "open.none " * 300 + "@", "get"),
    text("gat 0 " + "open.none " * 300 + "@", "get"),
    text("mg @", "get"), text("mg @ T5", "get"), text("mg @ v T5", "get"), text("mg @ q k", "get"),
    text("touch @ 5", "get"), text("confirm @ 1", "get"), text("monitor @ 0", "get"),
    text("get @+new", "get"),
    text("delete @", "admin"), text("md @", "admin"), text("md @ C5", "admin"),
    text("delete @ 0", "admin"), text("delete @ noreply", "admin"),
    text("flush @", "admin"), text("flush_expired @", "admin"),
    text("pause @", "admin"), text("pause @ 5", "admin"), text("resume @", "admin"),
    text("browse @", "admin"), text("browse @ 1 5", "admin"), text("drop @ 1", "admin"),
    text("move @ open.else", "admin", "put-else"), text("move @ origin", "admin"),
    text("move open.jobs @", "admin-open", "put"),
    text("incr @ 1", "see"), text("decr @ 1", "see"), text("ma @", "see"), text("ma @ MD", "see"),
    text("me @", "see"), text("stats queue @", "see"), text("dump_stats @", "see"),
    text("STATS QUEUE @", "see"), text("dump_config @", "admin"),
    text("stats consumers @", "admin"),
    text("dump_stats"), text("dump_config"), text("stats"), text("stats queues"),
    text("stats items"), text("stats slabs"), text("stats sizes"), text("stats detail on"),
    text("stats cachedump 1 1"), text("stats nonsense"), text("stats queue"),
    text("stats settings", "server"), text("stats conns", "server"), text("Stats Reset", "server"),
    text("snapshot one", "server"),
    text("flush_all", "server"), text("flush_all 0 noreply", "server"),
    text("flush_all_expired", "server"), text("status"), text("status READONLY", "server"),
    text("status up", "server"), text("reload", "server"), text("shutdown", "server"),
    text("version"), text("verbosity 1"), text("cache_memlimit 5"), text("mn"), text("hello me"),
    text("help"), text("watch fetchers"), text("lru_crawler x"), text("slabs x"), text("nonsense"),
    text("stats changed", "server"), text("STATS changed 5 5", "server"),
    text("handover", "server"), text("refresh_certs", "server"),
    text("refresh_certs noreply", "server"),
]  # fmt: skip


def may(user: User, right: str, queue: bytes) -> bool:
    """Tell by the plainest means whether a user has a right."""
    inside = queue.startswith(b"open")
    admin = user.admin is True or (bool(user.admin) and inside)
    put = user is USERS["boss"] or (user.put is not None and inside)
    get = user is USERS["boss"] or (user.get is not None and inside)
    return {
        "put": put,
        "get": get,
        "admin": admin,
        "see": put or get or admin,
        "server": user.admin is True,
        "put-else": user.put is not None,
        "admin-open": bool(user.admin),
    }[right]


def state(core: CoreHarness) -> object:
    """Return what there is of all queues."""
    return (
        {
            queue.name: (
                [each.id for each in queue.look(100, 0, None)],
                len(queue.open_reads),
                queue.next_id,
                queue.pause.holds,
                queue.settings,
            )
            for queue in core.queues.directory
        },
        core.stopped,
        core.draining,
        core.counters.total_items,
        core.counters.cmd_flush,
    )


@pytest.mark.parametrize("queue", [b"open.jobs", b"open.moved", b"secret.jobs"])
@pytest.mark.parametrize("name", USERS)
def test_every_command_is_for_those_who_may_give_it(
    tmp_path: Path, gate: FakeGate, name: str, queue: bytes
) -> None:
    for number, asked in enumerate(COMMANDS):
        core = CoreHarness(tmp_path / str(number), policy=POLICY, rules=RULES)
        fill(core)
        client = GuardedClient(core, gate).log_in(name)
        before = state(core)
        reply = client.ask(asked.data(queue))
        told = (asked, name, reply)
        if all(may(USERS[name], right, queue) for right in asked.rights):
            assert b"not permitted" not in reply, told
        else:
            is_quiet = b"noreply" in asked.line
            expected = b"" if is_quiet else b"CLIENT_ERROR not permitted: "
            assert reply.startswith(expected), told
            assert reply.count(b"\r\n") == (not is_quiet), told
            assert b"hidden" not in reply, told
            assert state(core) == before, told
            assert core.counters.permission_errors == 1, told
        if name != "boss" and SECRET not in asked.data(queue):
            assert SECRET not in reply, told
        core.close()


def test_the_commands_above_are_all_that_there_are() -> None:
    words = {each.line.split()[0].lower() for each in COMMANDS}
    assert words >= set(vars(text_lines)["_ALL_PARSERS"]) - {b"quit"}
    lines = b" ".join(each.line for each in COMMANDS)
    for option in vars(keys)["_GET_OPTIONS"] | vars(keys)["_STORE_OPTIONS"]:
        assert b"/" + option in lines, option


def packet(opcode: int, key: bytes = b"", extras: bytes = b"", value: bytes = b"") -> bytes:
    size = len(key) + len(extras) + len(value)
    head = struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, size, 7, 0)
    return head + extras + key + value


def status(reply: bytes) -> int:
    return int.from_bytes(reply[6:8], "big")


EXTRAS = {8: b"\0" * 8, 4: b"\0" * 4, 20: b"\0" * 20, 0: b""}
BINARY_RIGHTS = {
    **dict.fromkeys((0x00, 0x09, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x23, 0x24), "get"),
    **dict.fromkeys((0x01, 0x02, 0x03, 0x0E, 0x0F, 0x11, 0x12, 0x13, 0x19, 0x1A), "put"),
    **dict.fromkeys((0x04, 0x14), "admin"),
    **dict.fromkeys((0x05, 0x06, 0x15, 0x16), "see"),
    **dict.fromkeys((0x08, 0x18), "server"),
    **dict.fromkeys((0x07, 0x17, 0x0A, 0x0B, 0x10, 0x1B, 0x20), ""),
}
SASL = (Opcode.SASL_AUTH, Opcode.SASL_STEP)


def in_binary(core: CoreHarness, gate: FakeGate, name: str) -> GuardedClient:
    client = GuardedClient(core, gate)
    value = f"\0{name}\0{name[::-1]}".encode()
    reply = client.ask(packet(Opcode.SASL_AUTH, b"PLAIN", value=value))
    assert (status(reply), reply[24:]) == (0, b"Authenticated")
    return client


@pytest.mark.parametrize("queue", [b"open.jobs", b"secret.jobs"])
@pytest.mark.parametrize("name", USERS)
def test_every_request_of_binary_is_for_those_who_may_give_it(
    tmp_path: Path, gate: FakeGate, name: str, queue: bytes
) -> None:
    assert {*BINARY_RIGHTS, *SASL} == set(FORMS)
    for opcode, right in BINARY_RIGHTS.items():
        core = CoreHarness(tmp_path / str(opcode), policy=POLICY, rules=RULES)
        fill(core)
        client = in_binary(core, gate, name)
        form, before = FORMS[opcode], state(core)
        key = queue if form.keyed else b""
        reply = client.ask(packet(opcode, key, EXTRAS[form.extras[-1]], b"5" * form.valued))
        if not right or may(USERS[name], right, queue):
            assert not reply or status(reply) != 0x20
        else:
            assert status(reply) == 0x20
            assert reply[24:].startswith(b"not permitted: ")
            assert b"hidden" not in reply
            assert state(core) == before
            assert not client.closing
        if name != "boss" and not key:
            assert SECRET not in reply
        core.close()


@pytest.mark.parametrize("words", [b"settings", b"conns", b"reset", b"queue secret.jobs"])
def test_reports_in_binary_are_refused_like_those_in_text(
    guarded: CoreHarness, gate: FakeGate, words: bytes
) -> None:
    client = in_binary(guarded, gate, "both")
    reply = client.ask(packet(Opcode.STAT, words))
    assert status(reply) == 0x20
    assert reply[24:].startswith(b"not permitted: ")


def test_numbers_of_the_whole_are_of_what_the_user_may_know(
    guarded: CoreHarness, gate: FakeGate
) -> None:
    names = {
        "boss": {b"open", b"secret"}, "taker": {b"open"}, "putter": {b"open"},
        "operator": {b"open"}, "nothing": set(),
    }  # fmt: skip
    for name, expected in names.items():
        reply = GuardedClient(guarded, gate).log_in(name).ask(b"stats\r\n")
        queues = {
            line.split()[1].split(b"_")[1].split(b".")[0]
            for line in reply.splitlines()
            if line.startswith(b"STAT queue_")
        }
        assert queues == expected
        count = len(
            [
                line
                for line in reply.splitlines()
                if line.split()[1:2]
                and line.split()[1].endswith(b"_total_items")
                and b"queue_" in line
            ]
        )
        assert b"STAT curr_queues %d\r\n" % count in reply


def test_a_move_back_leaves_what_came_from_where_the_user_may_not_put(
    guarded: CoreHarness, gate: FakeGate
) -> None:
    gate.users = {**USERS, "op": User(admin=Names([b"open.#"]), put=Names([b"open.#"]))}
    client = GuardedClient(guarded, gate).log_in("op")
    assert client.ask(b"move open.moved origin\r\n") == b"MOVED 0\r\n"
    assert client.ask(b"browse open.moved\r\n").count(b" ? ") == 2
    boss = GuardedClient(guarded, gate).log_in("boss")
    assert boss.ask(b"browse open.moved\r\n").count(b" secret.jobs ") == 2
    assert boss.ask(b"move open.moved origin\r\n") == b"MOVED 1\r\n"


def test_a_put_goes_where_routes_take_it_and_tells_nothing_of_them(
    guarded: CoreHarness, gate: FakeGate
) -> None:
    client = GuardedClient(guarded, gate).log_in("both")
    assert client.ask(b"set open.routed 0 0 1\r\n5\r\n") == b"STORED\r\n"
    assert b"not permitted" in client.ask(b"get secret.copies\r\n")
    assert b"not permitted" in client.ask(b"set secret.copies 0 0 1\r\n5\r\n")
    boss = GuardedClient(guarded, gate).log_in("boss")
    assert b"5" in boss.ask(b"get secret.copies/peek/n=9\r\n")


class Counted(Names):
    """Names that know how often they were asked for."""

    asked = 0

    def __contains__(self, name: bytes) -> bool:
        self.asked += 1
        return super().__contains__(name)


def test_a_long_get_gives_way_while_it_is_held_against_the_rules(
    guarded: CoreHarness, gate: FakeGate
) -> None:
    names = Counted([b"open.#"])
    gate.users = {"taker": User(get=names)}
    client = GuardedClient(guarded, gate).log_in("taker")
    guarded.queues.slices.allowance = 0.001
    guarded.clock.step = 0.001
    client.send(b"get " + b"open.none " * 2000 + b"open.jobs\r\n")
    assert 0 < names.asked <= 400
    assert client.told() == b"VALUE open.jobs 0 6\r\nhidden\r\nEND\r\n"
    assert names.asked == 2001


class TestBeforeAnybodyIsKnown:
    def test_what_is_told_is_what_memcached_tells(
        self, guarded: CoreHarness, gate: FakeGate
    ) -> None:
        client = GuardedClient(guarded, gate)
        assert client.ask(b"get a\r\nversion\r\n") == (
            b"CLIENT_ERROR unauthenticated\r\nVERSION 1.0.0\r\n"
        )
        assert client.ask(token("boss", "wrong")) == b"CLIENT_ERROR authentication failure\r\n"
        assert client.ask(b"set x 0 0 1\r\nx\r\n") == (
            b"CLIENT_ERROR bad authentication token format\r\n"
        )
        assert client.ask(token("boss")) == b"STORED\r\n"
        assert client.ask(b"set x 0 0 6\r\nboss x\r\n") == b"STORED\r\n"
        assert client.ask(b"get x\r\n") == b"VALUE x 0 6\r\nboss x\r\nEND\r\n"
        counters = guarded.counters
        assert (counters.auth_cmds, counters.auth_errors) == (2, 1)

    def test_nothing_is_done_while_the_gate_has_not_answered(
        self, guarded: CoreHarness, gate: FakeGate
    ) -> None:
        client = GuardedClient(guarded, gate)
        gate.is_patient = True
        assert client.ask(token("both") + b"get open.jobs\r\n") == b""
        assert client.ask(b"get open.jobs\r\n") == b""
        gate.answer()
        hit = b"VALUE open.jobs 0 6\r\nhidden\r\nEND\r\n"
        assert client.told() == b"STORED\r\n" + hit * 2

    def test_who_sends_far_ahead_meanwhile_is_not_read_from(
        self, guarded: CoreHarness, gate: FakeGate
    ) -> None:
        client = GuardedClient(guarded, gate)
        gate.is_patient = True
        client.ask(token("both"))
        assert client.session.takes_input
        client.send(b"x" * 10000)
        assert not client.session.takes_input

    def test_who_is_gone_is_not_let_in(self, guarded: CoreHarness, gate: FakeGate) -> None:
        client = GuardedClient(guarded, gate)
        gate.is_patient = True
        client.ask(token("both"))
        client.session.disconnected()
        gate.answer()
        assert gate.inside == []

    def test_the_end_of_what_is_sent_ends_nothing_that_was_sent_before(
        self, guarded: CoreHarness, gate: FakeGate
    ) -> None:
        client = GuardedClient(guarded, gate)
        gate.is_patient = True
        client.send(token("both") + b"get open.jobs\r\n")
        client.session.end_of_input()
        client.session.run()
        gate.answer()
        assert client.told() == b"STORED\r\nVALUE open.jobs 0 6\r\nhidden\r\nEND\r\n"
        assert client.closing

    @pytest.mark.parametrize("wrong", ["text", "binary", "step", "mechanism", "other"])
    def test_three_failures_close(self, guarded: CoreHarness, gate: FakeGate, wrong: str) -> None:
        client = GuardedClient(guarded, gate)
        data = {
            "text": token("boss", "x"),
            "binary": packet(Opcode.SASL_AUTH, b"PLAIN", value=b"\0boss\0x"),
            "step": packet(Opcode.SASL_STEP, b"PLAIN", value=b"\0boss\0ssob"),
            "mechanism": packet(Opcode.SASL_AUTH, b"CRAM-MD5", value=b"\0boss\0ssob"),
            "other": packet(Opcode.SASL_AUTH, b"PLAIN", value=b"both\0boss\0ssob"),
        }[wrong]
        for left in (2, 1, 0):
            reply = client.ask(data)
            assert b"failure" in reply if wrong == "text" else status(reply) == 0x20
            assert client.closing == (not left)
        assert gate.inside == []

    def test_in_binary_all_else_closes(self, guarded: CoreHarness, gate: FakeGate) -> None:
        for opcode in BINARY_RIGHTS:
            client = GuardedClient(guarded, gate)
            form = FORMS[opcode]
            key = b"open.jobs" if form.keyed else b""
            data = packet(opcode, key, EXTRAS[form.extras[-1]], b"5" * form.valued)
            before = state(guarded)
            reply = client.ask(data)
            if opcode in (Opcode.VERSION, Opcode.SASL_LIST_MECHS):
                assert (status(reply), client.closing) == (0, False)
            elif opcode not in (Opcode.QUIT, Opcode.QUITQ):
                assert (status(reply), reply[24:]) == (0x20, b"Auth failure.")
                assert client.closing
            assert state(guarded) == before

    def test_a_large_value_is_not_kept(self, guarded: CoreHarness, gate: FakeGate) -> None:
        client = GuardedClient(guarded, gate)
        client.send(packet(Opcode.SET, b"a", b"\0" * 8, b"x" * 100_000)[:90_000])
        assert client.session.weight < 5000
        known = in_binary(guarded, gate, "boss")
        reply = known.ask(packet(Opcode.SET, b"a", b"\0" * 8, b"x" * 100_000))
        assert status(reply) == 0

    @pytest.mark.parametrize(
        "stream",
        [
            b"x", b"get a\r\n", b"version\r\n", b"version", b"\r\n", b"set _ 0 0 99999999\r\nxx",
            b"set _ 0 0 1\r\nx\r\n", b"set _ 0 0 2000\r\n" + b"x" * 2000, b"ms a 9999999\r\n",
            b"get " + b"a " * 3000, b"mn\r\n", b"set " + b"a" * 5000,
            token("nobody") + b"get a\r\n",
            packet(Opcode.VERSION), packet(Opcode.SASL_LIST_MECHS),
            packet(Opcode.SET, b"a", b"\0" * 8, b"x" * 99_999), packet(Opcode.GET, b"a"),
            packet(Opcode.SASL_AUTH, b"PLAIN", value=b"x" * 99_999),
            packet(Opcode.SASL_AUTH, b"PLAIN" * 50, value=b"x" * 2000),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("is_patient", [False, True])
    def test_whoever_is_not_known_makes_the_server_hold_little(
        self, guarded: CoreHarness, gate: FakeGate, stream: bytes, is_patient: bool
    ) -> None:
        gate.is_patient = is_patient
        client = GuardedClient(guarded, gate)
        data = stream * (300_000 // len(stream))
        for start in range(0, len(data), 4096):
            if client.closing or not client.session.takes_input:
                break
            client.send(data[start : start + 4096])
            assert client.session.weight <= 24_000
        while client.session.stopped_early and not client.closing:
            client.session.run()
            assert client.session.weight <= 24_000
        client.session.disconnected()

    @settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        deadline=None,
    )
    @given(
        st.lists(
            st.sampled_from([
                b"get open.jobs\r\n", b"set open.jobs 0 0 5\r\n", b"hello\r\n", b"\x80\x00",
                b"mg open.jobs v\r\n", b"ms open.jobs 2\r\nhi\r\n", b"flush_all\r\n",
                b"shutdown\r\n", b"add x 0 0 12\r\n", b"boss ssob\r\n", b"\r\n", b"quit\r\n",
                packet(Opcode.GET, b"open.jobs"), packet(Opcode.FLUSH),
                packet(Opcode.SASL_AUTH, b"PLAIN", value=b"\0boss\0x"),
                packet(Opcode.SET, b"open.jobs", b"\0" * 8, b"5"),
            ]) | st.binary(max_size=30),
            max_size=10,
        ),
    )  # fmt: skip
    def test_whatever_comes_nothing_is_read_or_changed(
        self, guarded: CoreHarness, gate: FakeGate, pieces: list[bytes]
    ) -> None:
        before = state(guarded)
        client, told = GuardedClient(guarded, gate), b""
        for piece in pieces:
            if client.closing:
                break
            told += client.ask(piece)
        assert client.session.account is not None or state(guarded) == before
        assert client.session.account is not None or b"hidden" not in told
        client.session.disconnected()


def test_who_may_not_come_in_again_is_told_why_and_closed(
    guarded: CoreHarness, gate: FakeGate
) -> None:
    client = GuardedClient(guarded, gate)
    gate.refusal = "the user has 2 connections already"
    assert client.ask(token("both")) == b"SERVER_ERROR the user has 2 connections already\r\n"
    assert client.closing
    assert client.session.account is None


def test_a_user_is_counted_once_a_connection(guarded: CoreHarness, gate: FakeGate) -> None:
    client = in_binary(guarded, gate, "both")
    for name in ("both", "boss", "boss"):
        value = f"\0{name}\0{name[::-1]}".encode()
        assert status(client.ask(packet(Opcode.SASL_AUTH, b"PLAIN", value=value))) == 0
        assert gate.inside == [name]
    client.session.disconnected()
    assert gate.inside == []


def test_the_log_calls_a_client_by_its_user_and_a_name_cannot_forge_that(
    guarded: CoreHarness, gate: FakeGate
) -> None:
    client = GuardedClient(guarded, gate).log_in("both")
    assert client.state.who == "127.0.0.1:1[both]"
    assert client.ask(b"hello x)[boss]\r\n") == b"OK\r\n"
    assert client.state.who == "127.0.0.1:1[both] (x)[boss])"


def test_without_users_sasl_is_an_unknown_command(guarded: CoreHarness) -> None:
    for opcode in (Opcode.SASL_LIST_MECHS, Opcode.SASL_AUTH, Opcode.SASL_STEP):
        form = FORMS[opcode]
        client = guarded.client()
        reply = client.ask(
            packet(opcode, b"PLAIN" if form.keyed else b"", value=b"x" * form.valued)
        )
        assert (status(reply), reply[24:]) == (0x81, b"Unknown command")
        assert not client.state.closing
