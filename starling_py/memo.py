"""What was found for the names, keys and lines that come again and again, and is always the same.

Asking costs one look into a dictionary, which is less than ``functools.lru_cache`` takes. When
there are too many, all are forgotten, so what it costs in memory is bounded.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Memo(Generic[Found]):
    """The values of one function of bytes; what it raises is not remembered."""

    def __init__(self, find: Callable[[bytes], Found], most: int) -> None:
        """Remember at the most so many values of ``find``, which never returns ``None``."""
        self._find = find
        self._most = most
        self._found: dict[bytes, Found] = {}

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._found)

    def get(self, key: bytes) -> Found:
        """Return the function's value. Raises what the function raises."""
        found = self._found.get(key)
        if found is None:
            found = self._find(key)
            if len(self._found) >= self._most:
                self._found.clear()
            self._found[key] = found
        return found
