"""Who may use the commands of operators."""

from typing import cast, get_args

import pytest

from starling_py.protocol import commands
from starling_py.security.patterns import Names
from starling_py.session import permission
from starling_py.session.permission import LOCAL, Permission, is_of_this_machine, lacks
from starling_py.settings.users import User

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


def test_every_command_has_a_rule_and_what_has_none_is_refused() -> None:
    without = {
        commands.Authenticate,
        commands.ListMechanisms,
        commands.Phrased,
        commands.PhrasedAnew,
    }
    assert set(get_args(commands.Command)) - without == set(vars(permission)["_RULES"])

    class Unheard:
        """A command that somebody forgot to make a rule for."""

    command = cast(commands.Command, Unheard())
    assert lacks(User(put=Names([b"#"]), get=Names([b"#"])), command) == "admin"
    assert lacks(User(admin=True), command) is None


@pytest.mark.parametrize("key", [b"", b"a/nonsense", b"/open", b"a/peek/open"])
def test_a_wrong_key_is_left_to_the_command_that_refuses_it(key: bytes) -> None:
    assert lacks(User(), commands.Get([key], with_cas=False)) is None
    assert lacks(User(), commands.Store(commands.Verb.SET, b"a/x", 0, 0, b"", False)) is None


def test_a_wrong_key_hides_no_other_from_the_rule() -> None:
    asked = commands.Get([b"a/nonsense", b"secret"], with_cas=False)
    assert lacks(User(), asked) == "get secret"
