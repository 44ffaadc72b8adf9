"""Who may use the commands of operators."""

import pytest

from starling_py.session.permission import LOCAL, Permission, is_of_this_machine

HERE = (
    "127.0.0.1:5",
    "127.8.9.1:1",
    "[::1]:22122",
    "[::ffff:127.0.0.1]:9",
    "[::ffff:7f00:1]:9",
    "::1:9",
    "unix",
    "/run/s:1",
    "@x",
)
ELSEWHERE = (
    "10.0.0.1:5",
    "[2001:db8::1]:5",
    "[::ffff:10.1.1.1]:9",
    "192.168.127.1:5",
    "localhost:5",
)


@pytest.mark.parametrize("peer", HERE)
def test_loopback_and_local_sockets_are_of_this_machine(peer: str) -> None:
    assert is_of_this_machine(peer)


@pytest.mark.parametrize("peer", ELSEWHERE)
def test_other_addresses_are_not_of_this_machine(peer: str) -> None:
    assert not is_of_this_machine(peer)


@pytest.mark.parametrize(
    ("permission", "here", "there"),
    [
        (Permission(), True, False),
        (Permission(admin=True), True, True),
        (Permission(admin=False), False, False),
        (Permission(admin=False, verbs={"pause": LOCAL}), True, False),
        (Permission(admin=False, verbs={"pause": True}), True, True),
        (Permission(admin=True, verbs={"pause": False}), False, False),
        (Permission(admin=True, verbs={"pause": None, "move": False}), True, True),
    ],
)
def test_a_verb_goes_by_its_own_setting_and_else_by_that_of_all(
    permission: Permission, here: bool, there: bool
) -> None:
    assert permission.allows("pause", HERE[0]) is here
    assert permission.allows("pause", ELSEWHERE[0]) is there
