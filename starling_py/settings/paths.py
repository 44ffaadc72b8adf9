"""The kind of settings that are paths: absolute at once, whatever folder the server goes to."""

import os
from pathlib import Path
from typing import Final

from starling_py.settings.kinds import Kind, text_of


def _path(value: object) -> Path:
    text = text_of(str(value) if isinstance(value, Path) else value)
    if text.startswith("~"):
        raise ValueError("must be written out; '~' is not replaced by a home folder here")
    try:
        if b"\0" in os.fsencode(text):
            raise ValueError
        return Path(text).absolute()
    except UnicodeEncodeError:  # half a surrogate pair, which YAML can write and no path can hold
        raise ValueError from None
    except OSError:
        raise ValueError("is relative, and the working directory cannot be read") from None


PATH: Final = Kind("a path", _path)
