"""The file of users: what it may say, and how a line is changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.security.passwords import Hash
from starling_py.security.users_file import UsersFileError, read, with_user, without_user

ANNA = Hash(4, 8, 1, b"saltsalt", bytes(32))
BOB = Hash(5, 8, 1, b"saltsalt", bytes(32))
TEXT = f"# who may\n\nanna:{ANNA}\r\n  bob:{BOB}\n"
NAMES = st.text("abz09_.@-", min_size=1, max_size=8).filter(lambda name: name[0] not in ".@-")


def test_each_line_is_a_user() -> None:
    assert read(TEXT) == {"anna": ANNA, "bob": BOB}
    assert read("") == read("\n#x:y\n") == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("anna", "line 1: is not of the form NAME:HASH"),
        ("\nan na:x", "line 2: is not of the form NAME:HASH"),
        (f":{ANNA}", "line 1: is not of the form NAME:HASH"),
        (f"anna:{ANNA}\nanna:{BOB}", "line 2: anna stands twice"),
        ("anna:geheim", "line 1: what anna has is no hash of a password; "),
    ],
)
def test_a_wrong_line_is_named_and_not_shown(text: str, problem: str) -> None:
    with pytest.raises(UsersFileError) as caught:
        read(text)
    assert str(caught.value).startswith(problem)
    assert "geheim" not in str(caught.value)
    assert str(ANNA)[-20:] not in str(caught.value)


def test_a_user_is_changed_in_its_place_and_else_added_at_the_end() -> None:
    assert with_user("", "anna", ANNA) == f"anna:{ANNA}\n"
    changed = with_user(TEXT, "anna", BOB)
    assert changed == f"# who may\n\nanna:{BOB}\n  bob:{BOB}\n"
    assert with_user(TEXT, "carl", BOB) == f"{TEXT}carl:{BOB}\n"
    assert with_user("# end", "carl", BOB) == f"# end\ncarl:{BOB}\n"


def test_a_user_is_removed_and_nothing_else() -> None:
    assert without_user(TEXT, "anna") == f"# who may\n\n  bob:{BOB}\n"
    for name in ("carl", "# who may", ""):
        with pytest.raises(UsersFileError, match="there is no user"):
            without_user(TEXT, name)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "#a", "a\n", "ä", "a" * 65, "-a"])
def test_no_user_has_such_a_name(name: str) -> None:
    with pytest.raises(UsersFileError, match="is no name of a user"):
        with_user("", name, ANNA)


@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=8))
def test_what_is_written_is_read_back(steps: list[tuple[str, bool]]) -> None:
    text, expected = "# first\n", dict[str, Hash]()
    for name, is_removed in steps:
        if is_removed and name in expected:
            text = without_user(text, name)
            del expected[name]
        else:
            text = with_user(text, name, BOB)
            expected[name] = BOB
        assert read(text) == expected
    assert text.startswith("# first\n")
