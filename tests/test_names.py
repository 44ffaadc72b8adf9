"""The grammar of keys, and the names of queues' directories."""

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from starling_py.names import (
    MAX_KEY,
    MAX_WAIT_MS,
    KeyProblem,
    Request,
    directory_name,
    parse,
    parse_plain,
)

names = st.binary(min_size=1, max_size=MAX_KEY).filter(lambda name: b"/" not in name)
waits = st.integers(0, MAX_WAIT_MS)


@given(names)
@example(b"noreply")
@example(b"..")
@example(b"a:b+c~d")
@example(b"\x00\xff")
def test_a_name_alone_asks_for_nothing_special(name: bytes) -> None:
    request = parse(name)
    assert request == Request(name, name, peek=False, wait_ms=0)
    assert request.plain
    assert parse_plain(name) == name


@given(names, st.booleans(), st.none() | waits, st.booleans())
def test_a_key_is_repeated_whatever_its_options(
    name: bytes, peek: bool, wait_ms: int | None, turned: bool
) -> None:
    options = [b"/peek"] * peek
    if wait_ms is not None:
        options.append(b"/t=%d" % wait_ms)
    key = name + b"".join(reversed(options) if turned else options)
    request = parse(key)
    assert request == Request(key, name, peek, wait_ms or 0)
    assert request.plain == (not options)


@given(names, st.binary(max_size=12))
@example(b"q", b"opne")
@example(b"q", b"")
@example(b"q", b"PEEK")
@example(b"q", b"T=5")
@example(b"q", b"peek ")
@example(b"q", b"peek=")
def test_an_unknown_option_is_a_problem(name: bytes, option: bytes) -> None:
    assume(b"/" not in option)
    assume(option not in {b"peek", b"open", b"close", b"abort"})
    assume(b"=" not in option or option.partition(b"=")[0] not in {b"t", b"delay"})
    for key in (name + b"/" + option, name + b"/peek/" + option, name + b"/" + option + b"/peek"):
        with pytest.raises(KeyProblem):
            parse(key)


@pytest.mark.parametrize(
    "key",
    [
        *(b"q/peek=1", b"q/peek=", b"q/t", b"q/t=", b"q/t=x", b"q/t=-1", b"q/t=+1", b"q/t=1.5"),
        *(b"q/t=1_0", b"q/t= 1", b"q/t=1=1", b"q/t=2147483648", b"q/t=" + b"9" * 100, b"q/t=0x1"),
        "q/t=\u0665".encode(),
    ],
)
def test_a_malformed_option_is_a_problem(key: bytes) -> None:
    with pytest.raises(KeyProblem):
        parse(key)


@pytest.mark.parametrize("key", [b"q/peek/peek", b"q/t=1/t=1", b"q/t=0/t=5", b"q/peek/t=1/peek"])
def test_a_repeated_option_is_a_problem(key: bytes) -> None:
    with pytest.raises(KeyProblem, match="repeated"):
        parse(key)


@pytest.mark.parametrize("key", [b"", b"/", b"/peek", b"//", b"/t=5", b"/etc/passwd"])
def test_a_key_that_names_no_queue_is_a_problem(key: bytes) -> None:
    with pytest.raises(KeyProblem, match="names no queue"):
        parse(key)


@pytest.mark.parametrize("key", [b"q/", b"q//peek", b"q/peek/", b"../x", b"../../etc/passwd"])
def test_an_empty_or_a_path_like_option_is_a_problem(key: bytes) -> None:
    with pytest.raises(KeyProblem, match="unknown option"):
        parse(key)


@pytest.mark.parametrize("wait", [0, 1, MAX_WAIT_MS])
def test_a_wait_is_given_in_milliseconds(wait: int) -> None:
    assert parse(b"q/t=%d" % wait).wait_ms == wait


@given(st.binary(max_size=60))
def test_parse_raises_nothing_but_key_problems(key: bytes) -> None:
    try:
        request = parse(key)
    except KeyProblem:
        return
    assert request.key == key
    assert key.startswith(request.name)


@pytest.mark.parametrize("key", [b"q/peek", b"q/t=0", b"q/x", b"/", b""])
def test_a_plain_key_has_no_options(key: bytes) -> None:
    for _ in range(2):
        with pytest.raises(KeyProblem):
            parse_plain(key)


@given(names, names)
@example(b"jobs", b"Jobs")
@example(b"K" * 250, b"k" * 250)
@example(b"K" * 249 + b"a", b"K" * 249 + b"A")
@example(b".", b"%2e")
@example(b"~", b"%7e")
@example(b"a" * 200, b"a" * 201)
def test_different_names_have_different_directories(first: bytes, second: bytes) -> None:
    assert (directory_name(first) == directory_name(second)) == (first == second)


letters = st.text("abcXYZ/.%=~ ", min_size=1, max_size=250).map(str.encode)


@given(letters)
def test_names_that_differ_in_case_stay_apart_where_case_is_folded(name: bytes) -> None:
    swapped = name.swapcase()
    assume(swapped != name)
    assert directory_name(name).lower() != directory_name(swapped).lower()


@given(names | letters)
@example(b".")
@example(b"..")
@example(b".hidden")
@example(b"~")
@example(b"../../x")
@example(b"\x00")
@example(b"\xff" * 250)
@example(b"a" * 250)
@example(b"a" * 118 + b"\xff" * 40)
def test_a_directory_is_fit_for_any_file_system(name: bytes) -> None:
    directory = directory_name(name)
    assert re.fullmatch(r"[a-z0-9_.%=-]+", directory)
    assert not directory.startswith(".")
    assert "~" not in directory
    assert len(directory) <= 200


@given(names)
def test_a_directory_tells_the_name_unless_it_was_cut(name: bytes) -> None:
    directory = directory_name(name)
    if "=" not in directory:
        assert unquote_to_bytes(directory) == name
    else:
        assert unquote_to_bytes(directory.partition("=")[0][:117]).startswith(name[:39])


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        (b"jobs", "jobs"),
        (b"jobs-1_a.b", "jobs-1_a.b"),
        (b"Jobs", "%4aobs"),
        (b"..", "%2e."),
        (b"a=b%c", "a%3db%25c"),
        (b"a" * 200, "a" * 200),
    ],
)
def test_plain_bytes_stand_for_themselves(name: bytes, directory: str) -> None:
    assert directory_name(name) == directory
