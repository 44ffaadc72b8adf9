"""The names of queues' directories."""

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from starling_py.journal.directory_names import directory_name
from starling_py.keys import MAX_KEY

names = st.binary(min_size=1, max_size=MAX_KEY).filter(lambda name: b"/" not in name)


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
