"""The overview is what the server has, though it asks for changes alone."""

from starling_py.ctl.overview import Overview
from starling_py.ctl.remote import Remote
from tests.core import Client


def test_an_overview_follows_what_happens_to_queues(remote: Remote, client: Client) -> None:
    overview = Overview(remote)
    assert overview.look() == []
    client.ask(b"set b 0 0 1\r\nx\r\nset a 0 0 1\r\nx\r\nset a 0 0 1\r\nx\r\n")
    assert [(each.shown, each.number("items")) for each in overview.look()] == [("a", 2), ("b", 1)]
    assert overview.look() == []
    client.ask(b"get a\r\n")
    assert [each.shown for each in overview.look()] == ["a"]
    assert {name: each.number("items") for name, each in overview.queues.items()} == {
        b"a": 1,
        b"b": 1,
    }
    client.ask(b"delete b\r\n")
    assert overview.look() == []
    assert set(overview.queues) == {b"a"}
    assert overview.server["curr_items"] == "1"
