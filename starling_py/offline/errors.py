"""What keeps ``starling-journal`` from doing what it was asked for."""

from pathlib import Path


class OutputClosedError(Exception):
    """Nobody reads the output any more."""


class OutputFailedError(Exception):
    """The output cannot be written; the text is one line that says so."""


class ImportRefused(Exception):
    """The import cannot begin; nothing was changed."""


class ImportFailedError(Exception):
    """The import was given up, and what it had made is removed."""


class WrongPathError(Exception):
    """A path that holds no journal; the text is one line that says so."""


class UnreadableError(Exception):
    """A place in an old file behind which nothing can be read."""

    def __init__(self, path: Path, offset: int, what: str, unread: int) -> None:
        super().__init__(f"{path}: at byte {offset}: {what}")
        self.path = path
        self.offset = offset
        self.what = what
        self.unread = unread
