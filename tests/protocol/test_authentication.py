"""What a client may say before it has said who it is, in text: memcached's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.protocol.authentication import BAD_TOKEN, MAX_TOKEN, TextAuthentication
from starling_py.protocol.commands import Authenticate, Command, Get, Quit, Refusal, Store, Version
from starling_py.protocol.text import MAX_LINE, TextDialect
from starling_py.protocol.wary_text import REFUSAL, WaryTextDialect, may_authenticate
from starling_py.protocol.writer import Outcome

UNAUTHENTICATED = Refusal(b"CLIENT_ERROR unauthenticated\r\n")
LIMIT = 1 << 20


def commands_of(data: bytes, sizes: list[int] | None = None) -> list[Command]:
    """Return all commands of a connection that sends these bytes, in pieces of these sizes."""
    dialect, found = TextAuthentication(), list[Command]()
    pieces, left = [], data
    for size in sizes or []:
        pieces.append(left[:size])
        left = left[size:]
    for piece in [*pieces, left]:
        if not piece:
            continue
        dialect.feed(piece)
        while (command := dialect.next_command()) is not None:
            found.append(command)
            if isinstance(command, Refusal) and command.close:
                return found
            assert dialect.weight <= len(piece) + MAX_LINE + MAX_TOKEN + 2
    return found


@pytest.mark.parametrize(
    "line",
    [
        b"set x 0 0 11", b"set _ _ _ 11", b"SET x 5 -1 11", b"set x 0 0 11 noreply",
        b"set  x  0  0  11 more", b"set " + b"k" * 900 + b" 0 0 11",
    ],
)  # fmt: skip
def test_the_first_set_has_the_user_and_the_password(line: bytes) -> None:
    for end in (b"\r\n", b"\n"):
        (command,) = commands_of(line + end + b"anna geheim\r\n")
        assert command == Authenticate(b"anna", b"geheim")


@pytest.mark.parametrize(
    ("token", "user", "password"),
    [
        (b"anna a:b c", b"anna", b"a:b c"),
        (b"anna ", b"anna", b""),
        (b" x", b"", b"x"),
        (b"anna \r\n\x00", b"anna", b"\r\n\x00"),
    ],
)
def test_the_first_blank_parts_them(token: bytes, user: bytes, password: bytes) -> None:
    assert commands_of(b"set x 0 0 %d\r\n%b\r\n" % (len(token), token)) == [
        Authenticate(user, password)
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"get a", b"gets a b", b"stats", b"mn", b"mg a v", b"delete a", b"flush_all", b"noop",
        b"", b"set", b"set x 0 0", b"version now", b"quit now", b"shutdown", b"hello me",
        b"monitor a 5", b"move a b", b"browse a", b"\x00\xff", b"set\tx 0 0 5",
    ],
)  # fmt: skip
def test_all_else_is_told_that_it_is_unknown(line: bytes) -> None:
    found = commands_of(line + b"\r\nquit\r\n")
    is_lost = line.split(b" ")[0] == b"set"
    assert found[0] == Refusal(UNAUTHENTICATED.reply, close=is_lost)
    assert is_lost or found[1] == Quit()


@pytest.mark.parametrize(
    "line", [b"add x 0 0 %d", b"append x 0 0 %d", b"cas x 0 0 %d 5", b"ms x %d T0"]
)
def test_the_body_of_what_is_refused_is_no_command(line: bytes) -> None:
    body = b"quit\r\nset x 0 0 11\r\nanna geheim"
    found = commands_of(line % len(body) + b"\r\n" + body + b"\r\nversion\r\n")
    assert found == [UNAUTHENTICATED, Version()]


def test_a_token_without_a_blank_or_too_long_is_told_so() -> None:
    assert commands_of(b"set x 0 0 4\r\nanna\r\nquit\r\n") == [Refusal(BAD_TOKEN), Quit()]
    long = b"a " * MAX_TOKEN
    assert commands_of(b"set x 0 0 %d\r\n%b\r\nquit\r\n" % (len(long), long)) == [
        Refusal(BAD_TOKEN),
        Quit(),
    ]


def test_a_token_that_does_not_end_where_it_should_closes() -> None:
    (found,) = commands_of(b"set x 0 0 3\r\na geheim\r\n")
    assert found == Refusal(b"CLIENT_ERROR bad data chunk\r\n", close=True)


@pytest.mark.parametrize("data", [b"a" * (MAX_LINE + 1), b"get " * 1000, b"a" * 5000 + b"\r\n"])
def test_a_long_line_closes(data: bytes) -> None:
    (found,) = commands_of(data)
    assert found == Refusal(b"CLIENT_ERROR line too long\r\n", close=True)


def test_a_request_of_http_closes_without_an_answer() -> None:
    (found,) = commands_of(b"POST / HTTP/1.1\r\nset x 0 0 11\r\nanna geheim\r\n")
    assert found == Refusal(b"", close=True)


def test_what_follows_waits_and_is_left_for_the_dialect_that_comes() -> None:
    dialect = TextAuthentication()
    dialect.feed(b"set x 0 0 11\r\nanna geheim\r\nget a\r\nset b 0 0 1\r\n")
    assert dialect.next_command() == Authenticate(b"anna", b"geheim")
    assert dialect.next_command() is None
    dialect.feed(b"x\r")
    assert dialect.next_command() is None
    assert dialect.buffered == len(b"get a\r\nset b 0 0 1\r\nx\r")
    dialect.admit(TextDialect(LIMIT))
    found = [dialect.next_command(), dialect.next_command()]
    assert isinstance(found[0], Get)
    assert found[1] is None
    assert dialect.midway
    dialect.feed(b"\n")
    assert isinstance(dialect.next_command(), Store)
    assert not dialect.midway


def test_after_a_failure_it_may_be_tried_again() -> None:
    dialect = TextAuthentication()
    dialect.feed(b"set x 0 0 6\r\nanna x\r\nset x 0 0 6\r\nanna y\r\n")
    assert dialect.next_command() == Authenticate(b"anna", b"x")
    dialect.asked = False
    assert dialect.next_command() == Authenticate(b"anna", b"y")


STREAMS = st.lists(
    st.sampled_from(
        [
            b"get a\r\n", b"set x 0 0 5\r\n", b"hello\r\n", b"a b c\r\n", b"add x 0 0 3\r\nabc\r\n",
            b"ms x 2\r\nhi\r\n", b"version\r\n", b"\r\n", b"\n", b"set x 0 0 99\r\n", b"\x80\x00",
            b"set x 0 0 4294967295\r\n", b"set x 0 0 -1\r\n", b"quit\n",
        ]
    )
    | st.binary(max_size=20),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(STREAMS, st.lists(st.integers(1, 30), max_size=20))
def test_how_the_bytes_are_cut_never_changes_what_is_asked(data: bytes, sizes: list[int]) -> None:
    assert commands_of(data, sizes) == commands_of(data)


@given(STREAMS)
def test_nothing_but_the_version_a_quit_and_an_authentication_is_asked(data: bytes) -> None:
    for command in commands_of(data):
        assert isinstance(command, Version | Quit | Authenticate | Refusal)
        if isinstance(command, Authenticate):
            assert command.user + b" " + command.password in data


def test_a_password_stands_in_nothing_that_is_printed() -> None:
    assert "geheim" not in repr(Authenticate(b"anna", b"geheim"))


TOKEN = b"set auth 0 0 11\r\nanna geheim\r\n"


def wary(data: bytes, step: int) -> list[Command]:
    dialect, found = WaryTextDialect(LIMIT), []
    assert may_authenticate(data[:step])
    for start in range(0, len(data), step):
        dialect.feed(data[start : start + step])
        while (command := dialect.next_command()) is not None:
            found.append(command)
    return found


@pytest.mark.parametrize("step", [1, 3, 9, 1000])
def test_without_users_a_first_set_that_is_an_authentication_is_refused(step: int) -> None:
    first, second = wary(TOKEN + TOKEN, step)
    assert first == Refusal(REFUSAL)
    assert isinstance(second, Store), "only a first command is one"


@pytest.mark.parametrize(
    "data",
    [
        b"set auth 5 0 11\r\nanna geheim\r\n", b"set auth 0 9 11\r\nanna geheim\r\n",
        b"set auth 0 0 5\r\nhello\r\n", b"set auth 0 0 5\r\na b c\r\n",
        b"set auth/sync 0 0 3\r\na b\r\n", b"set auth 0 0 4\r\na \r\n\r\n",
    ],
)  # fmt: skip
def test_what_has_another_form_is_an_item(data: bytes) -> None:
    dialect = WaryTextDialect(LIMIT)
    dialect.feed(data)
    assert isinstance(dialect.next_command(), Store)


@pytest.mark.parametrize("data", [b"set authx", b"get auth ", b"set jobs", b"x", b"\x80"])
def test_other_beginnings_cost_nothing(data: bytes) -> None:
    assert not may_authenticate(data)


def test_the_words_are_those_of_memcached() -> None:
    words = {
        Outcome.AUTHENTICATED: b"STORED\r\n",
        Outcome.NOT_AUTHENTICATED: b"CLIENT_ERROR authentication failure\r\n",
        Outcome.UNAUTHENTICATED: b"CLIENT_ERROR unauthenticated\r\n",
    }
    for outcome, reply in words.items():
        assert TextAuthentication().outcome(outcome) == reply
