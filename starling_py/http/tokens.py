"""The tokens of a file: one a line, with the name of who has it and a colon before it."""

from typing import Final

SHORTEST: Final = 16
"""Characters that a token must have: who guesses must not come far."""


def read(text: str) -> dict[bytes, str]:
    """Return who has which token. Raises ``ValueError`` with what is wrong, without any token.

    Empty lines, and those that begin with ``#``, are passed over. Without a name before a colon, it
    is ``token``, and the number of the line.
    """
    tokens: dict[bytes, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, token = line.partition(":")
        if not colon:
            name, token = f"token{number}", line
        if not name.isprintable() or " " in name or not name:
            raise ValueError(f"line {number}: a name has no blanks")
        if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            needs = f"{SHORTEST} characters or more, of ASCII, without blanks"
            raise ValueError(f"line {number}: a token has {needs}")
        tokens[token.encode()] = name
    if not tokens:
        raise ValueError("there is no token")
    return tokens
