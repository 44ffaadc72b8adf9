"""Puts with a token: stored once, whoever sends it again, over restarts too."""

import itertools
from pathlib import Path

import pytest

from starling_py.journal.tokens import Tokens
from starling_py.queues.delivery import Put
from starling_py.queues.once import digest_of
from tests.core import Client, put_with_care
from tests.queues.parts import Queues
from tests.session.parts import NO_ROOM, item, on_a_full_disk

STORED = b"STORED\r\n"


@pytest.fixture
def queues(tmp_path: Path) -> Queues:
    return Queues(tmp_path / "spool")


@pytest.fixture
def client(queues: Queues) -> Client:
    return queues.client()


def put(client: Client, key: bytes, data: bytes, verb: bytes = b"set") -> bytes:
    return client.ask(b"%b %b 0 0 %d\r\n%b\r\n" % (verb, key, len(data), data))


def again(queues: Queues, path: Path) -> Queues:
    queues.close()
    return Queues(path / "spool", clock=queues.clock)


def test_a_token_that_was_seen_is_answered_stored_and_adds_nothing(
    queues: Queues, client: Client
) -> None:
    assert put(client, b"q/once=a", b"1") == put(client, b"q/once=a", b"2") == STORED
    assert put(queues.client(), b"q/once=b", b"3") == put(client, b"r/once=a", b"4") == STORED
    assert queues.numbers(b"q").duplicates == 1
    assert queues.take_all(b"q") == [b"1", b"3"]
    assert put(client, b"q/once=a", b"5") == STORED
    assert queues.take_all(b"q") == []
    assert queues.take_all(b"r") == [b"4"]


def test_two_puts_in_one_turn_are_one(queues: Queues, client: Client) -> None:
    line = b"set q/once=a 0 0 1\r\n1\r\n"
    assert client.ask(line * 3) == STORED * 3
    assert queues.take_all(b"q") == [b"1"]


def test_all_verbs_dialects_and_options_have_tokens(queues: Queues, client: Client) -> None:
    put(client, b"q", b"0")
    for verb in (b"set", b"prepend", b"append", b"replace"):
        key = b"q/once=" + verb
        assert [put(client, key, b"1", verb), put(client, key, b"2", verb)] == [STORED] * 2
    assert put(client, b"new/once=a/delay=5/sync", b"1", b"add") == STORED
    assert put(client, b"new/once=a/delay=5/sync", b"1", b"add") == STORED
    assert client.ask(b"ms q/once=m 1 c\r\n1\r\nms q/once=m 1 c\r\n2\r\n") == b"HD c6\r\n" * 2
    assert queues.numbers(b"q").items == 6
    assert queues.numbers(b"new").delayed == 1


def test_a_token_is_known_after_a_restart_though_its_item_is_gone(
    tmp_path: Path, queues: Queues, client: Client
) -> None:
    put(client, b"q/once=a", b"1")
    assert queues.take_all(b"q") == [b"1"]
    queues.put(b"q", *(b"." * 900 for _ in range(20)))  # several segments, and checkpoints
    for _ in range(2):
        queues = again(queues, tmp_path)
        assert put(queues.client(), b"q/once=a", b"2") == STORED
        assert queues.numbers(b"q").duplicates == 1
    queues.queues.flush(b"q")
    assert put(queues.client(), b"q/once=a", b"2") == STORED
    queues.queues.delete(b"q")
    queues.commit()
    assert put(queues.client(), b"q/once=a", b"3") == STORED
    assert queues.take_all(b"q") == [b"3"]


def test_a_token_and_a_flush_in_one_commit_leave_the_token(
    tmp_path: Path, queues: Queues, client: Client
) -> None:
    put(client, b"q", b"0")
    client.ask(b"set q/once=a 0 0 1\r\n1\r\nflush q\r\n")
    assert put(client, b"q/once=a", b"2") == STORED
    queues = again(queues, tmp_path)
    assert put(queues.client(), b"q/once=a", b"2") == STORED
    assert queues.take_all(b"q") == []


def test_a_deletion_forgets_tokens_before_it_is_written(queues: Queues, client: Client) -> None:
    put(client, b"q/once=a", b"1")
    line = b"set q/once=a 0 0 1\r\n2\r\n"
    assert client.ask(b"delete q\r\n" + line + line) == b"DELETED\r\n" + STORED * 2
    assert queues.take_all(b"q") == [b"2"]


def test_a_put_that_fails_leaves_no_token(queues: Queues, client: Client) -> None:
    line = b"set q/once=a 0 0 1\r\n1\r\n"
    assert on_a_full_disk(queues, client, line + line) == NO_ROOM * 2
    assert client.ask(line) == STORED
    assert queues.take_all(b"q") == [b"1"]


def test_a_token_counts_for_its_window_and_up_to_the_limit(tmp_path: Path) -> None:
    entries: dict[str, dict[str, object]] = {"q": {"once_window": 60, "once_limit": 2}}
    queues = Queues(tmp_path / "spool", entries)
    client = queues.client()
    put(client, b"q/once=a", b"1")
    queues.clock.advance(59)
    put(client, b"q/once=a", b"2")
    queues.clock.advance(2)
    put(client, b"q/once=a", b"3")
    assert queues.take_all(b"q") == [b"1", b"3"]
    for token in (b"b", b"c", b"d"):
        put(client, b"q/once=" + token, token)
    put(client, b"q/once=c", b"again")
    put(client, b"q/once=a", b"4")
    assert queues.take_all(b"q") == [b"b", b"c", b"d", b"4"]


def test_a_token_whose_put_is_not_written_yet_counts_for_its_window(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {"q": {"once_window": 60}})
    token = digest_of(b"a")
    put_with_care(queues.queues, Put(b"q", b"1", 0, 0, token=token))
    queues.clock.advance(59)
    assert queues.queues.seen_once(b"q", token) == 1
    queues.clock.advance(1)
    assert queues.queues.seen_once(b"q", token) == 0
    queues.commit()
    assert queues.queues.seen_once(b"q", token) == 0


def test_children_and_routes_get_an_item_once_too(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {"none": {"fanout_only": True}}, routes={"q": ["copy"]})
    client = queues.client()
    assert client.ask(b"get q+child\r\n") == b"END\r\n"
    assert put(client, b"q/once=a", b"1") == put(client, b"q/once=a", b"2") == STORED
    for name in (b"q", b"q+child", b"copy"):
        assert queues.take_all(name) == [b"1"]
    assert put(client, b"copy/once=a", b"3") == STORED
    assert queues.take_all(b"copy") == [b"3"]
    assert put(client, b"none/once=a", b"4").startswith(b"CLIENT_ERROR /once= needs")


def test_a_full_queue_still_knows_its_tokens(tmp_path: Path) -> None:
    queues = Queues(tmp_path / "spool", {"q": {"max_items": 1, "discard_old_when_full": True}})
    client = queues.client()
    assert put(client, b"q/once=a", b"1") == put(client, b"q/once=a", b"2") == STORED
    assert queues.take_all(b"q") == [b"1"]


def test_who_waits_for_room_is_told_when_its_token_was_stored_meanwhile(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", {"q": {"max_items": 1}})
    client, waiting, other = queues.client(), queues.client(), queues.client()
    assert put(client, b"q", b"1") == STORED
    assert put(waiting, b"q/once=a/t=9000", b"2") == put(other, b"q/once=b/t=9000", b"3") == b""
    told = client.ask(b"get q\r\nset q/once=a 0 0 1\r\n2\r\n")
    assert told == item(b"q", b"1") + STORED
    assert waiting.told() + other.told() == b""
    queues.pass_time(10)
    assert (waiting.told(), other.told()) == (STORED, b"NOT_STORED\r\n")
    assert queues.take_all(b"q") == [b"2"]


@pytest.mark.parametrize("key", [b"q/once", b"q/once=", b"q/once=" + b"x" * 101])
def test_a_token_has_1_to_100_bytes(queues: Queues, client: Client, key: bytes) -> None:
    assert put(client, key, b"1").startswith(b"CLIENT_ERROR ")
    assert put(client, b"q/once=" + b"x" * 100, b"1") == STORED
    assert client.ask(b"get q/peek\r\n") == item(b"q/peek", b"1")


def test_tokens_are_dropped_from_the_oldest_on_and_found_by_their_last_put() -> None:
    tokens = Tokens()
    digests = [bytes([number]) * 16 for number in range(5)]
    for number, digest in enumerate(digests):
        tokens.add(digest, number * 10, number + 1)
    tokens.add(digests[0], 50, 6)
    tokens.trim(15, 100)
    assert [tokens.find(each) for each in digests] == [(50, 6), None, (20, 3), (30, 4), (40, 5)]
    copy = Tokens(tokens.pack())
    tokens.trim(0, 2)
    assert [tokens.find(each) for each in digests[:4]] == [(50, 6), None, None, None]
    assert (len(tokens), len(copy)) == (2, 4)
    assert copy.find(digests[2]) == (20, 3)
    copy.trim(1000, 10)
    assert (len(copy), copy.find(digests[0])) == (0, None)


def test_tokens_that_are_over_at_once_are_dropped_some_at_a_time() -> None:
    tokens = Tokens()
    for number in range(10_000):
        tokens.add(number.to_bytes(16), 1, number + 1)
    left = [len(tokens)]
    while left[-1]:
        tokens.trim(2, 10)
        left.append(len(tokens))
    assert max(one - other for one, other in itertools.pairwise(left)) <= 1000
