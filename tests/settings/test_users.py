"""What users may do, as a configuration says it."""

from pathlib import Path

import pytest

from starling_py.security.patterns import Names
from starling_py.settings.config_file import load
from starling_py.settings.errors import ConfigError
from starling_py.settings.users import EVERYBODY, User, Users

FILE = "starling:\n  users_file: users\n"


def read(folder: Path, text: str) -> Users:
    path = folder / "conf.yml"
    path.write_text(text)
    return load(path).users


def expect_problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return [each.removeprefix(f"{folder}/") for each in caught.value.problems]


def test_users_are_read_with_their_names_and_patterns(tmp_path: Path) -> None:
    users = read(
        tmp_path,
        FILE + "users:\n"
        "  producer: {put: ['orders.#', audit]}\n"
        "  worker:\n    get: orders.#\n    put: orders.failed\n    max_connections: 5\n"
        "  boss: {admin: true, client_memory: 16m}\n"
        "  op: {admin: ['orders.#']}\n"
        "  nobody:\n",
    )
    assert users.of("producer") == User(put=Names([b"orders.#", b"audit"]))
    worker = users.of("worker")
    assert (worker.may_get(b"orders.eu"), worker.may_put(b"orders.eu")) == (True, False)
    assert worker.max_connections == 5
    boss, op = users.of("boss"), users.of("op")
    assert (boss.is_admin, boss.may_administer(b"x"), boss.sees(b"x")) == (True, True, True)
    assert (boss.may_get(b"x"), boss.may_put(b"x"), boss.client_memory) == (False, False, 16 << 20)
    assert (op.is_admin, op.may_administer(b"orders"), op.may_administer(b"x")) == (
        False,
        True,
        False,
    )
    for name in ("nobody", "somebody else"):
        assert users.of(name) == User()
        assert not users.of(name).sees(b"orders")


def test_without_a_section_every_user_may_put_and_take_and_no_more() -> None:
    user = Users().of("anna")
    assert user is EVERYBODY
    assert user.may_put(b"a+b")
    assert user.may_get(b"a.b")
    assert not user.may_administer(b"a")
    assert not user.is_admin


def test_what_is_wrong_has_its_place(tmp_path: Path) -> None:
    text = (
        FILE + "users:\n  a b: {put: x}\n  c: {put: 'x*', gets: y}\n  d: 5\n  e: {admin: 7.5/x}\n"
        "  f: {get: []}\n"
    )
    assert expect_problems(tmp_path, text) == [
        "conf.yml:4: users.a b: must be a name of letters, digits, . _ - and @",
        "conf.yml:5: users.c.gets: unknown setting; did you mean 'get'?",
        "conf.yml:5: users.c.put: x*: * and # must be whole words, with dots or plus signs around"
        " them",
        "conf.yml:6: users.d: 5: must be a mapping of settings",
        "conf.yml:7: users.e.admin: 7.5/x: must be a queue's name, 1 to 250 bytes without slashes"
        " and blanks, or patterns of such",
        "conf.yml:8: users.f.get: (a list): must be a list of names and patterns of queues",
    ]


def test_users_without_passwords_are_refused(tmp_path: Path) -> None:
    assert expect_problems(tmp_path, "users:\n  a: {put: x}\n") == [
        "users: nobody can say who it is: users_file or tls_client_ca is missing"
    ]


def test_users_let_a_server_listen_beyond_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "conf.yml"
    path.write_text(FILE + "  host: 0.0.0.0\n")
    assert load(path).host == "0.0.0.0"


def test_users_of_code_are_judged_like_those_of_a_file() -> None:
    assert Users({"a": {"put": ["x"]}}).of("a") == User(put=Names([b"x"]))
    with pytest.raises(ValueError, match=r"name of letters"):
        Users({"a b": {}})
