"""Passwords: their hashes, and what is remembered of those that were right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.security.passwords import NOBODY, Hash, Remembered

CHEAP = Hash(4, 8, 1, b"saltsalt", bytes(32))


def cheap(password: bytes) -> Hash:
    """Return a hash that costs little."""
    return Hash(4, 8, 1, CHEAP.salt, CHEAP.derive(password))


def test_a_hash_fits_its_password_and_no_other() -> None:
    made = Hash.of(b"geheim")
    assert made.fits(b"geheim")
    assert not made.fits(b"geheim ")
    assert not made.fits(b"")
    assert Hash.parse(str(made)) == made
    assert str(made).startswith("$scrypt$ln=14,r=8,p=1$")
    assert Hash.of(b"geheim") != made


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_only_the_same_bytes_fit(password: bytes, other: bytes) -> None:
    assert cheap(password).fits(other) == (password == other)


def test_nobody_has_a_password() -> None:
    assert not NOBODY.fits(b"")
    assert Hash.of(b"").log_n == NOBODY.log_n


@pytest.mark.parametrize(
    "text",
    [
        "", "geheim", "$scrypt$", "$2b$12$abc", str(CHEAP)[:-1] + "!", str(CHEAP) + "\n",
        "$scrypt$ln=0,r=8,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$scrypt$ln=4,r=8,p=1$c2FsdHNhbHQ$" + "A" * 21,
    ],
)  # fmt: skip
def test_what_is_no_hash_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no hash of a password"):
        Hash.parse(text)


@pytest.mark.parametrize("cost", ["ln=21,r=8,p=1", "ln=20,r=16,p=1", "ln=16,r=8,p=99"])
def test_a_hash_that_would_take_too_much_is_refused(cost: str) -> None:
    with pytest.raises(ValueError, match="too much memory or time"):
        Hash.parse(f"$scrypt${cost}$c2FsdHNhbHQ$" + "A" * 43)


@given(st.text(max_size=100))
def test_any_text_is_a_hash_or_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"hash|memory"):
        Hash.parse(text)


def test_what_was_right_is_remembered_for_that_user_and_hash_alone() -> None:
    remembered, kept = Remembered(), cheap(b"geheim")
    assert not remembered.knows("anna", b"geheim", kept)
    remembered.note("anna", b"geheim", kept)
    assert remembered.knows("anna", b"geheim", kept)
    assert not remembered.knows("anna", b"geheim2", kept)
    assert not remembered.knows("bob", b"geheim", kept)
    assert not remembered.knows("anna", b"geheim", cheap(b"other"))


def test_a_digest_is_under_a_key_of_its_own() -> None:
    kept, one, other = cheap(b"geheim"), Remembered(), Remembered()
    for each in (one, other):
        each.note("anna", b"geheim", kept)
    assert vars(one)["_known"] != vars(other)["_known"]
    assert b"geheim" not in repr(vars(one)).encode()


def test_a_hash_that_is_printed_shows_nothing_of_itself() -> None:
    made = cheap(b"geheim")
    assert repr(made) == "Hash(log_n=4, block=8, parallel=1)"
