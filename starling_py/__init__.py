"""A persistent FIFO queue server that any memcached client already speaks to."""

import importlib.util

__version__ = "1.0.0"


def described() -> str:
    """Return the version, and whether the modules run compiled that every put goes through."""
    found = importlib.util.find_spec("starling_py.server.tick")
    pure = found is None or found.origin is None or found.origin.endswith(".py")
    return __version__ if pure else f"{__version__} (compiled)"
