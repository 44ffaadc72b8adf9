"""A bounded memory of results, for names, keys and lines that come again and again.

A hit costs one look into a dictionary, which is less than ``functools.lru_cache`` takes. When the
memory is full, all of it is forgotten: that bounds it, and needs no order of use.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Memo(Generic[Result]):
    """The latest results of one function of bytes; what it raises is not kept."""

    def __init__(self, find: Callable[[bytes], Result], most: int) -> None:
        """Keep up to ``most`` results of ``find``, which never returns ``None``."""
        self._find = find
        self._most = most
        self.found: dict[bytes, Result] = {}
        """The results that are kept. A put and a get look here first, without a call, and call
        ``get`` for what is missing."""

    def __len__(self) -> int:
        """Return how many results are kept."""
        return len(self.found)

    def get(self, key: bytes) -> Result:
        """Return the function's result for a key. Raises what the function raises."""
        found = self.found.get(key)
        if found is None:
            found = self._find(key)
            if len(self.found) >= self._most:
                self.found.clear()
            self.found[key] = found
        return found
