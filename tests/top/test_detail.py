"""One queue in depth, from a server that tells all or refuses some of it."""

from starling_py.connecting.address import Address
from starling_py.top.client import RefusedError, StatsClient
from starling_py.top.detail import Consumer, Detail, Holder, fetch

ITEM = b"ITEM %d %d 0 1500 %b 0 0 2 %b %b"


class Server(StatsClient):
    """A client that answers itself."""

    dead_letter = b"dead"

    def __init__(self, *refused: bytes) -> None:
        super().__init__(Address())
        self.refused = refused
        self.peeked: list[int] = []

    def stats(self, what: bytes = b"") -> dict[bytes, bytes]:
        if what == b"queue q":
            return {b"queue_q_items": b"3", b"open_1_holder": b"1.2.3.4:5", b"open_1_lease": b"2.5"}
        assert what == b"consumers q"
        taken = {b"9:addr": b"tcp:1.2.3.4:5", b"9:takes": b"3", b"9:last_take": b"40"}
        return {b"8:name": b"idle", b"8:last_take": b"-1", b"8:waits": b"1", **taken}

    def lines(self, command: bytes) -> list[bytes]:
        if command.split()[0] in self.refused:
            raise RefusedError("ERROR: not enabled")
        if command == b"dump_config q":
            return [b"queue 'q' {", b"  dead_letter=%b" % self.dead_letter, b"}"]
        if command.startswith(b"browse dead "):
            return [
                ITEM % (1, 1, b"waiting", b"q", b"buried"),
                ITEM % (2, 1, b"waiting", b"other", b"moved"),
            ]
        large = ITEM % (3, 1 << 20, b"waiting", b"-", b"-")
        return [
            ITEM % (1, 4, b"open", b"-", b"-"),
            ITEM % (2, 4, b"waiting", b"-", b"-"),
            large,
            b"?",
        ]

    def peek(self, queue: bytes, item: int) -> bytes | None:
        self.peeked.append(item)
        return b"data"


def test_everything_about_a_queue_is_put_together() -> None:
    found = fetch(Server(), b"q", 1, None)
    assert found.consumers == (
        Consumer("1.2.3.4:5", "-", 3, 40, 0, False),
        Consumer("-", "idle", 0, -1, 0, True),
    )
    assert [item.id for item in found.items] == [1, 2, 3]
    assert found.holders == {1: Holder("1.2.3.4:5", "-", 2.5)}
    assert (found.dead_letter, [item.id for item in found.dead]) == (b"dead", [1])
    assert found.data == {1: b"data", 2: b"data"}
    assert found.missing == ()


def test_data_is_fetched_once_and_never_of_a_large_item() -> None:
    server = Server()
    first = fetch(server, b"q", 0, None)
    fetch(server, b"q", 0, first)
    assert server.peeked == [1, 2]
    fetch(server, b"q", 0, Detail(b"other", data={1: b"of another queue"}))
    assert server.peeked == [1, 2, 1, 2]


def test_what_the_server_refuses_is_said_and_the_rest_is_there() -> None:
    found = fetch(Server(b"browse"), b"q", 1, None)
    assert found.missing == ("browse: ERROR: not enabled",)
    assert found.items == ()
    assert len(found.consumers) == 2


def test_a_queue_without_dead_letters_has_no_such_queue() -> None:
    server = Server()
    server.dead_letter = b"none"  # the server's word for what is not set
    assert fetch(server, b"q", 0, None).dead_letter == b""
