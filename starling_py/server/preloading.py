"""Loads all of Python that serving may need, before the port is open and the user is changed.

While a server runs, its installation may be replaced by an upgrade, or lie where its user may not
read. So nothing is imported, and no codec looked up, for the first time while it serves.
"""

import codecs
import importlib
from typing import Final

from starling_py.keys import printable

CODECS: Final = ("ascii", "latin-1", "utf-8", "utf-8-sig", "unicode_escape", "idna")
"""What names, messages, files of settings and names of hosts are read and written with."""
MODULES: Final = ("linecache", "tokenize", "traceback", "tracemalloc", "unicodedata", "warnings")
"""What Python imports only when it prints a traceback or a warning, in one version or another."""


def preload() -> None:
    """Load what is loaded at its first use otherwise."""
    for codec in CODECS:
        codecs.lookup(codec)
    for module in MODULES:
        importlib.import_module(module)
    printable(b"\x00\xff")
