"""Patterns of names: words with dots between them, as RabbitMQ's topic exchanges have them.

In a pattern, the word ``*`` stands for exactly one word and ``#`` for any number of words, also for
none. What the words of a name are, who asks decides: for a route, a fan-out child is one word like
any other; for what users may do, the ``+`` before a child is a word of its own, for which ``*``
does not stand. Nothing here knows queues.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from starling_py.memo import Memo

ONE: Final = b"*"
ANY: Final = b"#"
CHILD: Final = b"/"
"""Stands for the ``+`` of a child among the words of a name: no name has a slash in it."""
_MOST: Final = 4096
"""Names of which it is remembered whether they match."""
_YES: Final = b"yes"
_NO: Final = b"no"


def is_legal(words: Iterable[bytes]) -> bool:
    """Tell whether the words of a pattern are right: ``*`` and ``#`` stand alone."""
    return not any(word not in (ONE, ANY) and (ONE in word or ANY in word) for word in words)


def matches(pattern: Sequence[bytes], words: Sequence[bytes]) -> bool:
    """Tell whether words match, in time that grows with the product of both lengths at most."""
    # The positions in the pattern that may come next; no step back, however many ``#`` there are.
    positions = _past_any(pattern, {0})
    for word in words:
        following = set()
        for position in positions:
            if position < len(pattern):
                wanted = pattern[position]
                if wanted == ANY:
                    following.add(position)
                elif wanted == word or (wanted == ONE and word != CHILD):
                    following.add(position + 1)
        positions = _past_any(pattern, following)
    return len(pattern) in positions


def _past_any(pattern: Sequence[bytes], positions: set[int]) -> set[int]:
    """Add the positions that are reached when each ``#`` stands for no word."""
    reached = set(positions)
    for position in positions:
        while position < len(pattern) and pattern[position] == ANY:
            position += 1
            reached.add(position)
    return reached


def words_of(name: bytes) -> list[bytes]:
    """Return the words of a name or a pattern, with ``CHILD`` for each ``+``.

    No two names have the same words.
    """
    words: list[bytes] = []
    for number, part in enumerate(name.split(b"+")):
        words += [CHILD, *part.split(b".")] if number else part.split(b".")
    return words


class Names:
    """The names that some patterns stand for, children of queues among them.

    ``orders.#`` is ``orders``, all below it, and the children of these; ``orders+*`` is the
    children of ``orders`` alone. To ask again for a name costs little.
    """

    def __init__(self, patterns: Iterable[bytes] = ()) -> None:
        self.patterns = tuple(patterns)
        """As they were written."""
        self._words = [words_of(each) for each in self.patterns]
        self._is_all = ANY in self.patterns
        self._found = Memo(self._find, _MOST)

    def __contains__(self, name: bytes) -> bool:
        """Tell whether a name is among them."""
        return self._is_all or self._found.get(name) is _YES

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self.patterns == other.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)

    def __repr__(self) -> str:
        return f"Names({list(self.patterns)})"

    def _find(self, name: bytes) -> bytes:
        words = words_of(name)
        return _YES if any(matches(each, words) for each in self._words) else _NO
