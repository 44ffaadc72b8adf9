"""CRC-32 as zlib has it, from the quickest library there is.

isal's gives the same values; of an item of 100 KiB it takes a tenth of the time. It is an extra:
``pip install 'starling-py[isal]'``. What is on disk does not depend on it.
"""

import importlib
import zlib
from collections.abc import Callable
from typing import Final, cast

Crc32 = Callable[[bytes | memoryview, int], int]
"""Takes bytes and the checksum of what comes before them, 0 if nothing does."""


def find() -> Crc32:
    """Return isal's function if it is installed, else zlib's."""
    try:
        module = importlib.import_module("isal.isal_zlib")
    except ImportError:
        return zlib.crc32
    return cast(Crc32, module.crc32)


crc32: Final = find()
