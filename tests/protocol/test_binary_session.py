"""The binary protocol against real queues: every opcode, byte by byte, and that text agrees."""

import errno
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.journal.disk.files import Files
from starling_py.queues.queue_directory import Rules
from starling_py.session.client import Policy
from starling_py.session.session import MAX_COMMANDS
from starling_py.settings.queue_table import QueueTable
from tests.core import Client, CoreHarness
from tests.protocol import packets as p
from tests.protocol.packets import Packet, ask, hit, miss, put, seconds, unpack

LIMIT = 1000


@pytest.fixture
def core(tmp_path: Path) -> CoreHarness:
    return CoreHarness(tmp_path / "spool", policy=Policy(LIMIT, False, False))


def told(client: Client, *requests: bytes) -> list[Packet]:
    """Send requests in one piece, and return the replies."""
    return unpack(client.ask(b"".join(requests)))


def text(core: CoreHarness, line: bytes) -> bytes:
    """Ask in text, on a connection of its own."""
    return core.client().ask(line + b"\r\n")


def stored(item_id: int, opcode: int = p.SET, opaque: int = 0) -> Packet:
    return Packet(opcode, cas=item_id, opaque=opaque)


def wrong(opcode: int, words: bytes) -> Packet:
    return Packet(opcode, p.INVALID, value=words)


class TestBytes:
    """A few whole exchanges as they look on the wire."""

    @pytest.mark.parametrize(
        ("request_", "reply"),
        [
            (
                "80010001 08000000 0000000c 0000002a 00000000 00000000 deadbeef 00000000 71 616263",
                "81010000 00000000 00000000 0000002a 00000000 00000001",
            ),
            (
                "80000004 00000000 00000004 01020304 00000000 00000000 6e6f6e65",
                "81000000 00000001 00000009 01020304 00000000 00000000 4e6f7420666f756e64",
            ),
            (
                "800c0004 00000000 00000004 01020304 00000000 00000000 6e6f6e65",
                "810c0004 00000001 00000004 01020304 00000000 00000000 6e6f6e65",
            ),
            (
                "800a0000 00000000 00000000 ffffffff 00000000 00000000",
                "810a0000 00000000 00000000 ffffffff 00000000 00000000",
            ),
            (
                "800b0000 00000000 00000000 00000000 00000000 00000000",
                "810b0000 00000000 00000005 00000000 00000000 00000000 312e302e30",
            ),
            (
                "80200000 00000000 00000000 00000005 00000000 00000000",
                "81200000 00000081 0000000f 00000005 00000000 00000000"
                "556e6b6e6f776e20636f6d6d616e64",
            ),
        ],
    )
    def test_an_exchange(self, client: Client, request_: str, reply: str) -> None:
        assert client.ask(bytes.fromhex(request_)) == bytes.fromhex(reply)

    def test_an_item_with_its_flags(self, client: Client) -> None:
        client.ask(put(b"q", b"abc", 0xDEADBEEF) * 2)
        assert client.ask(ask(p.GET, b"q", opaque=1)) == bytes.fromhex(
            "81000000 04000000 00000007 00000001 00000000 00000001 deadbeef 616263"
        )
        assert client.ask(ask(p.GETK, b"q", opaque=1)) == bytes.fromhex(
            "810c0001 04000000 00000008 00000001 00000000 00000002 deadbeef 71 616263"
        )


class TestOpcodes:
    def test_binary_gets_give_items_in_the_order_they_were_put(self, client: Client) -> None:
        assert told(client, put(b"q", b"1"), put(b"q", b"2", 7)) == [stored(1), stored(2)]
        assert told(client, *[ask(p.GET, b"q")] * 3) == [hit(b"1", 1), hit(b"2", 2, 7), miss()]

    @pytest.mark.parametrize("opcode", [p.GETQ, p.GETKQ])
    def test_a_quiet_get_is_silent_about_a_miss_alone(self, client: Client, opcode: int) -> None:
        client.ask(put(b"b", b"1"))
        queues = [ask(opcode, key, opaque=ord(key)) for key in (b"a", b"b", b"c")]
        key = b"b" if opcode == p.GETKQ else b""
        one = hit(b"1", 1, opcode=opcode, key=key, opaque=ord("b"))
        assert told(client, *queues, ask(p.NOOP)) == [one, Packet(p.NOOP)]
        typo = ask(opcode, b"b/oepn")
        assert told(client, typo) == [wrong(opcode, b"unknown option /oepn")]

    def test_a_key_repeats_its_options(self, client: Client) -> None:
        client.ask(put(b"q", b"1"))
        assert told(client, ask(p.GETK, b"q/peek/t=5")) == [
            hit(b"1", 1, opcode=p.GETK, key=b"q/peek/t=5")
        ]
        assert told(client, ask(p.GETK, b"none/t=0")) == [
            Packet(p.GETK, p.NOT_FOUND, key=b"none/t=0")
        ]

    def test_quiet_stores_tell_only_what_went_wrong(
        self, core: CoreHarness, client: Client
    ) -> None:
        requests = (
            put(b"q", b"1", opcode=p.SETQ),
            put(b"q", b"2", opcode=p.ADDQ, opaque=1),
            put(b"none", b"x", opcode=p.REPLACEQ, opaque=2),
            put(b"q", b"2", opcode=p.REPLACEQ),
            ask(p.APPENDQ, b"q", b"3"),
            ask(p.APPENDQ, b"none", b"x", opaque=3),
            ask(p.PREPENDQ, b"q", b"0"),
            put(b"q/typo", b"x", opcode=p.SETQ),
            put(b"q", b"x" * (LIMIT + 1), opcode=p.SETQ),
        )
        assert told(client, *requests) == [
            Packet(p.ADDQ, p.EXISTS, value=b"Data exists for key.", opaque=1),
            miss(p.REPLACEQ, opaque=2),
            Packet(p.APPENDQ, p.NOT_STORED, value=b"Not stored.", opaque=3),
            wrong(p.SETQ, b"unknown option /typo"),
            Packet(p.SETQ, p.TOO_LARGE, value=b"Too large."),
        ]
        found = told(client, *[ask(p.GET, b"q")] * 5)
        assert [each.value for each in found] == [b"0", b"1", b"2", b"3", b"Not found"]
        assert core.counters.store_too_large == 1
        assert core.counters.total_items == 4

    def test_stores_tell_the_items_id(self, client: Client) -> None:
        requests = (
            put(b"q", b"1", opcode=p.ADD),
            put(b"q", b"2", opcode=p.REPLACE),
            ask(p.APPEND, b"q", b"3"),
            ask(p.PREPEND, b"q", b"4"),
            put(b"q/delay=5", b"5"),
            put(b"q/sync", b"6"),
        )
        opcodes = (p.ADD, p.REPLACE, p.APPEND, p.PREPEND, p.SET, p.SET)
        expected = [stored(number, opcode) for number, opcode in enumerate(opcodes, 1)]
        assert told(client, *requests) == expected

    def test_stores_whose_condition_does_not_hold(self, client: Client) -> None:
        client.ask(put(b"q", b"1"))
        assert told(
            client,
            put(b"q", b"x", opcode=p.ADD),
            put(b"none", b"x", opcode=p.REPLACE),
            ask(p.APPEND, b"none", b"x"),
            put(b"q", b"x", cas=1),
            put(b"q", b"x", opcode=p.ADD, cas=1),
        ) == [
            Packet(p.ADD, p.EXISTS, value=b"Data exists for key."),
            miss(p.REPLACE),
            Packet(p.APPEND, p.NOT_STORED, value=b"Not stored."),
            miss(p.SET),
            miss(p.ADD),
        ]
        assert told(client, *[ask(p.GET, b"q")] * 2) == [hit(b"1", 1), miss()]

    def test_delete_removes_a_queue(self, client: Client) -> None:
        client.ask(put(b"q", b"1"))
        conditional = ask(p.DELETE, b"q", cas=5)
        (refused,) = told(client, conditional)
        assert refused.status == p.EXISTS
        assert told(client, *[ask(p.DELETE, b"q")] * 2) == [Packet(p.DELETE), miss(p.DELETE)]
        client.ask(put(b"q", b"1"))
        assert told(client, *[ask(p.DELETEQ, b"q")] * 2) == [miss(p.DELETEQ)]
        assert told(client, ask(p.DELETE, b"q/open")) == [
            wrong(p.DELETE, b"this command takes no option in its key")
        ]

    @pytest.mark.parametrize("opcode", [p.INCREMENT, p.DECREMENT, p.INCREMENTQ, p.DECREMENTQ])
    def test_there_is_no_number_to_change(self, client: Client, opcode: int) -> None:
        assert told(client, ask(opcode, b"q", extras=bytes(20))) == [miss(opcode)]
        client.ask(put(b"q", b"5"))
        text = b"Non-numeric server-side value for incr or decr"
        refused = Packet(opcode, p.NON_NUMERIC, value=text)
        assert told(client, ask(opcode, b"q", extras=bytes(20))) == [refused]
        assert told(client, ask(p.GET, b"q")) == [hit(b"5", 1)]

    def test_what_succeeds_without_an_effect(self, client: Client) -> None:
        client.ask(put(b"q", b"1"))
        requests = (
            *(ask(p.FLUSH), ask(p.FLUSH, extras=seconds(5)), ask(p.FLUSHQ)),
            *(ask(p.NOOP), ask(p.VERBOSITY, extras=seconds(1))),
        )
        opcodes = (p.FLUSH, p.FLUSH, p.NOOP, p.VERBOSITY)
        assert told(client, *requests) == [Packet(opcode) for opcode in opcodes]
        assert told(client, ask(p.GET, b"q")) == [hit(b"1", 1)]

    def test_flush_is_real_where_it_is_allowed(self, tmp_path: Path) -> None:
        client = CoreHarness(tmp_path / "other", policy=Policy(LIMIT, True, False)).client()
        requests = (put(b"q", b"1"), ask(p.FLUSH), ask(p.GET, b"q"), ask(p.FLUSHQ))
        assert told(client, *requests) == [stored(1), Packet(p.FLUSH), miss()]

    @pytest.mark.parametrize(("opcode", "replies"), [(p.QUIT, [Packet(p.QUIT)]), (p.QUITQ, [])])
    def test_to_quit_closes_and_nothing_behind_it_is_done(
        self, core: CoreHarness, client: Client, opcode: int, replies: list[Packet]
    ) -> None:
        assert told(client, ask(opcode), put(b"q", b"1")) == replies
        assert client.state.closing
        assert text(core, b"get q") == b"END\r\n"
        assert core.counters.protocol_errors == 0

    def test_version_is_three_numbers(self, client: Client) -> None:
        assert told(client, ask(p.VERSION)) == [Packet(p.VERSION, value=b"1.0.0")]

    def test_garbage_behind_requests_closes(self, core: CoreHarness, client: Client) -> None:
        assert told(client, put(b"q", b"1"), b"get q\r\n") == [stored(1)]
        assert client.state.closing
        assert text(core, b"get q") == b"VALUE q 0 1\r\n1\r\nEND\r\n"

    def test_what_is_wrong_is_counted(self, core: CoreHarness, client: Client) -> None:
        client.ask(ask(0x77) + ask(p.GET) + ask(p.GET, b"q/typo"))
        assert core.counters.protocol_errors == 3

    @pytest.mark.parametrize("key", [b"a b", b" ", b"a\r\nb", b"\0\t"])
    def test_a_key_may_have_blanks_and_control_bytes(self, client: Client, key: bytes) -> None:
        client.ask(put(key, b"x"))
        assert told(client, ask(p.GET, key)) == [hit(b"x", 1)]
        assert told(client, ask(p.DELETE, key)) == [Packet(p.DELETE)]

    def test_a_delete_with_a_cas_finds_another_item_or_no_queue(self, client: Client) -> None:
        assert told(client, ask(p.DELETE, b"q", cas=1)) == [miss(p.DELETE)]
        client.ask(put(b"q", b"x"))
        exists = Packet(p.DELETE, p.EXISTS, value=b"Data exists for key.")
        assert told(client, ask(p.DELETE, b"q", cas=1)) == [exists]
        assert told(client, ask(p.GET, b"q")) == [hit(b"x", 1)]


class TestStatistics:
    def test_each_is_a_packet_and_an_empty_one_ends_them(self, client: Client) -> None:
        client.ask(put(b"jobs", b"1"))
        *pairs, end = told(client, ask(p.STAT, opaque=9))
        assert end == Packet(p.STAT, opaque=9)
        assert all(each.key and each.value and each.opaque == 9 for each in pairs)
        assert {each.key: each.value for each in pairs}[b"queue_jobs_items"] == b"1"

    @pytest.mark.parametrize("words", [b"", b"queues", b"queue jobs", b"settings", b"sizes"])
    def test_they_are_those_of_text(self, core: CoreHarness, client: Client, words: bytes) -> None:
        client.ask(put(b"jobs", b"1"))
        pairs = told(client, ask(p.STAT, words))[:-1]
        names = [line.split()[1] for line in text(core, b"stats " + words).splitlines()[:-1]]
        assert [each.key for each in pairs] == names
        assert names

    @pytest.mark.parametrize("words", [b"reset", b"items", b"detail on", b"detail dump", b"slabs"])
    def test_what_has_no_figures_is_an_empty_packet(self, client: Client, words: bytes) -> None:
        assert told(client, ask(p.STAT, words)) == [Packet(p.STAT)]

    def test_what_is_not_known_is_not_found(self, client: Client) -> None:
        assert told(client, ask(p.STAT, b"nonsense")) == [miss(p.STAT)]


class TestReliableReads:
    def test_an_item_is_open_until_it_is_closed(self, core: CoreHarness, client: Client) -> None:
        client.ask(put(b"q", b"1") + put(b"q", b"2"))
        assert told(client, ask(p.GET, b"q/open")) == [hit(b"1", 1)]
        assert told(client, ask(p.GET, b"q/close/open")) == [hit(b"2", 2)]
        assert told(client, ask(p.GET, b"q/close=2")) == [miss()]
        assert told(client, ask(p.GETQ, b"q/close"), ask(p.NOOP)) == [Packet(p.NOOP)]
        assert text(core, b"get q") == b"END\r\n"

    def test_an_item_that_is_aborted_comes_back(self, client: Client) -> None:
        client.ask(put(b"q", b"1"))
        requests = (ask(p.GET, b"q/open"), ask(p.GET, b"q/abort"), ask(p.GET, b"q"))
        assert told(client, *requests) == [hit(b"1", 1), miss(), hit(b"1", 1)]

    def test_a_read_of_a_queue_with_an_open_read_is_wrong(self, client: Client) -> None:
        client.ask(put(b"q", b"1") * 2 + ask(p.GET, b"q/open"))
        text = b"a read of this queue is open; close or abort it first"
        assert told(client, ask(p.GETKQ, b"q")) == [wrong(p.GETKQ, text)]
        assert told(client, ask(p.GET, b"q/close=9")) == [wrong(p.GET, b"item 9 is not open")]

    @pytest.mark.parametrize(
        ("opcode", "key"), [(p.GAT, b""), (p.GATQ, b""), (p.GATK, b"q"), (p.GATKQ, b"q")]
    )
    def test_gat_opens_with_a_lease_that_touch_renews(
        self, core: CoreHarness, client: Client, opcode: int, key: bytes
    ) -> None:
        client.ask(put(b"q", b"1", 5))
        lease = seconds(10)
        opened = hit(b"1", 1, 5, opcode, key)
        assert told(client, ask(opcode, b"q", extras=lease)) == [opened]
        assert told(client, ask(p.TOUCH, b"q", extras=lease)) == [Packet(p.TOUCH)]
        assert text(core, b"get q") == b"END\r\n"
        assert told(client, ask(p.TOUCH, b"q", extras=seconds(2**32 - 1))) == [Packet(p.TOUCH)]
        assert text(core, b"get q") == b"VALUE q 5 1\r\n1\r\nEND\r\n"
        assert told(client, ask(p.TOUCH, b"q", extras=lease)) == [miss(p.TOUCH)]
        silent = opcode in (p.GATQ, p.GATKQ)
        assert len(told(client, ask(opcode, b"q", extras=lease))) == (not silent)


class TestWaiting:
    def test_a_get_waits_and_so_does_what_follows(self, core: CoreHarness, client: Client) -> None:
        requests = (ask(p.GETK, b"q/t=500", opaque=1), ask(p.NOOP, opaque=2), put(b"r", b"x"))
        assert told(client, *requests) == []
        other = core.client()
        assert other.ask(b"set q 3 0 1\r\n1\r\nget r\r\n") == b"STORED\r\nEND\r\n"
        assert unpack(client.told()) == [
            hit(b"1", 1, 3, p.GETK, b"q/t=500", opaque=1),
            Packet(p.NOOP, opaque=2),
            stored(1),
        ]

    @pytest.mark.parametrize(
        ("opcode", "replies"), [(p.GET, [miss(), Packet(p.NOOP)]), (p.GETQ, [Packet(p.NOOP)])]
    )
    def test_a_wait_that_is_over_is_a_miss(
        self, core: CoreHarness, client: Client, opcode: int, replies: list[Packet]
    ) -> None:
        assert told(client, ask(opcode, b"q/t=500"), ask(p.NOOP)) == []
        core.clock.advance(0.6)
        core.queues.run_due()
        assert unpack(client.told()) == replies

    def test_a_put_waits_for_room(self, tmp_path: Path) -> None:
        table = QueueTable({"q": {"max_items": 1}})
        core = CoreHarness(tmp_path / "other", rules=Rules(table))
        client = core.client()
        full = Packet(p.SET, p.NOT_STORED, value=b"Not stored.")
        assert told(client, put(b"q", b"1"), put(b"q", b"2")) == [stored(1), full]
        assert told(client, put(b"q/t=500", b"2"), ask(p.NOOP)) == []
        assert text(core, b"get q") == b"VALUE q 0 1\r\n1\r\nEND\r\n"
        assert unpack(client.told()) == [stored(2), Packet(p.NOOP)]


class BrokenDisk(Files):
    """A disk that takes nothing while it is full."""

    def __init__(self) -> None:
        self.full = False

    def write(self, descriptor: int, data: bytes) -> int:
        """Fail while the disk is full."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data)


class TestFailedCommits:
    @pytest.mark.parametrize(
        ("request_", "opcode"),
        [
            (put(b"q", b"2"), p.SET),
            (put(b"q", b"2", opcode=p.SETQ), p.SETQ),
            (put(b"q/sync", b"2", opcode=p.SETQ), p.SETQ),
            (ask(p.APPENDQ, b"q", b"2"), p.APPENDQ),
            (ask(p.GET, b"q"), p.GET),
            (ask(p.GETKQ, b"q"), p.GETKQ),
            (ask(p.DELETEQ, b"q"), p.DELETEQ),
            (ask(p.GETQ, b"r/close"), p.GETQ),
            (ask(p.GET, b"r/close/open"), p.GET),
            (ask(p.GETQ, b"r/close/open"), p.GETQ),
        ],
    )
    def test_a_failure_is_told_also_to_who_asked_to_hear_nothing(
        self, tmp_path: Path, request_: bytes, opcode: int
    ) -> None:
        disk = BrokenDisk()
        client = CoreHarness(tmp_path / "spool", disk).client()
        client.ask(put(b"q", b"1") + put(b"r", b"1") + put(b"r", b"2") + ask(p.GET, b"r/open"))
        disk.full = True
        failure, end = told(client, request_, ask(p.NOOP))
        assert (failure.opcode, failure.status) == (opcode, p.TEMPORARY)
        assert failure.value == b"journal cannot be written: No space left on device"
        assert end == Packet(p.NOOP)
        disk.full = False
        assert told(client, ask(p.GET, b"q")) == [hit(b"1", 1)]


class TestStreams:
    def test_a_long_pipeline_has_a_reply_for_each(self, client: Client) -> None:
        count = MAX_COMMANDS * 3
        client.send(b"".join(put(b"q", b"%d" % number, opaque=number) for number in range(count)))
        while client.session.stopped_early:
            client.session.run()
        assert unpack(client.told()) == [stored(each + 1, opaque=each) for each in range(count)]

    def test_an_item_that_comes_in_pieces_is_whole(self, client: Client) -> None:
        data = bytes(range(250)) * 4
        for byte in put(b"q", data) + ask(p.GET, b"q"):
            client.send(bytes([byte]))
        assert unpack(client.told()) == [stored(1), hit(data, 1)]

    def test_a_client_that_stops_in_the_middle_leaves_nothing(
        self, core: CoreHarness, client: Client
    ) -> None:
        client.send(put(b"q", b"data")[:-1])
        assert client.session.midway
        client.session.end_of_input()
        client.session.run()
        assert client.told() == b""
        assert client.state.closing
        assert text(core, b"get q") == b"END\r\n"


# Whatever is sent.

_QUIET = frozenset(
    {p.GETQ, p.GETKQ, p.SETQ, p.ADDQ, p.REPLACEQ, p.DELETEQ, p.INCREMENTQ, p.DECREMENTQ}
    | {p.FLUSHQ, p.APPENDQ, p.PREPENDQ, p.GATQ, p.GATKQ}
)

keys = st.sampled_from(
    [
        *(b"q", b"r", b"q/peek", b"q/open", b"q/close", b"q/abort", b"q/close/open", b"q/close=1"),
        *(b"q+child", b"q/typo", b"", b"a b", b"k" * 251, b"q/peek/n=3", b"q/sync", b"q/delay=1"),
    ]
)
all_extras = st.sampled_from([b"", seconds(5), bytes(8), bytes(20)])
opcodes = st.integers(0, 0x26).filter(lambda opcode: opcode not in (p.QUIT, p.QUITQ, p.STAT))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    opcode = draw(opcodes)
    storing = opcode in (*(p.SET, p.ADD, p.REPLACE), *(p.SETQ, p.ADDQ, p.REPLACEQ))
    bare = opcode in (p.NOOP, p.VERSION)
    extras = draw(all_extras)
    if draw(st.booleans()):
        extras = bytes(8) if storing else b""
    value = draw(st.sampled_from([b"", b"data", b"x" * (LIMIT + 1)]))
    if draw(st.booleans()) and not storing:
        value = b""
    key = b"" if bare else draw(keys)
    return ask(
        opcode, key, value, extras, draw(st.integers(0, 2**32 - 1)), draw(st.just(0) | st.just(3))
    )


def pieces(data: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if start != end]


@given(st.lists(requests(), max_size=12), st.lists(st.integers(0, 5000), max_size=6))
@settings(max_examples=150)
def test_each_request_gets_exactly_its_reply(
    tmp_path_factory: pytest.TempPathFactory, stream: list[bytes], places: list[int]
) -> None:
    path = tmp_path_factory.mktemp("spool")
    replies: list[list[Packet]] = []
    for way in (pieces(b"".join(stream), places), [b"".join(stream)]):
        core = CoreHarness(path / str(len(replies)), policy=Policy(LIMIT, True, False))
        client = core.client()
        data = b""
        for piece in filter(None, way):
            data += client.ask(piece)
        assert not client.state.closing
        assert not client.session.midway
        replies.append(unpack(data))
        core.close()
    assert replies[0] == replies[1]
    _check_match(stream, replies[0])


def _check_match(stream: list[bytes], replies: list[Packet]) -> None:
    """Insist on one reply to each request in its order, or none to a quiet one."""
    left = list(replies)
    for request in stream:
        opaque = p.HEADER.unpack(request[:24])[7]
        if left and (left[0].opcode, left[0].opaque) == (request[1], opaque):
            left.pop(0)
        else:
            assert request[1] in _QUIET
    assert left == []


@given(st.lists(st.binary(max_size=60) | requests(), max_size=8).map(b"".join))
@settings(max_examples=150)
def test_garbage_is_answered_or_closed_and_never_raises(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes
) -> None:
    core = CoreHarness(tmp_path_factory.mktemp("spool"), policy=Policy(LIMIT, False, False))
    client = core.client()
    unpack(client.ask(ask(p.NOOP) + garbage))
    core.close()
