"""The file of tokens."""

import pytest

from starling_py.http import tokens

LONG = "0123456789abcdef"


def test_each_line_has_a_name_and_a_token() -> None:
    text = f"# who may look\n\nops:{LONG}\n  prometheus:{LONG}:x \n{LONG}y\n"
    assert tokens.read(text) == {
        LONG.encode(): "ops",
        f"{LONG}:x".encode(): "prometheus",
        f"{LONG}y".encode(): "token5",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no token"),
        ("# ops:0123456789abcdef", "there is no token"),
        ("ops:short", "line 1: a token has 16 characters or more, of ASCII, without blanks"),
        ("ops:0123456789abcde\u00e9", "line 1: a token has 16"),
        ("ops:01234567 89abcdef", "line 1: a token has 16"),
        (f"ops:{LONG}\n:{LONG}", "line 2: a name has no blanks"),
    ],
)
def test_what_is_no_token_is_told_without_telling_it(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        tokens.read(text)
    assert "0123" not in str(caught.value)
    assert "short" not in str(caught.value)
